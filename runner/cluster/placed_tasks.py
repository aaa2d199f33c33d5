"""Long tasks placed on chosen workers of a dask scheduler: as many on each as keep it busy, and no more.

dask shares out tasks by the threads of its workers. A task that is a whole run has threads of its own, and waits
often; so it leaves its thread at once, and this module counts what each worker has. A task whose worker is lost is
placed on another one.
"""

import logging
import time
from asyncio import wait_for
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, NamedTuple, Protocol

from distributed import KilledWorker
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError

from runner.cluster.liveness import Liveness
from runner.cluster.monitor import Watch
from runner.errors import ClusterError, RunnerError
from runner.host.threads import Result, Shared, Task

_LOOK_SECONDS: Final = 1.0  # between two looks at the workers there are
_TRIES: Final = 3  # of a task whose workers are lost
_FETCH_SECONDS: Final = 30.0  # for a result, which is small

log = logging.getLogger(__name__)


class ScheduledWorkers(Protocol):
    """Workers behind a dask scheduler, as `open_cluster` gives them."""

    @property
    def client(self) -> Any:
        """The client of the scheduler."""

    @property
    def liveness(self) -> Liveness:
        """The watch over the scheduler and its workers."""

    @property
    def watch(self) -> Watch:
        """The losses of workers, and the tasks that they had."""


class Outcome(NamedTuple):
    """A task that has ended: with its result, or with None and the workers that were lost with it, try after try."""

    task: Any
    result: Any
    lost: tuple[str, ...]


@dataclass(slots=True)
class _Placed(Generic[Task]):
    task: Task
    lost: tuple[str, ...] = ()  # the workers that had it before
    worker: str = ""


