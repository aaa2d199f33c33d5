"""Compiled loops that add decoded tiles to the accumulators of a block, while the tiles are in the cache.

A sum is held in float64 layers whose exact sum is the exact sum of the pixels. Every addition is checked: where one
would lose a bit, nothing of that row is kept and the row is added again with more care; what two layers cannot hold is
handed back to the caller. So order never matters. Sources: Knuth, The Art of Computer Programming 2, 4.2.2 (the error
of an addition is a float); Dekker, Numerische Mathematik 18 (1971), 224-242 (how to tell whether there is one).

Each innermost loop becomes vector code, and must stay so: no early exit, no rounded sum carried from pixel to pixel.
LLVM fuses no multiply-add unless told to; it would break the error terms.

Arguments in common: `tile` is (rows, columns), native byte order, C-contiguous, of integers up to 32 bits or floats;
`place` is a `pixels.Place`, not checked; `limits` are `Pixels.limits`; `small` tells of integers up to 16 bits.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled
from runner.reduce.pixel_types import NO_LIMITS, LimitsTuple, PlaceTuple

Tile = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]
# Scratch (2, at least width), then the flat indices and the values of pixels that do not fit, with room for all.
Spare = tuple[Floats, npt.NDArray[np.int64], Floats]
Sums = tuple[Counts, Floats, Spare]  # counts (rows, columns), layers (2, rows, columns)

STRIP_ROWS: Final = 32  # that are summed over space in one layer


@compiled
def is_valid(pixel: float, limits: LimitsTuple) -> bool:
    """Whether a pixel counts; compared in the wider of its type and that of the limits.

    The number of limits is a constant of the compiled code, so that without a valid range there are two comparisons.
    """
    valid = (pixel < limits[0]) | (pixel > limits[1])
    if len(limits) == 2:
        return valid
    return valid & (pixel >= limits[2]) & (pixel <= limits[3])


@compiled
def is_inexact(left: float, right: float, total: float) -> bool:
    """Whether left + right was rounded to `total`; True for infinities and NaN. One difference is exact (Dekker)."""
    return (total - left != right) | (total - right != left)


@compiled
def _error(left: float, right: float, total: float) -> float:
    """Exactly left + right - total, where `total` is their rounded sum (Knuth)."""
    part = total - left
    return (left - (total - part)) + (right - part)


@compiled
def _square_inexact(pixel: float) -> bool:
    """Whether pixel * pixel may be rounded; it is exact for any number that a float32 can hold."""
    return float(np.float32(pixel)) != pixel


@compiled
def add_counts(tile: Tile, place: PlaceTuple, limits: LimitsTuple, counts: Counts) -> None:
    """Over time: count each valid pixel in `counts` (rows, columns)."""
    tile_row, tile_column, row, column, height, width = place
    for y in range(height):
        pixels = tile[tile_row + y][tile_column : tile_column + width]
        _count_row(pixels, limits, counts[row + y][column : column + width])


@compiled
def column_counts(tile: Tile, place: PlaceTuple, limits: LimitsTuple, counts: Counts) -> None:
    """Over space: count the valid pixels of each column, in `counts` (at least width), which is not cleared."""
    tile_row, tile_column, _, _, height, width = place
    for y in range(height):
        _count_row(tile[tile_row + y][tile_column : tile_column + width], limits, counts)


@compiled
def _count_row(pixels: Tile, limits: LimitsTuple, counts: Counts) -> None:
    for x in range(pixels.shape[0]):
        counts[x] += np.int32(is_valid(pixels[x], limits))


@compiled
def add_extremes(tile: Tile, place: PlaceTuple, limits: LimitsTuple, extremes: Tile) -> None:
    """Over time: lower and raise `extremes` (2: lowest and highest, rows, columns), of the tile's dtype."""
    tile_row, tile_column, row, column, height, width = place
    columns = slice(column, column + width)
    for y in range(height):
        pixels = tile[tile_row + y][tile_column : tile_column + width]
        _spread_row(pixels, limits, extremes[0, row + y][columns], extremes[1, row + y][columns])


@compiled
def column_extremes(tile: Tile, place: PlaceTuple, limits: LimitsTuple, extremes: Tile) -> None:
    """Over space: lower and raise `extremes` (2: lowest and highest, at least width), of the tile's dtype."""
    tile_row, tile_column, _, _, height, width = place
    for y in range(height):
        _spread_row(tile[tile_row + y][tile_column : tile_column + width], limits, extremes[0], extremes[1])


