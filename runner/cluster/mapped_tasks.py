"""Short tasks mapped over the workers of a dask scheduler, handed out in bundles and fetched several at a time.

A task that is handed out alone, and whose result comes by way of the scheduler, takes the driver milliseconds. So short
tasks go out together, which lets a worker fetch the ranges of one while it computes another; and what is done together
is fetched together, from the workers themselves where they can be reached.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic

from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError

from runner.cluster.bundles import Bundle, Done, Pace, done_together
from runner.cluster.placed_tasks import ScheduledWorkers
from runner.cluster.workers import KillingTaskError
from runner.host.threads import Mapped, Result, Shared, Task

_EACH: Final = 2  # bundles under way for each thread
_TOGETHER: Final = 16  # results fetched at a time, each of which may take megabytes
_DIRECT_SECONDS: Final = 10.0  # for the first results that are fetched from the workers themselves


@dataclass(slots=True)
class MappedTasks(Generic[Shared, Task, Result]):
    """Tasks of which `function(shared, iterator of tasks)` makes results on workers, in any order."""

    workers: ScheduledWorkers
    function: Mapped[Shared, Task, Result]
    shared: Shared
    tasks: Sequence[Task]
    _waiting: deque[Task] = field(init=False)
    _again: deque[Task] = field(default_factory=deque)  # one at a time, since their bundle did not end well
    _on_trial: bool = False  # nothing is under way but one of those
    _under_way: dict[Any, Bundle[Task]] = field(default_factory=dict)
    _done: "SimpleQueue[Any]" = field(default_factory=SimpleQueue)
    _pace: Pace = field(default_factory=Pace)
    _direct: bool = True  # until workers cannot be reached

    def __post_init__(self) -> None:
        self._waiting = deque(self.tasks)

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
        # A task, not scattered data, which is lost with the last worker that has it, and every task with it.
        everywhere = self.workers.client.submit(_unchanged, self.shared, pure=False)
        submit = partial(self._submit, everywhere)
        submit()
        while self._under_way:
            futures = self._some_done(submit)
            results = list[Result]()
            for future, done in zip(futures, self._fetched(futures), strict=True):
                bundle = self._under_way.pop(future)
                if len(done.results) == len(bundle):  # the watch need not know it: a cluster may have many passes
                    del self.workers.watch.handed_out[str(future.key)]
                future.release()
                self._again.extend(bundle[len(done.results) :])
                self._pace.take(done)
                results += done.results
            submit()
            yield results

    def _submit(self, everywhere: Any) -> None:
        """Keep bundles under way for each thread that there is now."""
        bundles = self._bundles(self.workers.liveness.threads)
        if not bundles:
            return
        futures = self.workers.client.map(
            done_together, bundles, function=self.function, shared=everywhere, pure=False, batch_size=len(bundles)
        )
        for future, bundle in zip(futures, bundles, strict=True):
            self._under_way[future] = self.workers.watch.handed_out[str(future.key)] = bundle
            future.add_done_callback(self._done.put)

    def _bundles(self, threads: int) -> list[Bundle[Task]]:
        """The bundles that go out next."""
        if self._again or self._on_trial:
            if self._under_way:
                return []
            self._on_trial = bool(self._again)
            if self._again:
                return [(self._again.popleft(),)]
        most = max(_EACH * threads, 1)  # one while there is none, or the pass would end
        return [self._next(threads) for _ in range(most - len(self._under_way)) if self._waiting]

    def _next(self, threads: int) -> Bundle[Task]:
        return tuple(self._waiting.popleft() for _ in range(self._pace.tasks(len(self._waiting), threads)))

    def _some_done(self, submit: Callable[[], None]) -> list[Any]:
        """The futures that are done, once there is one; workers that come meanwhile get tasks."""
        done = [self.workers.liveness.take(self._done, submit)]
        with suppress(Empty):
            while len(done) < _TOGETHER:
                done.append(self._done.get_nowait())
        return done

    def _fetched(self, futures: Sequence[Any]) -> list[Done[Result]]:
        """What futures have made that are done: all at once if none has failed, or one after the other."""
        if all(future.status == "finished" for future in futures):
            try:
                return list(self._together(futures))
            except (OSError, TimeoutError, FutureCancelledError, CommClosedError):
                self._direct = False
        return list(map(self._made_by, futures))

    def _made_by(self, future: Any) -> Done[Result]:
        """What a future has made. Nothing if its workers died: a scheduler blames all that was under way there."""
        try:
            done: Done[Result] = self.workers.liveness.result_of(future, self._under_way[future][0])
        except KillingTaskError:
            if self._on_trial:
                raise
            return Done([])
        return done

    def _together(self, futures: Sequence[Any]) -> Any:
        client, direct = self.workers.client, self._direct or None

        async def gather() -> Any:
            return await client.gather(list(futures), direct=direct, asynchronous=True)

        patience = _DIRECT_SECONDS if self._direct else self.workers.liveness.seconds
        return client.sync(gather, callback_timeout=patience)


def _unchanged(shared: Shared) -> Shared:
    """The shared data of tasks on a worker; dask sends it again if the workers that had it are gone."""
    return shared
