"""Sums of inflated blocks: the predictor is undone a few rows at a time, and the rows are added while in the cache.

That is what means need and what most runs ask for. To go over whole decoded blocks, once for each step, takes twice the
time; whatever else is asked for goes that way, with the same bits.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from runner.compiled import compiled
from runner.read.predictor import Bits, Bytes, Scratch, Words, as_bits, row_scratch, undo_rows
from runner.reduce.kernels import STRIP_ROWS, Counts, Floats, Sums, add_sums, column_sums
from runner.reduce.partial import Needs
from runner.reduce.pixels import LimitsTuple, Pixels, Place, PlaceTuple, Tile
from runner.reduce.spatial import SpatialSums
from runner.reduce.temporal import TemporalSums

Inflated = tuple[
    Words, Bits, int, Scratch
]  # (scenes, rows, words) and the same as pixels' bits, as `undo_rows` takes it
OverSpace = tuple[Counts, Floats, Floats, npt.NDArray[np.bool_]]  # as `column_sums`, by scene; whether it was inexact

_NO_TIME: Sums = (
    np.empty((0, 0), np.int32),
    np.empty((2, 0, 0)),
    (np.empty((2, 0)), np.empty(0, np.int64), np.empty(0)),
)


class FusedSums:
    """Adds inflated blocks to sums over time, over space, or both; `finish` must follow the last."""

    def __init__(self, over_time: TemporalSums | None, over_space: SpatialSums | None, pixels: Pixels) -> None:
        self._over_time, self._over_space, self._pixels = over_time, over_space, pixels
        self._scratch: Scratch = row_scratch(0)
        self._strips: Tile = np.empty((0, 0, 0), pixels.stored)
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
        if self._strips.shape[0] < count or self._strips.shape[2] != width:
            self._scratch = row_scratch(row_bytes)
            self._strips = np.empty((count, STRIP_ROWS, width), self._pixels.stored)
        if self._columns.scenes != tuple(scenes) or self._columns.layers.shape[2] != width:
            self.finish()
            self._columns = _Columns(scenes, width)
        before = self._columns.counts.copy(), self._columns.layers.copy()
        strips = self._strips[:count]
        bits = as_bits(strips)
        left = _add_strips(
            (encoded.view(np.uint64), encoded.view(bits.dtype), predictor, self._scratch),
            (strips, bits),
            place.plain,
            (self._pixels.limits, self._pixels.small),
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
                self._over_space.add_columns(scene, int(columns.seen[at]), columns.counts[at], columns.layers[at])
        self._columns = _Columns((), 0)


class _Columns:
    """Sums of the columns of some scenes, over blocks that follow one another: (scenes, width), and layers of them."""

    def __init__(self, scenes: Sequence[int], width: int) -> None:
        self.scenes = tuple(scenes)
        self.seen = np.zeros(len(scenes), np.int64)
        self.counts: Counts = np.zeros((len(scenes), width), np.int32)
        self.layers: Floats = np.zeros((len(scenes), 2, width))
        self._inexact = np.zeros(len(scenes), np.bool_)
        self._strip: Floats = np.empty(width)

    @property
    def arrays(self) -> OverSpace:
        """For kernels."""
        return self.counts, self.layers, self._strip, self._inexact

    def settle(self, pixels: int, counts: Counts, layers: Floats) -> list[int]:
        """Count so many pixels as seen, but for the scenes where an addition was inexact: they get back what they had.

        Returns the positions of those.
        """
        failed = np.flatnonzero(self._inexact)
        self.seen[~self._inexact] += pixels
        self.counts[failed], self.layers[failed] = counts[failed], layers[failed]
        self._inexact[:] = False
        return [int(at) for at in failed]


@compiled
def _add_strips(
    inflated: Inflated,
    strips: tuple[Tile, Bits],
    place: PlaceTuple,
    rule: tuple[LimitsTuple, bool],
    wanted: tuple[bool, bool],
    over_time: Sums,
    over_space: OverSpace,
) -> int:
    """Undo and add; returns how many pixels `add_sums` left out. `strips` are (scenes, STRIP_ROWS, columns)."""
    words, bits, predictor, scratch = inflated
    tiles, tile_bits = strips
    tile_row, tile_column, row, column, height, width = place
    counts, layers, one_layer, inexact = over_space
    left = 0
    for top in range(0, height, STRIP_ROWS):
        rows = min(STRIP_ROWS, height - top)
        stored = slice(tile_row + top, tile_row + top + rows)
        for scene in range(words.shape[0]):
            undo_rows(words[scene][stored], bits[scene][stored], predictor, scratch, tile_bits[scene][:rows])
        at = (0, tile_column, row + top, column, rows, width)
        if wanted[0]:
            left = add_sums(tiles, at, rule[0], rule[1], over_time, left)
        if wanted[1]:
            for scene in range(words.shape[0]):
                sums = counts[scene], layers[scene], one_layer
                inexact[scene] |= column_sums(tiles[scene], at, rule[0], rule[1], *sums)
    return left
