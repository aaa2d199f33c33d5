"""Statistics that need all values of a cell at once: median, quantiles, and functions of other packages.

The quantile of n valid values x[0] <= ... <= x[n-1] for a fraction f is numpy's method "linear" in float64: with
h = f * (n - 1), i = floor(h) and t = h - i, the value between a = x[i] and b = x[i + 1] is a + (b - a) * t for t < 0.5,
else b - (b - a) * (1 - t); where a and b are equal or t is 0, it is a; where one of them is infinite, it is
a * (1 - t) + b * t. The median, which q50 is too, is (a + b) / 2. A zero is +0.0.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runner.reduce.arrays import Floats, Integers, Stack
from runner.reduce.pixel_types import Pixels
from runner.reduce.quantile_kernels import Ranks, order_statistics

OfValues = Callable[[Floats, int], npt.NDArray[Any]]

_MEDIAN: Final = 0.5
_FEW_CELLS: Final = 16  # then numpy's selection beats sorting all cells in step
_VALUES_AT_ONCE: Final = 2**20


def quantiles(stack: Stack, pixels: Pixels, fractions: Sequence[float]) -> list[Floats]:
    """The quantile for each fraction (0 to 1) of each cell; 0.5 is the median.

    `stack` is (values, *cells), C-contiguous, in native byte order: all scenes of a window, or the pixels of one scene,
    which makes a single cell. The results are float64 of shape (*cells), NaN where no value counts.
    """
    flat = pixels.flat(stack)
    if flat.shape[1] < _FEW_CELLS or pixels.in_pieces:
        found = quantiles_of_cells([*flat.T], pixels, fractions)
    else:
        found = _find_together(flat, pixels, fractions)
    return [values.reshape(stack.shape[1:]) for values in found]


def quantiles_of_cells(cells: Sequence[Stack], pixels: Pixels, fractions: Sequence[float]) -> list[Floats]:
    """The same, cell by cell, each of which may have another number of values (values,); as `Pixels.native` has them.

    For few cells with many values, and for 64-bit integers.
    """
    ranks = _no_ranks(fractions, len(cells), pixels.stored)
    for cell, column in enumerate(cells):
        values = column[pixels.valid(column)]
        ranks.counts[cell] = values.size
        if values.size:
            first = (ranks.fractions * (values.size - 1)).astype(np.int64)
            both = np.stack([first, np.minimum(first + 1, values.size - 1)], axis=1)
            ranks.pairs[:, :, cell] = np.partition(values, sorted({*both.flat}))[both]
    return _interpolated(ranks)


def apply(functions: Mapping[str, OfValues], stack: Stack, pixels: Pixels) -> dict[str, Floats]:
    """Each function of each cell's values, some cells at a time; shapes as for `quantiles`.

    A function takes float64 (values, cells) with NaN where missing, and the axis of the values, and returns one value
    for each cell. Raises ValueError for a result of another shape.
    """
    flat = pixels.flat(stack)
    results = {name: np.empty(flat.shape[1]) for name in functions}
    step = max(1, _VALUES_AT_ONCE // max(1, len(flat)))
    for start in range(0, flat.shape[1], step):
        part = flat[:, start : start + step]
        values = np.where(pixels.valid(part), part.astype(np.float64), np.nan)
        for name, function in functions.items():
            results[name][start : start + step] = _one_each(name, function, values)
    return {name: result.reshape(stack.shape[1:]) for name, result in results.items()}


def quantile_of_values(values: Floats, axis: int, fraction: float) -> Floats:
    """The same in plain numpy, for float64 with NaN where missing: the reference, and what xarray arrays get."""
    values = np.sort(np.moveaxis(values, axis, 0), axis=0)  # NaN goes last
    counts = np.count_nonzero(~np.isnan(values), axis=0)
    rank = (fraction * np.maximum(counts - 1, 0)).astype(np.int64)
    following = np.minimum(rank + 1, np.maximum(counts - 1, 0))
    pair = [np.take_along_axis(values, index[np.newaxis], axis=0)[0] for index in (rank, following)]
    return _between(np.stack(pair), counts, fraction)


def _find_together(flat: Stack, pixels: Pixels, fractions: Sequence[float]) -> list[Floats]:
    """Many cells: sort them in step."""
    ranks = _no_ranks(fractions, flat.shape[1], flat.dtype)
    order_statistics(flat, pixels.kind.limits, pixels.no_extremes(())[0], ranks)
    return _interpolated(ranks)


def _no_ranks(fractions: Sequence[float], cells: int, dtype: np.dtype[Any]) -> Ranks:
    parts = np.array(fractions, np.float64)
    return Ranks(parts, np.zeros(cells, np.int64), np.zeros((parts.size, 2, cells), dtype))


def _interpolated(ranks: Ranks) -> list[Floats]:
    return [
        _between(pair.astype(np.float64), ranks.counts, float(fraction))
        for pair, fraction in zip(ranks.pairs, ranks.fractions, strict=True)
    ]


def _between(pair: Floats, counts: Integers, fraction: float) -> Floats:
    """Interpolate between two neighbours, (2, *cells)."""
    below, above = pair
    position = fraction * np.maximum(counts - 1, 0)
    weight = position - np.floor(position)
    with np.errstate(invalid="ignore", over="ignore"):
        result = _middle(below, above) if fraction == _MEDIAN else _linear(below, above, weight)
    result = np.where((weight == 0) | (below == above), below, result)
    return np.where(counts > 0, result + 0.0, np.nan)


def _middle(below: Floats, above: Floats) -> Floats:
    total = below + above
    return np.where(np.isfinite(total), total / 2, below / 2 + above / 2)


def _linear(below: Floats, above: Floats, weight: Floats) -> Floats:
    step = above - below
    result = np.where(weight < 0.5, below + step * weight, above - step * (1 - weight))
    return np.where(np.isfinite(step), result, below * (1 - weight) + above * weight)


def _one_each(name: str, function: OfValues, values: Floats) -> Floats:
    result = np.asarray(function(values, 0), np.float64)
    if result.shape != values.shape[1:]:
        raise ValueError(
            f"statistic '{name}': {values.shape} values, reduced along axis 0, gave {result.shape}, "
            f"wanted {values.shape[1:]}; correct the function"
        )
    return result
