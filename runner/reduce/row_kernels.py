"""Compiled loops of `weighted`: the pixels of each row by themselves, in lanes that become vector code."""

from typing import Final

import numpy as np
import numpy.typing as npt

from runner.compiled import compiled
from runner.reduce.kernels import Floats, Tile, add_row_unsaved, is_valid
from runner.reduce.pixels import LimitsTuple, PlaceTuple

LANES: Final = 32  # pixels that are added side by side


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
def row_sums(
    tile: Tile, place: PlaceTuple, limits: LimitsTuple, square: bool, layers: Floats, inexact: npt.NDArray[np.bool_]
) -> None:
    """Add the valid pixels of each row, or their squares, to its lanes in `layers` (height, 2 * LANES), which are 0.

    The sum of a row's lanes is exact, unless `inexact` (height) says that an addition was not.
    """
    tile_row, tile_column, _, _, height, width = place
    for y in range(height):
        pixels = tile[tile_row + y][tile_column : tile_column + width]
        upper, lower = layers[y][:LANES], layers[y][LANES:]
        for x in range(0, width, LANES):
            inexact[y] |= add_row_unsaved(pixels[x : x + LANES], limits, square, upper, lower)
