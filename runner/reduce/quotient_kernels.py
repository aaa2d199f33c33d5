"""Compiled quotients of sums in two floats, each with a proof that its rounding is that of the true value, or without.

Two floats hold about 100 bits, so that a quotient is known but for a small doubt. If it is rounded to the same float64
on both sides of that doubt, this is the true value rounded once. Source: Dekker, Numerische Mathematik 18 (1971),
224-242.
"""

from typing import Final

import numpy as np

from runner.host.compiled import compiled
from runner.reduce.arrays import Bools, Floats
from runner.reduce.error_free import exact_product

_RELATIVE_ERROR: Final = 2.0**-96  # that of the quotient is below 2**-102
_LEAST: Final = 1e-280  # below, errors of products underflow
_MOST: Final = 1e280


@compiled
def quotients(tops: Floats, bottoms: Floats, result: Floats, proved: Bools) -> None:
    """Write the quotients of sums (2: a float and the rest; cells) to `result`, and to `proved` if they are sure."""
    for i in range(result.shape[0]):
        top, bottom = (tops[0, i], tops[1, i], 0.0), (bottoms[0, i], bottoms[1, i], 0.0)
        result[i], proved[i] = quotient(top, bottom)


@compiled
def quotient(dividend: tuple[float, float, float], by: tuple[float, float, float]) -> tuple[float, bool]:
    """The quotient of two sums of two floats, and if it is surely rounded right; thirdly is what each may miss.

    NaN for a divisor of 0, which is sure.
    """
    (high, low, lost), (divisor, rest, missed) = dividend, by
    if divisor == 0.0 and missed == 0.0:
        return np.nan, True
    if high == 0.0 and lost == 0.0:
        return 0.0, True
    first = high / divisor
    product, error = exact_product(first, divisor)
    second = (((high - product) - error) + (low - first * rest)) / divisor
    doubt = abs(first) * _RELATIVE_ERROR + 2.0 * lost / divisor
    value = first + (second + doubt)
    certain = (value == first + (second - doubt)) & (missed == 0.0)
    held = (_LEAST < abs(high) < _MOST) & (_LEAST < divisor < _MOST)
    return value, certain & held & (abs(value) > _LEAST)
