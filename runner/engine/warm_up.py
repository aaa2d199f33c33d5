"""Load the compiled kernels while the archive is being listed, so that the first block does not wait for them.

On a first run they are compiled, which takes some seconds; worker processes then find them on disk.
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
    """Load them in a thread; the block's end waits for it. Raises RunnerError if they cannot be used at all.

    `on_ready` hears what was waited for, `compiling` or `kernels` that are on disk, and for how many seconds.
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
    """Use them, and leave what goes wrong to those who need them; it may be of no matter there."""
    try:
        compiled.append(_use_once())
    except RunnerError as error:
        refusals.append(error)
    except Exception:
        log.warning("kernels cannot be loaded beforehand", exc_info=True)


def _use_once() -> float:
    """Load what a mean over float32 pixels with predictor 3 needs, as most stacks do; the seconds it was compiled."""
    from runner.host.compile_clock import compile_seconds  # noqa: PLC0415 - numba is what is to be loaded meanwhile
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
