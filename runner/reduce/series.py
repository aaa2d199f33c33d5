"""Statistics of all values of a cell with their times: the slope of Theil and Sen, and the test of Mann and Kendall.

Arguments in common: `values` are float64 (scenes, cells), NaN where missing; `times` float64 (scenes), milliseconds in
the order of the stack. There is one result for each cell.

Theil and Sen: the median of the slopes (x2 - x1) / (t2 - t1) of all pairs of scenes of different times, per Julian year
(Sen, J. Am. Stat. Assoc. 63, 1968). The difference, the quotient, the mean of the two middle slopes and the product
with the year are rounded one after the other, in float64.

Mann and Kendall: S is the number of pairs of different times that rise less that of those that fall. Z is
(S - sign(S)) / sqrt(V), and 0 if S is, where V is the variance of S if there is no trend, with ties among values and
among times taken into account (Kendall, Rank Correlation Methods, 1970, 4.9). p is the probability of a Z so far from 0
on either side, for independent values.
"""

from collections.abc import Callable
from math import erfc, sqrt
from typing import Final

import numpy as np

from runner.reduce import series_kernels
from runner.reduce.arrays import Bools, Floats, Tile
from runner.reduce.pixel_types import Pixels
from runner.reduce.scene_times import YEAR

OfSeries = Callable[[Floats, Floats], Floats]

_VALUES_AT_ONCE: Final = 2**20


def pair_bytes(scenes: int) -> int:
    """The memory that `theil_sen` takes in a thread: the slopes of all pairs."""
    return 8 * scenes * (scenes - 1) // 2


def apply_series(function: OfSeries, stack: Tile, pixels: Pixels, times: Floats) -> Floats:
    """A function of the values of each cell of a stack (scenes, *cells), some cells at a time."""
    flat = pixels.flat(stack)
    result = np.empty(flat.shape[1])
    step = max(1, _VALUES_AT_ONCE // max(1, len(flat)))
    for start in range(0, flat.shape[1], step):
        part = flat[:, start : start + step]
        values = np.where(pixels.valid(part), part.astype(np.float64), np.nan)
        result[start : start + step] = function(values, times)
    return result.reshape(stack.shape[1:])


def theil_sen(values: Floats, times: Floats) -> Floats:
    """The median slope per year; NaN with fewer than two times."""
    result = np.empty(values.shape[1])
    series_kernels.theil_sen(np.ascontiguousarray(values), times, result)
    return result * YEAR + 0.0


def mann_kendall(values: Floats, times: Floats) -> Floats:
    """Z of the test; NaN with fewer than two times."""
    values = np.ascontiguousarray(values)
    rises, ties = np.zeros(values.shape[1], np.int64), np.zeros((3, values.shape[1]), np.int64)
    series_kernels.mann_kendall(values, times, rises, ties)
    counts, time_ties = _time_ties(values, times)
    variances = _variances(counts, ties.astype(np.float64), time_ties)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (rises - np.sign(rises)) / np.sqrt(variances)
    z = np.where(rises == 0, 0.0, z)
    return np.where(_different(values, times), z, np.nan)


def mann_kendall_p(values: Floats, times: Floats) -> Floats:
    """The two-sided probability of such a Z; NaN with fewer than two times."""
    return np.array([erfc(abs(z) / sqrt(2)) for z in mann_kendall(values, times).tolist()])


def _variances(counts: Floats, ties: Floats, time_ties: Floats) -> Floats:
    """V of each cell."""
    n = counts
    main = n * (n - 1) * (2 * n + 5) - ties[0] - time_ties[0]
    pairs, triples = np.maximum(2 * n * (n - 1), 1), np.maximum(9 * n * (n - 1) * (n - 2), 1)
    variances: Floats = main / 18 + ties[1] * time_ties[1] / pairs + ties[2] * time_ties[2] / triples
    return variances


def _time_ties(values: Floats, times: Floats) -> tuple[Floats, Floats]:
    """How many values each cell has, and the sums over groups of equal times as in `series_kernels.mann_kendall`."""
    valid = ~np.isnan(values)
    sums = np.zeros((3, values.shape[1]))
    for moment in np.unique(times[1:][np.diff(times) == 0]):
        u = np.count_nonzero(valid[times == moment], axis=0).astype(np.float64)
        sums += np.stack([u * (u - 1) * (2 * u + 5), u * (u - 1), u * (u - 1) * (u - 2)])
    return np.count_nonzero(valid, axis=0).astype(np.float64), sums


def _different(values: Floats, times: Floats) -> Bools:
    """True for cells with values of different times."""
    shown = np.where(np.isnan(values), np.nan, times[:, np.newaxis])
    with np.errstate(invalid="ignore"):
        different: Bools = np.asarray(np.fmax.reduce(shown, axis=0) > np.fmin.reduce(shown, axis=0))
    return different
