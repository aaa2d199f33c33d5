"""A run writes only what is its own: files of others in its folder are refused by name, and never removed."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from scenes_on_disk import write_scene

from runner.base.atomic import final_name
from runner.errors import OutputError
from runner.record.claim import claim, clear_unbegun, reclaim, refuse_emptied

CONFIG: dict[str, Any] = {
    "stages": {
        "spatial_mean": {"over": "space", "statistics": ["mean"]},
        "temporal_mean": {"over": "time", "statistics": ["mean", "count"]},
    }
}
MORE = {"stages": {**CONFIG["stages"], "temporal_max": {"over": "time", "statistics": ["max"]}}}


def resumed(folder: Path, config: dict[str, Any] = CONFIG, earlier: dict[str, Any] = CONFIG) -> None:
    reclaim(folder, config, earlier).release()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("temporal_mean.tif", "holds temporal_mean.tif, which the run would write over"),
        ("report.html", "holds report.html, which the run would write over"),
        ("temporal_mean.tif.msk", "holds temporal_mean.tif.msk, which would be read as a part of temporal_mean.tif"),
        ("temporal_mean.tif.aux.xml", "would be read as a part of temporal_mean.tif"),
        ("temporal_count.tif.ovr", "would be read as a part of temporal_count.tif"),
        ("temporal_mean.tfw", "would be read as a part of temporal_mean.tif"),
        ("temporal_mean.TFW", "would be read as a part of temporal_mean.tif"),
        ("temporal_count_rpc.txt", "would be read as a part of temporal_count.tif"),
    ],
)
def test_files_of_others_that_a_run_would_change_or_be_changed_by_are_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / name).write_text("theirs")
    with pytest.raises(OutputError, match=message):
        claim(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "theirs"


def test_other_files_stay_where_they_are(tmp_path: Path) -> None:
    names = ("notes.txt", "scene.tif", "scene.tif.msk", "spatial_mean.tfw")
    for name in names:
        (tmp_path / name).write_text("theirs")
    claim(tmp_path, CONFIG).release()
    assert {path.name for path in tmp_path.iterdir()} == {*names, "run.json"}


def test_what_was_written_aside_by_a_killed_attempt_is_removed_and_nothing_else(tmp_path: Path) -> None:
    own = (".run.4711.part.json", ".temporal_mean.4711.part.tif", ".spatial_mean.1.part.parquet",
           ".outputs.9.part.json", ".temporal_mean.4711.part.tif.msk")  # fmt: skip
    theirs = (
        "download.part",
        ".hidden.part",
        ".x.partial",
        ".thesis.4711.part.tif",
        ".temporal_mean.part.tif",
        "a.tif.part",
    )
    for name in (*own, *theirs):
        (tmp_path / name).write_text(name)
    resumed(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(theirs)


@pytest.mark.parametrize("name", ["temporal_max_max.tif", "temporal_max_max.tif.msk", "temporal_mean.tif.msk"])
def test_a_resumed_run_claims_the_names_that_overrides_add(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("theirs")
    with pytest.raises(OutputError, match=f"holds {name}"):
        resumed(tmp_path, MORE)
    assert (tmp_path / name).read_text() == "theirs"


def test_a_resumed_run_may_write_over_what_it_has_written(tmp_path: Path) -> None:
    for name in ("temporal_mean.tif", "run.log", "inputs.parquet"):
        (tmp_path / name).touch()
    resumed(tmp_path, MORE)


def test_an_altered_record_claims_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "temporal_mean.tif").touch()
    with pytest.raises(OutputError, match=r"holds temporal_mean\.tif"):
        resumed(tmp_path, CONFIG, {"stages": {"x": {}}})


@pytest.mark.parametrize(
    ("name", "final"),
    [(".a.b.12.part.tif", "a.b.tif"), (".a.12.part.task", "a.task"), (".a.12.part", None), ("a.12.part.tif", None),
     (".a.part.tif", None)],
)  # fmt: skip
def test_a_name_tells_of_which_file_it_was_written_aside(name: str, final: str | None) -> None:
    assert final_name(name) == final


def test_a_folder_that_was_emptied_during_the_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "inputs.parquet").touch()
    refuse_emptied(tmp_path)
    (tmp_path / "inputs.parquet").unlink()
    with pytest.raises(OutputError, match="inputs.parquet was removed during the run"):
        refuse_emptied(tmp_path)


def test_a_run_that_was_killed_in_its_first_moment_leaves_its_folder_free(tmp_path: Path) -> None:
    claim(tmp_path, CONFIG)
    (tmp_path / "run.log").touch()
    (tmp_path / ".run.4711.part.json").write_text("{")
    clear_unbegun(tmp_path)
    assert not list(tmp_path.iterdir())
    claim(tmp_path, CONFIG).release()


def test_a_record_that_was_written_stays(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "run.log").touch()
    clear_unbegun(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "run.log"}
    clear_unbegun(tmp_path / "nowhere")


def test_an_archive_refuses_its_own_names_and_not_those_of_rasters(tmp_path: Path) -> None:
    (tmp_path / "temporal_mean.tif").touch()
    archive = {**CONFIG, "source": {"stack_by": ["tile"]}}
    claim(tmp_path, archive).release()
    (tmp_path / "run.json").unlink()
    (tmp_path / "stacks").mkdir()
    with pytest.raises(OutputError, match="holds stacks, which the run would write over"):
        claim(tmp_path, archive)


def test_results_that_a_resumed_run_does_not_have_any_more_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    monthly = {**CONFIG["stages"]["temporal_mean"], "group_by": ["month"]}
    earlier = {"stages": {**CONFIG["stages"], "temporal_mean": monthly}, "output": {"stac": True}}
    ours = ["temporal_mean_month-01.tif", "temporal_count_month-12.tif"]
    for name in [*ours, "temporal_mean.tif"]:
        write_scene(tmp_path / name, np.ones((4, 4), np.float32))
        with rasterio.open(tmp_path / name, "r+") as raster:
            raster.update_tags(software="0")
    write_scene(tmp_path / "temporal_mean_mine.tif", np.ones((4, 4), np.float32))
    for name in ("temporal_mean_notes.tif", "item.json"):
        (tmp_path / name).write_text("theirs")
    write_values(tmp_path / "spatial_mean.parquet")
    write_values(tmp_path / "others.parquet")
    resumed(tmp_path, {"stages": {"temporal_mean": {**monthly, "group_by": ["year"]}}}, earlier)
    left = {"temporal_mean.tif", "temporal_mean_mine.tif", "temporal_mean_notes.tif", "others.parquet"}
    assert {path.name for path in tmp_path.iterdir()} == left


def write_values(path: Path) -> None:
    facts = {"cog_stack_runner": '{"software": "0"}'}
    pq.write_table(pa.table({"href": ["a.tif"], "mean": [1.0]}).replace_schema_metadata(facts), path)
