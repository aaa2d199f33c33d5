"""Worker processes on this machine, started for a stage and ended after it."""

import logging
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from distributed import LocalCluster

from runner.cluster.event_loop import start_explained
from runner.cluster.started import Started
from runner.cluster.workers import worker_memory
from runner.errors import ClusterError
from runner.host.cpus import cpu_count
from runner.host.signals import signals_held
from runner.settings import ClusterSettings

LOOPBACK: Final = "127.0.0.1"
_FILES: Final = 64  # open files of a driver before its first worker process
_FILES_OF_A_WORKER: Final = 10  # of the driver; it needs seven


@contextmanager
def local_processes(settings: ClusterSettings, loop: Any) -> Iterator[Started]:
    """Start worker processes behind a scheduler in this one. Nothing listens beyond loopback."""
    workers = settings.n_workers or cpu_count()
    _refuse_few_files(workers)
    with ExitStack() as started:
        with signals_held(), start_explained(settings):
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
        yield Started(cluster, elsewhere=False)


def _refuse_few_files(workers: int) -> None:
    """Raise ClusterError for too few open files. dask would retry forever, and ignore signals."""
    allowed, need = resource.getrlimit(resource.RLIMIT_NOFILE)[0], _FILES + _FILES_OF_A_WORKER * workers
    if allowed != resource.RLIM_INFINITY and allowed < need:
        raise ClusterError(
            f"{workers} worker processes need {need} open files, and this process may have {allowed}; raise that by "
            f"'ulimit -n {need}', or choose threads"
        )
