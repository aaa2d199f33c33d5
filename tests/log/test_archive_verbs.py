"""The verbs on archives: on folders as the writers leave them, and on a run of the real command line."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from archive_folders import make_archive_folder
from log_folders import altered_pixel, ask, asked, change, facts_of
from rasterio.transform import from_origin
from scenes_on_disk import speckle, write_scene
from waiting import LONG

from runner.record.stacks import StackRow, read_stacks, write_stacks

STACKS = {"10TET_VV": "COMPLETED", "10TET_VH": "FAILED", "11TLN_VV": "COMPLETED", "11TLN_VH": "WAITING"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one archive below outputs/."""
    cwd = tmp_path_factory.mktemp("made")
    make_archive_folder(cwd / "outputs/day/09-00-00_rtc", STACKS)
    return cwd


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """The folder of an archive that a test may change, beside the other."""
    shutil.copytree(made / "outputs", tmp_path / "outputs")
    shutil.copytree(made / "outputs/day/09-00-00_rtc", tmp_path / "outputs/day/10-00-00_rtc")
    return tmp_path


# --- ls, show ---------------------------------------------------------------------------------------------------------


def test_an_archive_is_one_line_with_how_many_stacks_are_done(made: Path) -> None:
    done = asked(made, "ls")
    (line,) = done.stdout.splitlines()[1:]
    assert line.startswith("day/09-00-00_rtc")
    assert "2 of 4 stacks" in line
    (facts,) = json.loads(asked(made, "ls", "--json").stdout)
    assert facts["stacks"] == {"COMPLETED": 2, "FAILED": 1, "WAITING": 1}
    assert facts["scenes"] == 8 + (read_stacks(made / "outputs/day/09-00-00_rtc")[1].scenes or 0)


def test_its_stacks_are_listed_where_they_lie(made: Path) -> None:
    runs = json.loads(asked(made, "ls", "outputs/day/09-00-00_rtc/stacks", "--json").stdout)
    assert sorted(run["name"] for run in runs) == ["10TET_VH", "10TET_VV", "11TLN_VV"]


def test_last_is_the_archive_and_not_one_of_its_stacks(made: Path) -> None:
    assert asked(made, "show", "last").stdout.startswith("outputs/day/09-00-00_rtc\n")


def test_show_has_a_row_for_each_stack_the_failed_first_with_its_error(made: Path) -> None:
    shown = asked(made, "show", "rtc").stdout
    rows = [line.split()[:2] for line in shown.splitlines() if line.startswith(("10T", "11T"))]
    assert rows == [
        ["10TET_VH", "FAILED"],
        ["11TLN_VH", "WAITING"],
        ["10TET_VV", "COMPLETED"],
        ["11TLN_VV", "COMPLETED"],
    ]
    error = read_stacks(made / "outputs/day/09-00-00_rtc")[1].error
    assert f"stacks/10TET_VH: FAILED: {error}" in shown
    assert "4 stacks by tile, band: 2 completed, 1 waiting, 1 failed" in shown
    assert "log resume outputs/day/09-00-00_rtc" in shown


def test_a_stack_of_it_is_shown_as_a_run(made: Path) -> None:
    assert asked(made, "show", "rtc/stacks/11TLN_VV").stdout.startswith("outputs/day/09-00-00_rtc/stacks/11TLN_VV\n")
    done = asked(made, "show", "rtc/stacks/11TLN_V")
    assert done.returncode != 0
    assert "has no stack 11TLN_V whose run has begun; did you mean '11TLN_VV'" in done.stderr


def test_stacks_that_ended_after_the_table_was_written_are_shown_as_they_are(copied: Path) -> None:
    folder = copied / "outputs/day/10-00-00_rtc"
    rows = [StackRow(stack=row.stack, values=row.values) for row in read_stacks(folder)]
    write_stacks(folder, ("tile", "band"), rows)
    waiting = {"stack_by": ["tile", "band"], "stacks": 4, "statuses": {"WAITING": 4}, "scenes": 0, "bytes": None}
    change(folder, status="RUNNING", host="elsewhere", heartbeat="2026-03-02T14:05:09Z", archive=waiting)
    shown = asked(copied, "show", folder).stdout
    assert "KILLED" in shown.splitlines()[1]
    assert "4 stacks by tile, band: 2 completed, 1 waiting, 1 failed; 1" in shown
    assert ["10TET_VV", "COMPLETED", "EPSG:32610", "float32"] in [line.split()[:4] for line in shown.splitlines()]
    (line,) = [line for line in asked(copied, "ls").stdout.splitlines() if "10-00-00_rtc" in line]
    assert "2 of 4 stacks" in line


