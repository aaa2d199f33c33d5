"""A dask scheduler that is running already: reached, and asked for its workers before a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from runner.base.console import tell
from runner.cluster.connection import connected, connection_explained
from runner.cluster.event_loop import event_loop
from runner.cluster.keys import key_of
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
        await_answer(settings.address or "", settings.start_timeout, partial(_tell_of_wait, settings))
    yield Started(settings.address, security, nannies=False, explain=lambda: _start_workers(settings))


def _tell_of_wait(settings: ClusterSettings) -> None:
    tell(
        f"no dask scheduler answers at {settings.address} yet; it is tried for {settings.start_timeout:g} s in all, by "
        f"{key_of('start_timeout')}"
    )


def _start_workers(settings: ClusterSettings) -> str:
    """What to do where workers are missing."""
    certificates = " with its certificates" if (settings.address or "").startswith("tls:") else ""
    fewer = f", or wait for fewer by {key_of('n_workers')}" if (settings.n_workers or 1) > 1 else ""
    return f"start workers by 'dask worker {settings.address}'{certificates}{fewer}"


def ask_size(settings: ClusterSettings) -> Expected:
    """The workers of a running scheduler: their number, the median of their threads, the least memory of one.

    Of a scheduler that waits for its first workers, the least is assumed, unless the settings say more. Raises
    ClusterError if none answers.
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
        guess = f"the scheduler at {settings.address} has no workers yet, and the plan counts on the least; "
        guess += _start_workers(settings)
        return Expected(settings.n_workers or 1, settings.threads_per_worker or 1, None, guess)
    threads = sorted(worker["nthreads"] for worker in workers)[len(workers) // 2]
    memory = [worker["memory_limit"] for worker in workers if worker["memory_limit"]]
    found = Expected(max(len(workers), settings.n_workers or 1), threads, min(memory, default=None))
    _asked[key] = time.monotonic(), found
    return found
