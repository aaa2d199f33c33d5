"""Tasks mapped over the workers of a dask scheduler, wherever they are."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, Final

import dask
from dask.delayed import Delayed

from runner.cluster.answers import answer_of
from runner.cluster.connection import connected
from runner.cluster.event_loop import event_loop
from runner.cluster.keys import key_of
from runner.cluster.kinds import starter
from runner.cluster.liveness import Liveness, gone
from runner.cluster.mapped_tasks import MappedTasks
from runner.cluster.monitor import DaskWatch, Watch
from runner.cluster.started import Started
from runner.cluster.worker_setup import Setup, workers_set_up
from runner.cluster.workers import Answer, Cluster, ClusterSize, OnDone
from runner.errors import ClusterError
from runner.host.stopping import refuse_if_stopped
from runner.host.threads import Mapped, Result, Shared, Task
from runner.settings import ClusterKind, ClusterSettings

_LOOK_SECONDS: Final = 2.0


class _DaskWorkers:
    """Workers behind a dask scheduler."""

    def __init__(self, client: Any, kind: str, started: Started, liveness: Liveness) -> None:
        self._client, self._liveness = client, liveness
        self._kind = kind
        self._addresses = client.scheduler.address, client.dashboard_link  # which is asked of a scheduler that is there
        self.watch: Watch = DaskWatch(client, elsewhere=started.elsewhere)

    @property
    def size(self) -> ClusterSize:
        most = self._liveness.most
        return ClusterSize(self._kind, most.number, most.threads, *self._addresses)

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
        "distributed.deploy.lost-worker-timeout": f"{_return_seconds(settings)}s",
        "distributed.admin.tick.limit": "30s",  # a task may decode for seconds
    }
    with (
        dask.config.set(config),
        event_loop(settings) as loop,
        start(settings, loop) as started,
        connected(settings, started, loop) as client,
    ):
        _await_workers(client, settings, started)
        liveness = Liveness(client, settings.silent_timeout, started, _patience(settings))
        with liveness.watched(), workers_set_up(client, liveness, setup):
            yield _DaskWorkers(client, settings.kind.value, started, liveness)


def _return_seconds(settings: ClusterSettings) -> float:
    """Seconds in which a lost worker may come back before its place is cleared.

    A process is started again at once, which takes as long as the first start. A job that has ended does not come back.
    """
    return 5.0 if settings.kind.is_queue else settings.start_timeout


def _await_workers(client: Any, settings: ClusterSettings, started: Started) -> None:
    """Wait for the workers without which no pass begins. Raises ClusterError, and an interrupt."""
    wanted = _awaited(settings)
    stop = time.monotonic() + settings.start_timeout

    def refuse_to_wait() -> None:
        refuse_if_stopped()
        if time.monotonic() > stop + _LOOK_SECONDS:
            raise ClusterError(gone(client))

    while True:
        refuse_if_stopped()
        try:
            patience = min(_LOOK_SECONDS, max(stop - time.monotonic(), 0.1))
            answer_of(partial(client.wait_for_workers, wanted, timeout=patience), refuse_to_wait)
        except TimeoutError as error:
            if time.monotonic() > stop:
                came = len(client.scheduler_info(n_workers=-1)["workers"])
                raise ClusterError(_missing(wanted, came, settings, started.explain())) from error
            started.renew()
        else:
            started.renew()  # which learns who has come
            return


def _awaited(settings: ClusterSettings) -> int:
    """All processes and hosts, or as many as an address shall have; the first of a queue or of a gateway."""
    if settings.kind is ClusterKind.ssh:
        return len(settings.hosts) * (settings.processes or 1)
    if settings.kind in (ClusterKind.processes, ClusterKind.address):
        return settings.n_workers or 1
    return 1


def _missing(wanted: int, came: int, settings: ClusterSettings, why: str) -> str:
    count = f"{came} of {wanted} workers" if came else "no worker"
    why = why or "raise it if workers take longer to start, or look at the logs of what starts them"
    return f"{count} came within {key_of('start_timeout')}={settings.start_timeout:g} s: {why}"


def _patience(settings: ClusterSettings) -> float:
    """Seconds that a run goes on without any worker: in place of others, jobs wait in a queue and processes start."""
    comes_back = settings.kind not in (ClusterKind.address, ClusterKind.plugin)
    return max(settings.silent_timeout, settings.start_timeout if comes_back else 0.0)
