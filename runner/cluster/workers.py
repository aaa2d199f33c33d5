"""The workers of a stage: this thread, threads of this process, worker processes, or a running dask scheduler.

All of them take the same work and set the same GDAL options before they do any.
"""

import logging
import os
import resource
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import dask
import dask.base
from dask.callbacks import Callback
from dask.delayed import Delayed
from dask.system import CPU_COUNT
from dask.utils import parse_bytes

from runner.cluster.liveness import Liveness
from runner.cluster.monitor import DaskWatch, Watch, await_answer
from runner.errors import ClusterError
from runner.host.memory import memory_limit_bytes
from runner.host.signals import signals_held
from runner.host.threads import map_on_threads
from runner.read.gdal_environment import gdal_environment, options_in_force
from runner.settings import ClusterKind, ClusterSettings

OnDone = Callable[[], None]
Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")
LOOPBACK = "127.0.0.1"
_FILES = 64  # open ones of a driver before its first worker process
_FILES_OF_A_WORKER = 10  # of the driver, seven and some room


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """What a cluster turned out to be."""

    kind: str
    n_workers: int
    threads: int  # of all workers together
    address: str | None = None
    dashboard: str | None = None


class Cluster(Protocol):
    """Workers that compute lazy dask values."""

    size: ClusterSize
    watch: Watch

    def compute(self, pieces: Sequence[Delayed], on_done: OnDone) -> list[Any]:
        """The values of `pieces`, in their order; `on_done` is called as each of them is ready."""

    def map(
        self,
        function: Callable[[Shared, Iterator[Task]], Iterator[Result]],
        shared: Shared,
        tasks: Sequence[Task],
        stop: Callable[[], None],
    ) -> Generator[Result, None, None]:
        """The results of all tasks, as they are done; few of them wait to be taken.

        function(shared, tasks) turns tasks into as many results, in order, and takes the next task when it likes; it
        runs once on each thread of this process, and once for each task elsewhere.
        However it ends before the last, `stop` is called, so that tasks under way in this process may end too.
        """

    def gdal_options(self, names: list[str]) -> dict[str, dict[str, str | None]]:
        """Worker by worker, what GDAL there holds for each name."""


def worker_memory(settings: ClusterSettings, processes: int) -> int:
    """The bytes each worker may have: the setting, or an even share of what this process may use."""
    if settings.memory_limit in (None, "auto"):
        return memory_limit_bytes() // processes
    return int(parse_bytes(settings.memory_limit))


@contextmanager
def open_cluster(settings: ClusterSettings, options: Mapping[str, str]) -> Iterator[Cluster]:
    """Start the workers with these GDAL options, and end them on every way out.

    Raises ClusterError if none comes within `settings.start_timeout` seconds.
    """
    with gdal_environment(options):
        if settings.kind in (ClusterKind.sync, ClusterKind.threads):
            yield _ThisProcess(settings)
        else:
            with _distributed(settings, options) as cluster:
                yield cluster


class _ThisProcess:
    """dask's local schedulers: no processes, no sockets."""

    def __init__(self, settings: ClusterSettings) -> None:
        threads = 1 if settings.kind is ClusterKind.sync else settings.threads_per_worker or CPU_COUNT
        self.size = ClusterSize(settings.kind.value, 1, threads)
        self.watch = Watch()

    def compute(self, pieces: Sequence[Delayed], on_done: OnDone) -> list[Any]:
        keys = {piece.key for piece in pieces}

        def count(key: object, *_: object) -> None:
            if key in keys:
                on_done()

        with ThreadPoolExecutor(self.size.threads) as pool, Callback(posttask=count):
            options = {"scheduler": "sync"} if self.size.kind == "sync" else {"scheduler": "threads", "pool": pool}
            return list(dask.base.compute(*pieces, **options))

    def map(
        self,
        function: Callable[[Shared, Iterator[Task]], Iterator[Result]],
        shared: Shared,
        tasks: Sequence[Task],
        stop: Callable[[], None],
    ) -> Generator[Result, None, None]:
        if self.size.kind == "sync":
            yield from function(shared, iter(tasks))
            return
        yield from map_on_threads(function, shared, tasks, self.size.threads, stop)

    def gdal_options(self, names: list[str]) -> dict[str, dict[str, str | None]]:
        return {"this process": options_in_force(names)}


