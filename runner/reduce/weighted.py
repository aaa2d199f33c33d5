"""Sums over space by weights, one for each row of pixels. Each accumulator is for one thread.

A row is summed exactly, in lanes, as columns are without weights; its lanes are then multiplied by its weight, exactly
too, on their way to the limbs of the scene. So the order and the cutting of tiles never matter.
"""

import numpy as np
import numpy.typing as npt

from runner.reduce.arrays import Floats, Integers, Tile
from runner.reduce.exact import Total, Wide
from runner.reduce.partial import Needs
from runner.reduce.pixel_types import Pixels, Place, pieces, square_pieces
from runner.reduce.weighted_kernels import LANES, RowSums, row_counts, row_sums


class WeightedSums:
    """Weighted sums of each scene of a task; `weights` are positive, one for each row of its window."""

    def __init__(self, scenes: int, pixels: Pixels, needs: Needs, weights: Floats | None) -> None:
        """Raises ValueError for no weights."""
        if weights is None:
            raise ValueError("sums by weights: got no weights, wanted one for each row of the window")
        self._pixels, self._weights = pixels, weights
        rooms = {
            "weights": Wide.for_products,
            "weights_seen": Wide.for_products,
            "weighted_sums": Wide.for_products,
            "weighted_squares": Wide.for_square_products,
        }
        self._wides = {name: room(scenes) for name, room in rooms.items() if getattr(needs, name)}

    @staticmethod
    def bytes_per_scene(needs: Needs) -> int:
        """Memory an accumulator takes for each scene."""
        products = needs.weights + needs.weights_seen + needs.weighted_sums
        return (8 * 139 + 16) * products + (8 * 204 + 16) * needs.weighted_squares

    def add_tile(self, scene: int, tile: Tile, place: Place) -> None:
        """Add pixels of a scene, native and checked."""
        weights = self._weights[place.row : place.row + place.height]
        counts = self._counts(tile, place)
        for name, numbers in (("weights", counts), ("weights_seen", np.full_like(counts, place.width))):
            if name in self._wides:
                self._wides[name].add_weighted(numbers.astype(np.float64), weights, scene)
        for name, square in (("weighted_sums", False), ("weighted_squares", True)):
            if name in self._wides:
                add = self._add_in_pieces if self._pixels.in_pieces else self._add_rows
                add(self._wides[name], scene, tile, place, square)

    def skip(self, scene: int, place: Place) -> None:
        """Count the pixels of a scene at a place as seen, none of which counts."""
        if "weights_seen" in self._wides:
            weights = self._weights[place.row : place.row + place.height]
            self._wides["weights_seen"].add_weighted(np.full(place.height, float(place.width)), weights, scene)

    def totals(self) -> dict[str, Total]:
        """The sums, by their names in a partial."""
        return {name: Total(np.zeros((2, len(wide.limbs))), wide.select()) for name, wide in self._wides.items()}

    def _counts(self, tile: Tile, place: Place) -> Integers:
        counts = np.zeros(place.height, np.int64)
        if self._pixels.in_pieces:
            counts += np.count_nonzero(self._pixels.valid(tile[place.of_tile()]), axis=1)
        else:
            row_counts(tile, place, self._pixels.kind.limits, counts)
        return counts

    def _add_rows(self, wide: Wide, scene: int, tile: Tile, place: Place, square: bool) -> None:
        weights = self._weights[place.row : place.row + place.height]
        rows = RowSums(np.zeros((place.height, 2 * LANES)), np.zeros(place.height, np.bool_))
        row_sums(tile, place, self._pixels.kind.limits, square, rows)
        inexact, exact = rows.inexact, ~rows.inexact
        wide.add_weighted(rows.lanes[exact].ravel(), np.repeat(weights[exact], 2 * LANES), scene)
        if inexact.any():
            part = tile[place.of_tile()][inexact]
            valid = self._pixels.valid(part)
            wide.add_weighted(part[valid], _spread(weights[inexact], part)[valid], scene, square=square)

    def _add_in_pieces(self, wide: Wide, scene: int, tile: Tile, place: Place, square: bool) -> None:
        part = tile[place.of_tile()]
        weights = _spread(self._weights[place.row : place.row + place.height], part).ravel()
        for piece in (square_pieces if square else pieces)(part, self._pixels.valid(part)):
            wide.add_weighted(piece.ravel(), weights, scene)


def _spread(weights: Floats, part: npt.NDArray[np.generic]) -> Floats:
    """Each row's weight, for all of its pixels."""
    return np.broadcast_to(weights[:, np.newaxis], part.shape)