def test_many_stacks_are_shown_as_the_first_of_them(copied: Path) -> None:
    folder = copied / "outputs/day/10-00-00_rtc"
    row = read_stacks(folder)[0]
    write_stacks(folder, ("tile", "band"), [replace(row, stack=f"{number:03}_VV") for number in range(50)])
    shown = asked(copied, "show", folder).stdout
    assert "and 10 more: show --all prints them, stacks.parquet has them" in shown
    assert "049_VV" in asked(copied, "show", folder, "--all").stdout


# --- diff -------------------------------------------------------------------------------------------------------------


def compared(cwd: Path, *words: str) -> tuple[int, str]:
    done = asked(cwd, "diff", "09-00-00", "10-00-00", "--only", "inputs,values", *words)
    return done.returncode, done.stdout


def test_archives_of_the_same_bits_do_not_differ(copied: Path) -> None:
    code, text = compared(copied)
    assert code == 0
    assert "values: the same bits in 2 stacks" in text
    assert "values: 2 stacks left values in neither: 10TET_VH, 11TLN_VH" in text


def test_a_pixel_of_one_stack_is_a_difference_with_its_name(copied: Path) -> None:
    altered_pixel(copied / "outputs/day/10-00-00_rtc/stacks/11TLN_VV/temporal_mean.tif", 20, 30)
    code, text = compared(copied)
    assert code == 1
    assert "11TLN_VV: temporal_mean: mean: " in text
    assert "10TET_VV: " not in text


def test_a_stack_that_only_one_archive_has_is_a_difference(copied: Path) -> None:
    folder = copied / "outputs/day/10-00-00_rtc"
    write_stacks(folder, ("tile", "band"), [row for row in read_stacks(folder) if row.stack != "10TET_VV"])
    code, text = compared(copied)
    assert code == 1
    assert ["10TET_VV", "there", "not", "there"] in [line.split() for line in text.splitlines()]


def test_an_archive_is_not_compared_with_a_run_of_one_stack(made: Path) -> None:
    done = asked(made, "diff", "rtc", "rtc/stacks/10TET_VV")
    assert done.returncode == 2
    assert "is an archive" in done.stderr
    assert "/stacks/NAME" in done.stderr


def test_a_leaderboard_of_an_archive_is_refused_with_the_verb_for_it(made: Path) -> None:
    done = asked(made, "leaderboard", "outputs/day/09-00-00_rtc")
    assert done.returncode == 2
    assert "is an archive, not a sweep" in done.stderr
    assert "log show" in done.stderr


