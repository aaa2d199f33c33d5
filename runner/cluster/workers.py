"""Workers of a stage: the protocol that all of them follow, and the threads of this process."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from runner.base.sizes import parse_bytes
from runner.cluster.keys import key_of
from runner.cluster.monitor import Watch
from runner.errors import ClusterError
from runner.host.cpus import cpu_count
from runner.host.memory import memory_limit_bytes
from runner.host.threads import Mapped, Result, Shared, SharedThreads, Task, map_on_threads, threads_joined
from runner.settings import ClusterKind, ClusterSettings

if TYPE_CHECKING:
    from dask.delayed import Delayed

Answer = TypeVar("Answer")
OnDone = Callable[[], None]


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """The workers that a cluster has, or has had so far: the most at a time."""

    kind: str
    n_workers: int
    threads: int  # of all workers together
    address: str | None = None
    dashboard: str | None = None


class Cluster(Protocol):
    """Workers that compute lazy dask values."""

    watch: Watch

    @property
    def size(self) -> ClusterSize:
        """Its workers; some may come later."""

    def compute(self, pieces: "Sequence[Delayed]", on_done: OnDone) -> list[Any]:
        """The values of `pieces`, in their order; `on_done` is called as each of them is ready."""

    def map(
        self, function: Mapped[Shared, Task, Result], shared: Shared, tasks: Sequence[Task], stop: Callable[[], None]
    ) -> Generator[Result, None, None]:
        """The results of all tasks, as they are done; few of them wait to be taken.

        function(shared, tasks) yields a result for each task, in order, and may take the next task before. It runs once
        on each thread of this process, and once for each bundle of tasks elsewhere. If the generator ends before the
        last result, `stop` is called, so that tasks under way in this process end too.
        """

    def everywhere(self, function: Callable[..., Answer], *arguments: Any) -> dict[str, Answer]:
        """The answer of a function from each worker."""


def worker_memory(settings: ClusterSettings, processes: int) -> int:
    """Bytes that each worker may have: the setting, or an equal share of the memory of this process."""
    if settings.memory_limit in (None, "auto"):
        return memory_limit_bytes() // processes
    return parse_bytes(settings.memory_limit)


class KillingTaskError(ClusterError):
    """The workers that took a task died, one after the other. `work` is the task as it was mapped, or None."""

    def __init__(self, work: object = None, name: str = "one task") -> None:
        super().__init__(
            f"workers died over and over at {name}: mostly for lack of memory; raise {key_of('memory_limit')}, "
            "or use smaller chunks or fewer workers"
        )
        self.work = work


def this_process(settings: ClusterSettings) -> Cluster:
    """This thread, or threads of this process."""
    return _ThisProcess(settings)


@contextmanager
def threads_kept(settings: ClusterSettings) -> Iterator[Cluster]:
    """Threads of this process that stay for pass after pass. A thread that has no task left takes those of the next."""
    cluster = _ThisProcess(settings)
    with threads_joined(ThreadPoolExecutor(cluster.size.threads, "worker")) as pool:
        cluster.shared = SharedThreads(pool, cluster.size.threads)
        yield cluster


class _ThisProcess:
    shared: SharedThreads | None = None

    def __init__(self, settings: ClusterSettings) -> None:
        threads = 1 if settings.kind is ClusterKind.sync else settings.threads_per_worker or cpu_count()
        self._size = ClusterSize(settings.kind.value, 1, threads)
        self.watch = Watch()

    @property
    def size(self) -> ClusterSize:
        return self._size

    def compute(self, pieces: "Sequence[Delayed]", on_done: OnDone) -> list[Any]:
        import dask.base  # noqa: PLC0415 - the xarray engine, which alone computes so, has loaded it
        from dask.callbacks import Callback  # noqa: PLC0415 - as above

        keys = {piece.key for piece in pieces}

        def count(key: object, *_: object) -> None:
            if key in keys:
                on_done()

        with ThreadPoolExecutor(self.size.threads) as pool, Callback(posttask=count):
            options = {"scheduler": "sync"} if self.size.kind == "sync" else {"scheduler": "threads", "pool": pool}
            return list(dask.base.compute(*pieces, **options))

    def map(
        self, function: Mapped[Shared, Task, Result], shared: Shared, tasks: Sequence[Task], stop: Callable[[], None]
    ) -> Generator[Result, None, None]:
        if self.size.kind == "sync":
            yield from function(shared, iter(tasks))
            return
        yield from map_on_threads(function, shared, tasks, self.shared or self.size.threads, stop)

    def everywhere(self, function: Callable[..., Answer], *arguments: Any) -> dict[str, Answer]:
        return {"this process": function(*arguments)}
