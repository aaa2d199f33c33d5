"""The compiled loops of `slope`: about 100 bits, and a proof that they suffice for the rounding, as `variance_kernels`.

With n scenes of times t and pixels x, S and P their sums, R that of x t, Q that of x x and T that of t t, there are
three spreads, each n n times a (co)variance: A = n Q - S S, B = n R - P S and D = n T - P P, which is an integer.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled
from runner.reduce.arrays import Bools, Floats, Integers
from runner.reduce.error_free import collect, collected, exact_product, exact_sum
from runner.reduce.quotient_kernels import quotient
from runner.reduce.scene_times import YEAR
from runner.reduce.variance_kernels import spread

_YEAR: Final = float(YEAR)
_HALF: Final = 2.0**43
_PART: Final = 31  # bits
_LOW: Final = (1 << _PART) - 1


class SlopeSums(NamedTuple):
    """The sums of cells, flat: layers are (2, cells), times as in a `Partial`, (3, cells)."""

    counts: npt.NDArray[np.int64]
    times: Integers
    sums: Floats
    products: Floats
    squares: Floats  # or anything of this shape


@compiled
def slopes(of: SlopeSums, result: Floats, proved: Bools) -> None:
    """Write the slope per year of each cell to `result`, and to `proved` whether it is surely rounded right.

    That is B / D; NaN for times that are all the same, for which D is 0.
    """
    for i in range(of.counts.shape[0]):
        high, low, lost = _covariance(of, i)
        divisor, rest, missed = _time_variance(of, i)
        high, low = _times_year(high, low)
        result[i], proved[i] = quotient((high, low, lost * _YEAR), (divisor, rest, missed))


@compiled
def squared_errors(of: SlopeSums, result: Floats, proved: Bools) -> None:
    """As `slopes`, the square of the standard error: (A D - B B) / (D D (n - 2)); NaN for fewer than 3 scenes."""
    for i in range(of.counts.shape[0]):
        n = float(of.counts[i])
        a, a1, lost = spread(n, of.sums[0, i], of.sums[1, i], of.squares[0, i], of.squares[1, i])
        b, b1, b_lost = _covariance(of, i)
        d, d1, missed = _time_variance(of, i)
        layers = collect((0.0, 0.0, 0.0, lost * d + 2.0 * abs(b) * b_lost), a, d)
        layers = collect(layers, -b, b)
        layers = collect(layers, a, d1)
        layers = collect(layers, a1, d)
        layers = collect(layers, -2.0 * b, b1)
        layers = collect(layers, a1, d1)
        layers = collect(layers, -b1, b1)
        high, low, lost = collected(layers)
        high, low = _times_year(high, low)
        high, low = _times_year(high, low)
        divisor, rest = exact_product(d, d)
        rest += 2.0 * d * d1
        whole, error = exact_product(divisor, n - 2.0)
        divisor, rest = exact_sum(whole, error + rest * (n - 2.0))
        if n > 2.0:
            result[i], proved[i] = quotient((high, low, lost * _YEAR * _YEAR), (divisor, rest, missed))
        else:
            result[i], proved[i] = np.nan, True


@compiled
def _covariance(of: SlopeSums, i: int) -> tuple[float, float, float]:
    """B as the sum of two floats, and a bound of what they miss."""
    n = float(of.counts[i])
    time, time1 = _as_floats(of.times[0, i])
    s, s1 = exact_sum(of.sums[0, i], of.sums[1, i])
    r, r1 = exact_sum(of.products[0, i], of.products[1, i])
    layers = collect((0.0, 0.0, 0.0, 0.0), n, r)
    layers = collect(layers, -time, s)
    layers = collect(layers, n, r1)
    layers = collect(layers, -time, s1)
    layers = collect(layers, -time1, s)
    layers = collect(layers, -time1, s1)
    return collected(layers)


@compiled
def _time_variance(of: SlopeSums, i: int) -> tuple[float, float, float]:
    """D alike."""
    n = float(of.counts[i])
    time, time1 = _as_floats(of.times[0, i])
    low, low1 = _as_floats(of.times[1, i])
    high, high1 = _as_floats(of.times[2, i])
    layers = collect((0.0, 0.0, 0.0, 0.0), n * _HALF, high)
    layers = collect(layers, -time, time)
    layers = collect(layers, n * _HALF, high1)
    layers = collect(layers, -2.0 * time, time1)
    layers = collect(layers, n, low)
    layers = collect(layers, -time1, time1)
    layers = collect(layers, n, low1)
    return collected(layers)


@compiled
def _as_floats(number: int) -> tuple[float, float]:
    """An int64 as the sum of two floats."""
    return float((number >> _PART) << _PART), float(number & _LOW)


@compiled
def _times_year(high: float, low: float) -> tuple[float, float]:
    product, error = exact_product(high, _YEAR)
    return exact_sum(product, error + low * _YEAR)
