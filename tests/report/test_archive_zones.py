"""The zones on the page of an archive: how many have no stack, how many stacks no zone meets, and small pictures."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from archive_folders import make_archive_folder
from msgspec.structs import replace as changed
from report_page import Page

from runner.base import humanize
from runner.model import Grid
from runner.output.table import write_table
from runner.output.zone_map import with_map
from runner.record.run import ZonesRecord
from runner.record.run_folder import read_run
from runner.record.run_record import write_run
from runner.record.stacks import FOLDER, StackRow, read_stacks, write_stacks
from runner.reduce.zone_runs import ZoneRuns
from runner.report.page import write_report
from runner.report.run_tables import read_zones
from runner.zones import Zones

ZONES = ZonesRecord(9, 3, 2, ("lake <b>", "hill", "far"))
UNMET = StackRow(
    stack="12TAA_VV", values={"tile": "12TAA", "band": "VV"}, status="OUTSIDE", error="zones.file=a.json: none of 9"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two complete stacks, the first of which has a table of zones, and one that no zone meets."""
    folder = make_archive_folder(
        tmp_path_factory.mktemp("archive") / "run", {"10TET_VV": "COMPLETED", "11TLN_VV": "COMPLETED"}
    )
    rows = [replace(row, zones=2) for row in read_stacks(folder)]
    write_stacks(folder, ("tile", "band"), [*rows, UNMET])
    run = read_run(folder).record
    stages = {**run.config["stages"], "zones": {"over": "zones", "statistics": ["mean"]}}
    assert run.archive
    config = {**run.config, "stages": stages, "zones": {"file": "/fields/a.geojson"}}
    write_run(folder / "run.json", changed(run, config=config, archive=changed(run.archive, zones=ZONES)))
    write_zone_table(folder / FOLDER / "10TET_VV/zones.parquet")
    return folder


def write_zone_table(path: Path) -> None:
    """Three scenes of two zones, which are the first four rows of a grid and the next four."""
    row = np.arange(8)
    columns = np.full(8, 2), np.full(8, 30)
    runs = ZoneRuns.of(32, row, row // 4, columns, None)
    zones = Zones(
        np.array(["a", "b"], object), runs, "", "", "", 48, fractions=False, partly=0, outside=0, outside_named=()
    )
    days = [datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2, 3) for _ in "ab"]
    table = pa.table({"datetime": days, "zone": ["a", "b"] * 3, "mean": [1.0, 5.0, 2.0, 6.0, 3.0, 7.0]})
    grid = Grid("EPSG:32610", "EPSG:32610", (20.0, 0.0, 5e5, 0.0, -20.0, 5e6), 32, 48)
    write_table(path, with_map(table, zones, grid))


def test_the_page_counts_zones_and_names_those_without_a_stack(folder: Path) -> None:
    page = Page(write_report(folder))
    assert page.figures["zones"] == [9]
    assert page.figures["in no stack"] == [3]
    assert page.figures["on several grids"] == [2]
    notes = {one.all("div.label")[0].text: one.all("div.note")[0].text for one in page.all("div.figure")}
    assert notes["zones"] == "of a.geojson"
    assert notes["in no stack"] == "lake <b>, hill, far"
    assert notes["complete stacks"] == "no zone meets 1 of the others"
    assert notes["stacks done"] == "1 met by no zone"


def test_a_stack_with_zones_has_a_picture_and_a_link(folder: Path) -> None:
    page = Page(write_report(folder))
    captions = [caption.text for caption in page.all("div.thumbnails figcaption")]
    assert "10TET_VV2 to 6" in captions  # the means of the zones over all scenes
    assert f"{FOLDER}/10TET_VV/report.html" in {link.attributes["href"] for link in page.all("figcaption a")}
    zones = [head.text for head in page.all("table.all th")].index("zones")
    assert [row[zones] for row in page.rows("table.all")] == [humanize.UNKNOWN, "2", "2"]


def test_zones_of_an_unfinished_archive_are_said_to_be_in_no_complete_stack(folder: Path, tmp_path: Path) -> None:
    waiting = StackRow(stack="13TAA_VV", values={"tile": "13TAA", "band": "VV"})
    rows = read_stacks(folder)
    try:
        write_stacks(folder, ("tile", "band"), [*rows, waiting])
        assert Page(write_report(folder)).figures["in no complete stack"] == [3]
    finally:
        write_stacks(folder, ("tile", "band"), rows)


@pytest.mark.parametrize("scenes", [1, 3])
def test_a_table_of_zones_is_read_scene_by_scene(tmp_path: Path, scenes: int) -> None:
    days = [datetime(2020, 1, 1 + day, tzinfo=UTC) for day in range(scenes) for _ in "ab"]
    write_table(
        tmp_path / "zones.parquet",
        pa.table({"datetime": days, "zone": [4, 9] * scenes, "mean": np.arange(2.0 * scenes)}),
    )
    table = read_zones(tmp_path / "zones.parquet")
    assert table.zones == ["4", "9"]
    np.testing.assert_array_equal(table.values, np.arange(2.0 * scenes).reshape(scenes, 2))
