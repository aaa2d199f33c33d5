"""A dask scheduler that is running already: reached, and asked for its workers before a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from runner.cluster.connection import connected, connection_explained
from runner.cluster.event_loop import event_loop
from runner.cluster.monitor import await_answer
from runner.cluster.started import Expected, Started
from runner.cluster.tls import security_of
from runner.settings import ClusterSettings

_FRESH_SECONDS: Final = 60.0  # while an answer is not asked for again, as an archive plans stack after stack
_asked: Final[dict[str, tuple[float, Expected]]] = {}


@contextmanager
def running_scheduler(settings: ClusterSettings, loop: Any) -> Iterator[Started]:
    """The scheduler at the address. It and its workers go on when the run ends."""
    del loop
    security = security_of(settings.tls)
    with connection_explained(settings):
        await_answer(settings.address or "", settings.start_timeout)
    yield Started(settings.address, security, others=True)


def ask_size(settings: ClusterSettings) -> Expected:
    """The workers of a running scheduler: their number, the median of their threads, the least memory of one.

    Of a scheduler that waits for its first workers, one of `n_workers` threads is expected. Raises ClusterError.
    """
    key = repr(settings)
    when, known = _asked.get(key, (0.0, None))
    if known is not None and time.monotonic() - when < _FRESH_SECONDS:
        return known
    with (
        event_loop(settings) as loop,
        running_scheduler(settings, loop) as started,
        connected(settings, started, loop) as client,
    ):
        workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
    if not workers:
        return Expected(settings.n_workers or 1, settings.threads_per_worker or 1, None)
    threads = sorted(worker["nthreads"] for worker in workers)[len(workers) // 2]
    memory = [worker["memory_limit"] for worker in workers if worker["memory_limit"]]
    found = Expected(max(len(workers), settings.n_workers or 1), threads, min(memory, default=None))
    _asked[key] = time.monotonic(), found
    return found
