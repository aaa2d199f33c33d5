"""Worker processes of our own, or the workers of a running dask scheduler."""

import logging
import os
import resource
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue
from typing import Any, Final

import dask
from dask.delayed import Delayed
from distributed import Client, KilledWorker, LocalCluster
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.utils import LoopRunner

from runner.cluster.liveness import Liveness
from runner.cluster.mapped_tasks import MappedTasks
from runner.cluster.monitor import DaskWatch, Watch, await_answer
from runner.cluster.workers import Cluster, ClusterSize, KillingTaskError, OnDone, worker_memory
from runner.errors import ClusterError
from runner.host.cpus import cpu_count
from runner.host.garbage import collection_paused
from runner.host.signals import signals_held
from runner.host.threads import Mapped, Result, Shared, Task
from runner.read.gdal_environment import options_in_force
from runner.settings import ClusterKind, ClusterSettings

LOOPBACK: Final = "127.0.0.1"
_STARTS: Final = 4  # attempts at an event loop, on a machine too busy for dask's limit
_FILES: Final = 64  # open files of a driver before its first worker process
_FILES_OF_A_WORKER: Final = 10  # of the driver; it needs seven


class _DaskWorkers:
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

    @property
    def client(self) -> Any:
        return self._client

    @property
    def liveness(self) -> Liveness:
        return self._liveness

    def map(
        self, function: Mapped[Shared, Task, Result], shared: Shared, tasks: Sequence[Task], stop: Callable[[], None]
    ) -> Generator[Result, None, None]:
        del stop  # workers end with their cluster
        yield from MappedTasks(self, function, shared, tasks).results()

    def _result(self, future: Any, task: Any = None) -> Any:
        """A future's result. Raises its task's error, or ClusterError if its workers died or the scheduler is gone."""
        try:
            return self._fetched(future)
        except KilledWorker as error:
            raise KillingTaskError(task) from error
        except (FutureCancelledError, CommClosedError) as error:
            raise self._liveness.explain_cancelled(error) from error

    def _fetched(self, future: Any) -> Any:
        """The result, fetched from its worker, which may fall silent meanwhile; a large one gets more time."""
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


def _to_come(futures: Iterable[Any]) -> "SimpleQueue[Any]":
    """The queue of futures that are done, failed or cancelled."""
    done: SimpleQueue[Any] = SimpleQueue()
    for future in futures:
        future.add_done_callback(done.put)
    return done


@contextmanager
def dask_workers(settings: ClusterSettings, options: Mapping[str, str]) -> Iterator[Cluster]:
    """Start or join the workers, and stop those that were started. Raises ClusterError."""
    config = {
        "distributed.worker.multiprocessing-method": "spawn",  # GDAL and network clients do not survive a fork
        "distributed.comm.timeouts.connect": f"{settings.start_timeout}s",
        "distributed.scheduler.allowed-failures": 2,
        "distributed.scheduler.worker-ttl": None,  # of our own scheduler: `Liveness` looks after silent workers
        "distributed.admin.large-graph-warning-threshold": "1GiB",  # the shared data grows with the scenes
        "distributed.admin.tick.limit": "30s",  # a task may decode for seconds
    }
    with dask.config.set(config), _event_loop(settings) as loop, _scheduler(settings, loop) as address:
        try:
            if settings.kind is ClusterKind.address:
                await_answer(address, settings.start_timeout)
            with collection_paused():  # as in `_event_loop`
                client = Client(address, loop=loop, timeout=settings.start_timeout, set_as_default=False)
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
                yield _DaskWorkers(client, settings.kind, liveness)


@contextmanager
def _options_set(client: Any, kind: ClusterKind, liveness: Liveness, options: Mapping[str, str]) -> Iterator[None]:
    """Set GDAL options on all workers. Workers of others get their own options back."""
    before = liveness.ask(client.run, _set_options, dict(options))
    try:
        yield
    finally:
        if kind is ClusterKind.address:
            with suppress(ClusterError):  # the scheduler is gone, as the run's error says
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
def _event_loop(settings: ClusterSettings) -> Iterator[Any]:
    """Run an event loop for a cluster and its client; a cluster that has none can neither be used nor closed.

    dask starts and stops loops under a lock. A client that was never closed takes it when it is collected: in this
    thread, forever.

    Its thread starts the worker processes, so it starts itself while signals are held.
    """
    with signals_held(), _start_explained(settings), collection_paused():
        runner = _started_runner()
    try:
        yield runner.loop
    finally:
        with collection_paused():
            runner.stop()


def _started_runner() -> LoopRunner:
    """Start dask's event loop. dask allows its thread ten seconds to start, and asserts it."""
    for _ in range(_STARTS):
        runner = LoopRunner()
        with suppress(AssertionError):
            runner.start()
            return runner
    raise RuntimeError(f"dask's event loop did not start in {_STARTS} attempts")


@contextmanager
def _scheduler(settings: ClusterSettings, loop: Any) -> Iterator[Any]:
    """The address of a running scheduler, or a cluster of worker processes of our own."""
    if settings.kind is ClusterKind.address:
        yield settings.address
        return
    workers = settings.n_workers or cpu_count()
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
                silence_logs=logging.CRITICAL,  # a worker that is being closed complains about its lost scheduler
                loop=loop,
            )
            started.enter_context(cluster)
        yield cluster


def _refuse_few_files(workers: int) -> None:
    """Raise ClusterError for too few open files. dask would retry forever, and ignore signals."""
    allowed, need = resource.getrlimit(resource.RLIMIT_NOFILE)[0], _FILES + _FILES_OF_A_WORKER * workers
    if allowed != resource.RLIM_INFINITY and allowed < need:
        raise ClusterError(
            f"{workers} worker processes need {need} open files, and this process may have {allowed}; raise that by "
            f"'ulimit -n {need}', or choose threads"
        )


@contextmanager
def _start_explained(settings: ClusterSettings) -> Iterator[None]:
    """Raise ClusterError if dask cannot start processes, or if they end at once or are slow."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise ClusterError(
            f"the worker processes do not start ({' '.join(str(error).split())}); ask for fewer by "
            "stages.NAME.cluster.n_workers, raise stages.NAME.cluster.start_timeout, which is "
            f"{settings.start_timeout:g} s, or choose threads"
        ) from error
