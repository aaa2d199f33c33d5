"""`run.json` written: the record of a run, true from its first second to its last."""

import errno
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from runner.base.atomic import update_json
from runner.base.overrides import config_flags
from runner.base.redact import redact_tree
from runner.errors import Interrupted, OutputError
from runner.host.heartbeat import beating, beside
from runner.record.claim import RECORD, Reserve, claim, reclaim
from runner.record.code import git_state
from runner.record.environment import dask_settings, library_versions, machine_facts
from runner.record.events import events_kept
from runner.record.failure import failure
from runner.record.lock import held
from runner.record.run import PassRecord, Run, Status
from runner.record.trace_table import TraceLog
from runner.reduce import KERNELS

_PACKAGE: Final = Path(__file__).parents[1]
_PATIENCE_SECONDS = 30.0  # for a description by another thread
_FULL_OR_CLOSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)

log = logging.getLogger(__name__)


class ArchiveFacts(Protocol):
    """What the record of a stack takes from its archive's: the run, which is `described` once all is found out."""

    described: threading.Event

    @property
    def run(self) -> Run:
        """The record so far."""


class WorkerFacts:
    """The facts of an archive on a worker elsewhere: its run, with the machine, the packages and the code there."""

    def __init__(self, run: Run) -> None:
        self.run = replace(run, **machine_facts())
        self.described = threading.Event()

    def describe(self) -> None:
        """Find out versions and the state of the code."""
        try:
            self.run = replace(self.run, versions=library_versions(), code=git_state(_PACKAGE))
        finally:
            self.described.set()


class RunRecord:
    """The record of one run, without secrets; a change is on disk before the call returns, except for a phase.

    Of one of many runs, which may be short, only its start and its end are; the rest is by the next sign of life. Any
    thread may change it. `trace` keeps the attempts at its tasks.
    """

    def __init__(self, folder: Path, run: Run, reserve: Reserve, *, one_of_many: bool = False) -> None:
        self.folder = folder
        self._one_of_many = one_of_many
        self.described = threading.Event()
        self.trace = TraceLog(folder / "trace.parquet")
        self.last_act: Callable[[Path], object] | None = None  # of the folder, once the run has ended: making its page
        self._running: tuple[str | None, Sequence[str]] = (None, ())  # the pass under way, and its stages
        self._path = folder / RECORD
        self._reserve = reserve
        self._run = run
        self._lock = threading.RLock()  # a signal may unwind its holder, and the same thread then records the end
        self._started = time.monotonic()
        self._write()

    @property
    def run(self) -> Run:
        """The record so far."""
        return self._run

    def change(self, **values: Any) -> None:
        """Replace fields of the record."""
        with self._lock:
            self._keep(**values)
            if not self._one_of_many or "status" in values:
                self._write()

    def _keep(self, **values: Any) -> None:
        self._run = replace(self._run, **values)

    def put_pass(self, pass_: PassRecord, reused: int = 0) -> None:
        """Record a pass once it is open, and again at its end; `reused` of its tasks were restored.

        It replaces the earlier record of that pass. Settings of dask are kept for all passes together.
        """
        with self._lock:
            others = [earlier for earlier in self._run.passes if earlier.name != pass_.name]
            passes = (*others, replace(pass_, reused=reused))
            self.change(passes=passes, dask={**self._run.dask, **dask_settings()})

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a part of the run that is not a pass."""
        started = time.monotonic()
        yield
        self.put_phase(name, time.monotonic() - started)

    def put_phase(self, name: str, seconds: float) -> None:
        """Record the seconds of a part of the run, on disk with the next change; after the end, at once."""
        with self._lock:
            keep = self.change if self._run.ended else self._keep
            keep(phases={**self._run.phases, f"{name}_seconds": round(seconds, 3)})

    @contextmanager
    def during(self, name: str, stages: Sequence[str]) -> Iterator[None]:
        """Note the pass that is running, to which an error or a signal is attributed; write its trace at the end."""
        self._running = name, stages
        try:
            yield
        except BaseException:
            with _warned_if_unwritten("trace.parquet"):  # what ends the pass matters more
                self.trace.write()
            raise
        self._running = None, ()
        self.trace.write()

    @property
    def seconds(self) -> float:
        """Seconds since the run started."""
        return time.monotonic() - self._started

    def close(self, status: Status, exit_code: int, error: BaseException | None = None) -> None:
        """Record the end of the run, on a full disk too."""
        self._reserve.release()
        self.change(
            status=status,
            exit_code=exit_code,
            error=None if error is None else failure(error, *self._running),
            ended=datetime.now(UTC),
            seconds=round(self.seconds, 3),
        )

    def beat(self) -> None:
        """Show that the run is alive. Where that cannot be written, results cannot either, and they report it."""
        with _warned_if_unwritten("run.json"), self._lock:
            self._run = replace(self._run, seconds=round(self.seconds, 3))
            self._write()

    def describe(self) -> None:
        """Find out what takes a while: versions, and the state of the code."""
        try:
            with _warned_if_unwritten("run.json"):
                self.change(versions=library_versions(), code=git_state(_PACKAGE))
        finally:
            self.described.set()

    def describe_as(self, other: "ArchiveFacts") -> None:
        """Take what another record of this process has found out. It is written with the next change."""
        other.described.wait(_PATIENCE_SECONDS)
        with self._lock:
            self._run = replace(self._run, versions=other.run.versions, code=other.run.code)

    def _write(self) -> None:
        self._run = replace(self._run, heartbeat=datetime.now(UTC))
        write_run(self._path, self._run)


def write_run(path: Path, run: Run) -> None:
    """Write the record aside without secrets, and rename it. Its status and its times hold none. Raises OSError."""
    tree = msgspec.to_builtins(run, enc_hook=_plain)
    update_json(path, tree, plain=("status", "started", "heartbeat", "ended"))


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: a number of numpy as a number, any other object (of dask settings) as text."""
    return value.item() if hasattr(value, "item") else str(value)


