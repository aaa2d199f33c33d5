"""Compiled loops of `weighted`: the pixels of each row on their own, in lanes that become vector code.

One layer of float64 mostly holds the sum of a row, two do where it does not, and every addition is checked: see
`row_kernels`.
"""

from typing import Final, NamedTuple

import numpy as np

from runner.host.compiled import compiled
from runner.reduce.arrays import Bools, Floats, Integers, Tile
from runner.reduce.pixel_types import Limits, Place
from runner.reduce.row_kernels import add_unsaved, is_inexact, is_valid

LANES: Final = 32  # pixels that are added side by side


class RowSums(NamedTuple):
    """Accumulators of rows, which start at 0. The sum of a row's lanes is exact unless an addition was not."""

    lanes: Floats  # (rows, 2 * LANES)
    inexact: Bools  # (rows): whether an addition was


@compiled
def row_counts(tile: Tile, place: Place, limits: Limits, counts: Integers) -> None:
    """Add to `counts` (height) the number of valid pixels of each row."""
    for y in range(place.height):
        pixels = tile[place.top + y][place.left : place.left + place.width]
        total = np.int32(0)
        for x in range(pixels.shape[0]):
            total += np.int32(is_valid(pixels[x], limits))
        counts[y] += total


@compiled
def row_sums(tile: Tile, place: Place, limits: Limits, square: bool, rows: RowSums) -> None:
    """Add the valid pixels of each row, or their squares, to its lanes."""
    for y in range(place.height):
        pixels = tile[place.top + y][place.left : place.left + place.width]
        upper, lower = rows.lanes[y][:LANES], rows.lanes[y][LANES:]
        if square or _add_lanes(pixels, limits, upper):
            upper[:] = 0.0
            for x in range(0, place.width, LANES):
                rows.inexact[y] |= add_unsaved(pixels[x : x + LANES], limits, square, upper, lower)
        else:
            _fold(upper)


@compiled
def _add_lanes(pixels: Tile, limits: Limits, lanes: Floats) -> bool:
    """Add valid pixels to one layer; True if that was inexact."""
    inexact = False
    whole = pixels.shape[0] - pixels.shape[0] % LANES
    for start in range(0, whole, LANES):
        for x in range(LANES):
            inexact |= _add(pixels[start + x], limits, lanes, x)
    for x in range(whole, pixels.shape[0]):
        inexact |= _add(pixels[x], limits, lanes, x - whole)
    return inexact


@compiled
def _add(pixel: float, limits: Limits, lanes: Floats, lane: int) -> bool:
    value = np.float64(pixel)
    term = value if is_valid(value, limits) else 0.0
    before = lanes[lane]
    after = before + term
    lanes[lane] = after
    return is_inexact(before, term, after)


@compiled
def _fold(lanes: Floats) -> None:
    """Add the upper half of the lanes to the lower, and so on, as long as that is exact."""
    half = LANES // 2
    while half:
        inexact = False
        for x in range(half):
            inexact |= is_inexact(lanes[x], lanes[half + x], lanes[x] + lanes[half + x])
        if inexact:
            return
        for x in range(half):
            lanes[x] += lanes[half + x]
            lanes[half + x] = 0.0
        half //= 2
