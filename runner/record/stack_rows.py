"""The stacks of an archive as their folders show them: its own table and record are behind if it was killed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec.structs import replace as changed

from runner.errors import RecordError
from runner.record.run import ArchiveRecord, Run, StackRecord
from runner.record.run_folder import RunFolder, read_run
from runner.record.stacks import FOLDER, OUTSIDE, STACKS, WAITING, StackRow, read_stacks

_DONE: Final = ("COMPLETED", OUTSIDE)


def rows_now(archive: RunFolder) -> list[StackRow]:
    """The rows of stacks.parquet; those of stacks that have gone on since it was written, by the records of their runs.

    Nothing if the archive ended before it found its stacks. Raises RecordError for a table that cannot be read.
    """
    if not (archive.path / STACKS).exists() and archive.status != "COMPLETED":
        return []
    return [_now(archive.path, row) for row in read_stacks(archive.path)]


def with_stacks_now(run: RunFolder) -> RunFolder:
    """A run whose record counts the stacks of an archive as they are now; as recorded if its table cannot be read."""
    archive = run.record.archive
    if archive is None or sum(archive.statuses.get(status, 0) for status in _DONE) == archive.stacks:
        return run
    try:
        now = summed_up(archive.stack_by, rows_now(run))
    except RecordError:
        return run
    now = changed(now, area_sha256=archive.area_sha256, zones_sha256=archive.zones_sha256)
    return replace(run, record=changed(run.record, archive=now)) if now.stacks else run


def summed_up(stack_by: Iterable[str], rows: Sequence[StackRow]) -> ArchiveRecord:
    """The number of stacks of each status, and the sums of what they read."""
    counted = [row.bytes for row in rows if row.bytes is not None]
    return ArchiveRecord(
        stack_by=tuple(stack_by),
        stacks=len(rows),
        statuses=dict(Counter(row.status for row in rows)),
        scenes=sum(row.scenes or 0 for row in rows),
        bytes=sum(counted) if counted else None,
    )


def _now(folder: Path, row: StackRow) -> StackRow:
    path = folder / FOLDER / row.stack
    if row.status in _DONE or not (path / "run.json").exists():
        return row
    try:
        run = read_run(path)
    except RecordError as error:
        return replace(row, error=str(error))
    return row if _tells_of(row, run.record) else _as_run(row, run)


def _tells_of(row: StackRow, run: Run) -> bool:
    """Whether a row tells how the last attempt at its stack ended, or why there was none."""
    ended = row.status not in (WAITING, "RUNNING")
    return ended and (row.started is None or run.started <= row.started)


def _as_run(row: StackRow, run: RunFolder) -> StackRow:
    fetched, failure, stack = run.record.fetched, run.record.error, run.record.stack or StackRecord(name="", scenes=0)
    return replace(
        row,
        status=run.status,
        scenes=run.record.scenes,
        crs=stack.crs,
        height=stack.height,
        width=stack.width,
        dtype=stack.dtype,
        bytes=fetched.bytes if fetched else None,
        started=run.started,
        seconds=run.record.lived_seconds,
        worker=f"{run.record.host}:{run.record.pid}",
        error=str(failure) if failure else None,
    )
