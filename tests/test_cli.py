"""The command line as a user types it: results, records, errors, signals."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import rasterio
from jobs import ROOT, Cli
from log_folders import ask
from marks import few_quick
from report_page import Page
from run_records import facts_of
from scenes_on_disk import speckle, write_scene
from waiting import LONG, lives, wait_until

from runner.cli import _folder_of_hydra, _wrong_setting

QUICK = ("source.limit=3",)


def run_folder(cwd: Path) -> Path:
    """The one run folder below `cwd`."""
    (record,) = cwd.glob("outputs/*/*/run.json")
    return record.parent


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The main job, run once for all who look at it."""
    cwd = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "runner"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LONG, check=False)
    return done, cwd


def test_the_main_job_writes_everything_and_says_where(
    demo: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, cwd = demo
    assert done.returncode == 0, done.stderr
    folder = run_folder(cwd)
    names = {path.name for path in folder.iterdir()}
    files = {"spatial_mean.parquet", "temporal_mean.tif", "temporal_count.tif"}
    tables = {"inputs.parquet", "trace.parquet", "item.json"}
    assert names == files | tables | {"run.json", "outputs.json", "report.html", "run.log", "events.jsonl", ".hydra"}
    for name in files:
        assert f"wrote {folder.relative_to(cwd) / name}" in done.stdout
    assert "12 scenes from 2020-01-06" in done.stderr
    assert f"report: {folder.relative_to(cwd) / 'report.html'}\n" in done.stderr
    phases = facts_of(folder)["phases"]
    told = {name for name, seconds in phases.items() if seconds is not None}
    assert told - {"kernels_seconds", "compiling_seconds"} == {
        f"{name}_seconds" for name in ("imports", "archive", "listing", "writing", "report")
    }
    assert len(told) == 6  # kernels are loaded, or compiled


def test_the_main_jobs_numbers_are_plain_numpys(
    demo: tuple[subprocess.CompletedProcess[str], Path], cache_dir: Path
) -> None:
    folder = run_folder(demo[1])
    layers = []
    for scene in pd.read_parquet(folder / "spatial_mean.parquet")["scene"]:
        (path,) = cache_dir.glob(f"**/{scene}/Gamma0_VV.tif")
        with rasterio.open(path) as raster:
            layers.append(raster.read(1, masked=True).astype("float64"))
    cube = np.ma.stack(layers)
    table = pd.read_parquet(folder / "spatial_mean.parquet")
    np.testing.assert_array_equal(table["count"], cube.count((1, 2)))
    np.testing.assert_array_max_ulp(
        table["mean"].to_numpy(np.float32), cube.mean((1, 2)).data.astype(np.float32), maxulp=1
    )
    with rasterio.open(folder / "temporal_mean.tif") as mean, rasterio.open(folder / "temporal_count.tif") as count:
        assert (mean.dtypes, count.dtypes) == (("float32",), ("int32",))
        np.testing.assert_array_equal(count.read(1), cube.count(0))
        np.testing.assert_array_max_ulp(mean.read(1), cube.mean(0).filled(np.nan).astype(np.float32), maxulp=1)


def test_the_record_holds_config_versions_and_the_options_workers_saw(
    demo: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    record = facts_of(run_folder(demo[1]))
    assert (record["status"], record["exit_code"]) == ("COMPLETED", 0)
    assert record["config"]["source"]["name"] == "demo"
    (one,) = record["passes"]
    assert one["stages"] == ["spatial_mean", "temporal_mean"]
    assert one["fetched"]["requests"] == one["planned"]["requests"]
    assert 0 < one["peak_bytes"] < one["planned"]["worker_bytes"]
    seen = one["gdal_options"]["this process"]
    assert seen["GDAL_DISABLE_READDIR_ON_OPEN"] == "EMPTY_DIR"
    assert seen["AWS_HTTPS"] == "NO"


@pytest.mark.slow
def test_the_notebooks_stages_give_the_same_numbers(cli: Cli, tmp_path: Path) -> None:
    folder, reference = tmp_path / "notebook", tmp_path / "reference"
    for path, words in ((folder, ["experiment=seed_notebook", "source=demo", "gdal=notebook"]), (reference, [])):
        done = cli(*words, *QUICK, f"output.dir={path}")
        assert done.returncode == 0, done.stderr
    clusters = [stage["cluster"]["kind"] for stage in facts_of(folder)["passes"]]
    assert clusters == ["processes", "threads"]
    ours, theirs = (pd.read_parquet(path / "spatial_mean.parquet") for path in (folder, reference))
    np.testing.assert_allclose(ours["mean"], theirs["mean"], rtol=1e-7)
    assert ours["count"].tolist() == theirs["count"].tolist()


@pytest.mark.slow
def test_options_are_read_back_from_inside_every_worker(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        *QUICK, "gdal=cloud", "~stage@stages.temporal_mean", "cluster@stages.spatial_mean.cluster=processes",
        "stages.spatial_mean.cluster.n_workers=2", "gdal.options.GDAL_CACHEMAX=33",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    workers = facts_of(run_folder(tmp_path))["passes"][0]["gdal_options"]
    assert len(workers) == 2
    assert {seen["GDAL_CACHEMAX"] for seen in workers.values()} == {str(33 * 2**20)}  # GDAL says it in bytes
    assert {seen["CPL_VSIL_CURL_NON_CACHED"] for seen in workers.values()} == {"/vsis3/:/vsigs/:/vsiaz/:/vsicurl/"}


@pytest.mark.slow
def test_a_multirun_gives_each_job_a_folder(cli: Cli, tmp_path: Path) -> None:
    done = cli("-m", "source.limit=2", "cluster@stages.spatial_mean.cluster=threads,processes")
    assert done.returncode == 0, done.stderr
    records = sorted(tmp_path.glob("outputs/*/*_sweep/*/run.json"))
    assert [path.parent.name for path in records] == ["0", "1"]
    tables = [pd.read_parquet(path.parent / "spatial_mean.parquet") for path in records]
    assert all(table["count"].tolist() == tables[0]["count"].tolist() for table in tables)


@pytest.mark.slow
def test_one_failing_job_of_a_multirun_leaves_the_others_and_exit_code_1(cli: Cli, tmp_path: Path) -> None:
    done = cli("-m", *QUICK, "source.limit=2", "cluster.memory_limit=auto,1MB")
    assert done.returncode == 1
    statuses = [facts_of(path.parent)["status"] for path in sorted(tmp_path.glob("outputs/*/*_sweep/*/run.json"))]
    assert statuses == ["COMPLETED", "FAILED"]


def test_the_plan_is_printed_and_nothing_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "outputs").touch()  # a folder cannot be made here, as in one that is read-only
    done = cli("action=plan", "chunks=notebook", "chunks.y=300")
    assert done.returncode == 0, done.stderr
    assert "demo: 12 scenes from 2020-" in done.stderr
    assert "cut the files' tiles of 512 x 512" in done.stdout
    assert [path.name for path in tmp_path.rglob("*")] == ["outputs"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    few_quick([
        (["source.limt=3"], 2, "did you mean 'source.limit=3'"),
        (["+typo=1"], 2, "typo: there is no such setting"),
        (["chunks=0"], 2, "wanted the name of an option; there are auto, block"),
        (["source=local", "source.url=/nowhere/*.tif"], 1, "nothing matches"),
        (["cluster@stages.spatial_mean.cluster=address", "stages.spatial_mean.cluster.address=tcp://127.0.0.1:1",
          "stages.spatial_mean.cluster.start_timeout=1"], 1, "no dask scheduler answers"),
    ], 2),
)  # fmt: skip
def test_an_error_is_one_line_and_an_exit_code(cli: Cli, words: list[str], code: int, message: str) -> None:
    done = cli(*words)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1


def test_a_wrong_setting_leaves_no_folder(cli: Cli, tmp_path: Path) -> None:
    assert cli("+typo=1").returncode == 2
    assert not list(tmp_path.rglob("*"))


def test_a_traceback_comes_when_asked_for(cli: Cli) -> None:
    done = cli("debug=trace", "source=local", "source.url=/nowhere/*.tif")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_help_is_ours_and_names_every_group(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    for word in ("spatial mean", "cog-stack-runner source=sentinel1_rtc", "chunks: auto, block", "cluster: address"):
        assert word in done.stdout


@pytest.mark.parametrize("words", [["--cfg", "job"], ["--info", "defaults-tree"]])
def test_hydra_shows_the_config_and_where_it_comes_from(cli: Cli, words: list[str]) -> None:
    done = cli(*words)
    assert done.returncode == 0
    assert "demo" in done.stdout


def test_a_config_of_ones_own(cli: Cli, tmp_path: Path, folder_of_scenes: Path) -> None:
    own = tmp_path / "conf/source"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text(f"defaults: [local]\nname: mine\nurl: {folder_of_scenes}/*.tif\n")
    done = cli("--config-dir", "conf", "source=mine", "mask=none")
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(run_folder(tmp_path) / "spatial_mean.parquet")
    assert table["stack"].unique().tolist() == ["mine"]
    assert (table["count"] == 300 * 500).all()


@pytest.mark.slow
def test_nan_may_be_the_nodata_of_the_files(cli: Cli, tmp_path: Path) -> None:
    pixels = speckle((2, 64, 64))
    pixels[pixels == 0] = np.nan
    for at, scene in enumerate(pixels):
        write_scene(tmp_path / f"data/2020010{at + 1}.tif", scene, nodata=np.nan)
    done = cli("source=local", "source.url=data/*.tif", "output.dir=result")
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "result/spatial_mean.parquet")
    assert table["count"].tolist() == np.isfinite(pixels).sum(axis=(1, 2)).tolist()
    assert (tmp_path / "result/report.html").exists()


@pytest.mark.slow
def test_a_run_that_failed_on_its_source_is_resumed_with_another_source(
    cli: Cli, tmp_path: Path, folder_of_scenes: Path
) -> None:
    words = ["source=local", "source.url=nowhere/*.tif", "output.dir=result"]
    assert cli(*words).returncode == 1
    banner = Page(tmp_path / "result/report.html").one("section.banner").text
    assert f"output.dir={tmp_path}/result" in banner
    assert "log resume" not in banner
    again = ask(tmp_path, "resume", "result", "--", f"source.url={folder_of_scenes}/*.tif")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "result/spatial_mean.parquet").exists()


@pytest.mark.slow
def test_output_dir_is_the_run_folder_and_is_never_used_twice(cli: Cli, tmp_path: Path, folder_of_scenes: Path) -> None:
    words = ["source=local", f"source.url={folder_of_scenes}/*.tif", "output.dir=result"]
    assert cli(*words).returncode == 0
    before = (tmp_path / "result/run.json").read_text()
    again = cli(*words)
    assert again.returncode == 1
    assert "holds a run already" in again.stderr
    assert "report: " not in again.stderr  # which would be the other run's
    assert (tmp_path / "result/run.json").read_text() == before
    assert not (tmp_path / "outputs").exists() or not list((tmp_path / "outputs").rglob("*"))


@pytest.mark.slow
def test_a_scene_that_cannot_be_decoded_is_named_or_skipped(cli: Cli, tmp_path: Path, folder_of_scenes: Path) -> None:
    bad = write_scene(folder_of_scenes / "S1A_20200130_ASC.tif", speckle((300, 500)))
    with rasterio.open(bad) as raster:
        place = int(raster.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", 1))
    content = bytearray(bad.read_bytes())
    content[place : place + 100] = b"\xff" * 100
    bad.write_bytes(content)
    words = ["source=local", f"source.url={folder_of_scenes}/*.tif"]
    stopped = cli(*words, "output.dir=stopped")
    assert stopped.returncode == 1
    assert "S1A_20200130_ASC.tif" in stopped.stderr
    assert not list((tmp_path / "stopped").glob("*.tif"))
    skipped = cli(*words, "on_error=skip", "output.dir=skipped")
    assert skipped.returncode == 0, skipped.stderr
    assert len(pd.read_parquet(tmp_path / "skipped/spatial_mean.parquet")) == 4
    inputs = pd.read_parquet(tmp_path / "skipped/inputs.parquet")
    assert inputs[~inputs["used"]]["scene"].tolist() == ["S1A_20200130_ASC"]
    with rasterio.open(tmp_path / "skipped/temporal_count.tif") as raster:
        assert raster.read(1).max() == 4


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_run_cleanly_with_its_workers(tmp_path: Path, number: int, code: int) -> None:
    words = [
        "cluster@stages.spatial_mean.cluster=processes",
        "stages.spatial_mean.chunks.x=64",
        "chunks.y=64",
        "chunks.x=64",
    ]
    command = [sys.executable, "-m", "runner", "chunks@stages.spatial_mean.chunks=block", *words]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        wait_until(lambda: len(psutil.Process(process.pid).children(recursive=True)) >= 4)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number) if number == signal.SIGTERM else os.killpg(process.pid, number)
        output, _ = process.communicate(timeout=LONG)
    finally:
        process.kill()
    assert process.returncode == code, output
    assert "Traceback" not in output
    assert output.count("error: interrupted; what was finished stays, and run.json says INTERRUPTED\n") == 1
    record = facts_of(run_folder(tmp_path))
    assert (record["status"], record["exit_code"]) == ("INTERRUPTED", code)
    wait_until(lambda: not any(map(lives, children)))
    assert not list(tmp_path.rglob("*.part*"))


# --- where it runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "added"),
    [
        (["output.dir=x"], ["hydra.run.dir=."]),
        (["chunks=row"], []),
        (["-m", "output.dir=x,y"], []),
        (["output.dir=x", "hydra.run.dir=z"], []),
    ],
    ids=" ".join,
)
def test_a_job_with_a_folder_of_its_own_needs_none_of_hydra(words: list[str], added: list[str]) -> None:
    assert _folder_of_hydra(words) == added


