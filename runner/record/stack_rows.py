"""The stacks of an archive as their folders show them: its own table and record are behind if it was killed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

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
    now = changed(archive, stacks=now.stacks, statuses=now.statuses, scenes=now.scenes, bytes=now.bytes)
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
    return row if _tells_of(row, run.record) else replace(row, status=run.status, **facts_of(run.record))


def _tells_of(row: StackRow, run: Run) -> bool:
    """Whether a row tells how the last attempt at its stack ended, or why there was none."""
    ended = row.status not in (WAITING, "RUNNING")
    return ended and (row.started is None or run.started <= row.started)


def facts_of(run: Run) -> dict[str, Any]:
    """What the record of a stack's run tells for its row, but the status."""
    stack = run.stack or StackRecord(name="", scenes=0)
    return {
        "scenes": run.scenes,
        "left_out": run.stack.left_out if run.stack else None,
        "crs": stack.crs,
        "height": stack.height,
        "width": stack.width,
        "dtype": stack.dtype,
        "nodata": None if stack.nodata is None else float(stack.nodata),
        "bytes": run.fetched.bytes if run.fetched else None,
        "started": run.started,
        "seconds": run.lived_seconds,
        "worker": f"{run.host}:{run.pid}",
        "error": str(run.error) if run.error else None,
        "zones": stack.zones,
    }
