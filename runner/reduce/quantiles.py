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
    parts = np.array(fractions, np.float64)
    counts = np.zeros(flat.shape[1], np.int64)
    pairs = np.zeros((parts.size, 2, flat.shape[1]), flat.dtype)
    find = _find_singly if flat.shape[1] < _FEW_CELLS or pixels.in_pieces else _find_together
    find(flat, pixels, parts, counts, pairs)
    between = [
        _between(pair.astype(np.float64), counts, fraction) for pair, fraction in zip(pairs, fractions, strict=True)
    ]
    return [values.reshape(stack.shape[1:]) for values in between]


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


def _find_together(flat: Stack, pixels: Pixels, fractions: Floats, counts: Integers, pairs: Stack) -> None:
    """Many cells: sort them in step."""
    highest = pixels.no_extremes(())[0]
    order_statistics(flat, pixels.kind.limits, highest, Ranks(fractions, counts, pairs))


def _find_singly(flat: Stack, pixels: Pixels, fractions: Floats, counts: Integers, pairs: Stack) -> None:
    """Few cells with many values, or 64-bit integers: cell by cell, in their own type."""
    for cell in range(flat.shape[1]):
        column = flat[:, cell]
        values = column[pixels.valid(column)]
        counts[cell] = values.size
        if values.size:
            ranks = (fractions * (values.size - 1)).astype(np.int64)
            both = np.stack([ranks, np.minimum(ranks + 1, values.size - 1)], axis=1)
            pairs[:, :, cell] = np.partition(values, np.unique(both))[both]


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
