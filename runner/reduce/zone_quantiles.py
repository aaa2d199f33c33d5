"""Statistics of zones that need all their values at once: the pixels of a window's zones, zone after zone.

Where pixels count by the fraction of them that is in a zone, the quantile at f is the lowest of the valid values such
that those up to it make up f of the sum of all their fractions: numpy's method "inverted_cdf". It is one of the values,
and of equal ones it does not matter which comes first. Fractions are summed as integers, and f is a decimal number, so
that no rounding decides.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np

from runner.reduce.arrays import Floats, Integers, Tile
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.quantiles import apply, quantiles_of_cells
from runner.reduce.statistics import statistic
from runner.reduce.zonal_kernels import copy_runs
from runner.reduce.zone_runs import ZoneRuns

_BITS = 24, 30  # of a fraction, upper and lower: a float32 from 2**-30 to 1 is a multiple of 2**-54


class ZonePixels:
    """The pixels of some scenes in the zones of a window, for the statistics of these names, which need all of them.

    `runs` are those of the window. If `by_fraction` is True, pixels count by the fractions of them.
    """

    def __init__(self, scenes: int, pixels: Pixels, runs: ZoneRuns, names: Sequence[str], *, by_fraction: bool) -> None:
        self._pixels = pixels
        self._names = names
        _, self._runs = runs.renumbered()
        lengths = (self._runs.stop - self._runs.start).astype(np.int64)
        order = np.argsort(self._runs.zone, kind="stable")
        ends = np.cumsum(lengths[order])
        self._first = np.empty(len(order), np.int64)  # of each run among the pixels of all zones
        self._first[order] = ends - lengths[order]
        self._bounds = np.cumsum(np.bincount(self._runs.zone + 1, lengths)).astype(np.int64)  # of zones among these
        self._values = np.full((scenes, int(lengths.sum())), pixels.blank or 0, pixels.stored)
        self._weights: Tile | None = None
        if by_fraction:
            self._weights = np.repeat(self._runs.fraction[order].astype(np.float32), lengths[order])

    @staticmethod
    def bytes_per_pixel(pixels: Pixels, *, by_fraction: bool) -> int:
        """Memory that it takes for each pixel of a zone."""
        return pixels.stored.itemsize + 4 * by_fraction

    def add_tile(self, scene: int, tile: Tile, place: Place) -> None:
        """Keep the pixels of a scene at a place."""
        copy_runs(self._pixels.native(tile), place, self._runs, self._first, self._values[scene])

    def skip(self, scene: int, place: Place) -> None:
        """Let the pixels of a scene at a place be missing, as all are until they are added."""

    def finish(self) -> dict[str, Floats]:
        """The statistics, (scenes, zones that have a pixel in the window); NaN where no pixel counts."""
        of_scenes = [self._of_scene(values) for values in self._values]
        return {name: np.stack([of_scene[name] for of_scene in of_scenes]) for name in self._names}

    def _of_scene(self, values: Tile) -> dict[str, Floats]:
        cells, made = [*self._parts(values)], [statistic(name) for name in self._names]
        fractions = {one.name: one.fraction for one in made if one.fraction is not None}
        functions = {one.name: one.of_values for one in made if one.of_values and one.fraction is None}
        found = self._quantiles(cells, [*fractions.values()]) if fractions else []
        each = [apply(functions, cell[:, np.newaxis], self._pixels) for cell in cells] if functions else []
        others = {name: np.array([of_cell[name][0] for of_cell in each]) for name in functions}
        return dict(zip(fractions, found, strict=True)) | others

    def _quantiles(self, cells: Sequence[Tile], fractions: Sequence[float]) -> list[Floats]:
        if self._weights is None:
            return quantiles_of_cells(cells, self._pixels, fractions)
        return weighted_quantiles(cells, [*self._parts(self._weights)], self._pixels, fractions)

    def _parts(self, values: Tile) -> Iterator[Tile]:
        bounds = self._bounds.tolist()
        return (values[start:stop] for start, stop in pairwise(bounds))


def weighted_quantiles(
    cells: Sequence[Tile], weights: Sequence[Tile], pixels: Pixels, fractions: Sequence[float]
) -> list[Floats]:
    """The quantile for each fraction (0 to 1) of the pixels of each cell, which count by their weights.

    These are float32 from 2**-30 to 1. NaN where no pixel counts.
    """
    parts = [Fraction(repr(fraction)) for fraction in fractions]
    found = np.full((len(parts), len(cells)), np.nan)
    for number, (cell, of_cell) in enumerate(zip(cells, weights, strict=True)):
        valid = pixels.valid(cell)
        values = cell[valid]
        if values.size:
            order = np.argsort(values)
            found[:, number] = values[order[_ranks(of_cell[valid][order], parts)]]
    return [*(found + 0.0)]


def _ranks(weights: Tile, parts: Sequence[Fraction]) -> Integers:
    """The first places at which the sum of the weights up to them reaches these parts of the sum of all."""
    (upper_bits, lower_bits), exact = _BITS, weights.astype(np.float64)
    upper = np.floor(np.ldexp(exact, upper_bits))
    lower = np.ldexp(np.ldexp(exact, upper_bits) - upper, lower_bits)
    rests = np.cumsum(lower.astype(np.int64))
    sums, rests = np.cumsum(upper.astype(np.int64)) + (rests >> lower_bits), rests & ((1 << lower_bits) - 1)
    total = (int(sums[-1]) << lower_bits) + int(rests[-1])
    ranks = []
    for part in parts:
        reached, rest = divmod(-(-total * part.numerator // part.denominator), 1 << lower_bits)
        first, last = np.searchsorted(sums, reached, "left"), np.searchsorted(sums, reached, "right")
        ranks.append(first + np.searchsorted(rests[first:last], rest))
    return np.array(ranks, np.int64)
