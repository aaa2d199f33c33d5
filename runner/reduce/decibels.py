"""Results in decibels: 10 log10 of a value, by basic operations alone, so that every machine gives the same bits."""

from typing import Final

import numpy as np

from runner.reduce.arrays import Floats

_LOG10_E: Final = 0.43429448190325182765
_LOG10_2: Final = 0.30102999566398119521
_ROOT: Final = 0.70710678118654752440
_TERMS: Final = 12  # of the series, the last of which is below 2**-63 of the first


def decibels(values: Floats) -> Floats:
    """10 log10 of each value, within 3 ulp or 1e-15; -infinity for 0 and what is below, NaN for NaN.

    With m from sqrt(1/2) to sqrt(2) and x = m 2**e, log(x) = e log(2) + 2 atanh((m - 1) / (m + 1)). numpy's own
    logarithm differs with the instruction set of the machine.
    """
    mantissa, exponent = np.frexp(np.where(values > 0, values, 1.0))
    small = mantissa < _ROOT
    mantissa, exponent = np.where(small, 2 * mantissa, mantissa), exponent - small
    with np.errstate(invalid="ignore"):
        s = (mantissa - 1) / (mantissa + 1)
    square, series = s * s, np.zeros(values.shape)
    for term in range(_TERMS, 0, -1):
        series = (series + 1 / (2 * term + 1)) * square
    logarithm = exponent * _LOG10_2 + 2 * _LOG10_E * (s + s * series)
    result = np.where(values > 0, 10 * logarithm, np.where(np.isnan(values), np.nan, -np.inf))
    return np.where(np.isposinf(values), np.inf, result)
