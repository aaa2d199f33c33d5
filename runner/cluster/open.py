"""Clusters opened: this thread, threads of this process, worker processes, or a running dask scheduler.

All of them take the same tasks, and set the same GDAL options before they start.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from runner.cluster.workers import Cluster, this_process
from runner.read.gdal_environment import gdal_environment
from runner.settings import ClusterKind, ClusterSettings


@contextmanager
def open_cluster(settings: ClusterSettings, options: Mapping[str, str]) -> Iterator[Cluster]:
    """Start the workers with these GDAL options, and stop them on every way out.

    Raises ClusterError if none comes within `settings.start_timeout` seconds.
    """
    with gdal_environment(options):
        if settings.kind in (ClusterKind.sync, ClusterKind.threads):
            yield this_process(settings)
            return
        from runner.cluster.dask_workers import dask_workers  # noqa: PLC0415 - two thirds of a second

        with dask_workers(settings, options) as cluster:
            yield cluster
