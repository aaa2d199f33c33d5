"""The compiled loop of `variance`: about 100 bits, and a proof that they suffice for the rounding."""

from typing import Final

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled
from runner.reduce.arrays import Bools, Floats

_MAX_COUNT: Final = 2**26  # its square is exact
_SPLIT: Final = 134217729.0  # 2**27 + 1
# The relative error of the quotient is below 2**-102: the remainder is rounded once, and once divided.
_RELATIVE_ERROR: Final = 2.0**-98


@compiled
def variances(counts: npt.NDArray[np.int64], sums: Floats, squares: Floats, result: Floats, proved: Bools) -> None:
    """Write each cell's variance to `result`, and to `proved` whether it is surely rounded right; NaN never is.

    `sums` and `squares` are layers (2, cells). Nothing over- or underflows: the two layers of `squares` hold squares of
    float32s only, see `kernels`.
    """
    for i in range(counts.shape[0]):
        n = np.float64(counts[i])
        high, low, lost = _spread(n, sums[0, i], sums[1, i], squares[0, i], squares[1, i])
        quotient = high / (n * n)
        product, error = _product(quotient, n * n)
        rest = (((high - product) - error) + low) / (n * n)
        doubt = abs(quotient) * _RELATIVE_ERROR + 2.0 * lost / (n * n)
        result[i] = quotient + (rest + doubt)
        proved[i] = (result[i] == quotient + (rest - doubt)) & (n <= _MAX_COUNT)


@compiled
def _spread(n: float, sum0: float, sum1: float, square0: float, square1: float) -> tuple[float, float, float]:
    """n Q - S S as the sum of two floats, and a bound of what they miss."""
    s, s1 = _sum(sum0, sum1)
    q, q1 = _sum(square0, square1)
    # One call each: a loop over the pairs would not become vector code.
    layers = _collect((0.0, 0.0, 0.0, 0.0), n, q)
    layers = _collect(layers, -s, s)
    layers = _collect(layers, n, q1)
    layers = _collect(layers, -2.0 * s, s1)
    layers = _collect(layers, -s1, s1)
    upper, middle, lower, lost = layers
    high, rest = _sum(upper, middle)
    rest, missed = _sum(rest, lower)
    high, low = _sum(high, rest)
    return high, low, lost + abs(missed)


@compiled
def _collect(layers: tuple[float, float, float, float], left: float, right: float) -> tuple[float, float, float, float]:
    """Add a product to three layers; the fourth bounds what falls off the third."""
    upper, middle, lower, lost = layers
    product, product_error = _product(left, right)
    upper, error = _sum(upper, product)
    middle, error = _sum(middle, error)
    lower, error = _sum(lower, error)
    lost += abs(error)
    upper, error = _sum(upper, product_error)
    middle, error = _sum(middle, error)
    lower, error = _sum(lower, error)
    return upper, middle, lower, lost + abs(error)


@compiled
def _sum(left: float, right: float) -> tuple[float, float]:
    """The rounded sum and its exact error (Knuth, TAOCP 2, 4.2.2)."""
    total = left + right
    part = total - left
    return total, (left - (total - part)) + (right - part)


@compiled
def _product(left: float, right: float) -> tuple[float, float]:
    """The rounded product and its exact error (Dekker, Numerische Mathematik 18, 1971)."""
    product = left * right
    left_high, left_low = _halves(left)
    right_high, right_low = _halves(right)
    error = ((left_high * right_high - product) + left_high * right_low + left_low * right_high) + left_low * right_low
    return product, error


@compiled
def _halves(number: float) -> tuple[float, float]:
    """A float as the sum of two with 26 bits each (Veltkamp)."""
    scaled = _SPLIT * number
    high = scaled - (scaled - number)
    return high, number - high
