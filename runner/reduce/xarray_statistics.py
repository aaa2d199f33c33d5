"""The built-in statistics on lazy xarray arrays, summed in float64: what the reference engine computes.

Arguments in common: `values` as stored, `valid` alike and bool, `dims` to reduce. Statistics by area take that of a
pixel from the coordinate `AREA` of the values, along y. No xarray is imported here.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from runner.reduce.scene_times import YEAR

if TYPE_CHECKING:
    import xarray as xr

AREA: Final = "pixel_area"


def count(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":  # noqa: ARG001
    """Valid pixels, int64."""
    return valid.sum(dims, dtype=np.int64)


def valid_fraction(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":  # noqa: ARG001
    """Valid pixels as a part of all."""
    return valid.mean(dims, dtype=np.float64)


def total(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The sum of the valid pixels; 0 for none, which `Statistic.from_xarray` then leaves out."""
    return values.where(valid, 0).sum(dims, dtype=np.float64, skipna=False)


def mean(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The sum divided by the count, NaN for none."""
    return total(values, valid, dims) / _counts(valid, dims)


def lowest(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The least valid pixel, NaN for none."""
    extreme = values.astype(np.float64).where(valid, np.inf).min(dims, skipna=False)
    return extreme.where(valid.any(dims))


def highest(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The greatest valid pixel, NaN for none."""
    extreme = values.astype(np.float64).where(valid, -np.inf).max(dims, skipna=False)
    return extreme.where(valid.any(dims))


def variance(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The mean square less the square of the mean (ddof 0), NaN for none.

    Both are of the distances from the first pixel, which leaves little to cancel, and takes one pass over the chunks.
    """
    return _spread(mean, values, valid, dims)


def _spread(
    of: Callable[["xr.DataArray", "xr.DataArray", Sequence[str]], "xr.DataArray"],
    values: "xr.DataArray",
    valid: "xr.DataArray",
    dims: Sequence[str],
) -> "xr.DataArray":
    doubles = values.astype(np.float64)
    first = dict.fromkeys(dims, 0)
    distances = doubles - doubles.isel(first, drop=True).where(valid.isel(first, drop=True), 0)
    spread = of(distances**2, valid, dims) - of(distances, valid, dims) ** 2
    return spread.clip(min=0)


def deviation(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The square root of the variance."""
    root: xr.DataArray = np.sqrt(variance(values, valid, dims))  # type: ignore[assignment]  # numpy hands over to xarray
    return root


def distance(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The greatest less the least valid pixel, NaN for none."""
    return highest(values, valid, dims) - lowest(values, valid, dims)


def variation(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The deviation divided by the mean, NaN for a mean of 0."""
    level = mean(values, valid, dims)
    return deviation(values, valid, dims) / level.where(level != 0)


def area_variation(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The same by area."""
    level = area_mean(values, valid, dims)
    return area_deviation(values, valid, dims) / level.where(level != 0)


def first(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The valid pixel of the first scene that has one."""
    return of_values(_first_of, values, valid, dims)


def last(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """That of the last."""
    return of_values(lambda block, axis: _first_of(np.flip(block, axis), axis), values, valid, dims)


def _first_of(block: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    place = np.expand_dims(np.argmin(np.isnan(block), axis=axis), axis)
    return np.take_along_axis(block, place, axis).squeeze(axis)


def slope(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The slope of the line of least squares per year, from distances of times and of pixels to their means."""
    times, pixels, spread = _deviations(values, valid, dims)
    return (times * pixels).sum(dims, skipna=True) / spread.where(spread > 0)


def slope_error(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The standard error of that slope; NaN with fewer than three scenes."""
    times, pixels, spread = _deviations(values, valid, dims)
    product, freedom = (times * pixels).sum(dims, skipna=True), valid.sum(dims) - 2
    rest = ((pixels**2).sum(dims, skipna=True) - product**2 / spread.where(spread > 0)).clip(min=0)
    error: xr.DataArray = np.sqrt(rest / freedom.where(freedom > 0) / spread)  # type: ignore[assignment]  # as below
    return error


def _deviations(
    values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]
) -> "tuple[xr.DataArray, xr.DataArray, xr.DataArray]":
    """Years and pixels from their means, NaN where not valid, and the sum of the squares of the years."""
    years = _milliseconds(values["time"]) / YEAR
    shown = (years - years.mean()).where(valid)
    times = shown - shown.mean(dims)
    return times, values.astype(np.float64).where(valid) - mean(values, valid, dims), (times**2).sum(dims, skipna=True)


def _milliseconds(times: "xr.DataArray") -> "xr.DataArray":
    """Times in milliseconds since the first."""
    return (times - times[0]) / np.timedelta64(1, "ms")


def of_series(
    function: Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    values: "xr.DataArray",
    valid: "xr.DataArray",
) -> "xr.DataArray":
    """A function f(values, times) as of `series`, over time."""
    times = _milliseconds(values["time"]).to_numpy()

    def of_block(block: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
        series = np.moveaxis(block, axis, 0)
        return function(series.reshape(len(times), -1), times).reshape(series.shape[1:])

    return of_values(of_block, values, valid, ["time"])


def valid_area(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The area of the valid pixels, as a part of all."""
    return _areas(values, valid, dims) / (values[AREA].sum() * values.sizes["x"])


def area_mean(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The mean by area, NaN for none."""
    areas = _areas(values, valid, dims)
    return total(values * values[AREA], valid, dims) / areas.where(areas > 0)


def area_variance(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The variance by area, as `variance`."""
    return _spread(area_mean, values, valid, dims)


def area_deviation(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    """The square root of the variance by area."""
    root: xr.DataArray = np.sqrt(area_variance(values, valid, dims))  # type: ignore[assignment]  # as in `deviation`
    return root


def _areas(values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    return (valid * values[AREA]).sum(dims, dtype=np.float64, skipna=False)


def of_values(
    function: Callable[[npt.NDArray[np.float64], int], npt.NDArray[Any]],
    values: "xr.DataArray",
    valid: "xr.DataArray",
    dims: Sequence[str],
) -> "xr.DataArray":
    """A function f(values, axis) of all values, float64 with NaN where missing; the chunks are joined along `dims`."""
    import xarray as xr  # noqa: PLC0415 - takes a second to load; whoever has an array has loaded it

    def along_one_axis(block: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        joined = block.reshape(*block.shape[: block.ndim - len(dims)], -1)
        return np.asarray(function(joined, joined.ndim - 1), np.float64)

    result: xr.DataArray = xr.apply_ufunc(
        along_one_axis,
        values.astype(np.float64).where(valid),
        input_core_dims=[list(dims)],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    return result


def _counts(valid: "xr.DataArray", dims: Sequence[str]) -> "xr.DataArray":
    counts = valid.sum(dims, dtype=np.int64)
    return counts.where(counts > 0)
