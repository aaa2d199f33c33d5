"""`python -m runner.log verify`, as typed: what was altered, replaced or lost is named; exit code 0 for what holds."""

import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from log_folders import altered_pixel, ask, asked, change, complete, run
from scenes_on_disk import speckle, write_scene

from runner.demo.server import serve

ALL = ("--blocks", 99)
STATISTICS = (
    "stages.spatial_mean.statistics=[mean,count,median]",
    "stages.temporal_mean.statistics=[mean,count,std,q25]",
)


def archive(folder: Path) -> list[Path]:
    return [write_scene(folder / f"S1A_2020010{at}.tif", speckle((300, 500), seed=at)) for at in range(1, 5)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A completed run of four scenes, in outputs/run; its scenes are in data/."""
    cwd = tmp_path_factory.mktemp("done")
    archive(cwd / "data")
    run(cwd, "source=local", f"source.url={cwd}/data/*.tif", "output.dir=outputs/run", *STATISTICS)
    complete(cwd / "outputs/run")
    return cwd


@pytest.fixture
def folder(done: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be altered; its scenes are the shared ones."""
    shutil.copytree(done / "outputs/run", tmp_path / "run")
    return tmp_path / "run"


def failed(text: str) -> list[str]:
    """What the lines that do not say ok are about."""
    return [line.split(": ")[0].split(maxsplit=1)[1] for line in text.splitlines() if re.match("FAILED|unknown", line)]


def test_a_run_that_is_as_it_was_is_verified_to_the_bit(done: Path) -> None:
    found = ask(done, "verify", "last", *ALL)
    assert found.returncode == 0, found.stdout
    for text in (
        "ok       temporal_mean.tif: mean: 150,000 values as written",
        "ok       inputs: 4 objects are there with their recorded ETags",
        "ok       temporal_mean: std: 2 of 2 windows computed again, 150,000 values as stored",
        "ok       spatial_mean: median: 4 of 4 scenes computed again, 4 values as stored",
    ):
        assert text in found.stdout
    assert re.search(r"read again: [\d.]+ MB in \d+ requests, of [\d.]+ MB stored", found.stdout)
    assert found.stdout.splitlines()[-1].startswith("verified: ")


def test_a_sample_is_as_large_as_asked_for_and_repeated_by_its_seed(done: Path) -> None:
    one, same = (asked(done, "verify", "run", "--blocks", 1, "--seed", 5).stdout for _ in range(2))
    assert one == same
    assert "sample of seed 5" in one
    assert "1 of 2 windows computed again, " in one
    assert "1 of 4 scenes computed again, 1 values as stored" in one


def test_blocks_0_reads_nothing_from_the_source(folder: Path, tmp_path: Path) -> None:
    config = (folder / "run.json").read_text()
    (folder / "run.json").write_text(config.replace("/data/*.tif", "/nowhere/*.tif"))
    found = asked(tmp_path, "verify", "run", "--outputs", tmp_path, "--blocks", 0)
    assert found.returncode == 0, found.stdout
    assert "inputs:" not in found.stdout


def test_an_altered_pixel_is_named_by_digests_and_by_the_source(folder: Path) -> None:
    altered_pixel(folder / "temporal_mean.tif", 123, 45)
    found = asked(folder, "verify", folder, *ALL)
    assert found.returncode == 1
    assert failed(found.stdout) == ["temporal_mean.tif", "temporal_mean.tif", "temporal_mean"]
    assert "FAILED   temporal_mean.tif: altered: written with" in found.stdout
    assert "FAILED   temporal_mean.tif: mean: its values are not those that were written" in found.stdout
    (line,) = (line for line in found.stdout.splitlines() if "FAILED   temporal_mean: mean" in line)
    assert (
        "1 of 150,000 values in 2 of 2 windows are not what the source gives; row 123, column 45 (x 500890, y 529"
        in line
    )
    assert found.stdout.splitlines()[-1].startswith("NOT verified: 3 of ")


@pytest.mark.slow
def test_an_alteration_that_was_digested_anew_is_found_by_the_source(folder: Path) -> None:
    altered_pixel(folder / "temporal_std.tif", 7, 8)
    (folder / "outputs.json").unlink()
    complete(folder)
    assert asked(folder, "verify", folder, "--blocks", 0).returncode == 0
    found = asked(folder, "verify", folder, *ALL)
    assert found.returncode == 1
    assert failed(found.stdout) == ["temporal_mean"]
    assert "row 7, column 8" in found.stdout


@pytest.mark.slow
def test_an_altered_row_of_the_table_is_named_by_its_scene(folder: Path) -> None:
    path = folder / "spatial_mean.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("median")
    values = table["median"].to_pylist()
    values[2] += 1e-9
    pq.write_table(table.set_column(at, "median", pa.array(values)), path)
    (folder / "outputs.json").unlink()
    complete(folder)
    found = asked(folder, "verify", folder, *ALL)
    assert found.returncode == 1
    assert failed(found.stdout) == ["spatial_mean"]
    assert "FAILED   spatial_mean: median: 1 of 4 values in 4 of 4 scenes are not what the source gives" in found.stdout
    assert "scene S1A_20200103: stored " in found.stdout


@pytest.mark.slow
def test_a_file_that_was_written_again_with_the_same_values_is_told_from_altered_values(folder: Path) -> None:
    path = folder / "temporal_count.tif"
    with rasterio.open(path) as raster:
        values, profile, tags = raster.read(1), raster.profile, raster.tags()
    with rasterio.open(path, "w", **{**profile, "compress": "lzw"}) as raster:
        raster.write(values, 1)
        raster.update_tags(**tags)
    found = asked(folder, "verify", folder, *ALL)
    assert found.returncode == 1
    assert failed(found.stdout) == ["temporal_count.tif"]
    assert "ok       temporal_count.tif: count: 150,000 values as written" in found.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spatial_mean.parquet", "temporal_mean.tif"])
def test_a_lost_or_broken_file_is_named(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    lost = asked(folder, "verify", folder, "--blocks", 0)
    assert lost.returncode == 1
    assert f"FAILED   {name}: cannot be read: No such file or directory" in lost.stdout
    (folder / name).write_bytes(content[: len(content) // 2])
    broken = asked(folder, "verify", folder, "--blocks", 0)
    assert broken.returncode == 1
    assert f"FAILED   {name}: altered" in broken.stdout
    assert "cannot be read" in broken.stdout
    assert "Traceback" not in lost.stderr + broken.stderr


@pytest.mark.slow
def test_a_list_of_inputs_that_was_changed_is_found_by_what_the_results_carry(folder: Path) -> None:
    table = pd.read_parquet(folder / "inputs.parquet")
    table.loc[1, "etag"] = '"0"'
    table.to_parquet(folder / "inputs.parquet")
    found = asked(folder, "verify", folder, "--blocks", 0)
    assert found.returncode == 1
    assert failed(found.stdout) == ["inputs.parquet"]


@pytest.mark.slow
def test_a_result_that_outputs_json_does_not_name_is_missed(folder: Path) -> None:
    path = folder / "outputs.json"
    path.write_text(path.read_text().replace("temporal_q25.tif", "temporal_q26.tif"))
    found = asked(folder, "verify", folder, "--blocks", 0)
    assert found.returncode == 1
    assert "FAILED   outputs.json: it does not name temporal_q25.tif, which the run wrote" in found.stdout


# --- the source -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_replaced_and_lost_objects_are_named_and_the_others_still_checked(tmp_path: Path) -> None:
    scenes = archive(tmp_path / "data")
    run(tmp_path, "source=local", f"source.url={tmp_path}/data/*.tif", "output.dir=run")
    etag = pd.read_parquet(tmp_path / "run/inputs.parquet")["etag"][1]
    write_scene(scenes[1], speckle((300, 500), seed=9))
    scenes[3].unlink()
    found = asked(tmp_path, "verify", complete(tmp_path / "run"), *ALL)
    assert found.returncode == 1
    assert f"FAILED   inputs: {scenes[1]} has changed: recorded with ETag {etag}, " in found.stdout
    assert re.search(r"now ETag \S+, \d+ bytes of", found.stdout)
    assert f"FAILED   inputs: {scenes[3]} is gone" in found.stdout
    assert "unknown  temporal_mean: not computed again, since 2 of 4 scenes are not as recorded" in found.stdout
    assert "ok       spatial_mean: mean: 2 of 2 scenes computed again" in found.stdout


@pytest.mark.slow
def test_a_source_served_elsewhere_by_now_is_read_there(tmp_path: Path) -> None:
    archive(tmp_path / "buckets/bucket/tiles")
    source = ("source=local", "source.url=s3://bucket/tiles/*.tif", "source.s3.anonymous=true")
    with serve(tmp_path / "buckets") as endpoint:
        run(tmp_path, *source, f"source.s3.endpoint_url={endpoint}", "output.dir=run")
    complete(tmp_path / "run")
    away = asked(tmp_path, "verify", "run", "--blocks", 1, "--", "fetch.attempts=1")
    assert away.returncode == 1
    assert failed(away.stdout) == ["source"]
    with serve(tmp_path / "buckets") as endpoint:
        found = asked(tmp_path, "verify", "run", *ALL, "--", f"source.s3.endpoint_url={endpoint}")
    assert found.returncode == 0, found.stdout


@pytest.mark.slow
def test_a_run_on_the_demo_archive_is_verified_when_its_server_is_long_gone(tmp_path: Path) -> None:
    run(tmp_path, "source.limit=2", "output.dir=outputs/demo")
    complete(tmp_path / "outputs/demo")
    found = asked(tmp_path, "verify", "demo", "--blocks", 2)
    assert found.returncode == 0, found.stdout
    assert "2 objects are there with their recorded ETags" in found.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("engine=xarray",), "2 of 2 windows computed again, 150,000 values as stored within 1e-06"),
        (("reader=gdal",), "read again: by GDAL, which does not count"),
    ],
    ids=["xarray", "gdal"],
)
def test_runs_of_the_other_engine_and_the_other_reader_are_verified_too(
    done: Path, tmp_path: Path, words: tuple[str, ...], text: str
) -> None:
    run(tmp_path, "source=local", f"source.url={done}/data/*.tif", "output.dir=run", *words, *STATISTICS)
    found = asked(tmp_path, "verify", complete(tmp_path / "run"), *ALL)
    assert found.returncode == 0, found.stdout
    assert text in found.stdout


# --- what cannot be verified ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_of_an_older_version_is_read_again_but_not_verified(folder: Path) -> None:
    (folder / "outputs.json").unlink()
    found = asked(folder, "verify", folder, *ALL)
    assert found.returncode == 1
    assert failed(found.stdout) == ["outputs.json"]
    assert "outputs.json is missing: run it again with this version, which writes it" in found.stdout
    assert "ok       temporal_mean: mean: 2 of 2 windows" in found.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nowhere"], "nowhere: no folder"),
        (["failed"], "failed is FAILED: it left no results to verify"),
        (["run", "--blocks", "-1"], "-1: wanted a whole number from 0 on"),
        (["run", "--", "mask=none"], "mask=none: a run is verified as it was; only source.s3."),
        (["run", "--", "source.s3.profil=me"], "did you mean"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_and_exit_code_2(
    folder: Path, tmp_path: Path, words: list[str], problem: str
) -> None:
    change(shutil.copytree(folder, tmp_path / "failed"), status="FAILED")
    found = asked(tmp_path, "verify", "--outputs", ".", *words)
    assert found.returncode == 2, found.stdout
    assert problem in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_nothing_of_a_secret_is_shown(folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "MY_TOKEN": "canary-4711"}
    found = ask(tmp_path, "verify", folder, "--", "source.s3.profile=canary-4711", env=environment)
    assert "canary-4711" not in found.stdout + found.stderr
