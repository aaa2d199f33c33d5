"""Sums over space: one cell for each scene of a task. Each accumulator is for one thread.

A tile is summed column by column into layers of its own, which are then added to the limbs of its scene.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from runner.reduce import kernels
from runner.reduce.arrays import Counts, Floats, Tile
from runner.reduce.exact import Total, Wide
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixel_types import Limits, PixelKind, Pixels, Place, pieces, square_pieces
from runner.reduce.weighted import WeightedSums


class SpatialSums:
    """Sums over the pixels of a task, scene by scene; `scenes` is their number.

    `weights` are those of the rows of its window, where a statistic needs them.
    """

    def __init__(self, scenes: int, pixels: Pixels, needs: Needs, weights: Floats | None = None) -> None:
        self.pixels = pixels
        self._seen = np.zeros(scenes, np.int64)
        self._counts = np.zeros(scenes, np.int64)
        self._sums = _Columns(Wide.for_sums(scenes)) if needs.sums else None
        self._squares = _Columns(Wide.for_squares(scenes)) if needs.squares else None
        self._extremes = pixels.no_extremes((scenes,)) if needs.extremes else None
        self._weighted = WeightedSums(scenes, pixels, needs, weights) if needs.weighted else None

    @staticmethod
    def bytes_per_scene(pixels: Pixels, needs: Needs) -> int:
        """Memory an accumulator takes for each scene."""
        limbs = 71 * needs.sums + 139 * needs.squares
        plain = 16 + 8 * limbs + 16 * (needs.sums + needs.squares) + 2 * pixels.stored.itemsize * needs.extremes
        return plain + WeightedSums.bytes_per_scene(needs)

    def add_tile(self, scene: int, tile: Tile, place: Place) -> None:
        """Add pixels of the scene of this index; the tile, (rows, columns), is free for reuse afterwards.

        Without weights only the place in the tile matters. Raises ValueError for another type of pixels, or a place
        outside of the tile.
        """
        tile = self.pixels.native(tile)
        place.check(tile.shape, None)
        self._seen[scene] += place.height * place.width
        if self._weighted:
            self._weighted.add_tile(scene, tile, place)
        if self.pixels.in_pieces:
            self._add_in_pieces(scene, tile[place.of_tile()])
        else:
            self._add(scene, tile, place)

    def skip(self, scene: int, place: Place) -> None:
        """Count the pixels of a scene at a place as seen, none of which counts."""
        self._seen[scene] += place.height * place.width
        if self._weighted:
            self._weighted.skip(scene, place)

    def add_columns(self, scene: int, seen: int, count: int, layers: Floats) -> None:
        """Add what `fused_kernels.add_strips` made of `seen` pixels of a scene, exactly. There must be sums."""
        assert self._sums
        self._seen[scene] += seen
        self._counts[scene] += count
        self._sums.add_pixels(scene, layers.ravel())

    def partial(self) -> Partial:
        """The sums so far. They share memory with the accumulator: take them once, at the end."""
        sums = self._sums.total() if self._sums else None
        squares = self._squares.total() if self._squares else None
        weighted: dict[str, Any] = {**self._weighted.totals()} if self._weighted else {}
        return Partial(self._seen, self._counts, sums, squares, self._extremes, **weighted)

    def _add(self, scene: int, tile: Tile, place: Place) -> None:
        kind, counts = self.pixels.kind, np.zeros(place.width, np.int32)
        if self._sums:
            if not self._sums.add(scene, tile, place, kind, counts):
                self._sums.add_pixels(scene, self._valid_pixels(tile, place))
        else:
            kernels.column_counts(tile, place, kind.limits, counts)
        self._counts[scene] += counts.sum()
        if self._squares and not self._squares.add_squares(scene, tile, place, kind.limits):
            self._squares.add_pixels(scene, self._valid_pixels(tile, place), square=True)
        if self._extremes is not None:
            columns = self.pixels.no_extremes((place.width,))
            kernels.column_extremes(tile, place, kind.limits, columns)
            self._spread(self._extremes, scene, columns)

    def _add_in_pieces(self, scene: int, part: Tile) -> None:
        valid = self.pixels.valid(part)
        self._counts[scene] += np.count_nonzero(valid)
        if self._sums:
            self._sums.add_floats(scene, pieces(part, valid))
        if self._squares:
            self._squares.add_floats(scene, square_pieces(part, valid))
        if self._extremes is not None and valid.any():
            self._spread(self._extremes, scene, np.stack([part[valid], part[valid]]))

    def _valid_pixels(self, tile: Tile, place: Place) -> Floats:
        part = tile[place.of_tile()]
        return part[self.pixels.valid(part)].astype(np.float64)

    @staticmethod
    def _spread(extremes: Tile, scene: int, pairs: Tile) -> None:
        extremes[0, scene] = min(extremes[0, scene], pairs[0].min())
        extremes[1, scene] = max(extremes[1, scene], pairs[1].max())


class _Columns:
    """An exact sum for each scene, in limbs, with the scratch to sum a tile in."""

    def __init__(self, wide: Wide) -> None:
        self._wide = wide
        self._layers: Floats = np.empty((2, 0))
        self._strip: Floats = np.empty(0)

    def add(self, scene: int, tile: Tile, place: Place, kind: PixelKind, counts: Counts) -> bool:
        """Count the valid pixels of each column and add them; False if that was inexact, and they were not added."""
        columns = kernels.Columns(counts, self._clear(tile.shape[1]), self._strip)
        inexact = kernels.column_sums(tile, place, kind, columns)
        return not inexact and self._keep(scene)

    def add_squares(self, scene: int, tile: Tile, place: Place, limits: Limits) -> bool:
        """Add the squares of valid pixels, as `add`."""
        inexact = kernels.column_squares(tile, place, limits, self._clear(tile.shape[1]))
        return not inexact and self._keep(scene)

    def add_floats(self, scene: int, tiles: Iterable[Floats]) -> None:
        """Add all of each tile, float64 without NaN."""
        for tile in tiles:
            self.add_pixels(scene, tile.ravel())

    def add_pixels(self, scene: int, values: Floats, *, square: bool = False) -> None:
        """Add values one by one, or their squares: 5 ns each."""
        self._wide.add(values, np.array([scene]), square=square)

    def total(self) -> Total:
        """The sums."""
        return Total(np.zeros((2, len(self._wide.limbs))), self._wide.select())

    def _keep(self, scene: int) -> bool:
        self.add_pixels(scene, self._layers.ravel())
        return True

    def _clear(self, width: int) -> Floats:
        if len(self._strip) < width:
            self._layers, self._strip = np.zeros((2, width)), np.zeros(width)
        self._layers[:] = 0
        return self._layers
