"""Stacks of an archive on a worker: all of one archive share the threads, the memory and the stores of the process."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from runner.archive.stack_runs import StackRuns, warnings_hushed
from runner.archive.turns import Turns, most_computing
from runner.archive.worker_place import ArchiveWork, WorkerPlace
from runner.base.humanize import cut
from runner.cluster.open import SharedClusters
from runner.engine.warm_up import KernelsLoading
from runner.errors import Interrupted, NobodyWaits, RecordError
from runner.host.stopping import StopRequest, heeding, refuse_if_stopped
from runner.job import Find
from runner.planning.reading import gdal_options_of
from runner.publish.open import target_of
from runner.read.gdal_environment import gdal_environment
from runner.record.lock import HELD, HeldError, held
from runner.record.run_folder import read_run
from runner.record.run_record import WorkerFacts
from runner.record.stacks import StackRow
from runner.settings import EngineName
from runner.source.parts import Part
from runner.source.stores import network_environment

_LOOK_SECONDS: Final = 0.5
_IDLE_SECONDS: Final = 60.0  # after which a session whose archive has not released it ends
_LONGEST_ERROR: Final = 1000  # characters of a row's error, so that a row stays small
_UNWANTED: Final = frozenset({"cancelled", "released", "forgotten"})  # states of a task that nobody waits for

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StackTask:
    """A stack, or those of different bands of the same files, with the ways to scenes that are recorded."""

    parts: tuple[Part, ...]
    finds: Mapping[str, Find]  # by the names of stacks


class StackEnd(NamedTuple):
    """A stack that has ended: its row, the notes on its scenes, and whether it fails again until a setting changes."""

    row: StackRow
    notes: tuple[str, ...]
    of_settings: bool


def run_stacks(work: ArchiveWork, task: StackTask) -> list[StackEnd]:
    """Run the stacks of a task on this worker, by the worker's threads; how each ends, whatever happens to it.

    Raises ClusterError if the worker does not see the archive's folder or its scenes, and RunnerError if it cannot run
    any stack.
    """
    from distributed import get_worker, secede  # noqa: PLC0415 - a worker has loaded it

    from runner.cluster.unprofiled import unprofiled  # noqa: PLC0415 - loads distributed

    with unprofiled() as key:
        secede()  # leave the thread to the next stack: each has threads of its own to compute
        session = _session_of(work, get_worker())
        return [end._replace(row=_short(end.row)) for end in session.run(task, key)]


def _short(row: StackRow) -> StackRow:
    return replace(row, error=row.error and cut(row.error, _LONGEST_ERROR))


def stop_session(token: str, reason: Callable[[], Interrupted]) -> None:
    """Stop the stacks of an archive on this worker, also those that have not come yet."""
    _request_of(token).make(reason)


def release_session(token: str) -> None:
    """End the session of an archive, once none of its stacks is left."""
    with _LOCK:
        session = _SESSIONS.get(token)
        _REQUESTS.pop(token, None)
    if session:
        session.release()


_LOCK: Final = threading.Lock()
_SESSIONS: Final[dict[str, "Session"]] = {}
_REQUESTS: Final[dict[str, StopRequest]] = {}


def _request_of(token: str) -> StopRequest:
    with _LOCK:
        return _REQUESTS.setdefault(token, StopRequest())


def _session_of(work: ArchiveWork, worker: Any) -> "Session":
    request = _request_of(work.token)
    with _LOCK:
        if work.token not in _SESSIONS:
            _SESSIONS[work.token] = Session(work, worker, request)
        session = _SESSIONS[work.token]
        session.enter()
    return session


class Session:
    """The stacks of one archive on one worker."""

    def __init__(self, work: ArchiveWork, worker: Any, request: StopRequest) -> None:
        self._work, self._worker, self._request = work, worker, request
        self._place = WorkerPlace(work, worker)
        self._lock = threading.Lock()
        self._exits = ExitStack()
        self._runs: StackRuns | None = None
        self._under_way: set[str] = set()  # keys of tasks
        self._finds: dict[str, Find] = {}
        self._entered = 0
        self._left = time.monotonic()  # by the last stack
        self._released = False
        threading.Thread(target=self._watch, name="session", daemon=True).start()

    def enter(self) -> None:
        """Count a stack, so that the session stays open for it."""
        self._entered += 1

    def release(self) -> None:
        """Let the session end when no stack is left."""
        self._released = True

    def run(self, task: StackTask, key: str) -> list[StackEnd]:
        """Run the stacks of a task; how each ends. Those that are complete already stay as they are."""
        self._under_way.add(key)
        try:
            with heeding(self._request):
                runs = self._opened()
                self._place.refuse_unseen(task.parts[0])
                stop = time.monotonic() + self._work.patience_seconds
                for part in task.parts:
                    self._await_folder(part, stop)
                self._finds.update(task.finds)
                rows = {part.name: runs.row_before(part) for part in task.parts}
                remaining = [part for part in task.parts if not runs.is_done(part, rows[part.name])]
                rows |= self._ended(runs, remaining, stop)
                return [
                    StackEnd(rows[name], runs.notes.pop(name, ()), name in runs.of_settings)
                    for name in (part.name for part in task.parts)
                ]
        finally:
            self._under_way.discard(key)
            with _LOCK:
                self._entered -= 1
                self._left = time.monotonic()

    def _ended(self, runs: StackRuns, parts: Sequence[Part], stop: float) -> dict[str, StackRow]:
        """The rows of stacks that are run; again where another worker, which is given up, took one just before."""
        rows: dict[str, StackRow] = {}
        while parts:
            rows |= {row.stack: row for row in _together(runs.together(parts))}
            parts = [part for part in parts if HELD in (rows[part.name].error or "")]
            if time.monotonic() > stop:
                return rows | {part.name: self._named_holder(rows[part.name], part) for part in parts}
            if parts:
                time.sleep(_LOOK_SECONDS)
        return rows

    def _named_holder(self, row: StackRow, part: Part) -> StackRow:
        """The row of a stack that another worker keeps: which process it is, since it may be suspended for good."""
        with suppress(RecordError):
            run = read_run(self._work.archive.folder_of(part)).record
            return replace(
                row,
                error=f"process {run.pid} on {run.host}, a worker that was given up, still holds its folder; end that "
                "process, and resume",
            )
        return row

    def _opened(self) -> StackRuns:
        with self._lock:
            if self._runs is None:
                try:
                    self._runs = self._open()
                except BaseException:
                    self._exits.close()
                    raise
            return self._runs

    def _open(self) -> StackRuns:
        self._place.refuse_other_folder()
        job = self._place.job()
        enter = self._exits.enter_context
        logging.getLogger("runner").setLevel(logging.INFO)  # what the logs of stacks have, by their own handlers
        enter(gdal_environment(network_environment(job.source.s3)))
        enter(warnings_hushed())
        if job.engine is EngineName.block:
            kernels = enter(KernelsLoading(lambda: None))
            with kernels.awaited(lambda *_: None):
                pass
        clusters = enter(SharedClusters())
        for stage in job.stages.values():
            clusters.open(stage.cluster, gdal_options_of(job))
        turns = Turns(self._place.memory_bytes(), most_computing(job))
        surroundings = turns.surroundings(clusters, self._work.outlines)
        facts = WorkerFacts(self._work.run)
        threading.Thread(target=facts.describe, name="description", daemon=True).start()
        archive = replace(self._work.archive, job=job)
        return StackRuns(
            archive,
            facts,
            self._work.stores,
            surroundings,
            turns,
            self._work.listed,
            self._finds,
            target_of(job),
            list(self._work.outlined),
        )

    def _await_folder(self, part: Part, stop: float) -> None:
        """Wait until no other worker has the stack: one that is cut off, or has died, does not say so at once."""
        folder = self._work.archive.folder_of(part)
        while _is_busy(folder) and time.monotonic() < stop:
            refuse_if_stopped()
            time.sleep(_LOOK_SECONDS)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Stop stacks that nobody waits for, and end when no stack has come for long."""
        while True:
            time.sleep(_LOOK_SECONDS)
            if not self._is_wanted():
                self._request.make(NobodyWaits)
            with _LOCK:
                idle = self._released or time.monotonic() - self._left > _IDLE_SECONDS
                if self._entered or not idle:
                    continue
                _SESSIONS.pop(self._work.token, None)
            self._exits.close()
            return

    def _is_wanted(self) -> bool:
        """Whether the scheduler knows this worker, and somebody waits for each of its stacks."""
        tasks = self._worker.state.tasks
        states = [tasks[key].state if key in tasks else "forgotten" for key in list(self._under_way)]
        return self._worker.status.name in ("running", "paused", "init") and _UNWANTED.isdisjoint(states)


def _together(runs: Sequence[Callable[[], StackRow]]) -> list[StackRow]:
    """The rows of runs that wait for one another, each in a thread that heeds what this one heeds."""
    if len(runs) < 2:
        return [run() for run in runs]
    with ThreadPoolExecutor(len(runs), "stack") as pool:
        return [future.result() for future in [pool.submit(copy_context().run, run) for run in runs]]


def _is_busy(folder: Path) -> bool:
    """Whether another process runs the stack in a folder."""
    if not folder.is_dir():
        return False
    try:
        with held(folder):
            return read_run(folder).status == "RUNNING"
    except HeldError:
        return True
    except RecordError:  # the stack itself fails by it
        return False
