"""The stacks of an archive as they are now, for the verbs."""

from dataclasses import replace
from pathlib import Path

from runner.errors import RecordError
from runner.record.run_folder import RunFolder, read_run
from runner.record.stacks import FOLDER, STACKS, StackRow, read_stacks


def rows_now(archive: RunFolder) -> list[StackRow]:
    """The rows of stacks.parquet; those of stacks that had not ended when it was written, by the records of their runs.

    Nothing if the archive ended before it found its stacks. Raises RecordError for a table that cannot be read.
    """
    if not (archive.path / STACKS).exists() and archive.status != "COMPLETED":
        return []
    return [_now(archive.path, row) for row in read_stacks(archive.path)]


def _now(folder: Path, row: StackRow) -> StackRow:
    if row.status not in ("WAITING", "RUNNING"):
        return row
    path = folder / FOLDER / row.stack
    if not (path / "run.json").exists():
        return row
    try:
        run = read_run(path)
    except RecordError as error:
        return replace(row, error=str(error))
    fetched, failure = run.record.fetched, run.record.error
    return replace(
        row,
        status=run.status,
        scenes=run.record.scenes,
        bytes=fetched.bytes if fetched else None,
        seconds=run.record.lived_seconds,
        worker=f"{run.record.host}:{run.record.pid}",
        error=str(failure) if failure else None,
    )