class _Distributed:
    """Workers behind a dask scheduler."""

    def __init__(self, client: Any, kind: ClusterKind, liveness: Liveness) -> None:
        self._client, self._liveness = client, liveness
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        threads = sum(worker["nthreads"] for worker in workers)
        self.size = ClusterSize(kind.value, len(workers), threads, client.scheduler.address, client.dashboard_link)
        self.watch: Watch = DaskWatch(client, elsewhere=kind is ClusterKind.address)

    def compute(self, pieces: Sequence[Delayed], on_done: OnDone) -> list[Any]:
        futures = self._client.compute(list(pieces))
        done = _to_come(futures)
        for _ in futures:
            self._result(self._liveness.take(done))
            on_done()
        return list(self._client.gather(futures))

    def map(
        self,
        function: Callable[[Shared, Iterator[Task]], Iterator[Result]],
        shared: Shared,
        tasks: Sequence[Task],
        stop: Callable[[], None],
    ) -> Generator[Result, None, None]:
        del stop  # workers end with their cluster
        waiting = iter(tasks)
        # A task, not scattered data: that is lost with the last worker that has it, and every task with it.
        everywhere = self._client.submit(_unchanged, shared, pure=False)
        done: SimpleQueue[Any] = SimpleQueue()
        under_way: dict[Any, Task] = {}

        def submit(count: int) -> None:
            for task in islice(waiting, count):
                future = self._client.submit(_first, function, everywhere, task, pure=False)
                under_way[future.key] = task
                future.add_done_callback(done.put)

        submit(2 * self.size.threads)
        while under_way:
            future = self._liveness.take(done)
            result = self._result(future, under_way[future.key])
            del under_way[future.key]
            future.release()
            submit(1)
            yield result

    def _result(self, future: Any, task: Any = None) -> Any:
        """A future's result; its task's own error, or ClusterError if its workers died or their scheduler is gone."""
        from distributed import KilledWorker  # noqa: PLC0415 - imported by those who start workers
        from distributed.client import FutureCancelledError  # noqa: PLC0415 - as above
        from distributed.comm.core import CommClosedError  # noqa: PLC0415 - as above

        try:
            return self._fetched(future)
        except KilledWorker as error:
            raise KillingTaskError(task) from error
        except (FutureCancelledError, CommClosedError) as error:
            raise self._liveness.explain_cancelled(error) from error

    def _fetched(self, future: Any) -> Any:
        """The result, fetched from whoever has it, who may fall silent meanwhile; a large one gets more time."""
        patience = self._liveness.seconds
        while True:
            self._liveness.check()
            try:
                return future.result(timeout=patience)
            except TimeoutError:
                if future.status == "error":  # the task's own
                    raise
            patience *= 2

    def gdal_options(self, names: list[str]) -> dict[str, dict[str, str | None]]:
        return dict(self._liveness.ask(self._client.run, options_in_force, names))


class KillingTaskError(ClusterError):
    """The workers that took a task died, one after the other; `task` is what was mapped, or None."""

    def __init__(self, task: Any = None, what: str = "one task") -> None:
        super().__init__(
            f"workers died over and over at {what}: mostly for lack of memory; raise stages.NAME.cluster.memory_limit, "
            "or use smaller chunks or fewer workers"
        )
        self.task = task


def _unchanged(shared: Shared) -> Shared:
    """What tasks share, on a worker; made again where the workers that had it are gone."""
    return shared


def _to_come(futures: Iterable[Any]) -> "SimpleQueue[Any]":
    """Where each future is put once it is done, failed or cancelled."""
    done: SimpleQueue[Any] = SimpleQueue()
    for future in futures:
        future.add_done_callback(done.put)
    return done


def _first(function: Callable[[Shared, Iterator[Task]], Iterator[Result]], shared: Shared, task: Task) -> Result:
    """One task's result, on a worker."""
    (result,) = function(shared, iter([task]))
    return result


