"""Tasks that dask's profiler leaves alone.

A worker looks at the calls of its busy threads a hundred times a second, and keeps a tree of them of each of the last
thousand seconds. That was 100 kB for each stack of an archive, half a gigabyte in all, and a twentieth of the time.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import get_worker


@contextmanager
def unprofiled() -> Iterator[str]:
    """Hide this thread of a dask worker from the profiler of the worker, which sees those of other tasks; its key."""
    worker, thread = get_worker(), threading.get_ident()
    with worker.active_threads_lock:
        key = worker.active_threads.pop(thread)
    try:
        yield str(key)
    finally:
        with worker.active_threads_lock:
            worker.active_threads[thread] = key  # which dask takes out itself
