"""Stored pixels scaled to float64, in one compiled loop and one piece of memory for all tiles of a task.

With numpy that is six passes over memory that the system hands out, and clears, anew for each tile. Means of small
integers need no scaled tiles: `fused` adds values as they are scaled, if `split_for` finds how.
"""

import math
from collections.abc import Collection
from functools import lru_cache
from typing import Final

import numpy as np

from runner.host.compiled import compiled
from runner.reduce.arrays import Bools, Floats, Tile
from runner.reduce.pixel_types import Limits, Pixels
from runner.reduce.row_kernels import is_valid


class Scaling:
    """Scales tiles of one type; not for several threads at once."""

    def __init__(self, stored: Pixels) -> None:
        """`stored` has the pixels as they are in the files, and their nodata. Raises ValueError for 64-bit integers."""
        if stored.in_pieces:
            raise ValueError(f"scaling: got {stored.dtype}, wanted a type whose limits float64 holds")
        self._stored = stored
        self._memory: Floats = np.empty(0)

    def values(self, tile: Tile, scale: tuple[float, float], hidden: Bools | None) -> Floats:
        """pixel * scale + offset, NaN where a pixel is missing or hidden; valid until the next tile."""
        tile = self._stored.native(tile)
        if self._memory.size < tile.size:
            self._memory = np.empty(tile.size)
        values = self._memory[: tile.size].reshape(tile.shape)
        _scale(tile, self._stored.kind.limits, float(scale[0]), float(scale[1]), values)
        if hidden is not None:
            values[hidden] = np.nan
        return values


MOST_ADDITIONS: Final = 2**17  # of values to one sum that `split_for` allows for
_MOST_SCALES: Final = 32  # that are looked into; each takes a millisecond


def split_for(scales: Collection[tuple[float, float]], stored: Pixels) -> float | None:
    """The constant by which `scaled_kernels` splits all values that pixels take by these scales and offsets.

    The sums of both parts are then exact in float64. None if there is no such constant, or for other types than
    integers of at most 16 bits.
    """
    if stored.dtype.kind not in "iu" or not stored.kind.small or len(set(scales)) > _MOST_SCALES:
        return None
    spans = [_exponents(float(scale), float(offset), stored.dtype, stored.nodata) for scale, offset in set(scales)]
    known = [span for span in spans if span is not None]
    if len(known) < len(spans):
        return None
    lowest, highest = min(low for low, _ in known), max(high for _, high in known)
    additions = int(math.log2(MOST_ADDITIONS))
    # The lower part is at most half of 2**unit, a whole number of 2**lowest: so many of them stay below 2**53 of it.
    unit = lowest + 54 - additions
    # The upper part is at most 2**highest and half a unit: so many of them stay below 2**53 units.
    if highest + 1 + additions > 53 + unit or not -900 < unit < 900:  # far from the ends of float64
        return None
    return math.ldexp(1.5, 52 + unit)


@lru_cache
def _exponents(scale: float, offset: float, dtype: np.dtype, nodata: float | None) -> tuple[int, int] | None:
    """The lowest bit of all values in use, and the power of two that none of them reaches; None if one is not finite.

    Without a value other than 0, both are 0.
    """
    info = np.iinfo(dtype)
    every = np.arange(info.min, info.max + 1).astype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        values = every[Pixels(dtype, nodata).valid(every)].astype(np.float64) * scale + offset
    if not np.isfinite(values).all():
        return None
    fractions, exponents = np.frexp(values[values != 0])
    if not exponents.size:
        return 0, 0
    bits = np.ldexp(fractions, 53).astype(np.int64)
    trailing = np.frexp((bits & -bits).astype(np.float64))[1] - 1
    return int((exponents - 53 + trailing).min()), int(exponents.max())


@compiled
def _scale(tile: Tile, limits: Limits, scale: float, offset: float, values: Floats) -> None:
    for y in range(tile.shape[0]):
        pixels, row = tile[y], values[y]
        for x in range(pixels.shape[0]):
            pixel = np.float64(pixels[x])
            row[x] = pixel * scale + offset if is_valid(pixels[x], limits) else np.nan
