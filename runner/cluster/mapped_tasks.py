"""Short tasks mapped over the workers of a dask scheduler, handed out and fetched several at a time.

A task that is handed out alone, and whose result comes by way of the scheduler, takes the driver milliseconds. So what
is done together is fetched together, from the workers themselves where they can be reached, and as many tasks follow.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic

from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError

from runner.cluster.placed_tasks import ScheduledWorkers
from runner.cluster.unprofiled import unprofiled
from runner.host.threads import Mapped, Result, Shared, Task

_EACH: Final = 2  # tasks under way for each thread
_TOGETHER: Final = 16  # results fetched at a time, each of which may take megabytes
_DIRECT_SECONDS: Final = 10.0  # for the first results that are fetched from the workers themselves


@dataclass(slots=True)
class MappedTasks(Generic[Shared, Task, Result]):
    """Tasks of which `function(shared, iterator of one task)` makes results on workers, in any order."""

    workers: ScheduledWorkers
    function: Mapped[Shared, Task, Result]
    shared: Shared
    tasks: Sequence[Task]
    _under_way: dict[Any, Task] = field(default_factory=dict)
    _done: "SimpleQueue[Any]" = field(default_factory=SimpleQueue)
    _direct: bool = True  # until workers cannot be reached

    def results(self) -> Generator[Result, None, None]:
        """The results, as they are done. Raises the error of a task, KillingTaskError, ClusterError."""
        demand, left = self.workers.liveness.demand, len(self.tasks)
        demand.add(tasks=left)
        try:
            for done in self._batches():
                demand.add(tasks=-len(done))
                left -= len(done)
                yield from done
        finally:
            demand.add(tasks=-left)

    def _batches(self) -> Iterator[list[Result]]:
        """The results that are fetched together."""
        waiting = iter(self.tasks)
        # A task, not scattered data, which is lost with the last worker that has it, and every task with it.
        everywhere = self.workers.client.submit(_unchanged, self.shared, pure=False)
        submit = partial(self._submit, waiting, everywhere)
        submit()
        while self._under_way:
            done = self._some_done(submit)
            results = self._fetched(done)
            for future in done:
                del self._under_way[future]
                future.release()
            submit()
            yield results

    def _submit(self, waiting: Iterator[Task], everywhere: Any) -> None:
        """Keep tasks under way for each thread that there is now."""
        most = max(_EACH * self.workers.liveness.threads, 1)  # one while there is none, or the pass would end
        tasks = list(islice(waiting, max(most - len(self._under_way), 0)))
        if not tasks:
            return
        futures = self.workers.client.map(
            _one, tasks, function=self.function, shared=everywhere, pure=False, batch_size=len(tasks)
        )
        for future, task in zip(futures, tasks, strict=True):
            self._under_way[future] = task
            future.add_done_callback(self._done.put)

    def _some_done(self, submit: Callable[[], None]) -> list[Any]:
        """The futures that are done, once there is one; workers that come meanwhile get tasks."""
        done = [self.workers.liveness.take(self._done, submit)]
        with suppress(Empty):
            while len(done) < _TOGETHER:
                done.append(self._done.get_nowait())
        return done

    def _fetched(self, futures: Sequence[Any]) -> list[Result]:
        """The results of futures that are done: all at once if none has failed, or one after the other."""
        if all(future.status == "finished" for future in futures):
            try:
                return list(self._together(futures))
            except (OSError, TimeoutError, FutureCancelledError, CommClosedError):
                self._direct = False
        return [self.workers.liveness.result_of(future, self._under_way[future]) for future in futures]

    def _together(self, futures: Sequence[Any]) -> Any:
        client, direct = self.workers.client, self._direct or None

        async def gather() -> Any:
            return await client.gather(list(futures), direct=direct, asynchronous=True)

        patience = _DIRECT_SECONDS if self._direct else self.workers.liveness.seconds
        return client.sync(gather, callback_timeout=patience)


def _unchanged(shared: Shared) -> Shared:
    """The shared data of tasks on a worker; dask sends it again if the workers that had it are gone."""
    return shared


def _one(task: Task, function: Mapped[Shared, Task, Result], shared: Shared) -> Result:
    """One task's result, on a worker."""
    with unprofiled():
        (result,) = function(shared, iter([task]))
    return result