@compiled
def _spread_row(pixels: Tile, limits: LimitsTuple, lowest: Tile, highest: Tile) -> None:
    for x in range(pixels.shape[0]):
        pixel, least, most = pixels[x], lowest[x], highest[x]
        valid = is_valid(pixel, limits)
        low_pixel = pixel if valid else least
        high_pixel = pixel if valid else most
        lowest[x] = low_pixel if low_pixel < least else least
        highest[x] = high_pixel if high_pixel > most else most


@compiled
def add_sums(tile: Tile, place: PlaceTuple, limits: LimitsTuple, small: bool, sums: Sums) -> int:
    """Over time: count each valid pixel, and add it to the layers; returns how many went to the spare room instead."""
    counts, layers, spare = sums
    tile_row, tile_column, row, column, height, width = place
    columns = slice(column, column + width)
    left = 0
    for y in range(height):
        upper, counted = layers[0, row + y][columns], counts[row + y][columns]
        pixels = tile[tile_row + y][tile_column : tile_column + width]
        if small:
            _add_small_row(pixels, limits, counted, upper)
        else:
            cell = (row + y) * counts.shape[1] + column
            left = add_row(pixels, limits, counted, (upper, layers[1, row + y][columns]), spare, cell, left)
    return left


@compiled
def add_squares(tile: Tile, place: PlaceTuple, limits: LimitsTuple, layers: Floats, spare: Spare) -> int:
    """Over time: add each valid pixel's square to `layers`, as `add_sums`; the values left out are not squared."""
    tile_row, tile_column, row, column, height, width = place
    columns = slice(column, column + width)
    left = 0
    for y in range(height):
        pixels = tile[tile_row + y][tile_column : tile_column + width]
        both = (layers[0, row + y][columns], layers[1, row + y][columns])
        left = _add_row_carefully(pixels, limits, True, both, spare, (row + y) * layers.shape[2] + column, left)
    return left


@compiled
def column_sums(
    tile: Tile, place: PlaceTuple, limits: LimitsTuple, small: bool, counts: Counts, layers: Floats, strip: Floats
) -> bool:
    """Over space: count the valid pixels of each column and add them to `layers` (2, at least width).

    True if an addition was inexact, which makes `layers` worthless. `strip` (at least width) is scratch: one layer is
    twice as fast as two, and mostly enough for a strip of a few rows.
    """
    tile_row, tile_column, _, _, height, width = place
    rows, columns = tile[tile_row : tile_row + height], slice(tile_column, tile_column + width)
    inexact = False
    for top in range(0, height, STRIP_ROWS):
        strip_rows = rows[top : top + STRIP_ROWS]
        if small:
            for y in range(strip_rows.shape[0]):
                _add_small_row(strip_rows[y][columns], limits, counts, layers[0])
        elif _add_strip(strip_rows, columns, limits, counts, strip):
            for y in range(strip_rows.shape[0]):
                inexact |= add_row_unsaved(strip_rows[y][columns], limits, False, layers[0], layers[1])
        else:
            inexact |= add_row_unsaved(strip[:width], NO_LIMITS, False, layers[0], layers[1])
    return inexact


@compiled
def column_squares(tile: Tile, place: PlaceTuple, limits: LimitsTuple, layers: Floats) -> bool:
    """Over space: add the squares of the valid pixels of each column to `layers`, as `column_sums`."""
    tile_row, tile_column, _, _, height, width = place
    inexact = False
    for y in range(height):
        pixels = tile[tile_row + y][tile_column : tile_column + width]
        inexact |= add_row_unsaved(pixels, limits, True, layers[0], layers[1])
    return inexact


@compiled
def _add_small_row(pixels: Tile, limits: LimitsTuple, counts: Counts, upper: Floats) -> None:
    """Count, and add integers so small that no layer ever rounds: 2**37 of them fit."""
    for x in range(pixels.shape[0]):
        pixel = np.float64(pixels[x])
        valid = is_valid(pixel, limits)
        upper[x] += pixel if valid else 0.0
        counts[x] += np.int32(valid)


