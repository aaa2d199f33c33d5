"""Stored pixels scaled to float64, in one compiled loop and one piece of memory for all tiles of a task.

With numpy that is six passes over memory that the system hands out, and clears, anew for each tile.
"""

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


@compiled
def _scale(tile: Tile, limits: Limits, scale: float, offset: float, values: Floats) -> None:
    for y in range(tile.shape[0]):
        pixels, row = tile[y], values[y]
        for x in range(pixels.shape[0]):
            pixel = np.float64(pixels[x])
            row[x] = pixel * scale + offset if is_valid(pixels[x], limits) else np.nan
