"""Stacks of an earlier attempt: what is done again of them, and what is said of those that are not."""

from pathlib import Path

import pytest
from archive_folders import STACK_BY, make_archive_folder, part_of

from runner.archive.recorded import RecordedStacks, with_unlisted
from runner.record.run_folder import read_run
from runner.record.stacks import OUTSIDE, StackRow, read_stacks, write_stacks

STACKS = {"10TES_VV": "COMPLETED", "10TET_VV": "COMPLETED", "10TEU_VV": "INTERRUPTED", "10TEV_VV": "WAITING"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_archive_folder(tmp_path / "out", STACKS)


def test_stacks_that_are_not_listed_any_more_are_kept_in_their_places_and_named(archive: Path) -> None:
    listed = [part_of("10TEU", "VV"), part_of("10TEW", "VV")]
    parts, notes = with_unlisted(archive, listed, by_band=False)
    assert [part.name for part in parts] == ["10TES_VV", "10TET_VV", "10TEU_VV", "10TEW_VV"]
    assert parts[0].values == {"tile": "10TES", "band": "VV"}
    assert len(parts[0].candidates) == 4
    assert notes == [
        "goes on with 10TES_VV, 10TET_VV as recorded, of which no object is listed any more",
        "without 10TEV_VV, of which no object is listed any more and none was read",
    ]


def test_nothing_is_said_where_all_are_listed_or_none_ran_before(archive: Path) -> None:
    listed = [part_of(*name.split("_")) for name in STACKS]
    assert with_unlisted(archive, listed, by_band=False) == (listed, [])
    assert with_unlisted(archive / "elsewhere", listed, by_band=False) == (listed, [])


def test_stacks_outside_are_not_said_to_lack_records(archive: Path) -> None:
    outside = StackRow(stack="10TEA_VV", values={"tile": "10TEA", "band": "VV"}, status=OUTSIDE)
    write_stacks(archive, STACK_BY, [outside, *read_stacks(archive)])
    recorded = RecordedStacks.of(read_run(archive), pinned=True)
    assert recorded.notes == (
        "without 10TEA_VV, outside of the box or area then",
        "without 10TEV_VV, of which no objects were recorded",
    )
