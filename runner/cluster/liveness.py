"""Liveness of a dask scheduler and its workers. A silent worker is given up, and others do its tasks.

The nanny beside it ends its process and starts another. Where the nanny is silent too, what started the worker is told.
A suspended process, or a machine that is cut off, keeps its connections open: a scheduler would wait for it for
minutes, and a client would wait for its scheduler forever.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, Final, NamedTuple

from distributed import KilledWorker
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError

from runner.base.console import tell
from runner.cluster.answers import answer_of
from runner.cluster.demand import Demand
from runner.cluster.keys import key_of
from runner.cluster.started import Started
from runner.cluster.workers import KillingTaskError
from runner.errors import ClusterError
from runner.host.stopping import refuse_if_stopped

_LOOKS: Final = 4  # within the time after which a worker counts as silent
_COUNT_SECONDS: Final = 2.0  # between two counts of threads
_LEAVING_SECONDS: Final = 1.0
log = logging.getLogger(__name__)


class Workers(NamedTuple):
    """Workers by the threads of all together, and their number."""

    threads: int
    number: int


class Liveness:
    """Watches the scheduler and the workers of a client. `seconds` is how long they may be silent.

    `started` is asked now and then to start workers in place of those that have ended. A run goes on for `patience`
    seconds without any.
    """

    def __init__(
        self, client: Any, seconds: float, started: Started | None = None, patience: float | None = None
    ) -> None:
        self._client, self._started = client, started or Started(client)
        self.seconds, self._patience = seconds, patience or seconds
        self.threads, self.most = 0, Workers(0, 0)  # of all workers; the most of them at a time
        self._take_count(self._counted_now())
        self._problem: str | None = None
        silence = key_of("silent_timeout")
        self._remedy = f"look at their logs and their machines' memory; {silence} says how long they may be silent"
        self._last_worker = time.time()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Give up silent workers in this context."""
        stop = threading.Event()
        thread = threading.Thread(target=copy_context().run, args=(self._watch, stop), name="liveness", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(_LEAVING_SECONDS)

    def take(self, done: "queue.SimpleQueue[Any]", while_waiting: Callable[[], None] = lambda: None) -> Any:
        """The next future that is done. Raises ClusterError if none can come any more, and a requested interrupt."""
        while True:
            refuse_if_stopped()
            try:
                return done.get(timeout=1.0)
            except queue.Empty:
                self.check()
                while_waiting()

    def ask(self, everywhere: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """The answers of a call to all workers. If one is given up meanwhile, the others are asked again.

        A scheduler that hangs is noticed while it is `watched`. Raises ClusterError.
        """
        for _ in range(3):
            try:
                return answer_of(partial(everywhere, *args, **options), self.check)
            except (OSError, TimeoutError) as error:
                problem = error
                self.look()
                self.check()
        raise ClusterError(f"workers do not answer ({problem}): {self._remedy}") from problem

    def result_of(self, future: Any, task: Any = None) -> Any:
        """The result of a future that is done. Its worker may fall silent meanwhile; a large result gets more time.

        Raises the error of its task, KillingTaskError with the `task` at which workers died, and ClusterError.
        """
        patience = self.seconds
        while True:
            self.check()
            try:
                return future.result(timeout=patience)
            except KilledWorker as error:
                raise KillingTaskError(task) from error
            except (FutureCancelledError, CommClosedError) as error:
                raise self._explain_cancelled(error) from error
            except TimeoutError:
                if future.status == "error":  # the task's own
                    raise
            patience *= 2

    def _explain_cancelled(self, reason: BaseException) -> ClusterError:
        """The reason why a task was cancelled: its scheduler is gone, or the workers with its data are."""
        self.look()
        return ClusterError(self._problem or f"workers are gone with data that tasks need ({reason}); {self._remedy}")

    def check(self) -> None:
        """Raise ClusterError if there is nothing left to wait for."""
        if self._client.status != "running":  # it has lost its futures, and reconnects or is closed
            self._problem = gone(self._client)
        if self._problem:
            raise ClusterError(self._problem)

    def look(self) -> None:
        """Give up the workers that are silent now."""
        try:
            self.check()
            silent, remaining = self._client.run_on_scheduler(
                _give_up_silent(nannies=self._started.nannies), limit=self.seconds, callback_timeout=self.seconds
            )
        except Exception as error:  # noqa: BLE001 - a closed client raises several kinds
            problem = f"{gone(self._client)} ({type(error).__name__}: {error})"
            self._problem = self._problem or problem
            return
        replaced = False
        for worker, ended in silent.items():
            line = f"worker {worker} was silent for {self.seconds:g} s and is given up; others do its tasks"
            log.warning("%s", line)
            tell(line)
            replaced |= ended or self._started.replace(worker)
        now = time.time()
        if remaining or replaced:
            self._last_worker = now
        elif now - self._last_worker > self._patience or (silent and self._patience == self.seconds):
            self._problem = f"no worker is left: all have been silent or gone for {self._patience:g} s; {self._remedy}"

    @property
    def demand(self) -> Demand:
        """What is left for the workers to do."""
        return self._started.demand

    def _counted_now(self) -> Mapping[str, int]:
        """The threads of each worker, as `nthreads` tells, which would wait forever. Raises ClusterError."""
        try:
            return dict(self._client.sync(self._client.scheduler.ncores, callback_timeout=self.seconds))
        except (OSError, TimeoutError) as error:
            raise ClusterError(f"{gone(self._client)} ({type(error).__name__}: {error})") from error

    def _take_count(self, threads: Mapping[str, int]) -> None:
        self.threads = sum(threads.values())
        self.most = max(self.most, Workers(self.threads, len(threads)))
        if threads:
            self.demand.threads_per_worker = self.threads / len(threads)

    def _watch(self, stop: threading.Event) -> None:
        every = self.seconds / _LOOKS
        looked = last = time.time()
        while not stop.wait(min(every, _COUNT_SECONDS)):
            now = time.time()
            slept = now - last > every + _COUNT_SECONDS  # this machine did, and workers wake up with it
            if now - looked >= every and not slept:
                self.look()
            if now - looked >= every or slept:
                looked = time.time()
            self._count()
            last = time.time()

    def _count(self) -> None:
        """Count the threads that there are, and let workers be started in place of those that have ended."""
        if self._problem:
            return
        try:
            # As `nthreads`, which would wait forever for a scheduler that is suspended, and this thread with it.
            self._take_count(self._client.sync(self._client.scheduler.ncores, callback_timeout=_COUNT_SECONDS))
            self._started.renew()
        except ClusterError as error:
            self._problem = str(error)
        except Exception as error:  # noqa: BLE001 - a closed client raises several kinds; `look` says what is wrong
            log.debug("workers are not counted: %s", error)


def gone(client: Any) -> str:
    """A scheduler that is lost, by its address, and what to do."""
    where = f"the dask scheduler at {client.scheduler.address}"
    return f"{where} is gone or does not answer; look at its log, start it again, and resume"


def _give_up_silent(*, nannies: bool) -> Callable[..., Any]:
    """A function sent by value, since a scheduler need not have this package.

    It gives silent workers up, and lets their `nannies` end them, suspended or not, and start others. Returns the
    silent ones, each with True if its nanny has answered, and the number of the workers that are left.
    """

    async def give_up(dask_scheduler: Any, limit: float) -> tuple[dict[str, bool], int]:
        import asyncio  # noqa: PLC0415 - the scheduler's own, as all below
        import time  # noqa: PLC0415

        from distributed.core import rpc  # noqa: PLC0415

        async def ended(nanny: str | None) -> bool:
            if not nannies or nanny is None:
                return False
            patience = min(limit / 4, 5.0)  # for a worker that is to end by itself, and then for the nanny's answer
            try:
                async with rpc(nanny, connection_args=dask_scheduler.connection_args) as beside:
                    await asyncio.wait_for(beside.kill(timeout=patience, reason="silent"), 2 * patience)
            except OSError:  # its machine is cut off, or all of it is suspended
                return False
            return True

        now = time.time()
        silent = {w.address: w.nanny for w in dask_scheduler.workers.values() if now - w.last_seen > limit}
        for address in silent:
            await dask_scheduler.remove_worker(address, stimulus_id=f"silent-{now}")
        answers = await asyncio.gather(*map(ended, silent.values()))
        return dict(zip(silent, answers)), len(dask_scheduler.workers)  # noqa: B905 - that Python may be older

    return give_up
