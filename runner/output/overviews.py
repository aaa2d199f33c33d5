"""Smaller versions of a raster, and its statistics, which go into the file beside its pixels."""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from runner.host.spool import Spool, room_like

Raster: TypeAlias = npt.NDArray[Any]  # (y, x)
Stored: TypeAlias = Raster | Spool  # a raster in memory or on disk, of which slices are arrays

LARGEST_SHOWN: Final = 900  # pixels of the longer side of what the page of a run shows
_SLAB_ROWS: Final = 64  # at a time: what numpy allocates for them stays in the cache


def overviews(values: Stored, block: int, pool: Executor) -> Iterator[Stored]:
    """Versions of `values` of half the size, half of that, and so on until one fits into a block of this size.

    They lie where `values` lies. A pixel of floats is the mean of the up to four it covers, NaN left out; of integers,
    such as counts, the first.
    """
    halve = _mean_of_four if values.dtype.kind == "f" else _first_of_four
    while max(values.shape) > block:
        values = _halved(values, halve, pool)
        yield values


def _halved(values: Stored, halve: Callable[[Raster], Raster], pool: Executor) -> Stored:
    height, width = values.shape
    smaller = room_like(values, (-(-height // 2), -(-width // 2)))

    def put(top: int) -> None:
        smaller[top : top + _SLAB_ROWS] = halve(values[2 * top : 2 * (top + _SLAB_ROWS)])

    for _ in pool.map(put, range(0, len(smaller), _SLAB_ROWS)):
        pass
    return smaller


def statistics(values: Stored, missing: int | None, pool: Executor) -> dict[str, str]:
    """GDAL's tags STATISTICS_* of the values that are finite and not `missing`; none if there are no such values, and
    neither mean nor deviation of values so large that float64 does not hold the sum of their squares.

    Source: GDAL raster data model, band metadata (https://gdal.org/en/stable/user/raster_data_model.html).
    """

    def moments(top: int) -> _Moments | None:
        slab = values[top : top + _SLAB_ROWS]
        present = slab != missing if slab.dtype.kind != "f" else np.isfinite(slab)
        return _moments(slab.reshape(-1) if present.all() else slab[present])

    parts = [part for part in pool.map(moments, range(0, len(values), _SLAB_ROWS)) if part]
    if not parts:
        return {}
    count, mean, squares = _joined(parts)
    spread = {"STATISTICS_MEAN": repr(mean), "STATISTICS_STDDEV": repr((squares / count) ** 0.5)}
    return {
        "STATISTICS_MINIMUM": repr(min(part.lowest for part in parts)),
        "STATISTICS_MAXIMUM": repr(max(part.highest for part in parts)),
        **(spread if math.isfinite(squares) else {}),
        "STATISTICS_VALID_PERCENT": f"{100 * count / values.size:.4g}",
    }


def _first_of_four(slab: Raster) -> Raster:
    return slab[::2, ::2]


def _mean_of_four(slab: Raster) -> Raster:
    height, width = slab.shape
    if height % 2:
        slab = np.pad(slab, ((0, 1), (0, 0)), constant_values=np.nan)
    with np.errstate(invalid="ignore", over="ignore"):  # 0 / 0 is the NaN that is wanted; infinities stay
        means = [_mean_of_corners(slab[:, : width // 2 * 2])]
        if width % 2:  # apart, so that the others have no gaps
            means.append(_mean_of_corners(np.pad(slab[:, -1:], ((0, 0), (0, 1)), constant_values=np.nan)))
        return np.concatenate(means, axis=1) if width % 2 else means[0]


def _mean_of_corners(even: Raster) -> Raster:
    corners = [even[row::2, column::2] for row, column in ((0, 0), (0, 1), (1, 0), (1, 1))]
    total = np.zeros(corners[0].shape, np.float64)
    if not np.isnan(even).any():  # three times as fast
        for corner in corners:
            total += corner
        whole: Raster = (total / 4).astype(even.dtype)
        return whole
    count = np.zeros(total.shape, np.float64)
    for corner in corners:
        present = ~np.isnan(corner)
        np.add(total, corner, out=total, where=present)
        count += present
    mean: Raster = (total / count).astype(even.dtype)
    return mean


@dataclass(frozen=True, slots=True)
class _Moments:
    count: int
    mean: float
    squares: float  # of what values differ from the mean by
    lowest: float
    highest: float


def _moments(values: Raster) -> _Moments | None:
    if not values.size:
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # then `squares` says so
        mean = float(values.mean(dtype=np.float64))
        apart = values - np.float64(mean)
        squares = float(np.square(apart, out=apart).sum())  # BLAS would add in an order that alignment decides
    return _Moments(values.size, mean, squares, float(values.min()), float(values.max()))


def _joined(parts: Iterable[_Moments]) -> tuple[int, float, float]:
    """Count, mean and squares of all; Chan, Golub and LeVeque, 1979, formula 2.1."""
    count, mean, squares = 0, 0.0, 0.0
    for part in parts:
        apart, total = part.mean - mean, count + part.count
        squares += part.squares + apart * apart * count * part.count / total
        mean += apart * part.count / total
        count = total
    return count, mean, squares
