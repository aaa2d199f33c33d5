"""The slope of a line through the pixels of a cell over time, and its standard error, from exact sums.

Least squares, see `slope_kernels` for the formulas: ratios of integers times a power of two, per Julian year. The slope
is the true value rounded once, and the standard error the root of its square, rounded once. A compiled loop computes
them with a proof; where it finds none, or a sum is longer than two floats, Python's integers decide.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from runner.reduce import slope_kernels
from runner.reduce.arrays import Bools, Floats, Integers
from runner.reduce.exact import Total, integers, widened
from runner.reduce.partial import Partial
from runner.reduce.scene_times import YEAR
from runner.reduce.slope_kernels import SlopeSums
from runner.reduce.variance import ratio

_CELLS_AT_ONCE: Final = 2**15
_HALF: Final = 43  # bits of the lower half of the square of a time


def slope(partial: Partial) -> Floats:
    """The slope of each cell per year; NaN with fewer than two times, or infinite pixels."""
    return _computed(partial, slope_kernels.slopes, _exact_slopes)


def standard_error(partial: Partial) -> Floats:
    """The standard error of each cell's slope, with n - 2 degrees of freedom; NaN with fewer than three scenes."""
    root: Floats = np.sqrt(_computed(partial, slope_kernels.squared_errors, _exact_squared_errors))
    return root


def _computed(
    partial: Partial, kernel: Callable[[SlopeSums, Floats, Bools], None], exact: Callable[["_Exact"], list[float]]
) -> Floats:
    assert partial.sums is not None
    assert partial.time_sums is not None
    assert partial.times is not None
    shape, totals = partial.counts.shape, [partial.sums, partial.time_sums]
    totals += [partial.squares] if partial.squares else []
    counts, times = partial.counts.ravel().astype(np.int64), np.ascontiguousarray(partial.times).reshape(3, -1)
    layers = [np.ascontiguousarray(total.layers) for total in totals]
    result, proved = np.full(counts.size, np.nan), np.empty(counts.size, np.bool_)
    kernel(SlopeSums(counts, times, layers[0], layers[1], layers[-1]), result, proved)
    for total in totals:
        if total.wide:
            proved &= ~total.wide.used()
    cells = np.flatnonzero(~proved)
    for start in range(0, cells.size, _CELLS_AT_ONCE):
        part = cells[start : start + _CELLS_AT_ONCE]
        result[part] = exact(_Exact(counts[part], times[:, part], totals, part))
    return result.reshape(shape)


class _Exact:
    """The spreads of some cells as Python's integers, of pixels in units of powers of two."""

    def __init__(self, counts: Integers, times: Integers, totals: list[Total], cells: Integers) -> None:
        wide = [widened(total, cells) for total in totals]
        self.counts = counts.astype(object)
        self.infinite: Bools = np.logical_or.reduce([total.infinite.any(axis=1) for total in wide])
        exact, units = [integers(total) for total in wide], [32 * total.first for total in wide]
        time, low, high = times.astype(object)
        self.times = self.counts * (low + (high << _HALF)) - time * time
        self.unit = min(units[:2])
        self.products = (self.counts * exact[1] << (units[1] - self.unit)) - (time * exact[0] << (units[0] - self.unit))
        if len(totals) > 2:
            self.square_unit = min(2 * units[0], units[2])
            self.squares = (self.counts * exact[2] << (units[2] - self.square_unit)) - (
                exact[0] * exact[0] << (2 * units[0] - self.square_unit)
            )


def _exact_slopes(of: _Exact) -> list[float]:
    return [
        np.nan if infinite or not divisor else ratio(product * YEAR, divisor, of.unit)
        for product, divisor, infinite in zip(of.products, of.times, of.infinite, strict=True)
    ]


def _exact_squared_errors(of: _Exact) -> list[float]:
    unit = min(of.square_unit, 2 * of.unit)
    rest: Any = (of.squares * of.times << (of.square_unit - unit)) - (of.products * of.products << (2 * of.unit - unit))
    return [
        np.nan if infinite or not time or n < 3 else ratio(spread * YEAR**2, time * time * (n - 2), unit)
        for spread, time, n, infinite in zip(rest, of.times, of.counts, of.infinite, strict=True)
    ]
