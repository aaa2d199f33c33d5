"""The stacks of an archive that was killed, whose table and record are behind the folders of its stacks."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from archive_folders import STACK_BY, make_archive_folder
from log_folders import change

from runner.archive.story import _going_on
from runner.errors import ConfigError, OutputError
from runner.log.restart import _forgotten_if_refused
from runner.record.run import ArchiveRecord, ZonesRecord
from runner.record.run_folder import read_run
from runner.record.stack_rows import rows_now, with_stacks_now
from runner.record.stacks import StackRow, read_stacks, write_stacks


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """An archive of which two stacks were completed after its table and its record were written."""
    folder = make_archive_folder(
        tmp_path / "rtc", {"10TET_VV": "COMPLETED", "10TET_VH": "COMPLETED", "11TLN_VV": "WAITING"}
    )
    write_stacks(folder, STACK_BY, [StackRow(stack=row.stack, values=row.values) for row in read_stacks(folder)])
    archive = {"stack_by": STACK_BY, "stacks": 3, "statuses": {"WAITING": 3}, "area_sha256": "ab"}
    archive["zones"] = {"zones": 4, "in_no_stack": 1, "on_several_grids": 0, "names_in_no_stack": ["lost"]}
    change(folder, status="RUNNING", host="elsewhere", heartbeat="2026-03-02T14:05:09Z", archive=archive)
    return folder


def test_the_stacks_of_a_killed_archive_are_counted_by_their_folders(killed: Path) -> None:
    archive = with_stacks_now(read_run(killed)).record.archive
    assert archive is not None
    assert archive == ArchiveRecord(
        stack_by=STACK_BY, stacks=3, statuses={"COMPLETED": 2, "WAITING": 1}, scenes=8, bytes=archive.bytes,
        area_sha256="ab", zones=ZonesRecord(4, 1, 0, ("lost",)),
    )  # fmt: skip
    assert archive.bytes


def test_a_table_that_cannot_be_read_leaves_what_is_recorded(killed: Path) -> None:
    (killed / "stacks.parquet").write_bytes(b"PAR1")
    run = read_run(killed)
    assert with_stacks_now(run) == run


@pytest.mark.parametrize(
    ("status", "later", "expected"),
    [
        ("WAITING", None, "COMPLETED"),
        ("RUNNING", 0, "COMPLETED"),
        ("FAILED", 0, "FAILED"),  # the upload, say, of a run that is complete
        ("FAILED", None, "FAILED"),  # it could not begin
        ("FAILED", 60, "COMPLETED"),  # an attempt of which the table does not tell
        ("INTERRUPTED", 60, "COMPLETED"),
    ],
)
def test_a_row_is_as_true_as_it_is_late(killed: Path, status: str, later: int | None, expected: str) -> None:
    row, *others = read_stacks(killed)
    began = read_run(killed / "stacks" / row.stack).started
    started = None if later is None else began - timedelta(seconds=later)
    write_stacks(killed, STACK_BY, [replace(row, status=status, started=started), *others])
    assert rows_now(read_run(killed))[0].status == expected


def test_a_bad_end_of_a_resumed_archive_counts_what_is_complete(killed: Path) -> None:
    record = SimpleNamespace(folder=killed, run=read_run(killed).record)
    with pytest.raises(OutputError) as raised, _going_on(record, 3):  # type: ignore[arg-type]
        raise OutputError("the disk is full")
    assert raised.value.__notes__[0].startswith("2 of 3 stacks complete; to go on, once that is fixed: ")


def test_stacks_that_a_killed_attempt_completed_are_not_the_work_of_the_next(killed: Path) -> None:
    earlier = read_run(killed)
    record = SimpleNamespace(run=with_stacks_now(earlier).record, change=lambda **facts: changes.update(facts))
    changes: dict[str, object] = {}
    with pytest.raises(ConfigError), _forgotten_if_refused(earlier, record):  # type: ignore[arg-type]
        raise ConfigError("chunks.x=5: no")
    assert set(changes) == {"config", "overrides", "config_sha256"}
