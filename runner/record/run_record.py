"""`run.json` written: the record of a run, true from its first second to its last."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec
import numpy.typing as npt
from msgspec.structs import replace

from runner.base.atomic import update_json
from runner.errors import OutputError
from runner.record.claim import RECORD, Reserve
from runner.record.code import git_state
from runner.record.environment import dask_settings, library_versions, machine_facts
from runner.record.failure import failure
from runner.record.run import PassRecord, Run, Status
from runner.record.trace_table import TraceLog

_PACKAGE: Final = Path(__file__).parents[1]
Overviews = Mapping[str, Sequence[npt.NDArray[Any]]]  # of rasters that were just written, by the names of their files
NONE_WRITTEN: Final[Overviews] = MappingProxyType({})
_PATIENCE_SECONDS = 30.0  # for a description by another thread

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
        self.last_act: Callable[[Path, Overviews], object] | None = None  # once the run has ended: making its page
        self.overviews: Overviews = NONE_WRITTEN
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
            with warned_if_unwritten("trace.parquet"):  # what ends the pass matters more
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
        with warned_if_unwritten("run.json"), self._lock:
            self._run = replace(self._run, seconds=round(self.seconds, 3))
            self._write()

    def describe(self) -> None:
        """Find out what takes a while: versions, and the state of the code."""
        try:
            with warned_if_unwritten("run.json"):
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
def warned_if_unwritten(name: str) -> Iterator[None]:
    """Warn of a file of the record that cannot be written, such as on a full disk, and go on."""
    try:
        yield
    except (OSError, OutputError) as error:
        log.warning("%s cannot be written: %s", name, error)
