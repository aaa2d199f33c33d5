"""Statistics by name: their needs, how they are finished, and their units.

Built in: count, valid_fraction, sum, mean, min, max, var and std (of the population, ddof 0), median, and quantiles
named by their percentage in two digits, with further digits after an underscore: q05, q95, q99_9. Every statistic is a
float64, the true value rounded once (mean: the rounded sum divided by the count; std: the root of the rounded
variance), and NaN where fewer than `min_count` pixels count. Two are never missing: count, which is int64, and
valid_fraction. With a `min_count` of 0 the sum of nothing is 0; every other statistic of nothing stays NaN.

Over space a pixel may count by its area, to valid_fraction, mean, var and std; see `area_statistics`. To count, sum,
min and max it never does, and of ordered statistics there are none by area.

Other packages add statistics by entry points of the group `cog_stack_runner.statistics`: a `Statistic`, or a function
of all values, f(values, axis) with float64 values (values, cells), NaN where missing, that gives one value for each
cell.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial as bind
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from runner.base.suggest import nearest
from runner.errors import ConfigError
from runner.reduce import area_statistics
from runner.reduce import xarray_statistics as reference
from runner.reduce.exact import rounded
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixel_types import Pixels
from runner.reduce.quantiles import OfValues, apply, quantile_of_values, quantiles
from runner.reduce.variance import variances
from runner.settings import Weights

if TYPE_CHECKING:
    import xarray as xr

GROUP: Final = "cog_stack_runner.statistics"
_QUANTILE: Final = re.compile(r"q(\d\d)(?:_(\d+))?")

_NOTHING, _SUMS, _EXTREMES = Needs(), Needs(sums=True), Needs(extremes=True)
_SQUARES = Needs(sums=True, squares=True)
_WEIGHTED_SUMS = Needs(weights=True, weighted_sums=True)
_WEIGHTED_SQUARES = Needs(weights=True, weighted_sums=True, weighted_squares=True)

Values = npt.NDArray[Any]
Finish = Callable[[Partial], Values]
Reference = Callable[["xr.DataArray", "xr.DataArray", Sequence[str]], "xr.DataArray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """A number made of all valid pixels of a cell.

    Either `finish` makes it of a partial that has its `needs`, or `of_values` of all the values ("ordered"); a built-in
    quantile also has a `fraction`, which is faster. `reference` computes it lazily with xarray, where of_values does
    not suffice. Its unit follows from that of the pixels by `rule`. If `coverage` is True, it is about the number of
    valid pixels, and so is never missing; if `by_area` is True, a pixel counts by its area.
    """

    name: str
    rule: Literal["same", "squared", "none"] = "same"
    needs: Needs = _NOTHING
    finish: Finish | None = None
    of_values: OfValues | None = None
    fraction: float | None = None
    reference: Reference | None = None
    coverage: bool = False
    by_area: bool = False

    @property
    def ordered(self) -> bool:
        """True if it needs all values of a cell at once."""
        return self.of_values is not None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its values."""
        return np.dtype(np.int64 if self.name == "count" else np.float64)

    def unit(self, units: str | None) -> str | None:
        """Its unit (UDUNITS), for pixels in `units`; None if these are unknown."""
        if self.rule == "none":
            return "1"
        return f"({units})^2" if units and self.rule == "squared" else units

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
        else:
            assert self.of_values
            result = reference.of_values(self.of_values, values, valid, dims)
        return result if self.coverage else result.where(reference.count(values, valid, dims) >= min_count)


def has_weights(name: str) -> bool:
    """True if there is a statistic of that name for pixels that count by area."""
    return name in _BY_AREA


def statistic(name: str, weights: Weights = Weights.none) -> Statistic:
    """The statistic of that name, by area if `weights` say so, see `has_weights`.

    Raises ConfigError, with what was probably meant, if there is none.
    """
    if weights is Weights.area:
        return _BY_AREA[name]
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    quantile = _QUANTILE.fullmatch(name)
    if quantile:
        return _quantile(name, float(f"0.{quantile[1]}{quantile[2] or ''}"))
    return _from_entry_point(name)


def check_statistic_name(name: str, key: str) -> None:
    """Raise ConfigError, naming the configuration key, if there is no statistic of that name."""
    try:
        statistic(name)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None


def needs(names: Sequence[str], weights: Weights = Weights.none) -> Needs:
    """The needs of these statistics together."""
    total = Needs()
    for name in names:
        total |= statistic(name, weights).needs
    return total


def finish(
    partial: Partial, names: Sequence[str], min_count: int = 1, weights: Weights = Weights.none
) -> dict[str, Values]:
    """The statistics that are made of sums, each of the shape of `partial.counts`; NaN where fewer pixels count.

    Raises ValueError for ordered ones.
    """
    results = {}
    for name in names:
        made = statistic(name, weights)
        if made.finish is None:
            raise ValueError(f"statistic '{name}' needs all values at once; use finish_ordered")
        results[name] = made.where_enough(made.finish(partial), partial.counts, min_count)
    return results


