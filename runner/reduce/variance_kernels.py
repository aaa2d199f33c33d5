"""The compiled loop of `variance`: about 100 bits, and a proof that they suffice for the rounding."""

from typing import Final

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled
from runner.reduce.arrays import Bools, Floats
from runner.reduce.error_free import collect, collected, exact_product, exact_sum

_MAX_COUNT: Final = 2**26  # its square is exact
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
        high, low, lost = spread(n, sums[0, i], sums[1, i], squares[0, i], squares[1, i])
        quotient = high / (n * n)
        product, error = exact_product(quotient, n * n)
        rest = (((high - product) - error) + low) / (n * n)
        doubt = abs(quotient) * _RELATIVE_ERROR + 2.0 * lost / (n * n)
        result[i] = quotient + (rest + doubt)
        proved[i] = (result[i] == quotient + (rest - doubt)) & (n <= _MAX_COUNT)


@compiled
def spread(n: float, sum0: float, sum1: float, square0: float, square1: float) -> tuple[float, float, float]:
    """n Q - S S as the sum of two floats, and a bound of what they miss."""
    s, s1 = exact_sum(sum0, sum1)
    q, q1 = exact_sum(square0, square1)
    # One call each: a loop over the pairs would not become vector code.
    layers = collect((0.0, 0.0, 0.0, 0.0), n, q)
    layers = collect(layers, -s, s)
    layers = collect(layers, n, q1)
    layers = collect(layers, -2.0 * s, s1)
    layers = collect(layers, -s1, s1)
    return collected(layers)
