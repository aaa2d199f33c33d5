"""Compiled loops of `fused`: a few rows of inflated tiles are undone, masked, and added while they are in the cache.

Most additions of float32 pixels need no check of their own. A pixel is a whole number of units in its last place, so
that sums in float64 are exact while they stay below 2**53 of the smallest unit: the lowest and the highest exponent,
which integer instructions find, decide that. Where they do not, `kernels` adds with care.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled, inlined
from runner.read.predictor import Bits, Bytes, Scratch, Words, as_bits, undo_rows
from runner.reduce.arrays import Bools, Counts, Floats, Integers, Tile
from runner.reduce.hidden_pixels import HiddenPixels, Hides
from runner.reduce.kernels import EVERY_PIXEL, ROWS_AT_ONCE, Columns, column_sums
from runner.reduce.pixel_types import NO_LIMITS, Limits, PixelKind, Place
from runner.reduce.row_kernels import Row, Spare, add_row, add_unsaved, is_valid
from runner.reduce.zone_strip_kernels import Flagged, OverZones, count_strips, sum_strips

Exponents = npt.NDArray[np.int32]


class Inflated(NamedTuple):
    """Tiles of some scenes, as `undo_rows` takes them."""

    words: Words  # (scenes, rows, words)
    bits: Bits  # (scenes, rows, columns) in the same memory
    predictor: int
    scratch: Scratch


class Counted(NamedTuple):
    """Which pixels count."""

    kind: PixelKind
    hidden: HiddenPixels


class Strips(NamedTuple):
    """Scratch: ROWS_AT_ONCE rows of pixels of some scenes."""

    pixels: Tile  # (scenes, rows, columns)
    bits: Bits  # the same memory
    exact: Bools  # (scenes, rows + 1): whether a row adds up exactly over time, and last the strip over space
    along: Bools  # (scenes, rows): whether the pixels of a row do, as many of them as there are
    uncounted: Counts  # (columns), for counts that nobody asks for
    flagged: Flagged  # where zones are asked for


class OverTime(NamedTuple):
    """Accumulators of a window, as `kernels.Sums`."""

    asked: bool
    counts: Counts
    layers: Floats
    spare: Spare
    exponents: Exponents  # see `exponents_for`


class OverSpace(NamedTuple):
    """Accumulators of some scenes."""

    asked: bool
    counts: Integers  # (scenes)
    layers: Floats  # (scenes, 2, columns)
    strips: Floats  # scratch (scenes, columns)
    inexact: Bools  # (scenes): whether an addition was


class Accumulators(NamedTuple):
    """All of them."""

    time: OverTime
    space: OverSpace
    zones: OverZones | tuple[()] = ()  # empty, unless they are asked for


_CELL: Final = 256  # columns of a window that share exponents
_NONE: Final = 256, 0  # the lowest and the highest exponent of no pixels
UNKNOWN: Final = 0, 256, 0  # what `exponents_for` holds where anything may have been added
_BITS: Final = 53 - 24  # 2**k float32 pixels whose exponents differ by up to 29 - k add up exactly in float64
_FRACTION: Final = np.uint32(23)
_MAGNITUDE: Final = np.uint32(0x7FFFFFFF)
_ONE: Final = np.uint32(1)


def strips_for(scenes: int, width: int, dtype: np.dtype[Any], *, flagged: bool) -> Strips:
    """Scratch for rows of `width` pixels."""
    pixels = np.empty((scenes, ROWS_AT_ONCE, width), dtype)
    exact = np.empty((scenes, ROWS_AT_ONCE + 1), np.bool_)
    along = np.empty((scenes, ROWS_AT_ONCE), np.bool_)
    flags, valid = np.empty((*along.shape, width if flagged else 0), np.uint8), np.empty(along.shape, np.int64)
    return Strips(pixels, as_bits(pixels), exact, along, np.empty(width, np.int32), Flagged(flags, valid))


def exponents_for(shape: tuple[int, int]) -> Exponents:
    """(rows, cells, 3) of a window: the lowest and the highest exponent added, and the number of rows added."""
    exponents = np.empty((shape[0], -(-shape[1] // _CELL), 3), np.int32)
    exponents[:] = *_NONE, 0
    return exponents


@compiled
def add_strips(inflated: Inflated, strips: Strips, place: Place, counted: Counted, sums: Accumulators) -> None:
    """Undo, mask and add tiles of some scenes, all at one place."""
    for top in range(0, place.height, ROWS_AT_ONCE):
        strip = undo_strip(inflated, strips, place, top)
        _mask_strips(strips, strip, counted, sums)
        if sums.time.asked:
            _add_over_time(strips, strip, sums.time)
        if sums.space.asked:
            _add_over_space(strips, strip, sums.space)
        count_strips(strips.flagged, strip, sums.zones)
        sum_strips(strips.pixels, strips.along, strip, sums.zones)


@inlined
def undo_strip(inflated: Inflated, strips: Strips, place: Place, top: int) -> Place:
    """Undo some rows of tiles of some scenes, from `top` on; the place of these pixels in their strips."""
    rows = min(ROWS_AT_ONCE, place.height - top)
    stored = slice(place.top + top, place.top + top + rows)
    for scene in range(inflated.words.shape[0]):
        words, bits = inflated.words[scene][stored], inflated.bits[scene][stored]
        undo_rows(words, bits, inflated.predictor, inflated.scratch, strips.bits[scene][:rows])
    return Place(0, place.left, place.row + top, place.column, rows, place.width)


@compiled
def _mask_strips(strips: Strips, place: Place, counted: Counted, all_sums: Accumulators) -> None:
    """Mask and count all rows, and find what adds up exactly: each row over time, and last the strip over space.

    The window then holds the exponents of what is to be added. The strip's sums over space are in their scratch; they
    are of no use if they are not exact, or if nobody asks for them.
    """
    pixels, bits, exact, along, uncounted, (flags, valid) = strips
    (time, space, zones), kind, hidden = all_sums, counted.kind, counted.hidden
    columns, tile_columns = slice(place.column, place.column + place.width), slice(place.left, place.left + place.width)
    window_counts, exponents, scene_counts, scratch = time.counts, time.exponents, space.counts, space.strips
    for scene in range(pixels.shape[0]):
        sums = scratch[scene]
        sums[:] = 0.0
        low, high = _NONE
        for y in range(place.height):
            row = place.row + y
            counts = window_counts[row][columns] if time.asked else uncounted[: place.width]
            those = _ColumnSums(counts, sums)
            masked = _MaskedRow(pixels[scene, y][tile_columns], flags[scene, y][tile_columns])
            if hidden.some:
                hides = Hides(hidden.planes[hidden.plane[scene], row][columns], hidden.bits[scene])
                valid[scene, y] = _mask(masked, hides, kind.limits, those, zones)
            else:
                valid[scene, y] = _mask(masked, (), kind.limits, those, zones)
            scene_counts[scene] += valid[scene, y]
            exact[scene, y] = along[scene, y] = kind.small
            if kind.float32:
                lowest, highest = _exponents(bits[scene, y][tile_columns])
                low, high = min(low, lowest), max(high, highest)
                along[scene, y] = _is_exact(lowest, highest, place.width)
                if time.asked:
                    exact[scene, y] = _widen(exponents[row], place.column, place.width, lowest, highest)
        exact[scene, ROWS_AT_ONCE] = kind.small | (kind.float32 & _is_exact(low, high, ROWS_AT_ONCE))


class _MaskedRow(NamedTuple):
    """A row of pixels, and of flags where zones are asked for."""

    pixels: Tile
    flags: Bytes


class _ColumnSums(NamedTuple):
    """Counts and sums of the columns of a row."""

    counts: Counts
    sums: Floats


@compiled
def _mask(
    row: _MaskedRow, hides: Hides | tuple[()], limits: Limits, columns: _ColumnSums, zones: OverZones | tuple[()]
) -> int:
    """Make invalid and hidden pixels 0; count, flag and add the others. Returns their number."""
    (pixels, flags), (counts, sums) = row, columns
    zero, one, none = pixels.dtype.type(0), np.int32(1), np.int32(0)
    total = np.int32(0)
    for x in range(pixels.shape[0]):
        pixel = pixels[x]
        valid = is_valid(pixel, limits)
        if len(hides) > 0:  # a constant of the compiled code
            valid &= (hides.row[x] & hides.bit) == 0
        kept = pixel if valid else zero
        one_more = one if valid else none
        pixels[x] = kept
        counts[x] += one_more
        total += one_more
        if len(zones) > 0:
            flags[x] = np.uint8(valid)
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
    """True if all sums of `added` float32 pixels, with exponents from `low` to `high`, are exact in float64."""
    room = _BITS - (high - low)
    return (high < 255) & (room >= 0) & (added <= 1 << min(max(room, 0), 30))


@compiled
def _widen(exponents: Exponents, column: int, width: int, lowest: int, highest: int) -> bool:
    """Note the exponents to be added to a row of a window; True if the sums of all that was added to it stay exact."""
    exact = True
    for index in range(column // _CELL, (column + width - 1) // _CELL + 1):
        cell = exponents[index]
        cell[0], cell[1], cell[2] = min(cell[0], lowest), max(cell[1], highest), cell[2] + 1
        exact &= _is_exact(cell[0], cell[1], cell[2])
    return exact


@compiled
def _add_over_time(strips: Strips, place: Place, sums: OverTime) -> None:
    """Add masked rows to those of the window, four scenes at a time where that is exact."""
    pixels, _, exact, _, uncounted, _ = strips
    counts, layers, spare, scenes = sums.counts, sums.layers, sums.spare, pixels.shape[0]
    columns, tile_columns = slice(place.column, place.column + place.width), slice(place.left, place.left + place.width)
    for y in range(place.height):
        row = place.row + y
        upper, lower = layers[0, row][columns], layers[1, row][columns]
        scene = 0
        while scene < scenes:
            if scene + 4 <= scenes and exact[scene + 3, y]:  # then the three before are
                first, second = pixels[scene, y][tile_columns], pixels[scene + 1, y][tile_columns]
                third, fourth = pixels[scene + 2, y][tile_columns], pixels[scene + 3, y][tile_columns]
                _add_four(first, second, third, fourth, upper)
                scene += 4
                continue
            if exact[scene, y]:
                _add(pixels[scene, y][tile_columns], upper)
            else:
                both = Row(upper, lower, row * counts.shape[1] + place.column)
                add_row(pixels[scene, y][tile_columns], NO_LIMITS, uncounted, both, spare)
            scene += 1


@compiled
def _add_four(first: Tile, second: Tile, third: Tile, fourth: Tile, sums: Floats) -> None:
    for x in range(sums.shape[0]):
        total = sums[x]
        total += np.float64(first[x])
        total += np.float64(second[x])
        total += np.float64(third[x])
        total += np.float64(fourth[x])
        sums[x] = total


@compiled
def _add(pixels: Tile, sums: Floats) -> None:
    for x in range(pixels.shape[0]):
        sums[x] += np.float64(pixels[x])


@compiled
def _add_over_space(strips: Strips, place: Place, sums: OverSpace) -> None:
    """Add the sums of masked strips to their scenes' layers; where they are not exact, the strips themselves."""
    for scene in range(strips.pixels.shape[0]):
        upper, lower = sums.layers[scene, 0], sums.layers[scene, 1]
        if strips.exact[scene, ROWS_AT_ONCE]:
            inexact = add_unsaved(sums.strips[scene][: place.width], NO_LIMITS, False, upper, lower)
        else:
            columns = Columns(strips.uncounted, sums.layers[scene], sums.strips[scene])
            inexact = column_sums(strips.pixels[scene], place, EVERY_PIXEL, columns)
        sums.inexact[scene] |= inexact
