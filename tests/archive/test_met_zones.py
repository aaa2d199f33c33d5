"""Zones of an archive that no stack has, and those of several grids: in its plan, on the console, in its record."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from jobs import Typed, compose
from stack_archives import BY, source_words, statuses, write_archive
from zone_files import feature, write_zones

from runner.archive.lines import describe_outside
from runner.archive.met_zones import describe_met_zones, met_zones, written_zones
from runner.archive.plan import show_archive_plan
from runner.errors import PlanError
from runner.output.table import write_table
from runner.record.run import ZonesRecord
from runner.record.stacks import StackRow

ZONAL = ["stage@stages.zones=zonal", "zones.file=fields.geojson", "zones.id=name"]
PLACED = {"crs": "EPSG:32610", "height": 4, "width": 4}


@pytest.mark.parametrize(
    ("names", "stacks", "expected"),
    [
        (["a", "b"], [], ZonesRecord(2, 2, 0, ("a", "b"))),
        (["a", "b"], [("grid", ["a"]), ("grid", ["a", "b"])], ZonesRecord(2, 0, 0)),  # two bands of a tile
        (["a", "b"], [("grid", ["a"]), ("other", ["a"])], ZonesRecord(2, 1, 1, ("b",))),
        ([7, 8], [("grid", [8])], ZonesRecord(2, 1, 0, ("7",))),
        (list(range(300)), [("grid", [0])], ZonesRecord(300, 299, 0, tuple(map(str, range(1, 101))))),
    ],
)
def test_zones_are_counted_by_the_grids_of_their_stacks(
    names: list[str], stacks: list[tuple[str, list[str]]], expected: ZonesRecord
) -> None:
    assert met_zones(names, stacks) == expected


@pytest.mark.parametrize(
    ("zones", "words", "lines"),
    [
        (ZonesRecord(5, 0, 0), [], []),
        (ZonesRecord(5, 1, 0, ("a",)), [], ["1 of 5 zones lies in no stack and has no rows: a"]),
        (
            ZonesRecord(30, 12, 2, tuple("abcdefghijkl")),
            ["archive.shard=2/4"],
            [
                "12 of 30 zones lie in no stack of shard 2/4 and have no rows: a, b, c, d, e, f, g, h, i, j and 2 "
                "more; 2 lie on the grids of several stacks and have rows of each"
            ],
        ),
    ],
)
def test_what_is_said_of_zones_names_those_without_rows(zones: ZonesRecord, words: list[str], lines: list[str]) -> None:
    by_tile = [r"source.datetime_regex=(?P<tile>\w)_(?P<date>\d{8})", "source.stack_by=[tile]"]
    job = compose("source=local", "source.url=/data", *by_tile, *ZONAL, *words)
    assert describe_met_zones(job, zones) == [f"zones.file=fields.geojson: {line}" for line in lines]


def test_zones_of_complete_stacks_are_those_of_their_table(tmp_path: Path) -> None:
    columns = {"stack": ["A", "A", "A", "B", "B"], "zone": ["x", "y", "x", "y", "z"], "mean": [1.0] * 5}
    write_table(tmp_path / "zones.parquet", pa.table(columns))
    rows = [StackRow(stack=name, values={}, west=west, **PLACED) for name, west in (("A", 1.0), ("B", 2.0), ("C", 3.0))]
    job = compose("source=local", "source.url=/data", *ZONAL)
    assert written_zones(job, tmp_path, ["x", "y", "z", "far"], rows) == ZonesRecord(4, 1, 1, ("far",))


def test_a_stack_is_outside_of_what_its_error_names() -> None:
    errors = {
        "A": "zones.file=f.geojson: none of its 2 zones has a pixel", "B": "source.bbox=[1,2,3,4]: it lies outside",
        "C": "zones.file=f.geojson: none of its 2 zones has a pixel", "D": "source.area=a.json: no pixel", "E": "?",
    }  # fmt: skip
    words = ["met by no zone", "outside of the box", "met by no zone", "outside of the area"]
    rows = [StackRow(stack=name, values={}, status="OUTSIDE", error=error) for name, error in errors.items()]
    assert [row.in_words for row in rows] == [*words, "outside of the box or area"]
    assert describe_outside({name: errors[name] for name in "ABC"}, 9) == (
        "2 of 9 stacks have no zone of zones.file: A, C; 1 of 9 stacks lies outside of source.bbox: B"
    )


# --- a whole archive --------------------------------------------------------------------------------------------------


def tile_square(tile: int, corner: int, side: int, name: str) -> dict[str, object]:
    """A square in columns and rows of a tile."""
    left = 450 * tile + corner
    return feature([(left, corner), (left + side, corner), (left + side, 40), (left, 40)], name=name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of three tiles, the last of which has no zone, and zones in one, in two and in none."""
    monkeypatch.chdir(tmp_path)
    write_archive(tmp_path / "data")
    features = [tile_square(0, 5, 20, "here"), tile_square(0, 9, 500, "wide"), tile_square(9, 5, 20, "far")]
    write_zones(tmp_path / "fields.geojson", features)
    return tmp_path