# --- as typed ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an archive of two tiles and two bands as `python -m runner` leaves it; one stack has failed."""
    cwd = tmp_path_factory.mktemp("computed")
    for number, (tile, epsg) in enumerate((("10TET", 32610), ("11TLN", 32611))):
        for band in ("VV", "VH"):
            for day in (6, 12, 18):
                shifted = 7 if (tile, band, day) == ("11TLN", "VH", 12) else 0
                place = {"crs": f"EPSG:{epsg}", "transform": from_origin(499980 + shifted, 5300040, 20, 20)}
                pixels = speckle((48, 64), seed=100 * number + day + (band == "VH"))
                path = cwd / f"data/{tile}_{band}_202001{day:02}.tif"
                write_scene(path, pixels, **place, blockxsize=32, blockysize=32)
    pattern = r"source.datetime_regex='(?P<tile>\w{5})_(?P<band>\w\w)_(?P<date>\d{8})'"
    words = ["source=local", "source.url=data/*.tif", pattern, "source.stack_by=[tile,band]", "output.dir=outputs/one"]
    done = subprocess.run(
        [sys.executable, "-m", "runner", *words, "archive.on_error=continue"],
        cwd=cwd, capture_output=True, text=True, timeout=LONG,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    yield cwd
    shutil.rmtree(cwd)


@contextmanager
def moved_away(scene: Path) -> Iterator[None]:
    """Another file, or none, stands in the place of a scene, which comes back as it was."""
    aside = scene.rename(scene.with_suffix(".aside"))
    try:
        yield
    finally:
        aside.replace(scene)


def test_verify_holds_every_complete_stack_and_says_which_is_not_complete(computed: Path) -> None:
    done = asked(computed, "verify", "last", "--seed", "7")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert [line.split()[:2] for line in lines[1:4]] == [["ok", "10TET_VH:"], ["ok", "10TET_VV:"], ["ok", "11TLN_VV:"]]
    assert lines[4:] == [
        "ok       stacks.parquet: 4 stacks, 3 of them complete, as in run.json",
        "ok       spatial_mean.parquet: 9 rows, those of the stacks",
        "unknown  1 stack is not complete, and left no results to verify: 11TLN_VH (FAILED)",
        "NOT verified: 1 of 6 stacks and tables",
    ]


@pytest.fixture
def spoilt(computed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(computed / "outputs/one", tmp_path / "spoilt"))


def test_verify_names_the_stack_and_the_file_that_was_altered(spoilt: Path) -> None:
    altered_pixel(spoilt / "stacks/10TET_VV/temporal_mean.tif", 3, 4)
    lines = asked(spoilt.parent, "verify", spoilt, "--blocks", "0").stdout.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("FAILED")] == [
        ["FAILED", "10TET_VV:", "temporal_mean.tif:"], ["FAILED", "10TET_VV:", "temporal_mean.tif:"],
    ]  # fmt: skip
    assert lines[-1] == "NOT verified: 2 of 6 stacks and tables"


def test_verify_finds_an_altered_table_of_all_scenes(spoilt: Path) -> None:
    table = pq.read_table(spoilt / "spatial_mean.parquet")
    pq.write_table(
        table.set_column(table.column_names.index("mean"), "mean", [np.zeros(9)]), spoilt / "spatial_mean.parquet"
    )
    text = asked(spoilt.parent, "verify", spoilt, "--blocks", "0").stdout
    assert "FAILED   spatial_mean.parquet: its rows are not those of the stacks; it was altered" in text


def test_verify_recomputes_a_sample_of_every_stack(computed: Path, spoilt: Path) -> None:
    with moved_away(computed / "data/10TET_VV_20200112.tif"):
        text = asked(spoilt.parent, "verify", spoilt).stdout
    assert "FAILED   10TET_VV: inputs: " in text
    assert "ok       10TET_VH: " in text


def test_verify_of_one_stack_is_that_of_a_run(computed: Path) -> None:
    done = asked(computed, "verify", "last/stacks/10TET_VV", "--blocks", "0")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "verified: 9 checks")


@pytest.mark.slow
def test_rerun_runs_every_recorded_stack_again_to_the_same_bits(computed: Path) -> None:
    done = ask(computed, "rerun", "outputs/one", "--", "output.dir=again", "chunks=row")
    assert done.returncode == 0, done.stderr
    assert "values: what both runs have is the same bits as in outputs/one" in done.stdout
    assert "without 11TLN_VH, of which no objects were recorded" in done.stderr
    assert facts_of(computed / "again")["rerun_of"] == str(computed / "outputs/one")
    assert {row.stack: row.status for row in read_stacks(computed / "again")} == dict.fromkeys(
        ["10TET_VH", "10TET_VV", "11TLN_VV"], "COMPLETED"
    )
    shutil.rmtree(computed / "again")


@pytest.mark.slow
def test_rerun_names_an_object_that_has_changed_and_its_stack(computed: Path) -> None:
    scene = computed / "data/10TET_VV_20200112.tif"
    with moved_away(scene):
        write_scene(scene, speckle((48, 64), seed=99), crs="EPSG:32610", blockxsize=32, blockysize=32)
        done = ask(computed, "rerun", "outputs/one", "--", "output.dir=changed")
    assert done.returncode == 1
    assert "10TET_VV: FAILED: " in done.stderr
    assert scene.name in done.stderr
    shutil.rmtree(computed / "changed")
