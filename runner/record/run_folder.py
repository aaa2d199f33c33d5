"""Run folders read back: `run.json`; whether a run still lives; finding runs.

Nothing heavy is imported here, so that hundreds of folders are listed at once. What a folder of an older version does
not hold is said when it is asked for, not when the folder is opened.
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
from runner.base.overrides import config_flags
from runner.errors import RecordError, expanded
from runner.record.run_files import OutputFile, RecordedInput, read_inputs, read_json, read_outputs
from runner.record.run_schema import RUN, misfit, time_of

SCHEMAS = (1, 2)
HEARTBEAT_SECONDS = 15.0  # a run beats every 2 s; one elsewhere that has been silent for so long is dead
_CLOCK_SECONDS = 60.0  # how far a process's start may lie behind its record's, for clocks that were set


# --- the record -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run, read from its folder; `facts` is its run.json, of schema 1 or 2."""

    path: Path
    facts: dict[str, Any]

    @property
    def status(self) -> str:
        """See `status`."""
        return status(self.facts)

    @property
    def started(self) -> datetime:
        """When it began, UTC."""
        return datetime.fromisoformat(self.facts["started"])

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, nested."""
        config: dict[str, Any] = self.facts["config"]
        return config

    @property
    def stack_name(self) -> str:
        """What its stack is called."""
        stack = self.facts.get("stack") or self.config.get("source") or {}
        return str(stack.get("name") or "")

    @property
    def scenes(self) -> int | None:
        """Scenes of its stack; None if it ended before they were known."""
        stack = self.facts.get("stack") or {}
        found = stack.get("scenes", self.facts.get("scenes"))
        return None if found is None else int(found)

    @property
    def seconds(self) -> float | None:
        """From start to end, or as far as is known: to the last heartbeat of a run that was killed, to now."""
        if self.facts.get("seconds") is not None and self.status != "RUNNING":
            return float(self.facts["seconds"])
        last = self.facts.get("heartbeat") if self.status == "KILLED" else datetime.now(UTC).isoformat()
        return (datetime.fromisoformat(last) - self.started).total_seconds() if last else None

    @property
    def ended_passes(self) -> list[dict[str, Any]]:
        """What it says of its passes, without one that it was still at."""
        return [one for one in self.facts["passes"] if not unended(one)]

    @property
    def megabytes_per_second(self) -> float | None:
        """Bytes fetched divided by the seconds of computing on them, of all ended passes; None if not known."""
        passes = self.ended_passes
        seconds = sum((one.get("compute_seconds") or 0) - (one.get("compile_seconds") or 0) for one in passes)
        if not seconds or not all(one.get("fetched") for one in passes):
            return None
        return float(sum(one["fetched"]["bytes"] for one in passes) / seconds / 1e6)

    @property
    def retries(self) -> int | None:
        """Requests that had to be sent again, in all ended passes; None if GDAL fetched, which does not tell."""
        passes = self.ended_passes
        if not passes or not all(one.get("fetched") for one in passes):
            return None
        return int(sum(one["fetched"]["retries"] for one in passes))

    @property
    def config_flags(self) -> list[str]:
        """The words that named config files when its job was first asked for; older records have the command alone."""
        flags = self.facts.get("config_flags")
        return [str(word) for word in flags] if isinstance(flags, list) else config_flags(self.facts["command"])

    @property
    def error(self) -> str | None:
        """`Kind: message` of what ended it."""
        error = self.facts.get("error")
        return f"{error.get('kind')}: {error.get('message')}" if isinstance(error, dict) else error

    def outputs(self) -> tuple[OutputFile, ...]:
        """What outputs.json says of each result. Raises RecordError if it is missing, or no such table."""
        return read_outputs(self.path)

    def inputs(self) -> tuple[RecordedInput, ...]:
        """The rows of inputs.parquet, scenes in their order first. Raises RecordError if there are none to be read."""
        return read_inputs(self.path)


def read_run(path: Path) -> RunFolder:
    """The run in this folder. Raises RecordError if run.json is not there, altered, or of a schema to come."""
    file = path / "run.json"
    facts = read_json(file)
    schema = facts.get("schema")
    if schema not in SCHEMAS:
        raise RecordError(
            f"{file} has schema {schema}, this version reads {' and '.join(map(str, SCHEMAS))}; "
            "use the version that wrote it, or a newer one"
        )
    problem = misfit(facts, RUN)
    if problem:
        raise RecordError(f"{file}: {problem}; it was altered")
    return RunFolder(path, facts)


def unended(one: Mapping[str, Any]) -> bool:
    """Whether a pass was opened but did not end, so that what it took is not known."""
    return one.get("compute_seconds", 0) is None


def status(facts: Mapping[str, Any]) -> str:
    """RUNNING, COMPLETED, FAILED, INTERRUPTED as recorded; KILLED for one that says RUNNING and lives no more.

    On this host that is so if its process is gone: one that was halted (Ctrl-Z) is silent, and goes on. Of a run on
    another host, or without a process's number, it is so if its heartbeat is older than 15 s.
    """
    said = str(facts.get("status", "UNKNOWN"))
    if said != "RUNNING":
        return said
    if facts.get("host") == platform.node() and isinstance(facts.get("pid"), int):
        return "RUNNING" if _lives(facts["pid"], time_of(facts.get("started"))) else "KILLED"
    beat = time_of(facts.get("heartbeat"))
    silent = beat is not None and (datetime.now(UTC) - beat).total_seconds() > HEARTBEAT_SECONDS
    return "KILLED" if silent else "RUNNING"


def _lives(pid: int, began: datetime | None) -> bool:
    """Whether the process of a record is there: no zombie, and no other that was given its number since."""
    import psutil  # noqa: PLC0415 - only for runs that say RUNNING, of which a list has few

    try:
        process = psutil.Process(pid)
        before = began is None or process.create_time() < began.timestamp() + _CLOCK_SECONDS
        return before and process.status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:  # it is there, and another user's
        return True
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # the last two for what can be no process's number
        return False


# --- finding ----------------------------------------------------------------------------------------------------------


def find_runs(folder: Path) -> Iterator[Path]:
    """Every run folder below `folder`, and itself, multiruns' too; what stands in hidden folders is none."""
    for path, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith(".") and name != "partials")
        if "run.json" in files:
            yield Path(path)