@contextmanager
def recorded_run(
    folder: Path,
    config: Mapping[str, Any],
    command: Sequence[str],
    overrides: Sequence[str],
    earlier: Run | None = None,
) -> Iterator[RunRecord]:
    """Claim `folder` for one run, and record how that ends.

    Raises OutputError if the folder holds a run already, or files of others that the run would write over.

    With `earlier`, the record that is there, that run goes on and becomes one of its `attempts`. Whoever resumes it
    holds the folder already.
    """
    first = _first_record(config, command, overrides, machine_facts())
    with _recorded(folder, first, earlier) as record:
        yield record


@contextmanager
def recorded_stack(
    folder: Path,
    config: Mapping[str, Any],
    overrides: Sequence[str],
    archive: ArchiveFacts,
    earlier: Run | None = None,
) -> Iterator[RunRecord]:
    """Record the run of one stack of an archive as by `recorded_run`; machine, packages and code are the archive's."""
    machine = {name: getattr(archive.run, name) for name in _OF_THE_MACHINE}
    first = _first_record(config, archive.run.command, overrides, machine)
    first = replace(first, config_flags=archive.run.config_flags)
    with _recorded(folder, first, earlier, archive) as record:
        yield record


@contextmanager
def _recorded(folder: Path, run: Run, earlier: Run | None, archive: ArchiveFacts | None = None) -> Iterator[RunRecord]:
    reserve = claim(folder, run.config) if earlier is None else reclaim(folder, run.config, earlier.config)
    if earlier is not None:
        attempts = (*earlier.attempts, earlier.attempt)
        run = replace(run, attempts=attempts, rerun_of=earlier.rerun_of, resumed_from=str(folder))
        run = replace(run, archive=earlier.archive)  # until its stacks are found again
    try:
        with held(folder) if earlier is None else nullcontext(), events_kept(folder, one_of_many=archive is not None):
            record = RunRecord(folder, run, reserve, one_of_many=archive is not None)
            with _last_act(record), _outcome(record), beating(record.beat), _described(record, archive):
                yield record
    except OSError as error:
        if not folder.is_dir():
            raise OutputError(f"{folder} was removed during the run; run it again, where nobody clears it") from error
        if error.errno not in _FULL_OR_CLOSED:
            raise
        way = "set output.dir" if earlier is None else "make it writable"  # a run is resumed in its own folder
        raise OutputError(f"{folder}: {error.strerror or error}; free some space or {way}") from error


@contextmanager
def _described(record: RunRecord, archive: ArchiveFacts | None) -> Iterator[None]:
    """Find out versions and code meanwhile, or take them from the record of the archive."""
    if archive is None:
        with beside(record.describe, "description"):
            yield
        return
    try:
        yield
    finally:
        record.describe_as(archive)


@contextmanager
def _outcome(record: RunRecord) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        code = stop.exit_code if isinstance(stop, Interrupted) else 130
        log.warning("interrupted, exit code %d", code)
        record.close("INTERRUPTED", code, stop)
        raise
    except (Exception, SystemExit) as error:  # a library may exit, which is a failure too
        log.exception("failed")
        record.close("FAILED", getattr(error, "exit_code", 1), error)
        raise
    record.close("COMPLETED", 0)


@contextmanager
def _last_act(record: RunRecord) -> Iterator[None]:
    """Do the record's last act, however the run ended. If that fails, a warning says so; the outcome stays."""
    try:
        yield
    finally:
        if record.last_act:
            with _warned_if_unwritten("run.json"), record.phase("report"):
                try:
                    record.last_act(record.folder)
                except Exception:
                    log.warning("report.html cannot be made", exc_info=True)


@contextmanager
def _warned_if_unwritten(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, OutputError) as error:
        log.warning("%s cannot be written: %s", name, error)


# Imports come before the run's first second, compiled kernels from disk or the compiler; the demo alone has an archive.
_PHASES = ("imports", "archive", "listing", "kernels", "compiling", "writing", "report")


_OF_THE_MACHINE = ("host", "pid", "python", "platform", "cores", "memory_bytes", "cgroup")


def _first_record(
    config: Mapping[str, Any], command: Sequence[str], overrides: Sequence[str], machine: Mapping[str, Any]
) -> Run:
    return Run(
        status="RUNNING",
        started=datetime.now(UTC),
        command=tuple(command),
        overrides=tuple(overrides),
        config_flags=tuple(config_flags(command)),
        config=dict(config),
        config_sha256=config_sha256(config),
        **machine,
        versions={},
        kernels=KERNELS,
        phases=dict.fromkeys(f"{name}_seconds" for name in _PHASES),
        passes=(),
    )


_PLACES: Final = ("dir", "upload", "s3", "gcs", "azure")  # settings of output that say where results go


def config_sha256(config: Mapping[str, Any]) -> str:
    """The hash of a config, the same wherever its results go: of its JSON, sorted and without blanks or secrets."""
    output = {key: value for key, value in config.get("output", {}).items() if key not in _PLACES}
    plain = redact_tree({**config, "output": output})
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
