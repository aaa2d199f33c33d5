"""Compiled loops of `fused`: a few rows of inflated blocks are undone, masked, and added while they are in the cache.

Most additions of float32 pixels need no check of their own. A pixel is a whole number of units in its last place, so
that sums in float64 are exact while they stay below 2**53 of the smallest unit: the lowest and the highest exponent,
which integer instructions find, tell whether they do. Where they do not, `kernels` adds with care.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled
from runner.read.predictor import Bits, Scratch, Words, as_bits, undo_rows
from runner.reduce.kernels import STRIP_ROWS as ROWS
from runner.reduce.kernels import Counts, Floats, Spare, add_row, add_row_unsaved, column_sums, is_valid
from runner.reduce.pixel_types import NO_LIMITS, LimitsTuple, PlaceTuple

Tile = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Exponents = npt.NDArray[np.int32]

Inflated = tuple[Words, Bits, int, Scratch]  # (scenes, rows, words), the same as pixels' bits, as `undo_rows` takes it
Strips = tuple[Tile, Bits, Bools, Counts]  # as `strips_for` makes them
Rule = tuple[LimitsTuple, bool, bool]  # and whether pixels are small integers, or float32
OverTime = tuple[Counts, Floats, Spare, Exponents]  # `kernels.Sums`, and what `exponents_for` made
# Pixels counted (scenes), layers (scenes, 2, width), scratch (scenes, width), whether an addition was inexact (scenes).
OverSpace = tuple[Integers, Floats, Floats, Bools]

_CELL: Final = 256  # columns of a window that share exponents
_NONE: Final = 256, 0  # the lowest and the highest exponent of no pixels
UNKNOWN: Final = 0, 256, 0  # what `exponents_for` holds where anything may have been added
_BITS: Final = 53 - 24  # 2**k float32 pixels whose exponents differ by up to 29 - k add up exactly in float64
_FRACTION: Final = np.uint32(23)
_MAGNITUDE: Final = np.uint32(0x7FFFFFFF)
_ONE: Final = np.uint32(1)


def strips_for(scenes: int, width: int, dtype: np.dtype[Any]) -> Strips:
    """Scratch for a few rows of so many pixels: as pixels and as bits, what is exact of them, and counts of no use."""
    strip = np.empty((scenes, ROWS, width), dtype)
    exact = np.empty((scenes, ROWS + 1), np.bool_)
    return strip, as_bits(strip), exact, np.empty(width, np.int32)


def exponents_for(shape: tuple[int, int]) -> Exponents:
    """(rows, cells, 3) of a window: the lowest and the highest exponent of what was added, and how many rows were."""
    exponents = np.empty((shape[0], -(-shape[1] // _CELL), 3), np.int32)
    exponents[:] = *_NONE, 0
    return exponents


@compiled
def add_strips(
    inflated: Inflated,
    strips: Strips,
    place: PlaceTuple,
    rule: Rule,
    wanted: tuple[bool, bool],
    over_time: OverTime,
    over_space: OverSpace,
) -> int:
    """Undo, mask and add blocks of some scenes, all at one place; `wanted` is over time, and over space.

    Returns how many pixels are in the spare room of `over_time`, see `kernels.Spare`.
    """
    words, bits, predictor, scratch = inflated
    tile_row, tile_column, row, column, height, width = place
    left = 0
    for top in range(0, height, ROWS):
        rows = min(ROWS, height - top)
        stored = slice(tile_row + top, tile_row + top + rows)
        for scene in range(words.shape[0]):
            undo_rows(words[scene][stored], bits[scene][stored], predictor, scratch, strips[1][scene][:rows])
        at = (0, tile_column, row + top, column, rows, width)
        _mask_strips(strips, at, rule, wanted[0], over_time, over_space)
        if wanted[0]:
            left = _add_over_time(strips, at, over_time, left)
        if wanted[1]:
            _add_over_space(strips, at, over_space)
    return left


@compiled
def _mask_strips(
    strips: Strips, place: PlaceTuple, rule: Rule, over_time: bool, time: OverTime, space: OverSpace
) -> None:
    """Mask and count all rows, and find what adds up exactly: each row over time, and last the strip over space.

    The window then holds the exponents of what is to be added. The strip's sums over space are in their scratch; they
    are of no use if they are not exact, or if nobody asks for them.
    """
    tiles, tile_bits, exact, uncounted = strips
    limits, small, float32 = rule
    _, tile_column, row, column, rows, width = place
    columns, tile_columns = slice(column, column + width), slice(tile_column, tile_column + width)
    for scene in range(tiles.shape[0]):
        sums = space[2][scene]
        sums[:] = 0.0
        low, high = _NONE
        for y in range(rows):
            counts = time[0][row + y][columns] if over_time else uncounted[:width]
            space[0][scene] += _mask(tiles[scene, y][tile_columns], limits, counts, sums)
            exact[scene, y] = small
            if float32:
                lowest, highest = _exponents(tile_bits[scene, y][tile_columns])
                low, high = min(low, lowest), max(high, highest)
                if over_time:
                    exact[scene, y] = _widen(time[3][row + y], column, width, lowest, highest)
        exact[scene, ROWS] = small | (float32 & _is_exact(low, high, ROWS))


@compiled
def _mask(pixels: Tile, limits: LimitsTuple, counts: Counts, sums: Floats) -> int:
    """Make pixels that do not count 0; count and add the others. Returns how many there are."""
    zero, one, none = pixels.dtype.type(0), np.int32(1), np.int32(0)
    total = np.int32(0)
    for x in range(pixels.shape[0]):
        pixel = pixels[x]
        valid = is_valid(pixel, limits)
        kept = pixel if valid else zero
        counted = one if valid else none
        pixels[x] = kept
        counts[x] += counted
        total += counted
        sums[x] += np.float64(kept)
    return int(total)


@compiled
def _exponents(bits: Bits) -> tuple[int, int]:
    """The lowest and the highest biased exponent of float32 pixels, zeros aside; subnormals have that of normals."""
    low: Any = np.uint32(0xFFFFFFFF)
    high: Any = np.uint32(0)
    for x in range(bits.shape[0]):
        magnitude = np.uint32(bits[x] & _MAGNITUDE)
        high = max(high, magnitude)
        low = min(low, np.uint32(magnitude - _ONE))  # so that 0 is the highest
    if high == 0:
        return _NONE
    lowest = int(np.int64(np.uint32(low + _ONE) >> _FRACTION))
    highest = int(np.int64(high >> _FRACTION))
    return max(1, lowest), max(1, highest)


@compiled
def _is_exact(low: int, high: int, added: int) -> bool:
    """Whether all sums of so many float32 pixels, with exponents from `low` to `high`, are exact in float64."""
    room = _BITS - (high - low)
    return (high < 255) & (room >= 0) & (added <= 1 << min(max(room, 0), 30))


@compiled
def _widen(exponents: Exponents, column: int, width: int, lowest: int, highest: int) -> bool:
    """Note what is to be added to a row of a window; whether the sums of all that was added to it stay exact."""
    exact = True
    for at in range(column // _CELL, (column + width - 1) // _CELL + 1):
        cell = exponents[at]
        cell[0], cell[1], cell[2] = min(cell[0], lowest), max(cell[1], highest), cell[2] + 1
        exact &= _is_exact(cell[0], cell[1], cell[2])
    return exact


@compiled
def _add_over_time(strips: Strips, place: PlaceTuple, over_time: OverTime, left: int) -> int:
    """Add masked rows to those of the window, four scenes at a time where that is exact."""
    tiles, _, exact, uncounted = strips
    _, tile_column, row, column, rows, width = place
    counts, layers, spare, _ = over_time
    columns, tile_columns = slice(column, column + width), slice(tile_column, tile_column + width)
    for y in range(rows):
        upper, lower = layers[0, row + y][columns], layers[1, row + y][columns]
        scene = 0
        while scene < tiles.shape[0]:
            if scene + 4 <= tiles.shape[0] and exact[scene + 3, y]:  # then the three before are
                one, two = tiles[scene, y][tile_columns], tiles[scene + 1, y][tile_columns]
                three, four = tiles[scene + 2, y][tile_columns], tiles[scene + 3, y][tile_columns]
                _add_four(one, two, three, four, upper)
                scene += 4
                continue
            pixels = tiles[scene, y][tile_columns]
            if exact[scene, y]:
                _add(pixels, upper)
            else:
                cell = (row + y) * counts.shape[1] + column
                left = add_row(pixels, NO_LIMITS, uncounted, (upper, lower), spare, cell, left)
            scene += 1
    return left


@compiled
def _add_four(one: Tile, two: Tile, three: Tile, four: Tile, sums: Floats) -> None:
    for x in range(sums.shape[0]):
        total = sums[x]
        total += np.float64(one[x])
        total += np.float64(two[x])
        total += np.float64(three[x])
        total += np.float64(four[x])
        sums[x] = total


@compiled
def _add(pixels: Tile, sums: Floats) -> None:
    for x in range(pixels.shape[0]):
        sums[x] += np.float64(pixels[x])


@compiled
def _add_over_space(strips: Strips, place: PlaceTuple, over_space: OverSpace) -> None:
    """Add the sums of masked strips to their scenes' layers; where they are not exact, the strips themselves."""
    tiles, _, exact, uncounted = strips
    _, tile_column, _, _, rows, width = place
    _, layers, sums, inexact = over_space
    for scene in range(tiles.shape[0]):
        upper, lower = layers[scene]
        if exact[scene, ROWS]:
            inexact[scene] |= add_row_unsaved(sums[scene][:width], NO_LIMITS, False, upper, lower)
        else:
            at = (0, tile_column, 0, 0, rows, width)
            inexact[scene] |= column_sums(tiles[scene], at, NO_LIMITS, False, uncounted, layers[scene], sums[scene])
