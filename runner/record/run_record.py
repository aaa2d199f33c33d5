"""`run.json`: what a run was and how it ended, true from its first second to its last."""

import errno
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import runner
from runner.base.atomic import update_json
from runner.base.overrides import config_flags
from runner.base.redact import redact_tree
from runner.errors import Interrupted, OutputError
from runner.record.claim import RECORD, Reserve, claim, reclaim
from runner.record.code import git_state
from runner.record.environment import library_versions, machine_facts
from runner.record.events import events_kept, timestamp
from runner.record.failure import failure_facts
from runner.record.lock import held
from runner.record.trace_table import TraceLog
from runner.reduce import KERNELS

SCHEMA_VERSION = 2
HEARTBEAT_SECONDS = 2.0
_PATIENCE_SECONDS = 3.0
_FULL_OR_CLOSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)

log = logging.getLogger(__name__)


class RunRecord:
    """The record of one run, without secrets; every change is on disk before the call returns.

    Any thread may change it. `trace` keeps the attempts at its tasks.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], reserve: Reserve) -> None:
        self.folder = folder
        self.trace = TraceLog(folder / "trace.parquet")
        self.running: dict[str, Any] | None = None
        self.last_act: Callable[[Path], object] | None = (
            None  # of the folder, once the run has ended, as making its page
        )
        self._path = folder / RECORD
        self._reserve = reserve
        self._facts: dict[str, Any] = {}
        self._lock = threading.RLock()  # a signal may unwind its holder, and the same thread then says how it ended
        self._started = time.monotonic()
        self.update(**facts)

    def update(self, **facts: Any) -> None:
        """Add or replace facts."""
        redacted = redact_tree(facts)
        with self._lock:
            self._facts |= redacted
            self._write()

    def put_pass(self, facts: Mapping[str, Any], reused: int = 0) -> None:
        """Say what a pass is, and took once that is known; `reused` of its blocks were there from another run.

        It comes in place of what was said of that pass before; dask's settings are kept for all of them.
        """
        with self._lock:
            others = [one for one in self._facts["passes"] if one["name"] != redact_tree(facts["name"])]
            one = {key: value for key, value in facts.items() if key != "dask"}
            passes = [*others, {**one, "reused": reused}]
            self.update(passes=passes, dask={**self._facts["dask"], **facts.get("dask", {})})

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a part of the run that is no pass."""
        started = time.monotonic()
        yield
        self.put_phase(name, time.monotonic() - started)

    def put_phase(self, name: str, seconds: float) -> None:
        """Say how long a part of the run took."""
        with self._lock:
            self.update(phases={**self._facts["phases"], f"{name}_seconds": round(seconds, 3)})

    @contextmanager
    def during(self, name: str, stages: Sequence[str]) -> Iterator[None]:
        """Note which pass is running, so that an error or a signal is put down to it; write its trace at the end."""
        self.running = {"name": name, "stages": list(stages)}
        try:
            yield
        except BaseException:
            with _told_if_unwritten("trace.parquet"):  # what ends the pass matters more
                self.trace.write()
            raise
        self.running = None
        self.trace.write()

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._started

    def close(self, status: str, exit_code: int, error: BaseException | None = None) -> None:
        """Say how the run ended, on a full disk too."""
        self._reserve.release()
        self.update(
            status=status,
            exit_code=exit_code,
            error=None if error is None else failure_facts(error, self.running),
            ended=timestamp(),
            seconds=round(self.seconds, 3),
        )

    def beat(self) -> None:
        """Say that the run lives. Where that cannot be written, results cannot either, and they say so."""
        with _told_if_unwritten("run.json"), self._lock:
            self._facts["seconds"] = round(self.seconds, 3)
            self._write()

    def describe(self) -> None:
        """Find out what takes a while: versions, and the state of the code."""
        with _told_if_unwritten("run.json"):
            self.update(versions=library_versions(), code=git_state(Path(runner.__file__).parent))

    def _write(self) -> None:
        self._facts["heartbeat"] = timestamp()
        update_json(self._path, self._facts)


