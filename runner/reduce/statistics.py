"""Statistics by name: what several need together, and how they are finished. `built_in` has the tables.

Built in: count, valid_fraction, sum, mean, min, max, var and std (of the population, ddof 0), median, and quantiles
named by their percentage in two digits, with further digits after an underscore: q05, q95, q99_9; range, the distance
of min and max, and cv, std divided by mean. Every statistic is a float64, the true value rounded once (mean: the
rounded sum divided by the count; std: the root of the rounded variance; range and cv: of rounded ones), and NaN where
fewer than `min_count` pixels count. Two are never missing: count, which is int64, and valid_fraction. With a
`min_count` of 0 the sum of nothing is 0; every other statistic of nothing stays NaN.

Over time alone, since they need the times of scenes: slope and slope_stderr (see `slope`), first and last (the pixel of
the first and the last scene that counts, in the order of the stack), theil_sen, mann_kendall and mann_kendall_p (see
`series`).

Over space a pixel may count by its area, to valid_fraction, mean, var and std; see `area_statistics`. To count, sum,
min and max it never does, and of ordered statistics there are none by area. Over zones valid_fraction is called
coverage, and quantiles may count pixels by their fractions, see `zone_quantiles`.

Other packages add statistics by entry points of the group `cog_stack_runner.statistics`: a `Statistic`, or a function
of all values, f(values, axis) with float64 values (values, cells), NaN where missing, that gives one value for each
cell.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from runner.base.suggest import nearest
from runner.errors import ConfigError
from runner.reduce.built_in import BUILT_IN, BY_AREA, quantile
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixel_types import Pixels
from runner.reduce.quantiles import apply, quantiles
from runner.reduce.series import apply_series
from runner.reduce.statistic_record import Statistic as Statistic  # noqa: PLC0414 - packages that add one import it here
from runner.reduce.statistic_record import Values
from runner.settings import Over, Weights

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

GROUP: Final = "cog_stack_runner.statistics"
_QUANTILES: Final = ("q05", "q25", "q75", "q95")  # that are suggested
_QUANTILE: Final = re.compile(r"q(\d\d)(?:_(\d+))?")


def has_weights(name: str) -> bool:
    """True if there is a statistic of that name for pixels that count by area."""
    return name in BY_AREA


def statistic(name: str, weights: Weights = Weights.none) -> Statistic:
    """The statistic of that name, by area if `weights` say so, see `has_weights`.

    Raises ConfigError if there is none.
    """
    if weights is Weights.area:
        return BY_AREA[name]
    if name in BUILT_IN:
        return BUILT_IN[name]
    percentage = _QUANTILE.fullmatch(name)
    if percentage:
        return quantile(name, float(f"0.{percentage[1]}{percentage[2] or ''}"))
    return _from_entry_point(name)


def check_statistic_name(name: str, key: str, over: Over) -> None:
    """Raise ConfigError, naming the configuration key, if there is no statistic of that name over these axes."""
    if not (name in BUILT_IN or _QUANTILE.fullmatch(name) or name in _entry_points().names):
        raise ConfigError(f"{key}: there is no statistic '{name}'; {_instead_of(name, over)}")
    try:
        statistic(name)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None


def _instead_of(name: str, over: Over) -> str:
    """What was probably meant, and what there is."""
    known = [name for name, made in BUILT_IN.items() if over is Over.time or not made.over_time]
    known = [each for each in known if each != "coverage" or over is Over.zones]
    near = _near_quantile(name) or nearest(name, [*known, *_QUANTILES, *_entry_points().names]) or "mean"
    return (
        f"did you mean '{near}'? Over {over.value} there are {', '.join(known)}, quantiles by percentage (q and two "
        f"digits, q00 to q99, with further ones as q99_9), and what packages add by entry points of {GROUP}"
    )


def _near_quantile(name: str) -> str | None:
    """The quantile, or the extreme, that a name such as p90, q5 or q100 means; the last one for what is beyond."""
    typed = re.fullmatch(r"(?:q|p|percentile|quantile)_?(\d+)(?:[._](\d+))?", name)
    if typed is None:
        return None
    if int(typed[1]) < 100:
        return f"q{int(typed[1]):02}" + (f"_{typed[2]}" if typed[2] else "")
    return "max" if int(typed[1]) == 100 else "q99"


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


def finish_ordered(
    stack: Values, pixels: Pixels, names: Sequence[str], times: npt.NDArray[np.float64] | None = None
) -> dict[str, Values]:
    """The statistics that need all values; shapes as `quantiles`, and `times` as `series`, where they need these too.

    Raises ValueError for those made of sums.
    """
    ordered = [statistic(name) for name in names]
    functions = {made.name: made.of_values for made in ordered if made.of_values and made.fraction is None}
    fractions = {made.name: made.fraction for made in ordered if made.fraction is not None}
    series = {made.name: made.of_series for made in ordered if made.of_series}
    if len(functions) + len(fractions) + len(series) < len(ordered):
        raise ValueError(f"statistics {names}: some are made of sums; use finish for them")
    values = dict(zip(fractions, quantiles(stack, pixels, list(fractions.values())), strict=True)) if fractions else {}
    values |= apply(functions, stack, pixels) if functions else {}
    if series:
        assert times is not None
        values |= {name: apply_series(function, stack, pixels, times) for name, function in series.items()}
    return {name: values[name] for name in names}


def _from_entry_point(name: str) -> Statistic:
    points = _entry_points()
    if name not in points.names:
        raise ConfigError(f"there is no statistic '{name}'")
    loaded = points[name].load()
    if isinstance(loaded, Statistic):
        return replace(loaded, name=name)
    if not callable(loaded):
        raise ConfigError(f"statistic '{name}': {points[name].value} is {loaded!r}, wanted a Statistic or a function")
    return Statistic(name=name, of_values=loaded)


def _entry_points() -> "EntryPoints":
    from importlib.metadata import entry_points  # noqa: PLC0415 - mail and archives, which our own statistics spare

    return entry_points(group=GROUP)
