"""How statistics are made of partials: each function gives one float64, or int64 count, for each cell."""

from typing import Any

import numpy as np
import numpy.typing as npt

from runner.reduce import area_statistics
from runner.reduce.exact import rounded
from runner.reduce.partial import Partial
from runner.reduce.variance import variances

Values = npt.NDArray[Any]


def count(partial: Partial) -> Values:
    """Pixels that count, int64."""
    return partial.counts.astype(np.int64)


def valid_fraction(partial: Partial) -> Values:
    """Pixels that count as a part of those seen."""
    with np.errstate(invalid="ignore"):
        fraction: Values = partial.counts / partial.seen
    return fraction


def total(partial: Partial) -> Values:
    """The exact sum, rounded once."""
    assert partial.sums
    return rounded(partial.sums).reshape(partial.counts.shape)


def mean(partial: Partial) -> Values:
    """The sum divided by the count, NaN for none."""
    with np.errstate(invalid="ignore"):
        quotient: Values = total(partial) / partial.counts
    return quotient


def extreme(partial: Partial, which: int) -> Values:
    """The lowest (0) or the highest (1), NaN for no pixels."""
    assert partial.extremes is not None
    values = partial.extremes[which].astype(np.float64) + 0.0  # -0.0 and 0.0 are equal: which came first must not show
    return np.where(partial.counts > 0, values, np.nan)


def variance(partial: Partial) -> Values:
    """See `runner.reduce.variance`."""
    assert partial.sums
    assert partial.squares
    counts = partial.counts.astype(np.int64)
    return variances(counts.ravel(), partial.sums, partial.squares).reshape(counts.shape)


def deviation(partial: Partial) -> Values:
    """The root of the variance."""
    return np.sqrt(variance(partial))


def distance(partial: Partial) -> Values:
    """The highest less the lowest."""
    with np.errstate(over="ignore", invalid="ignore"):
        distance: Values = extreme(partial, 1) - extreme(partial, 0)
    return distance


def variation(partial: Partial) -> Values:
    """The deviation divided by the mean; NaN for a mean of 0."""
    return _ratio(deviation(partial), mean(partial))


def variation_by_area(partial: Partial) -> Values:
    """The same by area."""
    return _ratio(area_statistics.deviation(partial), area_statistics.mean(partial))


def _ratio(deviation: Values, mean: Values) -> Values:
    """Their quotient, NaN for a mean of 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(deviation / np.where(mean == 0, np.nan, mean))


def end(partial: Partial, *, last: bool) -> Values:
    """The pixel of the first or the last scene that counts, NaN for none."""
    kept = partial.last if last else partial.first
    assert kept is not None
    return np.where(partial.counts > 0, kept.values.astype(np.float64) + 0.0, np.nan)
