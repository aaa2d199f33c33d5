"""Figures of the tables: every statistic of every scene over time, by orbit if the table has it, and coverage."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from runner.base import humanize
from runner.report.charts import Plot, bar, legend, panel, tag, x_axis
from runner.report.records import Floats, Run, SceneTable
from runner.report.scales import Scale, Tick, number_ticks, scale_of, time_scale, time_ticks

_MOST_DOTS: Final = 600  # with more scenes than that, dots would run together
_MOST_PANELS: Final = 10
_MOST_GROUPS: Final = 4
_LEAST_COVERED: Final = 10
_LEVELS: Final = ("mean", "median")  # statistics that share a panel, with a band of quantiles behind them
_COVERAGE: Final = ("valid_fraction", "count")
_ORBIT: Final = "orbit"
_CLEARLY: Final = 3  # times what groups by chance explain
_OF_TIME: Final = ("date", "datetime", "year", "month", "day", "doy")  # groups of keys that only repeat the x axis


class _Group(NamedTuple):
    """Scenes that share a colour."""

    name: str  # "" of all together
    rows: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Chart:
    """A table with its axis of time, and the groups its scenes are coloured by."""

    table: SceneTable
    x: Scale
    ticks: list[Tick]
    key: str  # of the groups
    groups: list[_Group]
    apart: bool  # whether they differ so much that each has a line of its own

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The legend of the groups."""
        return [(f"series{number}", group.name) for number, group in enumerate(self.groups)] if self.key else []


def series_figure(table: SceneTable) -> Markup:
    """Every statistic of every scene over time: means, then the others, then how much of each scene is valid."""
    x = time_scale(table.time)
    levels = [name for name in table.columns if name in _LEVELS]
    quantiles = _quantiles(table)
    levels += quantiles[len(quantiles) // 2 : -(len(quantiles) // 2) or None]  # the middle one, which has no partner
    main = levels or [name for name in table.columns if name not in _COVERAGE][:1]
    key, differ = _grouped(table, main[0]) if main else ("", False)
    chart = _Chart(table, x, time_ticks(x, 7), key, _groups(table, key), differ)
    names = main[:1] if key else main  # colours tell groups apart, so that each statistic has a panel of its own
    others = [name for name in table.columns if name not in (*names, *quantiles, *_COVERAGE)]
    coverage = [name for name in _COVERAGE if name in table.columns][:1]
    panels = [_level_panel(chart, names, quantiles)] if names else []
    panels += [_line_panel(chart, name) for name in others[:_MOST_PANELS]]
    panels += [_coverage_panel(chart, name) for name in coverage]
    many_days = x.high - x.low > 2 * 86400
    note = "date of the scene, UTC" if many_days else f"time of the scene, UTC, from {humanize.moment(x.low, 10)}"
    return tag("figure", [*panels, x_axis(chart.ticks, note)], class_="chart")


def _quantiles(table: SceneTable) -> list[str]:
    quantiles = {name: _quantile(name) for name in table.columns}
    return sorted((name for name in quantiles if quantiles[name] is not None), key=lambda name: quantiles[name] or 0)


def _quantile(name: str) -> float | None:
    """0.05 of q05, 0.999 of q99_9; None of a name that is not a quantile."""
    digits = name.removeprefix("q").replace("_", ".")
    return float(digits) / 100 if name.startswith("q") and digits.replace(".", "", 1).isdigit() else None


# --- groups -----------------------------------------------------------------------------------------------------------


def _grouped(table: SceneTable, level: str) -> tuple[str, bool]:
    """The column of few words that colours the scenes, "" if there is none, and whether the level differs by it.

    It is the one that explains most of the level's variance; of orbits, which are known to differ, any.
    """
    values = table.columns[level]
    shares = {
        key: explained(values, np.unique(np.array(labels, str), return_inverse=True)[1])
        for key, labels in table.groups.items()
        if key not in _OF_TIME and 1 < len(set(labels)) <= _MOST_GROUPS and min(Counter(labels).values()) > 1
    }
    if not shares:
        return "", False
    key = max(shares, key=lambda key: (_ORBIT in key.lower(), shares[key]))
    chance = (len(set(table.groups[key])) - 1) / max(values.size - 1, 1)
    return key, shares[key] > _CLEARLY * chance


def _groups(table: SceneTable, key: str) -> list[_Group]:
    if not key:
        return [_Group("", np.arange(table.time.size))]
    labels = np.array(table.groups[key], object)
    return [_Group(name or humanize.UNKNOWN, np.flatnonzero(labels == name)) for name in sorted(set(table.groups[key]))]


def explained(values: Floats, codes: npt.NDArray[np.intp]) -> float:
    """The part of the variance of values that lies between their groups, which have these numbers."""
    finite = np.isfinite(values)
    values, codes = values[finite], codes[finite]
    if not values.size:
        return 0.0
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=values) / np.maximum(sizes, 1)
    between = float((sizes * (means - values.mean()) ** 2).sum())
    return between / max(float(((values - values.mean()) ** 2).sum()), 1e-300)