SAID = "zones.file=fields.geojson: 1 of 3 zones lies in no stack and has no rows: far; 1 lies on the grids of several"


@pytest.mark.parametrize("headers", ["first", "all"])
def test_the_plan_says_which_zones_no_stack_has(folder: Path, headers: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*source_words(folder / "data"), BY, "source.where.band=VV", *ZONAL, f"archive.headers={headers}"]
    show_archive_plan(compose(*words))
    shown = capsys.readouterr().out
    assert SAID in shown
    assert "1 of 3 stacks has no zone of zones.file: 10T02_VV" in shown


def test_a_plan_without_any_zone_says_so_once(folder: Path) -> None:
    write_zones(folder / "fields.geojson", [tile_square(9, 5, 20, "far")])
    with pytest.raises(PlanError, match="3 of 3 stacks have no zone of zones.file: .*none of its 1 zone has a pixel"):
        show_archive_plan(compose(*source_words(folder / "data"), BY, "source.where.band=VV", *ZONAL))


@pytest.mark.slow
def test_a_run_says_and_records_which_zones_no_stack_has(typed: Typed, folder: Path) -> None:
    done = typed(*source_words(folder / "data"), BY, "source.where.band=VV", *ZONAL, "output.dir=out")
    assert done.returncode == 0, done.stderr
    assert SAID in done.stderr
    assert "10T02_VV: met by no zone, left out" in done.stderr
    assert statuses(folder / "out")["10T02_VV"] == "OUTSIDE"
    recorded = json.loads((folder / "out/run.json").read_text())["archive"]["zones"]
    assert recorded == {"zones": 3, "in_no_stack": 1, "on_several_grids": 1, "names_in_no_stack": ["far"]}
    assert "1 stack met by no zone, with no results to verify" in typed("log", "verify", "out").stdout


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--", "zones.file=others.geojson"]], ids=["the same file", "another file"])
def test_stacks_without_zones_are_tried_again_with_other_zones(typed: Typed, folder: Path, words: list[str]) -> None:
    here = (folder / "fields.geojson").read_text()
    write_zones(folder / "fields.geojson", [tile_square(9, 5, 20, "far")])
    done = typed(*source_words(folder / "data"), BY, "source.where.band=VV", *ZONAL, "output.dir=out")
    assert done.returncode == 1
    assert "3 of 3 stacks have no zone of zones.file" in done.stderr
    (folder / ("others.geojson" if words else "fields.geojson")).write_text(here)
    done = typed("log", "resume", "out", *words)
    assert done.returncode == 0, done.stderr
    assert statuses(folder / "out") == {"10T00_VV": "COMPLETED", "10T01_VV": "COMPLETED", "10T02_VV": "OUTSIDE"}
