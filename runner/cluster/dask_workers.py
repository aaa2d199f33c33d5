"""Tasks mapped over the workers of a dask scheduler, wherever they are."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Final

import dask
from dask.delayed import Delayed

from runner.cluster.connection import connected
from runner.cluster.event_loop import event_loop
from runner.cluster.keys import key_of
from runner.cluster.kinds import starter
from runner.cluster.liveness import Liveness
from runner.cluster.mapped_tasks import MappedTasks
from runner.cluster.monitor import DaskWatch, Watch
from runner.cluster.started import Started
from runner.cluster.worker_setup import Setup, workers_set_up
from runner.cluster.workers import Answer, Cluster, ClusterSize, OnDone
from runner.errors import ClusterError
from runner.host.stopping import refuse_if_stopped
from runner.host.threads import Mapped, Result, Shared, Task
from runner.settings import ClusterKind, ClusterSettings

_ALL_AWAITED: Final = (ClusterKind.processes, ClusterKind.address)
_LOOK_SECONDS: Final = 2.0


class _DaskWorkers:
    """Workers behind a dask scheduler."""

    def __init__(self, client: Any, kind: str, started: Started, liveness: Liveness) -> None:
        self._client, self._liveness = client, liveness
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        threads = sum(worker["nthreads"] for worker in workers)
        self.size = ClusterSize(kind, len(workers), threads, client.scheduler.address, client.dashboard_link)
        self.watch: Watch = DaskWatch(client, elsewhere=started.elsewhere)

    def compute(self, pieces: Sequence[Delayed], on_done: OnDone) -> list[Any]:
        futures = self._client.compute(list(pieces))
        done = _to_come(futures)
        for _ in futures:
            self._liveness.result_of(self._liveness.take(done))
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

    def everywhere(self, function: Callable[..., Answer], *arguments: Any) -> dict[str, Answer]:
        return dict(self._liveness.ask(self._client.run, function, *arguments))


def _to_come(futures: Iterable[Any]) -> "SimpleQueue[Any]":
    """The queue of futures that are done, failed or cancelled."""
    done: SimpleQueue[Any] = SimpleQueue()
    for future in futures:
        future.add_done_callback(done.put)
    return done


@contextmanager
def dask_workers(settings: ClusterSettings, setup: Setup) -> Iterator[Cluster]:
    """Start or join the workers, set them up, and stop those that were started. Raises ClusterError."""
    start = starter(settings)
    config = {
        "distributed.worker.multiprocessing-method": "spawn",  # GDAL and network clients do not survive a fork
        "distributed.comm.timeouts.connect": f"{settings.start_timeout}s",
        "distributed.scheduler.allowed-failures": 2,
        "distributed.scheduler.worker-ttl": None,  # of our own scheduler: `Liveness` looks after silent workers
        "distributed.admin.large-graph-warning-threshold": "1GiB",  # the shared data grows with the scenes
        "distributed.deploy.lost-worker-timeout": "5s",  # after which a job that has ended is made up for
        "distributed.admin.tick.limit": "30s",  # a task may decode for seconds
    }
    with (
        dask.config.set(config),
        event_loop(settings) as loop,
        start(settings, loop) as started,
        connected(settings, started, loop) as client,
    ):
        _await_workers(client, settings, started)
        liveness = Liveness(client, settings.silent_timeout, started.renew, _patience(settings))
        with liveness.watched(), workers_set_up(client, liveness, setup):
            yield _DaskWorkers(client, settings.kind.value, started, liveness)


def _await_workers(client: Any, settings: ClusterSettings, started: Started) -> None:
    """Wait for the first worker, or for as many as an address shall have. Raises ClusterError, and an interrupt."""
    wanted = (settings.n_workers or 1) if settings.kind in _ALL_AWAITED else 1
    stop = time.monotonic() + settings.start_timeout
    while True:
        refuse_if_stopped()
        try:
            client.wait_for_workers(wanted, timeout=min(_LOOK_SECONDS, max(stop - time.monotonic(), 0.1)))
        except TimeoutError as error:
            if time.monotonic() > stop:
                why = started.explain()
                raise ClusterError(
                    f"no worker came within {key_of('start_timeout')}={settings.start_timeout:g} s{why and f': {why}'}"
                ) from error
            started.renew()
        else:
            return


def _patience(settings: ClusterSettings) -> float:
    """Seconds that a run goes on without any worker: jobs in place of others may wait in a queue."""
    return max(settings.silent_timeout, settings.start_timeout if settings.kind.is_queue else 0.0)
