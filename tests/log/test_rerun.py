"""`python -m runner.log rerun`, as typed: the same config, the very objects, and whether the same values come out."""

import html
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jobs import found_stack, local_source
from log_folders import altered_pixel, ask, asked, change, complete, facts_of, run, write_run
from rasterio.transform import from_origin
from scenes_on_disk import speckle, write_scene

from runner.base.redact import redact_tree
from runner.errors import RecordError
from runner.log.rerun import new_folder, recorded_inputs
from runner.record.input_rows import RecordedInput
from runner.record.run_folder import read_run
from runner.settings import JobSettings
from runner.source.stores import Stores

pytestmark = pytest.mark.slow  # each starts runs

RESULTS = ("spatial_mean.parquet", "temporal_mean.tif", "temporal_count.tif")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A completed run of four scenes, in outputs/first."""
    cwd = tmp_path_factory.mktemp("shared")
    for at in range(1, 5):
        write_scene(cwd / f"data/S1A_2020010{at}.tif", speckle((300, 500), seed=at))
    run(cwd, "source=local", f"source.url={cwd}/data/*.tif", "output.dir=outputs/first", "chunks.y=256")
    complete(cwd / "outputs/first")
    return cwd


@pytest.fixture
def own(shared: Path, tmp_path: Path) -> Path:
    """The same with scenes of its own, which may be changed."""
    shutil.copytree(shared / "data", tmp_path / "data", copy_function=shutil.copyfile)
    run(tmp_path, "source=local", f"source.url={tmp_path}/data/*.tif", "output.dir=outputs/first", "chunks.y=256")
    return tmp_path


def rerun_folder(cwd: Path) -> Path:
    (folder,) = cwd.glob("outputs/*/*_rerun")
    return folder


def test_the_same_config_on_the_same_objects_gives_the_same_bits(own: Path) -> None:
    write_scene(own / "data/S1A_20200105.tif", speckle((300, 500), seed=5))  # came since
    done = ask(own, "rerun", "first")
    assert done.returncode == 0, done.stderr
    assert "values: the same bits in all 5 statistics" in done.stdout
    again = rerun_folder(own)
    facts, earlier = facts_of(again), facts_of(own / "outputs/first")
    assert facts["status"] == "COMPLETED"
    assert facts["rerun_of"] == str(own / "outputs/first")
    assert {**facts["config"], "output": None} == {**earlier["config"], "output": None}
    assert facts["config"]["chunks"]["y"] == 256
    assert (again / ".hydra/config.yaml").is_file()
    assert pd.read_parquet(again / "inputs.parquet").equals(pd.read_parquet(own / "outputs/first/inputs.parquet"))
    for name in RESULTS:
        assert (again / name).read_bytes() == (own / "outputs/first" / name).read_bytes()
    assert asked(own, "diff", "first", "last", "--only", "config,code,inputs,values,packages").returncode == 0


def test_overrides_of_groups_and_of_keys_are_taken(shared: Path, tmp_path: Path) -> None:
    words = [
        "chunks=block",
        "cluster@stages.spatial_mean.cluster=processes",
        "stages.temporal_mean.statistics=[mean,max]",
    ]
    done = asked(shared, "rerun", "first", "--outputs", "outputs", "--", *words, f"output.dir={tmp_path}/again")
    assert done.returncode == 0, done.stderr
    config = facts_of(tmp_path / "again")["config"]
    assert config["chunks"] == {"time": 1, "y": "block", "x": "block", "snap": True}
    assert config["stages"]["spatial_mean"]["cluster"]["kind"] == "processes"
    assert facts_of(tmp_path / "again")["overrides"][-4:-1] == words
    assert (tmp_path / "again/temporal_max.tif").is_file()
    assert re.search(r"^temporal_mean: max +not computed +there", done.stdout, re.MULTILINE)
    assert "what both runs have is the same bits" in done.stdout


def test_a_changed_mask_is_named_as_what_the_values_follow_from(shared: Path, tmp_path: Path) -> None:
    done = asked(shared, "rerun", "first", "--", "mask=none", f"output.dir={tmp_path}/again")
    assert done.returncode == 1
    assert "values: temporal_mean: mean: " in done.stdout
    assert re.search(r"^mask\.own +nodata +none", done.stdout, re.MULTILINE)


@pytest.fixture
def earlier(shared: Path, tmp_path: Path) -> Path:
    """A copy of the first run, in whose mean one pixel was altered since."""
    folder = shutil.copytree(shared / "outputs/first", tmp_path / "outputs/earlier")
    altered_pixel(folder / "temporal_mean.tif", 12, 34)
    return folder


def test_results_that_were_altered_since_are_not_called_the_same(earlier: Path, tmp_path: Path) -> None:
    (earlier / "temporal_count.tif").unlink()
    done = asked(tmp_path, "rerun", "earlier")
    assert done.returncode == 1
    then = "as written, the values were the same bits"
    assert f"temporal_mean.tif has changed since it was written; {then}; 1 of 150,000 pixels differ" in done.stdout
    assert f"temporal_count.tif is gone; {then}; so they cannot be compared" in done.stdout
    assert "nothing that is recorded: results of outputs/earlier were altered; verify" in done.stdout
    assert "report it" not in done.stdout


def test_a_changed_package_version_is_named_if_values_differ(earlier: Path, tmp_path: Path) -> None:
    change(earlier, versions={**facts_of(earlier)["versions"], "numpy": "1.0.0"})
    (earlier / "outputs.json").unlink()
    done = asked(tmp_path, "rerun", "earlier")
    assert done.returncode == 1
    assert "temporal_mean: mean: 1 of 150,000 pixels differ; at most by 1, at row 12, column 34" in done.stdout
    assert re.search(rf"^numpy +1\.0\.0 +{np.__version__}", done.stdout, re.MULTILINE)


def test_values_that_differ_for_no_recorded_reason_are_to_be_reported(earlier: Path, tmp_path: Path) -> None:
    (earlier / "outputs.json").unlink()
    done = asked(tmp_path, "rerun", "earlier")
    assert done.returncode == 1
    assert "nothing that is recorded: report it, with both folders" in done.stdout


@pytest.mark.parametrize("verb", ["rerun", "resume"])
def test_the_command_to_repeat_finds_the_config_files_of_the_first_run(shared: Path, tmp_path: Path, verb: str) -> None:
    earlier = shutil.copytree(shared / "outputs/first", tmp_path / "outputs/earlier")
    flags, overrides = ["--config-dir", "my conf"], ["source=lake", "output.dir=x"]
    change(earlier, status="FAILED", config_flags=flags, overrides=overrides)
    done = asked(tmp_path, verb, "earlier", "--", "chunks.y=512")
    assert done.returncode == 0, done.stderr
    again = rerun_folder(tmp_path) if verb == "rerun" else earlier
    command = "cog-stack-runner --config-dir 'my conf' source=lake chunks.y=512"
    assert f"{command}\n" in asked(tmp_path, "show", again).stdout
    assert command in html.unescape((again / "report.html").read_text())


# --- objects ----------------------------------------------------------------------------------------------------------


def test_a_replaced_object_is_named_with_both_etags_or_taken_when_asked_for(own: Path) -> None:
    etag = pd.read_parquet(own / "outputs/first/inputs.parquet")["etag"][1]
    write_scene(own / "data/S1A_20200102.tif", speckle((300, 500), seed=9))
    done = asked(own, "rerun", "first", "--", "output.dir=pinned")
    assert done.returncode == 1
    assert f"S1A_20200102.tif has changed: recorded with ETag {etag}, " in done.stderr
    now = re.search(r"now ETag (\S+),", done.stderr)
    assert now
    assert facts_of(own / "pinned")["status"] == "FAILED"
    taken = asked(own, "rerun", "first", "--unpinned")
    assert taken.returncode == 1
    assert re.search(rf"S1A_20200102.tif +ETag {re.escape(etag)} +ETag {re.escape(now[1])}", taken.stdout)


def test_objects_that_give_the_same_bits_elsewhere_are_named(own: Path) -> None:
    for at in range(1, 5):
        moved = {"transform": from_origin(600000, 5300040, 20, 20)}
        write_scene(own / f"data/S1A_2020010{at}.tif", speckle((300, 500), seed=at), **moved)
    done = asked(own, "rerun", "first", "--unpinned")
    assert done.returncode == 1
    assert "values: temporal_mean: mean: they lie on other grids" in done.stdout
    assert len(re.findall(r"S1A_2020010\d.tif +ETag \S+ +ETag ", done.stdout)) == 4


def test_objects_that_have_changed_are_named_also_where_the_values_are_the_same(own: Path) -> None:
    write_scene(own / "data/S1A_20200102.tif", speckle((300, 500), seed=2))
    done = asked(own, "rerun", "first", "--unpinned")
    assert done.returncode == 0, done.stderr
    assert "values: the same bits in all 5 statistics" in done.stdout
    assert "but the objects were not the same" in done.stdout
    assert re.findall(r"(S1A_\d+.tif) +ETag \S+ +ETag ", done.stdout) == ["S1A_20200102.tif"]


def test_a_lost_object_ends_it_pinned_or_not(own: Path) -> None:
    (own / "data/S1A_20200103.tif").unlink()
    for words in ([], ["--unpinned"]):
        done = asked(own, "rerun", "first", *words, "--", f"output.dir=again{len(words)}")
        assert done.returncode == 1
        assert "1 of 4 objects are not as recorded: " in done.stderr
        assert "S1A_20200103.tif is gone (recorded with ETag " in done.stderr
        assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1


@pytest.mark.parametrize("word", ["source=demo", "source.limit=2", "source.url=/x", "++source.end=2020-01-01"])
def test_other_scenes_are_another_run(shared: Path, word: str) -> None:
    done = asked(shared, "rerun", "first", "--", word)
    assert done.returncode == 2
    assert (
        "this reads the scenes of the recorded run; on_error=skip leaves out those that cannot be read; for others"
        in done.stderr
    )


def test_a_run_on_the_demo_archive_is_done_again_when_its_server_is_long_gone(tmp_path: Path) -> None:
    run(tmp_path, "source.limit=2", "output.dir=outputs/demo")
    done = asked(tmp_path, "rerun", "demo")
    assert done.returncode == 0, done.stderr
    assert "values: the same bits in all 5 statistics" in done.stdout


def test_a_manifests_dates_and_names_are_the_recorded_ones(shared: Path, tmp_path: Path) -> None:
    lines = [f"{shared}/data/S1A_2020010{at}.tif,2021-03-0{5 - at}T12:00:00" for at in (1, 2, 3)]
    (tmp_path / "scenes.csv").write_text("\n".join(["href,datetime", *lines]))
    run(tmp_path, "source=manifest", f"source.url={tmp_path}/scenes.csv", "output.dir=outputs/listed")
    (tmp_path / "scenes.csv").unlink()
    done = asked(tmp_path, "rerun", "listed")
    assert done.returncode == 0, done.stderr
    ours, theirs = (
        pd.read_parquet(path / "spatial_mean.parquet") for path in (tmp_path / "outputs/listed", rerun_folder(tmp_path))
    )
    assert theirs.equals(ours)
    assert theirs["datetime"].is_monotonic_increasing


# --- runs that did not end well, secrets, wrong words -----------------------------------------------------------------


def test_a_failed_run_is_done_again_and_has_nothing_to_be_compared_with(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "outputs/first", tmp_path / "outputs/failed")
    change(tmp_path / "outputs/failed", status="FAILED", exit_code=1, error={"kind": "ReadError", "message": "x"})
    done = asked(tmp_path, "rerun", "failed")
    assert done.returncode == 0, done.stderr
    assert "outputs/failed is FAILED and left no values to compare with" in done.stdout
    assert (rerun_folder(tmp_path) / "temporal_mean.tif").is_file()


def test_a_run_that_never_found_its_scenes_cannot_be_done_again(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "outputs/first", tmp_path / "outputs/early")
    (tmp_path / "outputs/early/inputs.parquet").unlink()
    done = asked(tmp_path, "rerun", "early")
    assert done.returncode == 2
    assert (
        "inputs.parquet is missing: it was removed, or the run ended before it had found its scenes; run it again"
        in done.stderr
    )
    assert not list(tmp_path.glob("outputs/*/*_rerun"))


def test_what_was_blanked_out_is_composed_from_the_environment_again(shared: Path, tmp_path: Path) -> None:
    earlier = shutil.copytree(shared / "outputs/first", tmp_path / "outputs/hidden")
    blank = redact_tree({"token": str(shared / "data")})["token"]
    for name, text in (("run.json", f"{blank}/*.tif"), (".hydra/config.yaml", "${oc.env:DATA_FOLDER}/*.tif")):
        (earlier / name).write_text((earlier / name).read_text().replace(f"{shared}/data/*.tif", text))
    lost = asked(tmp_path, "rerun", "hidden")
    assert lost.returncode == 2
    assert "DATA_FOLDER" in lost.stderr
    done = ask(tmp_path, "rerun", "hidden", env={**os.environ, "DATA_FOLDER": str(shared / "data")})
    assert done.returncode == 0, done.stderr
    assert "the same bits" in done.stdout


def test_what_was_blanked_out_for_good_has_to_be_given_again(shared: Path, tmp_path: Path) -> None:
    earlier = shutil.copytree(shared / "outputs/first", tmp_path / "outputs/hidden")
    blank = redact_tree({"token": "x"})["token"]
    yaml = earlier / ".hydra/config.yaml"
    yaml.write_text(yaml.read_text().replace("units: null", f"units: '{blank}'"))
    change(earlier, config=with_units(facts_of(earlier)["config"], blank))
    lost = asked(tmp_path, "rerun", "hidden")
    assert lost.returncode == 2
    assert "source.units: a secret was blanked out in it when the run was recorded; give it again" in lost.stderr
    assert asked(tmp_path, "rerun", "hidden", "--", "source.units=dB").returncode == 0


def test_a_secret_in_the_source_keeps_no_run_from_being_verified_and_done_again(shared: Path, tmp_path: Path) -> None:
    data = shutil.copytree(shared / "data", tmp_path / "canary-path-9")
    words = ("source=local", f"source.url={data}/*.tif", "output.dir=outputs/first")
    run(tmp_path, *words, env={**os.environ, "MY_TOKEN": data.name})
    first = complete(tmp_path / "outputs/first")
    assert facts_of(first)["config"]["source"]["url"] == f"{tmp_path}/[redacted]/*.tif"
    shown = [path for path in first.rglob("*") if path.is_file() and path.suffix != ".parquet"]
    assert not [path for path in shown if data.name.encode() in path.read_bytes()]
    found = asked(tmp_path, "verify", "first", "--blocks", 1)
    assert found.returncode == 0, found.stdout + found.stderr
    done = asked(tmp_path, "rerun", "first")
    assert done.returncode == 0, done.stderr
    again = rerun_folder(tmp_path)
    assert (again / "temporal_mean.tif").read_bytes() == (first / "temporal_mean.tif").read_bytes()


def test_a_bucket_that_was_blanked_out_is_needed_only_to_find_scenes(shared: Path, tmp_path: Path) -> None:
    earlier = shutil.copytree(shared / "outputs/first", tmp_path / "outputs/early")
    for name in ("run.json", ".hydra/config.yaml"):
        text = (earlier / name).read_text()
        (earlier / name).write_text(text.replace(f"{shared}/data/*.tif", "s3://[redacted]/*.tif"))
    assert asked(tmp_path, "verify", "early", "--blocks", 1).returncode == 0
    (earlier / "inputs.parquet").unlink()
    change(earlier, status="FAILED")
    lost = asked(tmp_path, "resume", "early")
    assert lost.returncode == 2
    assert "source.url: a secret was blanked out in it when the run was recorded; give it again" in lost.stderr
    assert asked(tmp_path, "resume", "early", "--", f"source.url='{shared}/data/*.tif'").returncode == 0


@pytest.mark.parametrize("verb", ["rerun", "verify"])
def test_what_has_to_be_given_again_is_taken(shared: Path, tmp_path: Path, verb: str) -> None:
    earlier = shutil.copytree(shared / "outputs/first", tmp_path / "outputs/hidden")
    pattern = facts_of(earlier)["config"]["source"]["datetime_regex"]
    config = facts_of(earlier)["config"]
    change(earlier, config={**config, "source": {**config["source"], "datetime_regex": "[redacted]"}})
    yaml = earlier / ".hydra/config.yaml"
    yaml.write_text(yaml.read_text().replace(pattern, "'[redacted]'"))
    lost = asked(tmp_path, verb, "hidden")
    assert lost.returncode == 2
    assert "give it again: -- source.datetime_regex=..." in lost.stderr
    given = asked(tmp_path, verb, "hidden", "--", f"source.datetime_regex='{pattern}'")
    assert given.returncode == 0, given.stderr


def with_units(config: dict[str, Any], units: str) -> dict[str, Any]:
    return {**config, "source": {**config["source"], "units": units}}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["first", "--", "chunks=rw"], "chunks=rw: no such option; did you mean 'row'"),
        (["first", "--", "chunks.yy=3"], "chunks.yy: there is no such setting; did you mean 'chunks.y=3'"),
        (["first", "--", "chunks.y=256,512"], "a run is done again one at a time; give one value"),
        (["first", "--", "experiment=seed_notebook"], "an experiment is a job of its own"),
        (["first", "--", "hydra.run.dir=x"], "set output.dir for the folder"),
        (["first", "--", "stages.spatial_mean._target_=os.system"], "a config holds values only"),
        (
            ["first", "chunks=row"],
            "chunks=row: overrides come after --: cog-stack-runner log rerun first -- chunks=row",
        ),
        (["nowhere"], "nowhere: no folder"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_and_no_folder(shared: Path, words: list[str], problem: str) -> None:
    before = sorted((shared / "outputs").rglob("*"))
    done = asked(shared, "rerun", *words)
    assert done.returncode == 2, done.stdout
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted((shared / "outputs").rglob("*")) == before


def test_those_of_one_second_have_folders_of_their_own(shared: Path, tmp_path: Path) -> None:
    folders = set()
    for _ in range(3):
        folder = new_folder(tmp_path, read_run(shared / "outputs/first"))
        folder.mkdir(parents=True)
        folders.add(folder)
    assert len(folders) == 3


def test_a_folder_that_holds_a_run_is_not_used_again(shared: Path) -> None:
    before = (shared / "outputs/first/run.json").read_text()
    done = asked(shared, "rerun", "first", "--", "output.dir=outputs/first")
    assert done.returncode == 1
    assert "holds a run already" in done.stderr
    assert (shared / "outputs/first/run.json").read_text() == before


@pytest.mark.parametrize("key", ["_target_", "hydra", "defaults"])
def test_a_record_that_was_altered_cannot_smuggle_in_more_than_values(shared: Path, tmp_path: Path, key: str) -> None:
    earlier = shutil.copytree(shared / "outputs/first", tmp_path / "outputs/earlier")
    config = facts_of(earlier)["config"]
    change(earlier, config={**config, key: {"callbacks": {"x": {"_target_": "os.system"}}}})
    done = asked(tmp_path, "rerun", "earlier")
    assert done.returncode == 2
    assert f"error: {key}" in done.stderr
    assert "; the recorded config was altered" in done.stderr


# --- files beside objects ---------------------------------------------------------------------------------------------

NODATA_BESIDE = '<PAMDataset><PAMRasterBand band="1"><NoDataValue>-1</NoDataValue></PAMRasterBand></PAMDataset>'


def test_a_file_that_came_to_stand_beside_an_object_is_named_or_taken_or_ignored(own: Path) -> None:
    for at in range(1, 5):
        (own / f"data/S1A_2020010{at}.tif.aux.xml").write_text(NODATA_BESIDE)
    done = asked(own, "rerun", "first", "--", "output.dir=pinned")
    assert done.returncode == 1
    assert "4 of 4 objects are not as recorded: " in done.stderr
    assert "S1A_20200101.tif: what stands beside it has changed since it was recorded " in done.stderr
    taken = asked(own, "rerun", "first", "--unpinned", "--", "output.dir=taken")
    assert re.search(r"S1A_20200101.tif +ETag .*beside it nothing +ETag .*beside it \w{12}\n", taken.stdout)
    assert read_run(own / "taken").inputs()[0].sidecars
    ignored = asked(own, "rerun", "first", "--", "output.dir=ignored", "source.sidecars=ignore")
    assert ignored.returncode == 0, ignored.stderr
    verified = asked(own, "verify", "first", "--blocks", 1)
    assert verified.returncode == 1
    assert "FAILED   inputs: " in verified.stdout
    assert "S1A_20200104.tif: what stands beside it has changed" in verified.stdout


@pytest.mark.parametrize(
    ("sidecars", "sha256", "now", "changed"),
    [
        ((), None, None, False),
        ((), None, "b" * 64, True),
        (("x.tfw",), "a" * 64, None, True),
        (("x.tfw",), "a" * 64, "b" * 64, True),
        (("x.tfw",), "a" * 64, "a" * 64, False),
        (("x.tfw",), None, "b" * 64, False),  # of an older run, which recorded names alone
    ],
)
def test_what_stands_beside_an_object_is_held_against_its_recorded_digest(
    tmp_path: Path, sidecars: tuple[str, ...], sha256: str | None, now: str | None, *, changed: bool
) -> None:
    row = RecordedInput("x.tif", "x", None, True, None, 1, None, None, sidecars=sidecars, sidecars_sha256=sha256)
    write_scene(tmp_path / "20200101.tif", speckle((20, 20)))
    (scene,) = found_stack(local_source(tmp_path)).scenes
    assert bool(row.changed_beside(replace(scene, sidecars_sha256=now))) is changed


def test_files_beside_objects_of_a_bucket_are_not_read_where_the_record_did_not_look_for_them(tmp_path: Path) -> None:
    """Only a listing would show them."""
    folder = write_run(tmp_path / "outputs/a", {"source.sidecars": "ignore"})
    row = RecordedInput("s3://b/x.tif", "x", None, True, None, 1, None, None)
    find = recorded_inputs(read_run(folder), [row], [row], pinned=True)
    with pytest.raises(RecordError, match="source.sidecars=read: the recorded run ignored what lies beside"):
        find(JobSettings(source=local_source(tmp_path)), Stores(local_source(tmp_path).s3))
