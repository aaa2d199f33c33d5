"""The population variance, correctly rounded, from exact sums.

With n pixels, S their sum and Q the sum of their squares it is (n Q - S S) / (n n), a ratio of integers times a power
of two. Where S and Q are held in two floats each, a compiled loop computes it to some 100 bits and proves the rounding;
where it cannot, Python's integers decide. Double-double without the proof would not do: for float64 pixels such
as 100 +- 1e-12 every bit of it may be wrong.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from runner.reduce import variance_kernels
from runner.reduce.arrays import Floats, Integers
from runner.reduce.exact import Total, integers, widened

_WORTH_COMPILING: Final = 4096  # cells; loading the kernel takes as long as these in Python
_CELLS_AT_ONCE: Final = 2**15


def variances(counts: Integers, sums: Total, squares: Total) -> Floats:
    """The variance of each cell (ddof 0), flat: the true value rounded once; NaN for no pixels or infinite ones.

    `counts` are the pixels of each cell, flat int64.
    """
    result = np.full(counts.shape, np.nan)
    settled = counts == 0
    if counts.size >= _WORTH_COMPILING:
        proved = np.empty(counts.shape, np.bool_)
        layers = (np.ascontiguousarray(sums.layers), np.ascontiguousarray(squares.layers))
        variance_kernels.variances(counts, *layers, result, proved)
        settled |= proved & ~_wide_cells(sums) & ~_wide_cells(squares)
    cells = np.flatnonzero(~settled)
    for start in range(0, cells.size, _CELLS_AT_ONCE):
        part = cells[start : start + _CELLS_AT_ONCE]
        result[part] = _divided(counts[part], sums, squares, part)
    return result


def _wide_cells(total: Total) -> npt.NDArray[np.bool_]:
    return total.wide.used() if total.wide else np.zeros(total.layers.shape[1], np.bool_)


def _divided(counts: Integers, sums: Total, squares: Total, cells: Integers) -> Floats:
    """Divide integers: Python rounds once, into subnormals too."""
    first, second = widened(sums, cells), widened(squares, cells)
    n = counts.astype(object)
    # Q has the unit 2**(32 * second.first), S S has 2**(64 * first.first): bring both to the smaller.
    unit = min(32 * second.first, 64 * first.first)
    spread = (n * integers(second) << (32 * second.first - unit)) - (
        integers(first) * integers(first) << (64 * first.first - unit)
    )
    infinite = first.infinite.sum(axis=1) > 0
    return np.array(
        [
            np.nan if is_infinite else ratio(numerator, int(n) * int(n), unit)
            for numerator, n, is_infinite in zip(spread, counts, infinite, strict=True)
        ]
    )


def ratio(numerator: int, denominator: int, exponent: int) -> float:
    """numerator / denominator * 2**exponent of integers, rounded once; infinite if too large."""
    try:
        return (numerator << max(exponent, 0)) / (denominator << max(-exponent, 0))
    except OverflowError:
        return np.inf if numerator > 0 else -np.inf
