"""Compiled kernels, loaded while the archive is being listed, so that the first task does not wait for them.

On a first run they are compiled, which takes some seconds. Worker processes then find them on disk.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from runner.errors import RunnerError

_SIDE = 8  # pixels of the smallest tile

log = logging.getLogger(__name__)


@contextmanager
def kernels_loading(on_ready: Callable[[str, float], object]) -> Iterator[None]:
    """Load kernels in a thread, and wait for it at the end. Raises RunnerError if they cannot be used at all.

    `on_ready` gets `compiling`, or `kernels` if they were on disk, and the seconds of waiting.
    """
    compiled: list[float] = []
    refusals: list[RunnerError] = []
    thread = threading.Thread(target=_try_once, args=(compiled, refusals), name="kernels", daemon=True)
    thread.start()
    try:
        yield
    finally:
        started = time.monotonic()
        thread.join()
        on_ready("compiling" if any(compiled) else "kernels", time.monotonic() - started)
    for refusal in refusals:
        raise refusal


def _try_once(compiled: list[float], refusals: list[RunnerError]) -> None:
    """Use the kernels once. An unexpected error is left to the tasks, which may not need what failed."""
    try:
        compiled.append(_use_once())
    except RunnerError as error:
        refusals.append(error)
    except Exception:
        log.warning("kernels cannot be loaded beforehand", exc_info=True)


def _use_once() -> float:
    """Load the kernels of a mean over float32 pixels with predictor 3, as most stacks need. Returns compile seconds."""
    from runner.host.compile_clock import compile_seconds  # noqa: PLC0415 - numba is loaded here, in the thread
    from runner.reduce.fused import FusedSums  # noqa: PLC0415 - as above
    from runner.reduce.partial import Needs  # noqa: PLC0415 - as above
    from runner.reduce.pixel_types import Pixels, Place  # noqa: PLC0415 - as above
    from runner.reduce.spatial import SpatialSums  # noqa: PLC0415 - as above
    from runner.reduce.temporal import TemporalSums  # noqa: PLC0415 - as above

    before = compile_seconds()
    pixels, needs = Pixels(np.dtype(np.float32), 0), Needs(sums=True)
    over_time, over_space = TemporalSums((_SIDE, _SIDE), pixels, needs), SpatialSums(1, pixels, needs)
    encoded = np.zeros((1, _SIDE, _SIDE * pixels.dtype.itemsize), np.uint8)
    sums = FusedSums(over_time, over_space, pixels)
    sums.add([0], encoded, 3, Place(0, 0, 0, 0, _SIDE, _SIDE))
    sums.finish()
    over_time.partial()
    over_space.partial()
    return compile_seconds() - before