@compiled
def _add_row(pixels: Tile, limits: LimitsTuple, counts: Counts, upper: Floats, saved: Floats) -> bool:
    """Count, and add to the upper layer; True if that was inexact, with what the layer was in `saved`."""
    inexact = False
    for x in range(pixels.shape[0]):
        pixel = np.float64(pixels[x])
        valid = is_valid(pixel, limits)
        term = pixel if valid else 0.0
        before = upper[x]
        after = before + term
        inexact |= is_inexact(before, term, after)
        saved[x] = before
        upper[x] = after
        counts[x] += np.int32(valid)
    return inexact


@compiled
def _add_strip(rows: Tile, columns: Any, limits: LimitsTuple, counts: Counts, upper: Floats) -> bool:
    """Count, and sum rows to `upper`, which is cleared first; True if that was inexact."""
    for x in range(upper.shape[0]):
        upper[x] = 0.0
    inexact = False
    for y in range(rows.shape[0]):
        pixels = rows[y][columns]
        for x in range(pixels.shape[0]):
            pixel = np.float64(pixels[x])
            valid = is_valid(pixel, limits)
            term = pixel if valid else 0.0
            before = upper[x]
            after = before + term
            inexact |= is_inexact(before, term, after)
            upper[x] = after
            counts[x] += np.int32(valid)
    return inexact


@compiled
def add_row(
    pixels: Tile, limits: LimitsTuple, counts: Counts, layers: tuple[Floats, Floats], spare: Spare, cell: int, left: int
) -> int:
    """Count, and add to the upper layer or, if that is inexact, to both. Returns the new `left`."""
    if not _add_row(pixels, limits, counts, layers[0], spare[0][0]):
        return left
    _restore(layers[0], spare[0][0])
    return _add_row_carefully(pixels, limits, False, layers, spare, cell, left)


@compiled
def _add_row_carefully(
    pixels: Tile, limits: LimitsTuple, square: bool, layers: tuple[Floats, Floats], spare: Spare, cell: int, left: int
) -> int:
    """Add to both layers: the row at once or, if that is inexact, pixel by pixel. Returns the new `left`."""
    upper, lower = layers
    saved, cells, values = spare
    if not _add_row_twofold(pixels, limits, square, upper, lower, saved):
        return left
    _restore(upper, saved[0])
    _restore(lower, saved[1])
    for x in range(pixels.shape[0]):
        pixel = np.float64(pixels[x])
        if not is_valid(pixel, limits):
            continue
        term = pixel * pixel if square else pixel
        after = upper[x] + term
        error = _error(upper[x], term, after)
        after_error = lower[x] + error
        if is_inexact(lower[x], error, after_error) or (square and _square_inexact(pixel)):
            cells[left] = cell + x
            values[left] = pixel
            left += 1
        else:
            upper[x] = after
            lower[x] = after_error
    return left


@compiled
def _add_row_twofold(
    pixels: Tile, limits: LimitsTuple, square: bool, upper: Floats, lower: Floats, saved: Floats
) -> bool:
    """Add to both layers; True if that was inexact, with what the layers were in `saved`."""
    saved_upper, saved_lower = saved[0], saved[1]
    inexact = False
    for x in range(pixels.shape[0]):
        value = np.float64(pixels[x])
        pixel = value if is_valid(value, limits) else 0.0
        term = pixel * pixel if square else pixel
        before, before_error = upper[x], lower[x]
        after = before + term
        error = _error(before, term, after)
        after_error = before_error + error
        inexact |= is_inexact(before_error, error, after_error) | (square & _square_inexact(pixel))
        saved_upper[x] = before
        saved_lower[x] = before_error
        upper[x] = after
        lower[x] = after_error
    return inexact


@compiled
def add_row_unsaved(pixels: Tile, limits: LimitsTuple, square: bool, upper: Floats, lower: Floats) -> bool:
    """As `_add_row_twofold`, for layers that are given up if that is inexact."""
    inexact = False
    for x in range(pixels.shape[0]):
        value = np.float64(pixels[x])
        pixel = value if is_valid(value, limits) else 0.0
        term = pixel * pixel if square else pixel
        before, before_error = upper[x], lower[x]
        after = before + term
        error = _error(before, term, after)
        after_error = before_error + error
        inexact |= is_inexact(before_error, error, after_error) | (square & _square_inexact(pixel))
        upper[x] = after
        lower[x] = after_error
    return inexact


@compiled
def _restore(layer: Floats, saved: Floats) -> None:
    for x in range(layer.shape[0]):
        layer[x] = saved[x]