@contextmanager
def _distributed(settings: ClusterSettings, options: Mapping[str, str]) -> Iterator[_Distributed]:
    from distributed import Client  # noqa: PLC0415 - two thirds of a second that threads spare

    config = {
        "distributed.worker.multiprocessing-method": "spawn",  # GDAL and network clients do not survive a fork
        "distributed.comm.timeouts.connect": f"{settings.start_timeout}s",
        "distributed.scheduler.allowed-failures": 2,
        "distributed.scheduler.worker-ttl": None,  # of our own scheduler: `Liveness` sees to silent workers
        "distributed.admin.large-graph-warning-threshold": "1GiB",  # what tasks share grows with the scenes
        "distributed.admin.tick.limit": "30s",  # a task that decodes for seconds is no cause for a warning
    }
    with dask.config.set(config), _scheduler(settings) as address:
        try:
            if settings.kind is ClusterKind.address:
                await_answer(address, settings.start_timeout)
            client = Client(address, timeout=settings.start_timeout, set_as_default=False)
        except TypeError as error:
            raise ClusterError(
                f"the dask scheduler at {settings.address} cannot be asked: dask has no certificates for TLS here; "
                "name them in dask's own config (distributed.comm.tls)"
            ) from error
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"no dask scheduler answers at {settings.address} (wanted tcp://host:port): start one with "
                "'dask scheduler', or choose processes"
            ) from error
        with client:
            try:
                client.wait_for_workers(settings.n_workers or 1, timeout=settings.start_timeout)
            except TimeoutError as error:
                raise ClusterError(f"no worker came within start_timeout={settings.start_timeout:g} s") from error
            liveness = Liveness(client, settings.silent_timeout)
            with liveness.watched(), _options_set(client, settings.kind, liveness, options):
                yield _Distributed(client, settings.kind, liveness)


@contextmanager
def _options_set(client: Any, kind: ClusterKind, liveness: Liveness, options: Mapping[str, str]) -> Iterator[None]:
    """Set GDAL options on all workers; those that are not ours get their own back."""
    before = liveness.ask(client.run, _set_options, dict(options))
    try:
        yield
    finally:
        if kind is ClusterKind.address:
            with suppress(ClusterError):  # the scheduler is gone, which the run's error tells
                liveness.check()
                liveness.ask(client.run, _restore_options, before)


def _set_options(options: dict[str, str]) -> dict[str, str | None]:
    before = {name: os.environ.get(name) for name in options}
    os.environ.update(options)
    return before


def _restore_options(before: dict[str, dict[str, str | None]], dask_worker: Any = None) -> None:
    for name, value in before.get(dask_worker.address, {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _scheduler(settings: ClusterSettings) -> Iterator[Any]:
    """The address of a running scheduler, or a cluster of worker processes of our own."""
    if settings.kind is ClusterKind.address:
        yield settings.address
        return
    from distributed import LocalCluster  # noqa: PLC0415 - see above

    workers = settings.n_workers or CPU_COUNT
    _refuse_few_files(workers)
    with ExitStack() as started:
        with signals_held(), _start_explained(settings):
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=settings.threads_per_worker or 1,
                memory_limit=worker_memory(settings, workers),
                processes=True,
                host=LOOPBACK,
                dashboard_address=f"{LOOPBACK}:0",
                silence_logs=logging.CRITICAL,  # a worker that is being closed complains of its lost scheduler
            )
            started.enter_context(cluster)
        yield cluster


def _refuse_few_files(workers: int) -> None:
    """Raise ClusterError where workers could not be connected to; dask would try again for good, deaf to signals."""
    may, need = resource.getrlimit(resource.RLIMIT_NOFILE)[0], _FILES + _FILES_OF_A_WORKER * workers
    if may != resource.RLIM_INFINITY and may < need:
        raise ClusterError(
            f"{workers} worker processes need {need} open files, and this process may have {may}; raise that by "
            f"'ulimit -n {need}', or choose threads"
        )


@contextmanager
def _start_explained(settings: ClusterSettings) -> Iterator[None]:
    """Raise ClusterError for what dask says of processes that it cannot start, or that end at once or are slow."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise ClusterError(
            f"the worker processes do not start ({' '.join(str(error).split())}); ask for fewer by "
            "stages.NAME.cluster.n_workers, raise stages.NAME.cluster.start_timeout, which is "
            f"{settings.start_timeout:g} s, or choose threads"
        ) from error
