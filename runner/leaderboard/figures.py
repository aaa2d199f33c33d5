"""The plots of a sweep's page: the values of each key, the order of the runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

import numpy as np
from markupsafe import Markup

from runner.base import humanize
from runner.leaderboard.answer import in_its_unit
from runner.leaderboard.board import Leaderboard
from runner.leaderboard.labels import short_keys, shown_keys
from runner.leaderboard.ranking import drift, noise_of
from runner.leaderboard.rows import Row
from runner.report.charts import Plot, lanes, panel, tag, x_axis
from runner.report.records import Floats
from runner.report.scales import Scale, Tick, byte_ticks, duration_ticks, number_ticks, scale_of

MEASURES: Final = {"wall": "wall time", "peak": "peak memory"}  # by objective
_LANE: Final = 26  # pixels of a value
_MOST_VALUES: Final = 24  # of a key that are shown
_MOST_TICKS: Final = 6


def _ticks(scale: Scale, objective: str = "wall") -> list[Tick]:
    return duration_ticks(scale, _MOST_TICKS) if objective == "wall" else byte_ticks(scale, _MOST_TICKS)


# --- the values of each key -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Axis:
    """A key that was swept: each of its values with the jobs that have it, measured by the first objective."""

    key: str
    name: str
    objective: str
    values: Mapping[str, Sequence[Row]]

    @property
    def effect(self) -> float:
        """The median of the worst value divided by that of the best."""
        levels = self.medians.values()
        return max(levels) / min(levels)

    @property
    def medians(self) -> dict[str, float]:
        """The median of each value over its jobs, in seconds or bytes."""
        return {value: median(row.level(self.objective) or 0.0 for row in rows) for value, rows in self.values.items()}


def axes(board: Leaderboard) -> list[Axis]:
    """The keys with two values or more, the largest effect first, over the jobs of the grid.

    A baseline with settings of its own does not belong to the grid.
    """
    swept = {key for row in board.rows if not row.baseline for key in row.settings}
    first = board.sweep.objective[0]
    rows = [row for row in board.rows if row.measured and row.level(first) and swept.issuperset(row.settings)]
    axes_ = []
    for key, name in short_keys(shown_keys(board.rows)).items():
        values = {value: [row for row in rows if row.settings.get(key) == value] for value in _in_order(rows, key)}
        if len(values) > 1:
            axes_.append(Axis(key, name, first, values))
    return sorted(axes_, key=lambda axis: -axis.effect)


def _in_order(rows: Sequence[Row], key: str) -> list[str]:
    """The values of a key: numbers by size, others as they were given."""
    values = dict.fromkeys(row.settings[key] for row in sorted(rows, key=lambda row: row.job) if key in row.settings)
    try:
        return sorted(values, key=float)
    except ValueError:
        return list(values)


def axes_figure(board: Leaderboard) -> Markup:
    """A lane for each value of each key, a dot for each job; nothing if nothing was swept."""
    swept = axes(board)
    if not swept:
        return Markup()
    objective = swept[0].objective
    levels = [row.level(objective) for axis in swept for rows in axis.values.values() for row in rows]
    scale = scale_of(_array(levels), margin=0.06)
    longest = max(len(humanize.cut(value, 22)) for axis in swept for value in axis.values)
    panels = [_axis_panel(axis, scale, board) for axis in swept]
    label = f"{MEASURES[objective]}; each dot is a job, each bar the median of the jobs with that value"
    parts = [*panels, x_axis(_ticks(scale, objective), label)]
    return tag("div", parts, class_="chart lanes", style=f"--gutter:{min(max(7 * longest + 18, 60), 150)}px")


def _axis_panel(axis: Axis, scale: Scale, board: Leaderboard) -> Markup:
    shown = dict(list(axis.values.items())[:_MOST_VALUES])
    plot = Plot(scale, Scale(len(shown), 0), _LANE * len(shown))
    marks = [mark for lane, value in enumerate(shown) for mark in _lane(plot, lane, axis, value, board)]
    names = [(humanize.cut(value, 22), f"{axis.name}={value}") for value in shown]
    return lanes(_axis_title(axis, len(shown)), names, marks, _LANE, _ticks(scale, axis.objective))


def _lane(plot: Plot, lane: int, axis: Axis, value: str, board: Leaderboard) -> Iterator[Markup]:
    rows = axis.values[value]
    levels = _array([row.level(axis.objective) for row in rows])
    middle = np.full(levels.size, lane + 0.5)
    yield plot.line(_array([levels.min(), levels.max()]), middle[:1].repeat(2), "range")
    titles = [f"{board.names[row.job]}: {in_its_unit(row.level(axis.objective), axis.objective)}" for row in rows]
    yield plot.points(levels, middle, titles, "plain")
    level = axis.medians[value]
    yield plot.line(_array([level, level]), _array([lane + 0.2, lane + 0.8]), "series0 median")


def _axis_title(axis: Axis, shown: int) -> Markup:
    medians = axis.medians
    best, worst = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
    more = f"; {shown} of {len(medians)} values shown" if shown < len(medians) else ""
    text = (
        f"{best}: {in_its_unit(medians[best], axis.objective)}, "
        f"{worst}: {in_its_unit(medians[worst], axis.objective)}, "
        f"{medians[worst] / medians[best]:.2f}x (medians over all other settings){more}"
    )
    return Markup("<b>{}</b> {}").format(axis.name, text)


# --- the order of the runs --------------------------------------------------------------------------------------------


def order_figure(board: Leaderboard) -> Markup:
    """Wall times in the order of the runs, relative to each job's own mean, if they clearly rise or fall.

    A multirun in one process always has this figure, since its jobs share the process; without repeats, it shows
    seconds.
    """
    rows = [row for row in board.rows if row.measured]
    repeated = [row for row in rows if len(row.walls) > 1]
    if repeated:
        points = [(order, wall / fmean(row.walls), row) for row in repeated for order, wall in _walls(row)]
        freedom = noise_of([row.walls for row in repeated]).freedom
        line = drift([order for order, _, _ in points], [value for _, value, _ in points], freedom)
        if line is None:
            return Markup()
        more = "longer" if line.last > line.first else "less time"
        text = f"the last runs took {100 * abs(line.last - line.first):.0f} % {more} than the first"
        return _order_panel(board, points, "wall time relative to the job's own mean", text, "")
    if board.sweep.isolated or board.sweep.processes > 1 or len(rows) < 3:
        return Markup()
    points = [(order, wall, row) for row in rows for order, wall in _walls(row)]
    text = "the jobs ran in one process, so later jobs profit from what the first compiled and cached"
    return _order_panel(board, points, "wall time", text, " s")


def _walls(row: Row) -> Iterator[tuple[int, float]]:
    """The position and the seconds of each attempt that completed."""
    for record in (attempt.record for attempt in row.completed):
        if record.wall_seconds:
            yield record.order or 0, record.wall_seconds


def _order_panel(
    board: Leaderboard, points: Sequence[tuple[int, float, Row]], measure: str, text: str, unit: str
) -> Markup:
    points = sorted(points, key=lambda point: point[0])
    orders, values = _array([float(order) for order, _, _ in points]), _array([value for _, value, _ in points])
    plot = Plot(scale_of(orders, margin=0.03), scale_of(values, margin=0.1), 140)
    titles = [f"{board.names[row.job]}: {value:.3g}{unit}" for _, value, row in points]
    title = Markup("<b>{}</b> {}").format(measure, text)
    x_ticks = [
        tick for tick in number_ticks(plot.x, min(_MOST_TICKS, len(points))) if tick.at >= 0 and "." not in tick.text
    ]
    marks = [plot.line(orders, values, "plain thin"), plot.points(orders, values, titles, "series0")]
    drawn = panel(title, 140, marks, number_ticks(plot.y, 4, unit), x_ticks)
    return tag("div", [drawn, x_axis(x_ticks, "position in the order of the runs")], class_="chart")


def _array(values: Sequence[float | None]) -> Floats:
    return np.array(values, np.float64)
