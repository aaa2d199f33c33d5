"""dask's event loop for a cluster and its client, and errors of starting explained."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from distributed.utils import LoopRunner

from runner.base.humanize import one_line
from runner.cluster.keys import key_of
from runner.errors import ClusterError
from runner.host.garbage import collection_paused
from runner.host.signals import signals_held
from runner.settings import ClusterSettings

_STARTS: Final = 4  # attempts at an event loop, on a machine too busy for dask's limit


@contextmanager
def event_loop(settings: ClusterSettings) -> Iterator[Any]:
    """Run an event loop for a cluster and its client; a cluster that has none can neither be used nor closed.

    dask starts and stops loops under a lock. A client that was never closed takes it when it is collected: in this
    thread, forever.

    Its thread starts the worker processes, so it starts itself while signals are held.
    """
    with signals_held(), start_explained(settings), collection_paused():
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
def start_explained(settings: ClusterSettings) -> Iterator[None]:
    """Raise ClusterError if dask cannot start processes, or if they end at once or are slow."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise ClusterError(
            f"the worker processes do not start ({one_line(error)}); ask for fewer by "
            f"{key_of('n_workers')}, raise {key_of('start_timeout')}, which is "
            f"{settings.start_timeout:g} s, or choose threads"
        ) from error