@contextmanager
def recorded_run(
    folder: Path,
    config: Mapping[str, Any],
    command: Sequence[str],
    overrides: Sequence[str],
    earlier: Mapping[str, Any] | None = None,
) -> Iterator[RunRecord]:
    """Claim `folder` for one run, and record how that ends.

    Raises OutputError if the folder holds a run already, or files of others that the run would write over.

    With `earlier`, the run.json that is there, it is that run which goes on: what it says stays in `attempts`. Who
    resumes it holds the folder already.
    """
    reserve = claim(folder, config) if earlier is None else reclaim(folder, config, earlier.get("config") or {})
    origin = {} if earlier is None else _resumed(folder, earlier)
    try:
        with held(folder) if earlier is None else nullcontext(), events_kept(folder):
            record = RunRecord(folder, _first_facts(config, command, overrides) | origin, reserve)
            with _last_act(record), _outcome(record), _heartbeat(record), _beside(record.describe, "description"):
                yield record
    except OSError as error:
        if not folder.is_dir():
            raise OutputError(f"{folder} was removed during the run; run it again, where nobody clears it") from error
        if error.errno not in _FULL_OR_CLOSED:
            raise
        way = "set output.dir" if earlier is None else "make it writable"  # a run is resumed in its own folder
        raise OutputError(f"{folder}: {error.strerror or error}; free some space or {way}") from error


@contextmanager
def _outcome(record: RunRecord) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        code = stop.exit_code if isinstance(stop, Interrupted) else 130
        log.warning("interrupted, exit code %d", code)
        record.close("INTERRUPTED", code, stop)
        raise
    except (Exception, SystemExit) as error:  # a library may exit; that is no good end either
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
            with _told_if_unwritten("run.json"), record.phase("report"):
                try:
                    record.last_act(record.folder)
                except Exception:
                    log.warning("report.html cannot be made", exc_info=True)


@contextmanager
def _heartbeat(record: RunRecord) -> Iterator[None]:
    """Show every two seconds that the run lives."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            record.beat()

    with _beside(beat, "heartbeat"):
        try:
            yield
        finally:
            stop.set()


@contextmanager
def _beside(work: Callable[[], None], name: str) -> Iterator[None]:
    """Do something in a thread, and wait for its end; not for long if the run was interrupted, which has to end."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    patience = None
    try:
        yield
    except KeyboardInterrupt:
        patience = _PATIENCE_SECONDS
        raise
    finally:
        thread.join(patience)


@contextmanager
def _told_if_unwritten(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, OutputError) as error:
        log.warning("%s cannot be written: %s", name, error)


# Imports come before the run's first second, compiled kernels from disk or the compiler; the demo alone has an archive.
_PHASES = ("imports", "archive", "listing", "kernels", "compiling", "writing", "report")
_OF_AN_ATTEMPT = ("started", "heartbeat", "ended", "seconds", "status", "exit_code", "error", "command", "overrides",
                  "config_sha256", "kernels", "host", "pid", "passes")  # fmt: skip


def _resumed(folder: Path, earlier: Mapping[str, Any]) -> dict[str, Any]:
    attempt = {name: earlier.get(name) for name in _OF_AN_ATTEMPT}
    attempts = [*earlier.get("attempts", ()), attempt]
    return {"attempts": attempts, "rerun_of": earlier.get("rerun_of"), "resumed_from": str(folder)}


def _first_facts(config: Mapping[str, Any], command: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA_VERSION,
        "status": "RUNNING",
        "exit_code": None,
        "error": None,
        "started": timestamp(),
        "ended": None,
        "heartbeat": None,
        "seconds": None,
        "command": list(command),
        "overrides": list(overrides),
        "config_flags": config_flags(command),
        "config": config,
        "config_sha256": config_sha256(config),
        "code": None,
        **machine_facts(),
        "versions": {},
        "dask": {},
        "kernels": KERNELS,
        "phases": dict.fromkeys(f"{name}_seconds" for name in _PHASES),
        "stack": None,
        "passes": [],
        "outputs": [],
        "rerun_of": None,
        "resumed_from": None,
        "attempts": [],
    }


def config_sha256(config: Mapping[str, Any]) -> str:
    """The hash of a config, the same wherever its results go: of its JSON, sorted and without blanks or secrets."""
    output = {key: value for key, value in config.get("output", {}).items() if key != "dir"}
    plain = redact_tree({**config, "output": output})
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
