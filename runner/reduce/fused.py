"""Sums of inflated tiles: the predictor is undone a few rows at a time, and the rows are added while in the cache.

That is what means need and what most runs ask for. To go over whole decoded tiles, once for each step, takes three
times as long; whatever else is asked for goes that way, with the same bits.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from runner.read.predictor import Bytes, as_bits, row_scratch
from runner.reduce.arrays import Floats, Integers, Tile
from runner.reduce.fused_kernels import (
    Accumulators,
    Counted,
    Inflated,
    OverSpace,
    OverTime,
    add_strips,
    exponents_for,
    strips_for,
)
from runner.reduce.hidden_pixels import NO_HIDDEN, HiddenPixels
from runner.reduce.kernels import ROWS_AT_ONCE
from runner.reduce.partial import Needs
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.row_kernels import Spare
from runner.reduce.scaled_kernels import Scaled, add_scaled_strips
from runner.reduce.scaling import MOST_ADDITIONS
from runner.reduce.spatial import SpatialSums
from runner.reduce.temporal import TemporalSums
from runner.reduce.zonal import ZonalSums

_NO_SPARE = Spare(np.empty((2, 0)), np.empty(0, np.int64), np.empty(0), np.zeros(1, np.int64))
_NO_TIME = OverTime(False, np.empty((0, 0), np.int32), np.empty((2, 0, 0)), _NO_SPARE, exponents_for((0, 0)))


class Encoded(NamedTuple):
    """Inflated tiles, (tiles, rows, bytes); `undo_rows` must take them."""

    rows: Bytes
    predictor: int

    @classmethod
    def of(cls, pixels: Tile) -> "Encoded":
        """One decoded tile, (rows, columns), copied into rows that are as long as they must be."""
        size = pixels.dtype.itemsize
        padded = np.zeros((1, len(pixels), -(-pixels.shape[1] * size // 8) * 8 // size), pixels.dtype)
        padded[0, :, : pixels.shape[1]] = pixels
        return cls(padded.view(np.uint8), predictor=1)


class FusedSums:
    """Adds inflated tiles to sums over time, over space, over zones, or all; `finish` must follow the last.

    `pixels` has them as they are in the files. With `scaled`, whose scales are those of all scenes, the sums are of
    scaled values; they must get no others, and at most `scaling.MOST_ADDITIONS` scenes and columns of zones.
    """

    def __init__(
        self,
        over_time: TemporalSums | None,
        over_space: SpatialSums | None,
        pixels: Pixels,
        scaled: Scaled | None = None,
        over_zones: ZonalSums | None = None,
    ) -> None:
        self._over_zones = over_zones
        self._over_time, self._over_space, self._pixels = over_time, over_space, pixels
        self._scaled = scaled
        self._scratch = row_scratch(0)
        self._strips = strips_for(0, 0, pixels.stored, flagged=False)
        self._columns = _Columns((), 0, over_space is not None)

    @staticmethod
    def fits(pixels: Pixels, needs: Sequence[Needs]) -> bool:
        """True if all of these are means and counts of pixels that the kernels take, and there is at least one."""
        return bool(needs) and not pixels.in_pieces and all(need == Needs(sums=True) for need in needs)

    def add(self, scenes: Sequence[int], tiles: Encoded, place: Place, hidden: HiddenPixels = NO_HIDDEN) -> list[int]:
        """Add one tile of each scene, all at one place, without hidden pixels.

        Returns the positions of those still to be added over space by `SpatialSums.add_tile`, since their columns do
        not fit two floats. Raises ValueError for a place outside of the tiles or the window.
        """
        if self._scaled is not None and place.height > MOST_ADDITIONS:
            for part in _parts(place, MOST_ADDITIONS):
                self.add(scenes, tiles, part, hidden)
            return []  # scaled columns always fit
        encoded = tiles.rows
        count, rows, row_bytes = encoded.shape
        width = row_bytes // self._pixels.stored.itemsize
        place.check((rows, width), self._over_time.shape if self._over_time else None)
        place.check((rows, width), hidden.shape)
        self._fit(scenes, width, row_bytes, place.height)
        before = self._columns.counts.copy(), self._columns.layers.copy()
        bits = as_bits(encoded.view(self._pixels.stored))
        time = self._over_time.strips(place, count) if self._over_time else _NO_TIME
        inflated = Inflated(encoded.view(np.uint64), bits, tiles.predictor, self._scratch)
        counted, sums = Counted(self._pixels.kind, hidden), Accumulators(time, self._columns.accumulators)
        if self._over_zones:
            sums = sums._replace(zones=self._over_zones.strips(place, scenes))
        if self._scaled is None:
            add_strips(inflated, self._strips, place, counted, sums)
        else:
            scaled = self._scaled._replace(scales=self._scaled.scales[list(scenes)])
            add_scaled_strips(inflated, self._strips, place, (counted, scaled), sums)
        if self._over_time:
            self._over_time.empty_spare()
        if self._over_zones:
            self._over_zones.settle(place, scenes, sums.zones)
        return self._columns.settle(place.height * place.width, *before)

    def add_decoded(self, scene: int, tile: Tile, place: Place, hidden: HiddenPixels = NO_HIDDEN) -> None:
        """Add one decoded tile, (rows, columns), of small or scaled integers, whose columns always fit two floats."""
        unfit = self.add([scene], Encoded.of(self._pixels.native(tile)), place, hidden)
        assert not unfit

    def _fit(self, scenes: Sequence[int], width: int, row_bytes: int, rows: int) -> None:
        """Make scratch and columns of the size of the tiles, if they are not."""
        if self._strips.pixels.shape != (len(scenes), ROWS_AT_ONCE, width):
            flagged = self._over_zones is not None
            self._scratch = row_scratch(row_bytes)
            self._strips = strips_for(len(scenes), width, self._pixels.stored, flagged=flagged)
        columns = self._columns
        full = self._scaled is not None and columns.rows + rows > MOST_ADDITIONS
        if columns.scenes != tuple(scenes) or columns.layers.shape[2] != width or full:
            self.finish()
            self._columns = _Columns(scenes, width, self._over_space is not None)
        self._columns.rows += rows

    def finish(self) -> None:
        """Add the columns of the scenes to their sums over space."""
        columns = self._columns
        if self._over_space:
            for index, scene in enumerate(columns.scenes):
                self._over_space.add_columns(scene, columns.seen[index], columns.counts[index], columns.layers[index])
        self._columns = _Columns((), 0, self._over_space is not None)


def _parts(place: Place, rows: int) -> Iterator[Place]:
    """The place in parts of at most so many rows."""
    for done in range(0, place.height, rows):
        height = min(rows, place.height - done)
        yield place._replace(top=place.top + done, row=place.row + done, height=height)


class _Columns:
    """Accumulators of some scenes over consecutive tiles: counts, and sums by column in (scenes, 2, width) layers."""

    def __init__(self, scenes: Sequence[int], width: int, asked: bool) -> None:
        self.scenes = tuple(scenes)
        self.rows = 0  # that were added
        self.seen: Integers = np.zeros(len(scenes), np.int64)
        self.counts: Integers = np.zeros(len(scenes), np.int64)
        self.layers: Floats = np.zeros((len(scenes), 2, width))
        self._inexact = np.zeros(len(scenes), np.bool_)
        scratch = np.empty((len(scenes), width))
        self.accumulators = OverSpace(asked, self.counts, self.layers, scratch, self._inexact)

    def settle(self, pixels: int, counts: Integers, layers: Floats) -> list[int]:
        """Count `pixels` as seen; scenes where an addition was inexact get back the counts and layers given.

        Returns the positions of those.
        """
        failed = np.flatnonzero(self._inexact)
        self.seen[~self._inexact] += pixels
        self.counts[failed], self.layers[failed] = counts[failed], layers[failed]
        self._inexact[:] = False
        return failed.tolist()
