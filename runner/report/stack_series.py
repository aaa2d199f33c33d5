"""The means of an archive's scenes over time: a line for each stack, or the middle of many, parted by their groups."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from runner.base import humanize
from runner.record.stacks import StackRow
from runner.report.archive_folder import Codes, Means
from runner.report.charts import Plot, legend, panel, tag, x_axis
from runner.report.records import Floats
from runner.report.scales import Scale, Tick, number_ticks, scale_of, time_scale, time_ticks
from runner.report.series import explained, unit

_MOST_PANELS: Final = 6
_MOST_COLOURS: Final = 6  # that style.css has
_MOST_LINES: Final = 24  # of a panel
_MOST_POINTS: Final = 20_000  # of a figure with a line for each stack
_MOST_DOTS: Final = 600
_BINS: Final = 60
_PERCENTILES: Final = (10, 50, 90)


@dataclass(frozen=True, slots=True)
class _Group:
    """A group that stacks are parted by: its name, its values, and which of them each stack has."""

    name: str
    values: tuple[str, ...]
    codes: Codes


_ALL: Final = "all stacks"


@dataclass(frozen=True, slots=True)
class _Chart:
    """The means with their axis of time and the groups that part them into panels and colours."""

    means: Means
    names: list[str]  # of the stacks
    panels: _Group
    colours: _Group
    x: Scale
    ticks: list[Tick]

    def rows(self, of_panel: int, of_colour: int) -> Codes:
        """The scenes of a panel in one colour."""
        stack = self.means.stack
        mine = (self.panels.codes[stack] == of_panel) & (self.colours.codes[stack] == of_colour)
        return np.flatnonzero(mine)


def means_figure(means: Means, rows: Sequence[StackRow]) -> Markup:
    """A panel for each value of the group that means differ by most, in colours of another; nothing without scenes."""
    if not means.time.size:
        return Markup()
    panels, colours = _groups(means, rows)
    x = time_scale(means.time)
    chart = _Chart(means, [row.stack for row in rows], panels, colours, x, time_ticks(x, 7))
    each = _a_line_each(chart)
    drawn = [_panel(chart, number, each=each) for number in range(len(panels.values))]
    note = "a line for each stack" if each else "lines: the median of the scenes; areas: 10th to 90th percentile"
    return tag("figure", [*drawn, x_axis(chart.ticks, f"date of the scene, UTC; {note}")], class_="chart")


def _groups(means: Means, rows: Sequence[StackRow]) -> tuple[_Group, _Group]:
    """The groups of panels and of colours: of those with few values, the two that explain most of the variance."""
    present = np.unique(means.stack)
    candidates = [_group(name, rows, present) for name in rows[0].values]
    few = [group for group in candidates if 1 < len(group.values) <= _MOST_PANELS]
    few.sort(key=lambda group: -explained(means.values, group.codes[means.stack]))
    whole = _Group("", (_ALL,), np.zeros(len(rows), np.intp))
    panels = next(iter(few), whole)
    colours = next((group for group in few[1:] if len(group.values) <= _MOST_COLOURS), whole)
    return panels, colours


def _group(name: str, rows: Sequence[StackRow], present: Codes) -> _Group:
    """The values of stacks that have scenes; other stacks have the number of none."""
    texts = ["none" if row.values[name] is None else str(row.values[name]) for row in rows]
    values = tuple(sorted({texts[number] for number in present.tolist()}))
    numbers = {value: number for number, value in enumerate(values)}
    return _Group(name, values, np.array([numbers.get(text, -1) for text in texts], np.intp))


def _a_line_each(chart: _Chart) -> bool:
    present = np.unique(chart.means.stack)
    most = int(np.bincount(chart.panels.codes[present]).max())
    return most <= _MOST_LINES and chart.means.time.size <= _MOST_POINTS


def _panel(chart: _Chart, number: int, *, each: bool) -> Markup:
    parts = [chart.rows(number, colour) for colour in range(len(chart.colours.values))]
    bands = [None if each else _binned(chart, part) for part in parts]
    pairs = list(zip(parts, bands, strict=True))
    shown = [chart.means.values[part] if band is None else band[1].ravel() for part, band in pairs]
    y = scale_of(np.concatenate(shown), margin=0.06)
    plot = Plot(chart.x, y, 200 if len(chart.panels.values) < 3 else 130)
    marks: list[Markup] = []
    for colour, (part, band) in enumerate(pairs):
        marks += _lines(chart, plot, part, colour) if band is None else _band(plot, *band, colour)
    return panel(_title(chart, number), plot.height, marks, number_ticks(y, 5 if plot.height > 150 else 3), chart.ticks)


def _title(chart: _Chart, number: int) -> Markup:
    means, panels, colours = chart.means, chart.panels, chart.colours
    name = f" {panels.name}={panels.values[number]}" if panels.name else ""
    key = legend((f"series{colour}", value) for colour, value in enumerate(colours.values)) if colours.name else ""
    return tag(
        "span", [tag("b", means.statistic), f"{name} {unit(means.units)}", f" by {colours.name}" if key else "", key]
    )


def _lines(chart: _Chart, plot: Plot, part: Codes, colour: int) -> Iterator[Markup]:
    """A line through the scenes of each stack, and dots if these are few."""
    means = chart.means
    stacks = means.stack[part]
    for scenes in np.split(part, np.flatnonzero(np.diff(stacks)) + 1):
        if not scenes.size:
            continue
        name, time, values = chart.names[means.stack[scenes[0]]], means.time[scenes], means.values[scenes]
        marks = [tag("title", name), plot.line(time, values, f"series{colour}")]
        if means.time.size <= _MOST_DOTS:
            titles = [
                f"{name}, {humanize.day(float(moment))}: {means.statistic} {humanize.value(float(value))}"
                for moment, value in zip(time, values, strict=True)
            ]
            marks.append(plot.points(time, values, titles, f"series{colour}"))
        yield tag("g", marks)


def _binned(chart: _Chart, part: Codes) -> tuple[Floats, Floats]:
    """Times, and the percentiles of the scenes about each of them, (percentile, time)."""
    time, values = chart.means.time[part], chart.means.values[part]
    finite = np.isfinite(time) & np.isfinite(values)
    time, values = time[finite], values[finite]
    edges = np.linspace(chart.x.low, chart.x.high, _BINS + 1)
    bins = np.digitize(time, edges[1:-1])
    order = np.argsort(bins, kind="stable")
    numbers, starts = np.unique(bins[order], return_index=True)
    groups = np.split(values[order], starts[1:]) if numbers.size else []
    levels = np.array([np.percentile(group, _PERCENTILES) for group in groups]).reshape(-1, len(_PERCENTILES)).T
    return (edges[numbers] + edges[numbers + 1]) / 2, levels


def _band(plot: Plot, time: Floats, levels: Floats, colour: int) -> list[Markup]:
    low, middle, high = levels
    return [plot.band(time, low, high, f"faint tint{colour}"), plot.line(time, middle, f"series{colour}")]