def choose_run(word: str, outputs: Path) -> RunFolder:
    """The run that `word` means: a folder's path, `last`, or what only one folder below `outputs` has in its name.

    Raises RecordError if there is none, or more than one.
    """
    path = expanded(word)
    if path.is_dir() or path.name == "run.json":
        return read_run(path if path.is_dir() else path.parent)
    found = {str(one.relative_to(outputs)): one for one in find_runs(outputs)}
    if word == "last":
        return _last(found, outputs)
    whole = [name for name in found if word in (name, Path(name).name)]
    names = whole if len(whole) == 1 else [name for name in found if word in name]
    if len(names) == 1:
        return read_run(found[names[0]])
    if names:
        raise RecordError(f"{word}: {len(names)} runs have that in their name ({listed(names, 5)}); say more of it")
    raise RecordError(
        f"{word}: no folder, and no run below {outputs}/ has that in its name; {command()} log ls names them"
    )


def _last(found: Mapping[str, Path], outputs: Path) -> RunFolder:
    runs = list(readable(found.values()))
    if not runs:
        raise RecordError(f"last: there is no run below {outputs}/; run one, or name another folder with --outputs")
    return max(runs, key=lambda run: (run.started, str(run.path)))


def readable(paths: Iterable[Path]) -> Iterator[RunFolder]:
    """Those of the folders whose run.json can be read."""
    for path in paths:
        try:
            yield read_run(path)
        except RecordError:
            continue
