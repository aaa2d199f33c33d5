"""Load the compiled kernels while the archive is being listed, so that the first block does not wait for them.

On a first run they are compiled, which takes some seconds; worker processes then find them on disk.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_SIDE = 8  # pixels of the smallest tile


@contextmanager
def kernels_loading() -> Iterator[None]:
    """Load them in a thread; the block's end waits for it."""
    thread = threading.Thread(target=_use_once, name="kernels", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _use_once() -> None:
    """What a mean over float32 pixels with predictor 3 needs, which is what most stacks are."""
    from runner.read.predictor import undo_predictor  # noqa: PLC0415 - numba is what is to be loaded meanwhile
    from runner.reduce.partial import Needs  # noqa: PLC0415 - as above
    from runner.reduce.pixels import Pixels, Place  # noqa: PLC0415 - as above
    from runner.reduce.spatial import SpatialSums  # noqa: PLC0415 - as above
    from runner.reduce.temporal import TemporalSums  # noqa: PLC0415 - as above

    tile = np.zeros((_SIDE, _SIDE, 1), np.float32)
    undo_predictor(np.zeros((_SIDE, tile.nbytes // _SIDE), np.uint8), tile, 3, big_endian=False)
    pixels, place, needs = Pixels(tile.dtype, 0), Place(0, 0, 0, 0, _SIDE, _SIDE), Needs(sums=True)
    over_time, over_space = TemporalSums((_SIDE, _SIDE), pixels, needs), SpatialSums(1, pixels, needs)
    over_time.add_tile(tile[:, :, 0], place)
    over_time.add_tiles([tile[:, :, 0]] * 4, place)
    over_space.add_tile(0, tile[:, :, 0], place)
    over_time.partial()
    over_space.partial()
