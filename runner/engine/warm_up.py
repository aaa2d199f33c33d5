"""Compiled kernels, loaded while the archive is being listed, so that the first task does not wait for them.

On a first run they are compiled, which takes some seconds. Worker processes then find them on disk.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Self

import numpy as np

from runner.errors import RunnerError
from runner.host.compile_clock import compile_seconds, compiling_told
from runner.host.stopping import stop_requested
from runner.reduce.fused import Encoded, FusedSums
from runner.reduce.partial import Needs
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.temporal import TemporalSums

_SIDE = 8  # pixels of the smallest tile

log = logging.getLogger(__name__)


class KernelsLoading:
    """A thread that loads kernels during a block. `on_compiling` is called if they must be compiled."""

    def __init__(self, on_compiling: Callable[[], object]) -> None:
        self._on_compiling = on_compiling
        self._compiled = 0.0  # seconds
        self._refusal: RunnerError | None = None
        self._thread = threading.Thread(target=copy_context().run, args=(self._try_once,), name="kernels", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._joined()  # Python must not end while one of its threads compiles

    @contextmanager
    def awaited(self, on_ready: Callable[[str, float], object]) -> Iterator[None]:
        """Wait at the end for the kernels. Raises RunnerError if they cannot be used at all.

        `on_ready` gets `compiling`, or `kernels` if they were on disk, and the seconds of waiting.
        """
        try:
            yield
        finally:
            started = time.monotonic()
            if self._joined():
                on_ready("compiling" if self._compiled else "kernels", time.monotonic() - started)
        if self._refusal is not None:
            raise self._refusal

    def _joined(self) -> bool:
        """Wait for the thread; not after an interrupt, when the process ends without waiting for threads."""
        if not stop_requested():
            self._thread.join()
        return not self._thread.is_alive()

    def _try_once(self) -> None:
        """Use the kernels once. An unexpected error is left to the tasks, which may not need what failed."""
        try:
            with compiling_told(self._on_compiling):
                self._compiled = load_kernels()
        except RunnerError as error:
            self._refusal = error
        except Exception:
            log.warning("kernels cannot be loaded beforehand", exc_info=True)


def load_kernels() -> float:
    """Load the kernels of a mean over float32 pixels with predictor 3, as most stacks need. Returns compile seconds."""
    before = compile_seconds()
    pixels, needs = Pixels(np.dtype(np.float32), 0), Needs(sums=True)
    over_time, over_space = TemporalSums((_SIDE, _SIDE), pixels, needs), SpatialSums(1, pixels, needs)
    encoded = np.zeros((1, _SIDE, _SIDE * pixels.dtype.itemsize), np.uint8)
    sums = FusedSums(over_time, over_space, pixels)
    sums.add([0], Encoded(encoded, 3), Place(0, 0, 0, 0, _SIDE, _SIDE))
    sums.finish()
    over_time.partial()
    over_space.partial()
    return compile_seconds() - before
