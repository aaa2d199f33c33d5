"""The plots of a sweep's page: time against memory, the values of each key, the order of the runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
from runner.report.charts import Plot, lanes, legend, panel, tag, x_axis
from runner.report.records import Floats
from runner.report.scales import Scale, Tick, byte_ticks, duration_ticks, number_ticks, scale_of

MEASURES: Final = {"wall": "wall time", "peak": "peak memory"}  # by objective
_HEIGHT: Final = 300  # pixels of the plot of time against memory
_LANE: Final = 26  # pixels of a value
_MOST_VALUES: Final = 24  # of a key that are shown
_MOST_TICKS: Final = 6
_MOST_NAMED: Final = 24  # dots; if there are more, only those of the front have names


def _ticks(scale: Scale, objective: str = "wall") -> list[Tick]:
    return duration_ticks(scale, _MOST_TICKS) if objective == "wall" else byte_ticks(scale, _MOST_TICKS)


# --- time against memory ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    """The width of the plot and of a label's letters, in pixels."""

    width: float
    letter: float


_WIDE, _NARROW = _Layout(1000, 6.4), _Layout(255, 6.0)


def pareto_figure(board: Leaderboard) -> Markup:
    """A dot for each job, those on the front joined by steps; nothing for fewer than two jobs."""
    rows = [row for row in board.rows if row.measured and row.wall_seconds and row.peak_bytes]
    if len(rows) < 2:
        return Markup()
    walls, peaks = _array([row.wall_seconds for row in rows]), _array([row.peak_bytes for row in rows])
    plot = Plot(scale_of(walls, margin=0.12), scale_of(peaks, margin=0.15), _HEIGHT)
    marks = [
        _front_line(plot, [row for row in rows if row.front]),
        *(_dot(plot, board, row) for row in sorted(rows, key=lambda row: row.front)),
    ]
    front = [("series0", "no other job takes both less time and less memory")] if any(row.front for row in rows) else []
    title = Markup("<b>peak memory against wall time</b>{}").format(
        legend([*front, ("plain", "others" if front else "jobs")])
    )
    drawn = panel(title, _HEIGHT, marks, byte_ticks(plot.y, 5), _ticks(plot.x))
    labels = tag("div", _labels(plot, board, rows), class_="marks")
    chart = tag("div", [drawn, labels], class_="labelled")
    below = x_axis(_ticks(plot.x), "wall time, from the start of the process to its end")
    return tag("div", [chart, below], class_="chart")


def _dot(plot: Plot, board: Leaderboard, row: Row) -> Markup:
    css = f"big {'series0' if row.front else 'plain'}"
    title = f"{board.names[row.job]}: {humanize.seconds(row.wall_seconds)}, {humanize.size(row.peak_bytes)}"
    return plot.points(_array([row.wall_seconds]), _array([row.peak_bytes]), [title], css)


def _front_line(plot: Plot, rows: Sequence[Row]) -> Markup:
    """Steps from the fastest down to the smallest, since no settings between two jobs are known."""
    corners = _corners(rows)
    return plot.line(_array([x for x, _ in corners]), _array([y for _, y in corners]), "series0 thin")


def _corners(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """The corners of the steps through the front: (seconds, bytes)."""
    points = sorted((row.wall_seconds or 0.0, row.peak_bytes or 0.0) for row in rows)
    steps = [[(x, y), (x, lower)] for (_, y), (x, lower) in pairwise(points)]
    return [*points[:1], *(corner for step in steps for corner in step)]


def _labels(plot: Plot, board: Leaderboard, rows: Sequence[Row]) -> Iterator[Markup]:
    """Names beside the dots, the front's and the baseline's first; a name without room is left out."""
    first = sorted(rows, key=lambda row: (not row.front, not row.baseline, row.rank or 0))
    taken: dict[_Layout, list[tuple[float, float, float, float]]] = {
        layout: [*(_box(plot, row, layout, 0, 6) for row in rows), *_steps(plot, rows, layout)]
        for layout in (_WIDE, _NARROW)
    }
    for row in first if len(rows) <= _MOST_NAMED else [row for row in rows if row.front or row.baseline]:
        name = _label(board, row)
        sides = {layout: _side(plot, row, layout, len(name), taken[layout]) for layout in taken}
        if any(sides.values()):
            x, y = plot.x.at(row.wall_seconds or 0.0), plot.y.at(row.peak_bytes or 0.0)
            css = f"{sides[_WIDE] or 'hidden'} narrow-{sides[_NARROW] or 'hidden'}"
            yield tag("span", name, class_=css, style=f"left:{100 * x:.2f}%;top:{100 * (1 - y):.2f}%")


def _label(board: Leaderboard, row: Row) -> str:
    if row.baseline:
        return "baseline"
    values = ", ".join(row.settings[key] for key in shown_keys(board.rows) if key in row.settings)
    return humanize.cut(values or f"job {row.job}", 40)


Box = tuple[float, float, float, float]  # left, right, top, bottom in pixels


def _side(plot: Plot, row: Row, layout: _Layout, letters: int, taken: list[Box]) -> str:
    """The side of its dot on which a label has room, which is taken then; nothing if there is none."""
    for side in ("above", "left", "below", "right") if row.front else ("right", "left", "above", "below"):
        box = _box(plot, row, layout, letters, 8, side)
        own = _box(plot, row, layout, 0, 6)
        inside = box[0] >= 0 and box[1] <= layout.width and box[2] >= 0 and box[3] <= _HEIGHT
        if inside and not any(_overlap(box, other) for other in taken if other != own):
            taken.append(box)
            return side
    return ""


def _box(plot: Plot, row: Row, layout: _Layout, letters: int, half: float, side: str = "") -> Box:
    x = plot.x.at(row.wall_seconds or 0.0) * layout.width
    y = (1 - plot.y.at(row.peak_bytes or 0.0)) * _HEIGHT
    width = layout.letter * letters
    left = {"right": x + 9, "left": x - 9 - width}.get(side, x - max(width / 2, half))
    y += {"above": -16, "below": 16}.get(side, 0)
    return left, left + (width if letters else 2 * half), y - half, y + half


def _steps(plot: Plot, rows: Sequence[Row], layout: _Layout) -> Iterator[Box]:
    """The line of the front, on which no label may lie."""
    corners = _corners([row for row in rows if row.front])
    places = [(plot.x.at(x) * layout.width, (1 - plot.y.at(y)) * _HEIGHT) for x, y in corners]
    for (x, y), (next_x, next_y) in pairwise(places):
        yield min(x, next_x), max(x, next_x) + 1, min(y, next_y), max(y, next_y) + 1


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


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
