"""Clusters opened: this thread, threads of this process, worker processes, or a running dask scheduler.

All of them take the same tasks, and set the same GDAL options before they start.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Self

from runner.cluster.workers import Cluster, this_process, threads_kept
from runner.host.process_tree import Meter, Usage, child_pids, measured_usage
from runner.read.gdal_environment import gdal_environment
from runner.settings import ClusterKind, ClusterSettings, Versions

Prepare = Callable[[], object]


@contextmanager
def open_cluster(
    settings: ClusterSettings, options: Mapping[str, str], prepare: Prepare | None = None
) -> Iterator[Cluster]:
    """Start the workers with these GDAL options, and stop them on every way out.

    Workers that this process does not start itself call `prepare` before their first task, also those that come late.
    Raises ClusterError if none comes within `settings.start_timeout` seconds, or if one cannot be prepared.
    """
    with gdal_environment(options):
        if settings.kind.in_process:
            yield this_process(settings)
            return
        from runner.cluster.dask_workers import dask_workers  # noqa: PLC0415 - two thirds of a second
        from runner.cluster.worker_setup import Setup  # noqa: PLC0415 - as above

        remote = settings.kind is not ClusterKind.processes
        setup = Setup(options, prepare if remote else None, only_warn=settings.versions is Versions.warn)
        with dask_workers(settings, setup) as cluster:
            yield cluster


class Clusters:
    """The clusters of a run: each pass opens its own, and its processes are measured while it computes."""

    def known_processes(self) -> frozenset[int]:
        """Processes that are not a pass's, since they run before its cluster is opened, such as the demo's server."""
        return child_pids()

    def opened(
        self, settings: ClusterSettings, options: Mapping[str, str], prepare: Prepare | None = None
    ) -> AbstractContextManager[Cluster]:
        """Workers with these GDAL options, prepared, stopped on every way out. Raises ClusterError."""
        return open_cluster(settings, options, prepare)

    def measured(self, strangers: frozenset[int]) -> AbstractContextManager[Usage]:
        """The usage of this process and those it started, less the `strangers`."""
        return measured_usage(strangers)


class SharedClusters(Clusters):
    """Clusters that are opened once, and then shared by runs that overlap in time. Used as a context."""

    def __init__(self) -> None:
        self._open: dict[str, Cluster] = {}
        self._exits = ExitStack()
        self._meter = Meter()

    def __enter__(self) -> Self:
        self._exits.enter_context(self._meter.watching())
        return self

    def __exit__(self, *facts: object) -> None:
        self._exits.close()

    def open(self, settings: ClusterSettings, options: Mapping[str, str], prepare: Prepare | None = None) -> None:
        """Open a cluster, unless an equal one is open. Raises ClusterError."""
        key = _key(settings, options)
        if key in self._open:
            return
        if settings.kind is ClusterKind.threads:
            self._exits.enter_context(gdal_environment(options))
            self._open[key] = self._exits.enter_context(threads_kept(settings))
        else:
            self._open[key] = self._exits.enter_context(open_cluster(settings, options, prepare))

    def known_processes(self) -> frozenset[int]:
        """None: the meter knew them before the first cluster was opened."""
        return frozenset()

    def opened(
        self, settings: ClusterSettings, options: Mapping[str, str], prepare: Prepare | None = None
    ) -> AbstractContextManager[Cluster]:
        """The open cluster of these settings, or one that is opened for this pass alone."""
        cluster = self._open.get(_key(settings, options))
        return nullcontext(cluster) if cluster else open_cluster(settings, options, prepare)

    def measured(self, strangers: frozenset[int]) -> AbstractContextManager[Usage]:
        """The usage of all processes meanwhile, also by other runs."""
        del strangers
        return self._meter.measured()


def _key(settings: ClusterSettings, options: Mapping[str, str]) -> str:
    return repr((settings, sorted(options.items())))
