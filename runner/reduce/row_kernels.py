"""Compiled loops of `weighted`: the pixels of each row by themselves, in lanes that become vector code.

One layer of float64 mostly holds the sum of a row, two do where it does not, and every addition is checked: see
`kernels`.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled
from runner.reduce.kernels import Floats, Tile, add_row_unsaved, is_inexact, is_valid
from runner.reduce.pixel_types import LimitsTuple, PlaceTuple

LANES: Final = 32  # pixels that are added side by side
Bools = npt.NDArray[np.bool_]


@compiled
def row_counts(tile: Tile, place: PlaceTuple, limits: LimitsTuple, counts: npt.NDArray[np.int64]) -> None:
    """Add to `counts` (height) how many pixels of each row count."""
    tile_row, tile_column, _, _, height, width = place
    for y in range(height):
        pixels = tile[tile_row + y][tile_column : tile_column + width]
        total = np.int32(0)
        for x in range(pixels.shape[0]):
            total += np.int32(is_valid(pixels[x], limits))
        counts[y] += total


@compiled
def row_sums(tile: Tile, place: PlaceTuple, limits: LimitsTuple, square: bool, layers: Floats, inexact: Bools) -> None:
    """Add the valid pixels of each row, or their squares, to its lanes in `layers` (height, 2 * LANES), which are 0.

    The sum of a row's lanes is exact, unless `inexact` (height) says that an addition was not.
    """
    tile_row, tile_column, _, _, height, width = place
    for y in range(height):
        pixels = tile[tile_row + y][tile_column : tile_column + width]
        upper, lower = layers[y][:LANES], layers[y][LANES:]
        if square or _add_lanes(pixels, limits, upper):
            upper[:] = 0.0
            for x in range(0, width, LANES):
                inexact[y] |= add_row_unsaved(pixels[x : x + LANES], limits, square, upper, lower)
        else:
            _fold(upper)


@compiled
def _add_lanes(pixels: Tile, limits: LimitsTuple, lanes: Floats) -> bool:
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
def _add(pixel: float, limits: LimitsTuple, lanes: Floats, lane: int) -> bool:
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
