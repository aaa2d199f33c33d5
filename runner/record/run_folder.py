"""Run folders read back: the record of each, whether it still runs, and finding them.

Nothing heavy is imported here, so that hundreds of folders are listed at once. A file that is missing is reported when
it is asked for, not when the folder is opened.
"""

import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.base.command import command
from runner.base.humanize import listed
from runner.base.suggest import did_you_mean
from runner.errors import RecordError, expanded
from runner.record.input_rows import RecordedInput, read_inputs
from runner.record.json_files import read_record
from runner.record.run import SCHEMA_VERSION, Run
from runner.record.run_files import OutputFile, read_outputs
from runner.record.stacks import FOLDER

_SILENT_SECONDS = 15.0  # a run beats every 2 s; one elsewhere that has been silent for so long is dead
_CLOCK_SECONDS = 60.0  # how far a process's start may lie behind its record's, for clocks that were set


# --- the record -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run, read from its folder."""

    path: Path
    record: Run

    @property
    def status(self) -> str:
        """The recorded status, or KILLED; see `current_status`."""
        run = self.record
        return current_status(run.status, run.host, run.pid, run.started, run.heartbeat)

    @property
    def started(self) -> datetime:
        """The moment it started."""
        return self.record.started

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, nested."""
        return self.record.config

    @property
    def seconds(self) -> float | None:
        """From start to end, or as far as is known: to the last heartbeat of a run that was killed, to now."""
        if self.record.seconds is not None and self.status != "RUNNING":
            return self.record.seconds
        last = self.record.heartbeat if self.status == "KILLED" else datetime.now(UTC)
        return (last - self.started).total_seconds() if last else None

    @property
    def error(self) -> str | None:
        """`Kind: message` of what ended it."""
        return None if self.record.error is None else str(self.record.error)

    def outputs(self) -> tuple[OutputFile, ...]:
        """The result files that outputs.json lists. Raises RecordError if it is missing or altered."""
        return read_outputs(self.path)

    def inputs(self) -> tuple[RecordedInput, ...]:
        """The rows of inputs.parquet, scenes in their order first. Raises RecordError if they cannot be read."""
        return read_inputs(self.path)


def read_run(path: Path) -> RunFolder:
    """The run in this folder. Raises RecordError if run.json is missing, altered, or of another schema."""
    return RunFolder(path, read_record(path / "run.json", Run, SCHEMA_VERSION))


def current_status(
    recorded: str, host: str | None, pid: int | None, started: datetime | None, heartbeat: datetime | None
) -> str:
    """RUNNING, COMPLETED, FAILED, INTERRUPTED as recorded; KILLED for a run that is recorded as RUNNING but has died.

    On this host a run has died if its process has: one that is suspended (Ctrl-Z) is silent, and goes on. On another
    host, or without a process's number, it has died if its heartbeat is older than 15 s.
    """
    if recorded != "RUNNING":
        return recorded
    if host == platform.node() and pid is not None:
        return "RUNNING" if _is_alive(pid, started) else "KILLED"
    silent = heartbeat is not None and (datetime.now(UTC) - heartbeat).total_seconds() > _SILENT_SECONDS
    return "KILLED" if silent else "RUNNING"


def _is_alive(pid: int, began: datetime | None) -> bool:
    """Whether the process of a record exists: neither a zombie, nor a later process with the same number."""
    import psutil  # noqa: PLC0415 - only for runs recorded as RUNNING, which are few

    try:
        process = psutil.Process(pid)
        before = began is None or process.create_time() < began.timestamp() + _CLOCK_SECONDS
        return before and process.status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:  # it is there, and another user's
        return True
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # the last two for a number that no process can have
        return False


# --- finding ----------------------------------------------------------------------------------------------------------


def find_runs(folder: Path) -> Iterator[Path]:
    """Every run folder below `folder`, and itself, multiruns' too; what stands in hidden folders is none.

    An archive is one run: those of its stacks are found in its folder `stacks` alone.
    """
    for path, below, files in os.walk(folder):
        is_run = "run.json" in files
        passed_over = {"partials", FOLDER} if is_run else {"partials"}
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in passed_over)
        if is_run:
            yield Path(path)


def choose_run(word: str, outputs: Path) -> RunFolder:
    """The run that `word` means: a folder's path, `last`, or what only one folder below `outputs` has in its name.

    After `/stacks/` comes the name of a stack of an archive. Raises RecordError if there is none, or more than one.
    """
    path = expanded(word)
    if path.is_dir() or path.name == "run.json":
        return read_run(path if path.is_dir() else path.parent)
    archive, _, stack = word.rstrip("/").rpartition(f"/{FOLDER}/")
    if archive:
        return _stack_of(choose_run(archive, outputs), stack)
    runs = {str(path.relative_to(outputs)): path for path in find_runs(outputs)}
    if word == "last":
        return _last(runs, outputs)
    exact = [name for name in runs if word in (name, Path(name).name)]
    names = exact if len(exact) == 1 else [name for name in runs if word in name]
    if len(names) == 1:
        return read_run(runs[names[0]])
    if names:
        raise RecordError(f"{word}: {len(names)} runs have that in their name ({listed(names, 5)}); say more of it")
    raise RecordError(
        f"{word}: no folder, and no run below {outputs}/ has that in its name; {command()} log ls names them"
    )


def _stack_of(archive: RunFolder, stack: str) -> RunFolder:
    folder = archive.path / FOLDER / stack
    if archive.record.is_archive and not folder.is_dir():
        names = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise RecordError(
            f"{archive.path} has no stack {stack} whose run has begun{did_you_mean(stack, names)}; "
            f"{command()} log show {archive.path} names them"
        )
    return read_run(folder)


def _last(runs: Mapping[str, Path], outputs: Path) -> RunFolder:
    readable_runs = list(readable(runs.values()))
    if not readable_runs:
        raise RecordError(f"last: there is no run below {outputs}/; run one, or name another folder with --outputs")
    return max(readable_runs, key=lambda run: (run.started, str(run.path)))


def readable(paths: Iterable[Path]) -> Iterator[RunFolder]:
    """The runs in these folders, without those whose run.json cannot be read."""
    for path in paths:
        try:
            yield read_run(path)
        except RecordError:
            continue
