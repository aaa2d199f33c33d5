"""The record of a statistic: what it needs, how it is finished, and its unit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from runner.reduce import xarray_statistics as reference
from runner.reduce.decibels import decibels
from runner.reduce.partial import Needs, Partial
from runner.reduce.quantiles import OfValues
from runner.reduce.series import OfSeries
from runner.settings import ResultScale

if TYPE_CHECKING:
    import xarray as xr

_NOTHING: Final = Needs()

Values = npt.NDArray[Any]
Finish = Callable[[Partial], Values]
Reference = Callable[["xr.DataArray", "xr.DataArray", Sequence[str]], "xr.DataArray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """A number made of all valid pixels of a cell.

    Either `finish` makes it of a partial that has its `needs`, or `of_values` of all the values ("ordered"), or
    `of_series` of these and their times; a built-in quantile also has a `fraction`, which is faster. `reference`
    computes it lazily with xarray, where of_values and of_series do not suffice. Its unit follows from that of the
    pixels by `rule`. If `coverage` is True, it is about the number of valid pixels, and so is never missing; if
    `by_area` is True, a pixel counts by its area; if `level` is True, it is a value such as the pixels have, which
    decibels can be taken of; if `over_time` is True, there is none over space.
    """

    name: str
    rule: Literal["same", "squared", "per year", "none"] = "same"
    needs: Needs = _NOTHING
    finish: Finish | None = None
    of_values: OfValues | None = None
    of_series: OfSeries | None = None
    fraction: float | None = None
    reference: Reference | None = None
    coverage: bool = False
    by_area: bool = False
    level: bool = False
    over_time: bool = False

    @property
    def ordered(self) -> bool:
        """True if it needs all values of a cell at once."""
        return self.of_values is not None or self.of_series is not None

    @property
    def of_tasks(self) -> bool:
        """True if tasks can compute it; a function of DataArrays is left to the reference engine."""
        return self.finish is not None or self.ordered

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its values."""
        return np.dtype(np.int64 if self.name == "count" else np.float64)

    def unit(self, units: str | None, scale: ResultScale = ResultScale.linear) -> str | None:
        """Its unit (UDUNITS), for pixels in `units`; None if these are unknown."""
        if self.rule == "none":
            return "1"
        if self.level and scale is ResultScale.db:
            return "dB"
        if not units or self.rule == "same":
            return units
        return f"({units})^2" if self.rule == "squared" else f"({units})/Julian_year"

    def scaled(self, values: Values, scale: ResultScale) -> Values:
        """Its values on a scale; decibels of 0 and of what is below are -infinity."""
        return decibels(values) if self.level and scale is ResultScale.db else values

    def where_enough(self, values: Values, counts: npt.NDArray[Any], min_count: int) -> Values:
        """The values, NaN where fewer than `min_count` pixels count; `counts` are those that do, cell by cell."""
        few = counts < min_count
        return values if self.coverage or not few.any() else np.where(few, np.nan, values)

    def from_xarray(
        self, values: "xr.DataArray", valid: "xr.DataArray", dims: Sequence[str], min_count: int = 1
    ) -> "xr.DataArray":
        """The same over `dims` of a lazy array, where `valid`, with float64 sums: for the reference engine."""
        if self.reference:
            result = self.reference(values, valid, dims)
        elif self.of_series:
            result = reference.of_series(self.of_series, values, valid)
        else:
            assert self.of_values
            result = reference.of_values(self.of_values, values, valid, dims)
        return result if self.coverage else result.where(reference.count(values, valid, dims) >= min_count)
