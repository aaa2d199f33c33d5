"""The statistics by area, made of exact weighted sums: each is the true value rounded once.

With weights w of the valid pixels x, W their sum, S that of w x and Q that of w x**2, the mean is S / W, and the
variance (of the population) Q / W - (S / W)**2 = (W Q - S**2) / W**2: ratios of integers times a power of two. There
may be a million zones, so quotients are taken in two floats where these prove the rounding. Elsewhere Python's integers
decide, and for variances.
"""

from typing import Final

import numpy as np

from runner.reduce.arrays import Floats, Integers
from runner.reduce.exact import Total, integers, round_limbs, two_sum, widened
from runner.reduce.partial import Partial
from runner.reduce.quotient_kernels import quotients
from runner.reduce.variance import ratio

_CELLS_AT_ONCE: Final = 2**15


def valid_fraction(partial: Partial) -> Floats:
    """The weight of the pixels that count, as a part of all."""
    assert partial.weights
    assert partial.weights_seen
    return _quotients(partial.weights, partial.weights_seen)


def mean(partial: Partial) -> Floats:
    """The weighted mean, NaN for no pixels; infinite pixels make it so too, and NaN if both signs are among them."""
    assert partial.weighted_sums
    assert partial.weights
    return _quotients(partial.weighted_sums, partial.weights)


def variance(partial: Partial) -> Floats:
    """The weighted variance of the population, NaN for no pixels or infinite ones."""
    assert partial.weights
    assert partial.weighted_sums
    assert partial.weighted_squares
    (w, w_unit, _), (s, s_unit, infinite), (q, q_unit, _) = (
        _exact(total) for total in (partial.weights, partial.weighted_sums, partial.weighted_squares)
    )
    unit = min(w_unit + q_unit, 2 * s_unit)
    spread = (w * q << (w_unit + q_unit - unit)) - (s * s << (2 * s_unit - unit))
    values = [
        np.nan if infinities.any() or not weight else ratio(numerator, weight * weight, unit - 2 * w_unit)
        for numerator, weight, infinities in zip(spread, w, infinite, strict=True)
    ]
    return np.array(values)


def deviation(partial: Partial) -> Floats:
    """The square root of the variance."""
    root: Floats = np.sqrt(variance(partial))
    return root


def _quotients(numerators: Total, denominators: Total) -> Floats:
    tops, bottoms = _in_two(numerators), _in_two(denominators)
    values, proved = np.empty(tops.shape[1]), np.empty(tops.shape[1], np.bool_)
    quotients(tops, bottoms, values, proved)
    cells = np.flatnonzero(~proved)
    for start in range(0, cells.size, _CELLS_AT_ONCE):
        part = cells[start : start + _CELLS_AT_ONCE]
        values[part] = _divided(numerators, denominators, part)
    return values


def _divided(numerators: Total, denominators: Total, cells: Integers) -> Floats:
    (tops, unit, infinite), (bottoms, bottom_unit, _) = _exact(numerators, cells), _exact(denominators, cells)
    values = np.array(
        [
            ratio(top, bottom, unit - bottom_unit) if bottom else np.nan
            for top, bottom in zip(tops, bottoms, strict=True)
        ]
    )
    values[infinite[:, 0] > 0] = np.inf
    values[infinite[:, 1] > 0] = -np.inf
    values[(infinite > 0).all(axis=1)] = np.nan
    return values


def _in_two(total: Total) -> Floats:
    """Each sum as the nearest float64 and the nearest to what is left: (2, cells)."""
    with np.errstate(over="ignore", invalid="ignore"):
        high, low = two_sum(total.layers[0], total.layers[1])
    cells = np.flatnonzero(total.wide.used()) if total.wide else np.empty(0, np.int64)
    for start in range(0, cells.size, _CELLS_AT_ONCE):
        part = cells[start : start + _CELLS_AT_ONCE]
        wide = widened(total, part)
        high[part] = round_limbs(wide.limbs, wide.first)
        high[part[(wide.infinite > 0).any(axis=1)]] = np.inf
        known = np.flatnonzero(np.isfinite(high[part]))
        wide.add(-high[part[known]], known)
        wide.carry()
        low[part] = round_limbs(wide.limbs, wide.first)
    return np.stack([high, low])


def _exact(total: Total, cells: Integers | None = None) -> tuple[np.ndarray, int, np.ndarray]:
    """Each sum as a Python integer, the power of two that is their unit, and its numbers of +inf and -inf."""
    wide = widened(total, np.arange(total.layers.shape[1]) if cells is None else cells)
    return integers(wide), 32 * wide.first, wide.infinite