@pytest.mark.slow
@pytest.mark.skipif(not Path("/sys").is_dir(), reason="needs a folder that not even root can write to")
def test_the_current_folder_may_be_read_only_if_results_go_elsewhere(cli: Cli, folder_of_scenes: Path) -> None:
    words = ["source=local", f"source.url='{folder_of_scenes}/*.tif'"]
    folder = folder_of_scenes.parent / "run"
    done = cli(*words, f"output.dir={folder}", cwd="/sys", env=without_home())
    assert done.returncode == 0, done.stderr
    assert "hydra" not in " ".join(facts_of(folder)["command"])
    assert f"report: {folder}/report.html" in done.stderr
    refused = cli(*words, cwd="/sys")
    assert refused.returncode == 2
    assert (
        refused.stderr
        == "error: outputs: Operation not permitted; set output.dir, or go to a folder you can write to\n"
    )


def without_home() -> dict[str, str]:
    """An environment without HOME, in a locale that has ASCII alone."""
    unset = ("HOME", "XDG_CACHE_HOME", "LANG", "LC_ALL")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}


def test_an_argument_that_is_no_text_is_one_line(cli: Cli) -> None:
    done = cli(b"source.url=/data/\xe9t\xe9/*.tif")  # type: ignore[arg-type]
    assert done.returncode == 2
    assert done.stderr.startswith("error: 'source.url=/data/\\udce9t\\udce9/*.tif': not text in this locale's encoding")
    assert len(done.stderr.splitlines()) == 1


def test_a_current_folder_that_is_gone_is_named() -> None:
    told = str(_wrong_setting(FileNotFoundError(errno.ENOENT, "No such file or directory")))
    assert told == "the current folder: No such file or directory; set output.dir, or go to a folder you can write to"