# --- panels -----------------------------------------------------------------------------------------------------------


def _level_panel(chart: _Chart, names: list[str], quantiles: list[str]) -> Markup:
    table = chart.table
    y = scale_of(np.concatenate([table.columns[name] for name in (*names, *quantiles)]), margin=0.06)
    plot = Plot(chart.x, y, 200)
    marks: list[Markup] = []
    keys: list[tuple[str, str]] = []
    for low, high in zip(quantiles[: len(quantiles) // 2], quantiles[::-1], strict=False):
        marks += [
            plot.band(table.time[rows], table.columns[low][rows], table.columns[high][rows], f"faint tint{number}")
            for number, (_, rows) in enumerate(chart.groups if chart.apart else _groups(table, ""))
        ]
        keys.append((f"faint shade{len(keys)}", f"{low} to {high}"))
    for number, name in enumerate(names):
        marks += _lines(plot, chart, name, number)
        keys.append((f"series{number}", name))
    if chart.key:
        keys = [*keys[:-1], *chart.keys]
    elif len(keys) == 1:
        keys = []  # the title names it
    marks += _absent(plot, table, names[0])
    if np.isnan(table.columns[names[0]]).any():
        keys.append(("absent", "no valid pixel"))
    title = [_named(table, names[0]), f" by {chart.key}" if chart.key else "", legend(keys)]
    return panel(tag("span", title), plot.height, marks, number_ticks(y, 6), chart.ticks)


def _line_panel(chart: _Chart, name: str) -> Markup:
    y = scale_of(chart.table.columns[name], margin=0.08)
    plot = Plot(chart.x, y, 90)
    return panel(_named(chart.table, name), plot.height, _lines(plot, chart, name), number_ticks(y, 3), chart.ticks)


def _lines(plot: Plot, chart: _Chart, name: str, colour: int = 0) -> Iterator[Markup]:
    """Dots in the colours of the groups, and a line through all of them, or through each group if these differ."""
    table = chart.table
    titles = _titles(table, name) if table.time.size <= _MOST_DOTS else []
    if not chart.apart:
        yield plot.line(table.time, table.columns[name], "thread" if chart.key else f"series{colour}")
    for number, (_, rows) in enumerate(chart.groups):
        css = f"series{colour + number}"
        if chart.apart:
            yield plot.line(table.time[rows], table.columns[name][rows], css)
        if titles:
            yield plot.points(table.time[rows], table.columns[name][rows], [titles[row] for row in rows], css)


def _coverage_panel(chart: _Chart, name: str) -> Markup:
    values = chart.table.columns[name]
    share = name == "valid_fraction"
    y = Scale(0, 1) if share else scale_of(values, zero=True)
    ticks = number_ticks(Scale(0, 100), 2, " %") if share else number_ticks(y, 2, whole=True)
    plot = Plot(chart.x, y, 80)
    if values.size <= _MOST_DOTS:
        marks = [plot.columns(chart.table.time, values, _titles(chart.table, name), "coverage")]
    else:
        marks = [_binned_columns(plot, chart.table.time, values)]
    return panel(_named(chart.table, name), plot.height, marks, ticks, chart.ticks)


def _binned_columns(plot: Plot, time: Floats, values: Floats) -> Markup:
    """The mean of the scenes that fall together, as a staircase."""
    finite = np.isfinite(values) & np.isfinite(time)
    edges = np.linspace(plot.x.low, plot.x.high, 301)
    scenes = np.histogram(time[finite], edges)[0]
    mean = np.histogram(time[finite], edges, weights=values[finite])[0] / np.maximum(scenes, 1)
    return plot.steps(edges, np.zeros(300), mean, "coverage")


def _named(table: SceneTable, name: str) -> Markup:
    note = {"valid_fraction": "of the scene's pixels", "count": "valid pixels"}.get(name, unit(table.units.get(name)))
    return Markup("<b>{}</b> {}").format(name, " ".join([note, *["by area"] * (name in table.by_area)]).strip())


def unit(units: str | None) -> str:
    """The unit as it is shown: nothing for what has none, which is 1 in UDUNITS."""
    return "" if units in (None, "1") else str(units)


def _titles(table: SceneTable, name: str) -> list[str]:
    form = humanize.percent if name == "valid_fraction" else humanize.value
    numbers = (float(number) if np.isfinite(number) else None for number in table.columns[name])
    return [
        f"{scene}, {humanize.day(float(time))}: {name} {form(number)}"
        for scene, time, number in zip(table.scenes, table.time, numbers, strict=True)
    ]


def _absent(plot: Plot, table: SceneTable, name: str) -> Iterable[Markup]:
    """A mark at the foot of the plot for each scene without a value."""
    scenes = np.flatnonzero(np.isnan(table.columns[name]))[:_MOST_DOTS]
    foot = np.full(scenes.size, plot.y.low + 5 / plot.height * (plot.y.high - plot.y.low))
    titles = [f"{table.scenes[scene]}, {humanize.day(float(table.time[scene]))}: no valid pixel" for scene in scenes]
    yield plot.points(table.time[scenes], foot, titles, "absent")


# --- coverage ---------------------------------------------------------------------------------------------------------


class Coverage(NamedTuple):
    """The scenes with the fewest valid pixels: (name, date, bar, share); or in a sentence that all are alike."""

    rows: list[tuple[Markup, str, Markup, str]]
    shared: str  # what all names begin and end with, which the rows leave out
    alike: str


def valid_fractions(table: SceneTable, run: Run) -> Floats | None:
    """The share of valid pixels of each scene; None if the table does not say."""
    shape = run.record.stack.shape if run.record.stack else None
    pixels = shape[0] * shape[1] if shape else None
    if "valid_fraction" in table.columns:
        return table.columns["valid_fraction"]
    return table.columns["count"] / pixels if "count" in table.columns and pixels else None


def coverage(table: SceneTable, run: Run) -> Coverage | None:
    """The scenes with the fewest valid pixels; None if the table does not count them, or has only one scene."""
    fraction = valid_fractions(table, run)
    if fraction is None or fraction.size < 2:
        return None
    shares = [humanize.percent(float(share)) for share in fraction]
    if len(set(shares)) == 1:
        return Coverage([], "", f"Every scene has {shares[0]} valid pixels.")
    most = humanize.percent(fraction.max())
    fewest = [scene for scene in np.argsort(fraction, kind="stable").tolist() if shares[scene] != most]
    names = [table.scenes[scene] for scene in fewest[:_LEAST_COVERED]]
    start, end = humanize.common_parts(table.scenes)
    rows = [
        (
            humanize.breakable(name[len(start) : len(name) - len(end)]),
            humanize.day(float(table.time[scene])),
            bar(float(fraction[scene]), "coverage"),
            shares[scene],
        )
        for name, scene in zip(names, fewest, strict=False)
    ]
    return Coverage(rows, f"{start}…{end}" if start or end else "", "")