@dataclass(slots=True)
class PlacedTasks(Generic[Shared, Task, Result]):
    """Tasks of which `function(shared, task)` makes results on workers, in this order.

    `most` tells how many a worker may have at a time, of the number of tasks that are left and of workers.
    """

    workers: ScheduledWorkers
    function: Callable[[Shared, Task], Result]
    shared: Shared
    tasks: Sequence[Task]
    most: Callable[[int, int], int]
    _waiting: deque[_Placed[Task]] = field(init=False)
    _under_way: dict[Any, _Placed[Task]] = field(default_factory=dict)
    _done: "SimpleQueue[tuple[Any, Any, Exception | None]]" = field(default_factory=SimpleQueue)
    _living: dict[str, bool] = field(default_factory=dict)  # by address: whether it takes tasks
    _looked: float = 0.0
    _everywhere: Any = None
    _closed: bool = False
    _told: int = 0  # tasks that the cluster knows to be left

    def __post_init__(self) -> None:
        self._waiting = deque(_Placed(task) for task in self.tasks)
        # A task, not scattered data, which is lost with the last worker that has it, and every task with it.
        self._everywhere = self.workers.client.submit(_unchanged, self.shared, pure=False)

    @property
    def under_way(self) -> list[Task]:
        """The tasks that workers have."""
        return [placed.task for placed in self._under_way.values()]

    def next(self, seconds: float | None = None) -> Outcome | None:
        """The next task that ends; None if there is none any more, or none within so many seconds.

        Raises ClusterError if the scheduler or all workers are gone, and the error of a function that failed.
        """
        stop = None if seconds is None else time.monotonic() + seconds
        while True:
            self._look_if_due()
            self._place()
            self._tell_demand()
            if not self._under_way and not self._waiting:
                return None
            try:
                outcome = self._outcome(*self._done.get(timeout=_LOOK_SECONDS))
            except Empty:
                self.workers.liveness.check()
                outcome = self._given_up()
            if outcome is not None:
                return outcome
            if stop is not None and time.monotonic() > stop:
                return None

    def place_no_more(self) -> None:
        """Place no further task, and none again whose worker is lost."""
        self._closed = True
        self._waiting.clear()

    def cancel(self) -> None:
        """Let workers know that nobody wants the results any more."""
        self.place_no_more()
        for future in [*self._under_way, self._everywhere]:
            future.cancel()
        self._under_way.clear()
        self._tell_demand()

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function in every worker process, and do not wait: some may not answer."""
        client = self.workers.client

        async def ask() -> None:
            with suppress(Exception):  # a scheduler that is gone is reported elsewhere
                await client.run(function, *args, on_error="ignore", asynchronous=True)

        client.loop.add_callback(ask)

    def _tell_demand(self) -> None:
        """Tell how many tasks are left, which the number of workers may follow."""
        left = len(self._waiting) + len(self._under_way)
        self.workers.liveness.demand.add(runs=left - self._told)
        self._told = left

    # --- placing ----------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        """Place waiting tasks on the workers that have the fewest."""
        taking = [address for address, takes in self._living.items() if takes]
        if not taking or not self._waiting:
            return
        most = self.most(len(self._waiting) + len(self._under_way), len(taking))
        held = Counter(placed.worker for placed in self._under_way.values())
        while self._waiting:
            worker = min(taking, key=lambda address: held[address])
            if held[worker] >= most:
                return
            self._submit(self._waiting.popleft(), worker)
            held[worker] += 1

    def _submit(self, placed: _Placed[Task], worker: str) -> None:
        placed.worker = worker
        future = self.workers.client.submit(
            self.function, self._everywhere, placed.task, pure=False, workers=[worker], allow_other_workers=False
        )
        self._under_way[future] = placed
        loop = self.workers.client.loop
        future.add_done_callback(lambda done: loop.add_callback(self._fetch, done))

    # --- ends -------------------------------------------------------------------------------------------------------

    async def _fetch(self, future: Any) -> None:
        """Fetch a result while others are waited for: a worker that computes may take its time to answer."""
        result, error = None, None
        try:
            result = await wait_for(self.workers.client.gather(future, asynchronous=True), _FETCH_SECONDS)
        except Exception as problem:  # noqa: BLE001 - raised or explained by `_outcome`
            error = problem
        self._done.put((future, result, error))

    def _outcome(self, future: Any, result: Any, error: Exception | None) -> Outcome | None:
        """The outcome of a future that is done; None if its worker was lost meanwhile, and the task is placed again."""
        placed = self._under_way.pop(future, None)
        if placed is None:  # given up before
            return None
        future.release()
        if error is None:
            return Outcome(placed.task, result, placed.lost)
        if isinstance(error, (KilledWorker, FutureCancelledError, CommClosedError, TimeoutError)):
            self.workers.liveness.check()
            return self._lost(placed)
        if isinstance(error, RunnerError):
            raise error
        raise ClusterError(
            f"worker {placed.worker} cannot take a task ({type(error).__name__}: {error}); install there the same "
            "version of this package and of what it requires"
        ) from error

    def _given_up(self) -> Outcome | None:
        """Give up the tasks of workers that are gone, and place them again; the outcome of one that is not."""
        for future, placed in list(self._under_way.items()):
            if placed.worker not in self._living:
                del self._under_way[future]
                future.cancel()
                outcome = self._lost(placed)
                if outcome is not None:
                    return outcome
        return None

    def _lost(self, placed: _Placed[Task]) -> Outcome | None:
        """Place a task again, in front of others, or give it up after some tries."""
        lost = (*placed.lost, placed.worker)
        log.warning("worker %s was lost with a task, which has lost %d now", placed.worker, len(lost))
        if self._closed or len(lost) >= _TRIES:
            return Outcome(placed.task, None, lost)
        self._waiting.appendleft(_Placed(placed.task, lost))
        return None

    def _look_if_due(self) -> None:
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        liveness = self.workers.liveness
        self._living = liveness.ask(
            self.workers.client.run_on_scheduler, _living_workers(), callback_timeout=liveness.seconds
        )
        self._looked = time.monotonic()


def _unchanged(shared: Shared) -> Shared:
    """The shared data of tasks on a worker; dask sends it again if the workers that had it are gone."""
    return shared


def _living_workers() -> Callable[..., dict[str, bool]]:
    """A function sent by value, since a scheduler need not have this package."""

    def living(dask_scheduler: Any) -> dict[str, bool]:
        workers: Iterable[Any] = dask_scheduler.workers.values()
        return {worker.address: worker.status.name == "running" for worker in workers}

    return living
