"""Compiled loops over one row of pixels, which is added to float64 layers.

The exact sum of the layers is the exact sum of the pixels. Every addition is checked: where one would lose a bit,
nothing of that row is kept and the row is added again with more care; what two layers cannot hold goes to the spare
room. So order never matters. Sources: Knuth, The Art of Computer Programming 2, 4.2.2 (the error of an addition is a
float); Dekker, Numerische Mathematik 18 (1971), 224-242 (how to tell whether there is one).

Each innermost loop becomes vector code, and must stay so: no early exit, no rounded sum carried from pixel to pixel.
LLVM fuses no multiply-add unless asked to; it would break the error terms.
"""

from typing import Any, NamedTuple

import numpy as np

from runner.host.compiled import compiled
from runner.reduce.arrays import Counts, Floats, Integers, Tile
from runner.reduce.pixel_types import Limits


class Spare(NamedTuple):
    """Room for the pixels that two layers cannot hold."""

    saved: Floats  # scratch (2, at least width): layers as they were before a row
    cells: Integers  # the flat index of each pixel; as long as `values`, with room for all
    values: Floats
    used: Integers  # (1,): how many there are


class Row(NamedTuple):
    """A row of both layers, and the flat index of its first cell."""

    upper: Floats
    lower: Floats
    cell: int


@compiled
def is_valid(pixel: float, limits: Limits) -> bool:
    """True if a pixel counts; compared in the wider of its type and that of the limits.

    The number of limits is a constant of the compiled code, so that without a valid range there are two comparisons.
    """
    valid = (pixel < limits.nodata_low) | (pixel > limits.nodata_high)
    if len(limits) == 2:
        return valid
    return valid & (pixel >= limits.low) & (pixel <= limits.high)


@compiled
def is_inexact(left: float, right: float, total: float) -> bool:
    """True if left + right was rounded to `total`; True for infinities and NaN. One difference is exact (Dekker)."""
    return (total - left != right) | (total - right != left)


@compiled
def _error(left: float, right: float, total: float) -> float:
    """Exactly left + right - total, where `total` is their rounded sum (Knuth)."""
    part = total - left
    return (left - (total - part)) + (right - part)


@compiled
def _square_inexact(pixel: float) -> bool:
    """True if pixel * pixel may be rounded; it is exact for any number that a float32 can hold."""
    return float(np.float32(pixel)) != pixel


@compiled
def add_small(pixels: Tile, limits: Limits, counts: Counts, upper: Floats) -> None:
    """Count, and add integers so small that no layer ever rounds: 2**37 of them fit."""
    for x in range(pixels.shape[0]):
        pixel = np.float64(pixels[x])
        valid = is_valid(pixel, limits)
        upper[x] += pixel if valid else 0.0
        counts[x] += np.int32(valid)


@compiled
def _add_row(pixels: Tile, limits: Limits, counts: Counts, upper: Floats, saved: Floats) -> bool:
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
def add_strip(rows: Tile, columns: Any, limits: Limits, counts: Counts, upper: Floats) -> bool:
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
def add_row(pixels: Tile, limits: Limits, counts: Counts, row: Row, spare: Spare) -> None:
    """Count, and add to the upper layer or, if that is inexact, to both."""
    upper, saved = row.upper, spare.saved[0]
    if _add_row(pixels, limits, counts, upper, saved):
        _restore(upper, saved)
        add_carefully(pixels, limits, False, row, spare)


@compiled
def add_carefully(pixels: Tile, limits: Limits, square: bool, row: Row, spare: Spare) -> None:
    """Add to both layers: the row at once or, if that is inexact, pixel by pixel."""
    if _add_twofold(pixels, limits, square, row, spare.saved):
        _add_one_by_one(pixels, limits, square, row, spare)


@compiled
def _add_one_by_one(pixels: Tile, limits: Limits, square: bool, row: Row, spare: Spare) -> None:
    """Restore both layers, and add to them the pixels that they can hold, to the spare room the others."""
    upper, lower, cell = row  # at once: numba counts a reference each time that it takes a field
    saved, cells, values, used = spare
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
            cells[used[0]] = cell + x
            values[used[0]] = pixel
            used[0] += 1
        else:
            upper[x] = after
            lower[x] = after_error


@compiled
def _add_twofold(pixels: Tile, limits: Limits, square: bool, row: Row, saved: Floats) -> bool:
    """Add to both layers; True if that was inexact, with what the layers were in `saved`."""
    (upper, lower, _), saved_upper, saved_lower = row, saved[0], saved[1]
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
def add_unsaved(pixels: Tile, limits: Limits, square: bool, upper: Floats, lower: Floats) -> bool:
    """As `_add_twofold`, for layers that are given up if that is inexact."""
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
