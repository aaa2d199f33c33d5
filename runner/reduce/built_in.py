"""The built-in statistics by name: one table for pixels that count alike, one for those that count by their area."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial as bind
from typing import Final

from runner.reduce import area_statistics, finishing
from runner.reduce import xarray_statistics as reference
from runner.reduce.partial import Needs
from runner.reduce.quantiles import quantile_of_values
from runner.reduce.series import mann_kendall, mann_kendall_p, theil_sen
from runner.reduce.slope import slope, standard_error
from runner.reduce.statistic_record import Reference, Statistic

_SUMS, _EXTREMES = Needs(sums=True), Needs(extremes=True)
_SQUARES = Needs(sums=True, squares=True)
_TREND = Needs(sums=True, times=True, time_sums=True)
_WEIGHTED_SUMS = Needs(weights=True, weighted_sums=True)
_WEIGHTED_SQUARES = Needs(weights=True, weighted_sums=True, weighted_squares=True)
_VALID_FRACTIONS = ("valid_fraction", "coverage")  # over zones it has the name that their users know


def _end(name: str, needs: Needs, as_xarray: Reference, *, last: bool) -> Statistic:
    """The pixel of the first or the last scene that counts."""
    finish = bind(finishing.end, last=last)
    return Statistic(name=name, needs=needs, finish=finish, reference=as_xarray, level=True, over_time=True)


def quantile(name: str, fraction: float) -> Statistic:
    """The quantile of all values at a fraction from 0 to 1."""
    return Statistic(name=name, of_values=bind(quantile_of_values, fraction=fraction), fraction=fraction, level=True)


BUILT_IN: Final[Mapping[str, Statistic]] = {
    made.name: made
    for made in (
        Statistic(name="count", rule="none", finish=finishing.count, reference=reference.count, coverage=True),
        *(
            Statistic(
                name=name,
                rule="none",
                finish=finishing.valid_fraction,
                reference=reference.valid_fraction,
                coverage=True,
            )
            for name in _VALID_FRACTIONS
        ),
        Statistic(name="sum", needs=_SUMS, finish=finishing.total, reference=reference.total, level=True),
        Statistic(name="mean", needs=_SUMS, finish=finishing.mean, reference=reference.mean, level=True),
        Statistic(
            name="min", needs=_EXTREMES, finish=bind(finishing.extreme, which=0), reference=reference.lowest, level=True
        ),
        Statistic(
            name="max",
            needs=_EXTREMES,
            finish=bind(finishing.extreme, which=1),
            reference=reference.highest,
            level=True,
        ),
        Statistic(name="range", needs=_EXTREMES, finish=finishing.distance, reference=reference.distance),
        Statistic(name="var", rule="squared", needs=_SQUARES, finish=finishing.variance, reference=reference.variance),
        Statistic(name="std", needs=_SQUARES, finish=finishing.deviation, reference=reference.deviation),
        Statistic(name="cv", rule="none", needs=_SQUARES, finish=finishing.variation, reference=reference.variation),
        quantile("median", 0.5),
        _end("first", Needs(first=True), reference.first, last=False),
        _end("last", Needs(last=True), reference.last, last=True),
        Statistic(
            name="slope",
            rule="per year",
            needs=_TREND,
            finish=slope,
            reference=reference.slope,
            over_time=True,
        ),
        Statistic(
            name="slope_stderr",
            rule="per year",
            needs=_TREND | _SQUARES,
            finish=standard_error,
            reference=reference.slope_error,
            over_time=True,
        ),
        Statistic(name="theil_sen", rule="per year", of_series=theil_sen, over_time=True),
        Statistic(name="mann_kendall", rule="none", of_series=mann_kendall, over_time=True),
        Statistic(name="mann_kendall_p", rule="none", of_series=mann_kendall_p, over_time=True),
    )
}

# Pixels alone make the others: an area does not change how many there are, the sum of what each holds, or an extreme.
BY_AREA: Final[Mapping[str, Statistic]] = {name: BUILT_IN[name] for name in ("count", "sum", "min", "max", "range")} | {
    made.name: replace(
        BUILT_IN[made.name], needs=made.needs, finish=made.finish, reference=made.reference, by_area=True
    )
    for made in (
        *(
            Statistic(
                name=name,
                needs=Needs(weights=True, weights_seen=True),
                finish=area_statistics.valid_fraction,
                reference=reference.valid_area,
            )
            for name in _VALID_FRACTIONS
        ),
        Statistic(name="mean", needs=_WEIGHTED_SUMS, finish=area_statistics.mean, reference=reference.area_mean),
        Statistic(
            name="var", needs=_WEIGHTED_SQUARES, finish=area_statistics.variance, reference=reference.area_variance
        ),
        Statistic(
            name="std", needs=_WEIGHTED_SQUARES, finish=area_statistics.deviation, reference=reference.area_deviation
        ),
        Statistic(
            name="cv", needs=_WEIGHTED_SQUARES, finish=finishing.variation_by_area, reference=reference.area_variation
        ),
    )
}