def finish_ordered(stack: Values, pixels: Pixels, names: Sequence[str]) -> dict[str, Values]:
    """The statistics that need all values; shapes as `quantiles`. Raises ValueError for those made of sums."""
    ordered = [statistic(name) for name in names]
    functions = {made.name: made.of_values for made in ordered if made.of_values and made.fraction is None}
    fractions = {made.name: made.fraction for made in ordered if made.fraction is not None}
    if len(functions) + len(fractions) < len(ordered):
        raise ValueError(f"statistics {names}: some are made of sums; use finish for them")
    values = dict(zip(fractions, quantiles(stack, pixels, list(fractions.values())), strict=True)) if fractions else {}
    values |= apply(functions, stack, pixels) if functions else {}
    return {name: values[name] for name in names}


def _quantile(name: str, fraction: float) -> Statistic:
    return Statistic(name=name, of_values=bind(quantile_of_values, fraction=fraction), fraction=fraction)


def _from_entry_point(name: str) -> Statistic:
    from importlib.metadata import entry_points  # noqa: PLC0415 - mail and archives, which our own statistics spare

    points = entry_points(group=GROUP)
    if name not in points.names:
        near = nearest(name, [*_BUILT_IN, "q05", "q25", "q75", "q95", *points.names]) or "mean"
        raise ConfigError(
            f"there is no statistic '{name}'; did you mean '{near}'? There are {', '.join(_BUILT_IN)}, quantiles "
            f"by percentage as q05 or q99_9, and what packages add by entry points of {GROUP}"
        )
    loaded = points[name].load()
    if isinstance(loaded, Statistic):
        return replace(loaded, name=name)
    if not callable(loaded):
        raise ConfigError(f"statistic '{name}': {points[name].value} is {loaded!r}, wanted a Statistic or a function")
    return Statistic(name=name, of_values=loaded)


def _count(partial: Partial) -> Values:
    return partial.counts.astype(np.int64)


def _valid_fraction(partial: Partial) -> Values:
    with np.errstate(invalid="ignore"):
        fraction: Values = partial.counts / partial.seen
    return fraction


def _sum(partial: Partial) -> Values:
    assert partial.sums
    return rounded(partial.sums).reshape(partial.counts.shape)


def _mean(partial: Partial) -> Values:
    with np.errstate(invalid="ignore"):
        mean: Values = _sum(partial) / partial.counts
    return mean


def _extreme(partial: Partial, which: int) -> Values:
    assert partial.extremes is not None
    values = partial.extremes[which].astype(np.float64) + 0.0  # -0.0 and 0.0 are equal: which came first must not show
    return np.where(partial.counts > 0, values, np.nan)


def _var(partial: Partial) -> Values:
    assert partial.sums
    assert partial.squares
    counts = partial.counts.astype(np.int64)
    return variances(counts.ravel(), partial.sums, partial.squares).reshape(counts.shape)


def _std(partial: Partial) -> Values:
    return np.sqrt(_var(partial))


_BUILT_IN: Final[Mapping[str, Statistic]] = {
    made.name: made
    for made in (
        Statistic(name="count", rule="none", finish=_count, reference=reference.count, coverage=True),
        Statistic(
            name="valid_fraction",
            rule="none",
            finish=_valid_fraction,
            reference=reference.valid_fraction,
            coverage=True,
        ),
        Statistic(name="sum", needs=_SUMS, finish=_sum, reference=reference.total),
        Statistic(name="mean", needs=_SUMS, finish=_mean, reference=reference.mean),
        Statistic(name="min", needs=_EXTREMES, finish=bind(_extreme, which=0), reference=reference.lowest),
        Statistic(name="max", needs=_EXTREMES, finish=bind(_extreme, which=1), reference=reference.highest),
        Statistic(name="var", rule="squared", needs=_SQUARES, finish=_var, reference=reference.variance),
        Statistic(name="std", needs=_SQUARES, finish=_std, reference=reference.deviation),
        _quantile("median", 0.5),
    )
}

# Pixels alone make the others: an area does not change how many there are, the sum of what each holds, or an extreme.
_BY_AREA: Final[Mapping[str, Statistic]] = {name: _BUILT_IN[name] for name in ("count", "sum", "min", "max")} | {
    made.name: replace(
        _BUILT_IN[made.name], needs=made.needs, finish=made.finish, reference=made.reference, by_area=True
    )
    for made in (
        Statistic(
            name="valid_fraction",
            needs=Needs(weights=True, weights_seen=True),
            finish=area_statistics.valid_fraction,
            reference=reference.valid_area,
        ),
        Statistic(name="mean", needs=_WEIGHTED_SUMS, finish=area_statistics.mean, reference=reference.area_mean),
        Statistic(
            name="var", needs=_WEIGHTED_SQUARES, finish=area_statistics.variance, reference=reference.area_variance
        ),
        Statistic(
            name="std", needs=_WEIGHTED_SQUARES, finish=area_statistics.deviation, reference=reference.area_deviation
        ),
    )
}
