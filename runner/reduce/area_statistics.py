"""The statistics by area, made of exact weighted sums: each is the true value rounded once.

With weights w of the valid pixels x, W their sum, S that of w x and Q that of w x**2, the mean is S / W, and the
variance (of the population) Q / W - (S / W)**2 = (W Q - S**2) / W**2: ratios of integers times a power of two. There
is a cell for each scene, so that Python's integers are fast enough.
"""

import numpy as np

from runner.reduce.arrays import Floats
from runner.reduce.exact import Total, integers, widened
from runner.reduce.partial import Partial
from runner.reduce.variance import ratio


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
    (tops, unit, infinite), (bottoms, bottom_unit, _) = _exact(numerators), _exact(denominators)
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


def _exact(total: Total) -> tuple[np.ndarray, int, np.ndarray]:
    """Each sum as a Python integer, the power of two that is their unit, and its numbers of +inf and -inf."""
    wide = widened(total, np.arange(total.layers.shape[1]))
    return integers(wide), 32 * wide.first, wide.infinite
