"""Turns of stacks that overlap: how many compute at a time, and the memory that they hold together."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from runner.cluster.open import Clusters
from runner.host.stopping import LOOK_SECONDS, refuse_if_stopped
from runner.job import Share, Surroundings, whole
from runner.model import Stack
from runner.planning.memory import PROCESS_BYTES, strip_bytes
from runner.planning.records import Pass, Plan
from runner.settings import ClusterKind, EngineName, JobSettings, Over
from runner.source.outlines import Outlines

_BESIDE: Final = 2  # stacks that are prepared or written while others compute
_ENCODED: Final = 2  # more rasters, in bytes: encoded blocks and overviews of the largest
_COMPUTING: Final = 2  # stacks, so that no thread waits for the last tasks of one
_READY: Final = 1  # more stack, whose tasks wait for threads: one that has no task left does not wait for a stack


class Turns:
    """Room and turns for the stacks of one process.

    A stack takes room from the start of its computing until its results are written. Of stacks that compute at the
    same time, the later ones get the threads that the earlier ones have no more tasks for. Where several compute, one
    more is ready for them.
    """

    def __init__(self, limit_bytes: int, computing: int) -> None:
        self.limit_bytes = limit_bytes
        self._most_computing = computing
        self._most_taking_turns = computing + _READY if computing > 1 else computing
        self._held_bytes = 0
        self._computing = 0
        self._changed = threading.Condition()
        self.begun = threading.Event()  # the computing of the first stack

    @contextmanager
    def room(self, plan: Plan, _: Stack | None = None) -> Iterator[Share]:
        """Wait until there is room for a stack; one that no other stands beside always has it."""
        needed = own_bytes(plan)
        self.take(needed, room_bytes(plan, self.limit_bytes))
        try:
            yield whole
        finally:
            self.give_back(needed)

    def surroundings(self, clusters: Clusters, outlines: Outlines) -> Surroundings:
        """What all stacks share that wait for each other here."""
        turns = (self.room, self.computing)
        return Surroundings(None, clusters, *turns, alone=False, at_once=self._most_computing, outlines=outlines)

    def take(self, needed: int, room: int) -> None:
        """Wait until so many bytes fit beside those that are held; they always do if none is."""
        self._wait(lambda: not self._held_bytes or self._held_bytes + needed <= room)
        self._held_bytes += needed
        self._changed.release()

    def give_back(self, held: int) -> None:
        """Hold so many bytes less."""
        with self._changed:
            self._held_bytes -= held
            self._changed.notify_all()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Wait for a turn to compute, or to be ready."""
        self._wait(lambda: self._computing < self._most_taking_turns)
        self._computing += 1
        self._changed.release()
        self.begun.set()
        try:
            yield
        finally:
            with self._changed:
                self._computing -= 1
                self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Wait until it is so, and keep the lock. Raises an interrupt that was requested."""
        self._changed.acquire()
        try:
            while not ready():
                refuse_if_stopped()
                self._changed.wait(LOOK_SECONDS)
        except BaseException:
            self._changed.release()
            raise


def own_bytes(plan: Plan) -> int:
    """The bytes that a stack takes in this process, besides what the process takes anyway."""
    return max(map(_bytes_here, plan.passes))


def _bytes_here(pass_: Pass) -> int:
    """Those of its tasks and results; of its results alone, if the tasks are on workers."""
    if pass_.cluster.kind.in_process and pass_.worker_bytes is not None:
        return max(pass_.worker_bytes - PROCESS_BYTES, 0)
    rasters = sum(len(stage.layers) for stage in pass_.stages if stage.over is Over.time)
    height, width = pass_.shape
    if pass_.spool_bytes:
        return strip_bytes(width, pass_.raster.itemsize)
    return (rasters + _ENCODED) * height * width * pass_.raster.itemsize if rasters else 0


def room_bytes(plan: Plan, limit_bytes: int) -> int:
    """The bytes that all stacks of this process may take besides it: of the machine, or of a stage's setting."""
    limits = [pass_.workers.memory_bytes for pass_ in plan.passes if pass_.cluster.kind.in_process]
    return min([limit_bytes, *(limit for limit in limits if limit is not None)]) - PROCESS_BYTES


def most_computing(job: JobSettings) -> int:
    """The number of stacks that compute at a time: one, where the engine or the cluster is for one alone."""
    alone = any(stage.cluster.kind is ClusterKind.sync for stage in job.stages.values())
    return 1 if alone or job.engine is EngineName.xarray else _COMPUTING


def most_under_way(job: JobSettings) -> int:
    """The number of stacks that are prepared, computed or written at a time."""
    return most_computing(job) + _BESIDE
