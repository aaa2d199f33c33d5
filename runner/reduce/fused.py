"""Sums of inflated blocks: the predictor is undone a few rows at a time, and the rows are added while in the cache.

That is what means need and what most runs ask for. To go over whole decoded blocks, once for each step, takes three
times as long; whatever else is asked for goes that way, with the same bits.
"""

from collections.abc import Sequence

import numpy as np

from runner.read.predictor import Bytes, as_bits, row_scratch
from runner.reduce.fused_kernels import Integers, OverSpace, OverTime, add_strips, exponents_for, strips_for
from runner.reduce.kernels import STRIP_ROWS, Floats
from runner.reduce.partial import Needs
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.temporal import TemporalSums

_NO_TIME: OverTime = (
    np.empty((0, 0), np.int32),
    np.empty((2, 0, 0)),
    (np.empty((2, 0)), np.empty(0, np.int64), np.empty(0)),
    exponents_for((0, 0)),
)


class FusedSums:
    """Adds inflated blocks to sums over time, over space, or both; `finish` must follow the last."""

    def __init__(self, over_time: TemporalSums | None, over_space: SpatialSums | None, pixels: Pixels) -> None:
        self._over_time, self._over_space, self._pixels = over_time, over_space, pixels
        self._scratch = row_scratch(0)
        self._strips = strips_for(0, 0, pixels.stored)
        self._columns = _Columns((), 0)

    @staticmethod
    def fits(pixels: Pixels, needs: Sequence[Needs]) -> bool:
        """Whether these are means and counts of pixels that the kernels take; there must be one at least."""
        return bool(needs) and not pixels.in_pieces and all(need == Needs(sums=True) for need in needs)

    def add(self, scenes: Sequence[int], encoded: Bytes, predictor: int, place: Place) -> list[int]:
        """Add one block of each scene, inflated (scenes, rows, bytes), all at one place; `undo_rows` must take them.

        Returns which of them, by position, are still to be added over space by `SpatialSums.add_tile`, since their
        columns do not fit two floats. Raises ValueError for a place outside of the blocks or the window.
        """
        count, rows, row_bytes = encoded.shape
        width = row_bytes // self._pixels.stored.itemsize
        place.check((rows, width), self._over_time.shape if self._over_time else None)
        if self._strips[0].shape != (count, STRIP_ROWS, width):
            self._scratch, self._strips = row_scratch(row_bytes), strips_for(count, width, self._pixels.stored)
        if self._columns.scenes != tuple(scenes) or self._columns.layers.shape[2] != width:
            self.finish()
            self._columns = _Columns(scenes, width)
        before = self._columns.counts.copy(), self._columns.layers.copy()
        left = add_strips(
            (encoded.view(np.uint64), as_bits(encoded.view(self._pixels.stored)), predictor, self._scratch),
            self._strips,
            place.plain,
            (self._pixels.limits, self._pixels.small, self._pixels.stored == np.float32),
            (self._over_time is not None, self._over_space is not None),
            self._over_time.strips(place, count) if self._over_time else _NO_TIME,
            self._columns.arrays,
        )
        if self._over_time:
            self._over_time.keep_left(left)
        return self._columns.settle(place.height * place.width, *before)

    def finish(self) -> None:
        """Add to the scenes what their columns hold."""
        if self._over_space:
            for at, scene in enumerate(self._columns.scenes):
                columns = self._columns
                self._over_space.add_columns(scene, columns.seen[at], columns.counts[at], columns.layers[at])
        self._columns = _Columns((), 0)


class _Columns:
    """Of some scenes, over blocks that follow one another: counts, and sums by column in (scenes, 2, width) layers."""

    def __init__(self, scenes: Sequence[int], width: int) -> None:
        self.scenes = tuple(scenes)
        self.seen: Integers = np.zeros(len(scenes), np.int64)
        self.counts: Integers = np.zeros(len(scenes), np.int64)
        self.layers: Floats = np.zeros((len(scenes), 2, width))
        self._strip_sums: Floats = np.empty((len(scenes), width))
        self._inexact = np.zeros(len(scenes), np.bool_)

    @property
    def arrays(self) -> OverSpace:
        """For kernels."""
        return self.counts, self.layers, self._strip_sums, self._inexact

    def settle(self, pixels: int, counts: Integers, layers: Floats) -> list[int]:
        """Count so many pixels as seen, but for the scenes where an addition was inexact: they get back what they had.

        Returns the positions of those.
        """
        failed = np.flatnonzero(self._inexact)
        self.seen[~self._inexact] += pixels
        self.counts[failed], self.layers[failed] = counts[failed], layers[failed]
        self._inexact[:] = False
        return [int(at) for at in failed]
