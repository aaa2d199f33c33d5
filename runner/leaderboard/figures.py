"""The plots of a sweep's page: time against memory, the values of each key, the order of the runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Final

import numpy as np
from markupsafe import Markup

from runner.base import humanize
from runner.leaderboard.board import Leaderboard, in_its_unit
from runner.leaderboard.labels import short_keys, shown_keys
from runner.leaderboard.ranking import Noise, drift, noise_of
from runner.leaderboard.rows import Row
from runner.report.charts import Plot, lanes, legend, panel, tag, x_axis
from runner.report.records import Floats
from runner.report.scales import Scale, Tick, byte_ticks, duration_ticks, number_ticks, scale_of

MEASURES: Final = {"wall": "wall time", "peak": "peak memory"}  # by objective
_HEIGHT: Final = 300  # pixels of the plot of time against memory
_LANE: Final = 26  # pixels of a value
_MOST_VALUES: Final = 24  # of a key that are shown
_MOST_TICKS: Final = 6
_MOST_NAMED: Final = 24  # dots: of more, only the front is named


def _ticks(scale: Scale, objective: str = "wall") -> list[Tick]:
    return duration_ticks(scale, _MOST_TICKS) if objective == "wall" else byte_ticks(scale, _MOST_TICKS)


# --- time against memory ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    """How large the plot and a label's letters are, in pixels, where it is wide or narrow."""

    width: float
    letter: float


_WIDE, _NARROW = _Layout(1000, 6.4), _Layout(255, 6.0)


def pareto_figure(board: Leaderboard) -> Markup:
    """A dot for each job, those on the front joined by steps; nothing for less than two."""
    rows = [row for row in board.rows if row.measured and row.wall_seconds and row.peak_bytes]
    if len(rows) < 2:
        return Markup()
    walls, peaks = _array([row.wall_seconds for row in rows]), _array([row.peak_bytes for row in rows])
    plot = Plot(scale_of(walls, margin=0.12), scale_of(peaks, margin=0.15), _HEIGHT)
    marks = [
        _front_line(plot, [row for row in rows if row.front]),
        *(_dot(plot, board, row) for row in sorted(rows, key=lambda row: row.front)),
    ]
    front = [("series0", "no other job is both faster and smaller")] if any(row.front for row in rows) else []
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
    said = f"{board.names[row.job]}: {humanize.seconds(row.wall_seconds)}, {humanize.size(row.peak_bytes)}"
    return plot.points(_array([row.wall_seconds]), _array([row.peak_bytes]), [said], css)


def _front_line(plot: Plot, rows: Sequence[Row]) -> Markup:
    """From the fastest down to the smallest, in steps, since nothing between two is known to be possible."""
    corners = _corners(rows)
    return plot.line(_array([x for x, _ in corners]), _array([y for _, y in corners]), "series0 thin")


def _corners(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Of the steps through the front: (seconds, bytes)."""
    points = sorted((row.wall_seconds or 0.0, row.peak_bytes or 0.0) for row in rows)
    steps = [[(x, y), (x, lower)] for (_, y), (x, lower) in pairwise(points)]
    return [*points[:1], *(corner for step in steps for corner in step)]


def _labels(plot: Plot, board: Leaderboard, rows: Sequence[Row]) -> Iterator[Markup]:
    """Names beside the dots, the front's and the baseline's first; one that would lie on another is left out."""
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
    said = ", ".join(row.settings[key] for key in shown_keys(board.rows) if key in row.settings)
    return humanize.cut(said or f"job {row.job}", 40)


Box = tuple[float, float, float, float]  # left, right, top, bottom in pixels


def _side(plot: Plot, row: Row, layout: _Layout, letters: int, taken: list[Box]) -> str:
    """On which side of its dot a label has room, which is taken then; nothing if on none."""
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
    long = layout.letter * letters
    left = {"right": x + 9, "left": x - 9 - long}.get(side, x - max(long / 2, half))
    y += {"above": -16, "below": 16}.get(side, 0)
    return left, left + max(long, 2 * half if not letters else long), y - half, y + half


def _steps(plot: Plot, rows: Sequence[Row], layout: _Layout) -> Iterator[Box]:
    """Where the line of the front lies, so that no label lies on it."""
    corners = _corners([row for row in rows if row.front])
    places = [(plot.x.at(x) * layout.width, (1 - plot.y.at(y)) * _HEIGHT) for x, y in corners]
    for (x, y), (next_x, next_y) in pairwise(places):
        yield min(x, next_x), max(x, next_x) + 1, min(y, next_y), max(y, next_y) + 1


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


# --- the values of each key -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Axis:
    """A key that was swept: each of its values with the jobs that have it, by what the sweep wants little of."""

    key: str
    name: str
    objective: str
    values: Mapping[str, Sequence[Row]]

    @property
    def effect(self) -> float:
        """How much slower, or larger, the worst value is than the best, by medians over all else."""
        found = sorted(self.medians.values())
        return found[-1] / found[0]

    @property
    def medians(self) -> dict[str, float]:
        """Seconds or bytes, over jobs."""
        return {value: median(row.level(self.objective) or 0.0 for row in rows) for value, rows in self.values.items()}


def axes(board: Leaderboard) -> list[Axis]:
    """Those with two values or more, the one that matters most first, over the jobs of the grid.

    A baseline of settings of its own is none of these.
    """
    swept = {key for row in board.rows if not row.baseline for key in row.settings}
    first = board.sweep.objective[0]
    rows = [row for row in board.rows if row.measured and row.level(first) and swept.issuperset(row.settings)]
    found = []
    for key, name in short_keys(shown_keys(board.rows)).items():
        values = {value: [row for row in rows if row.settings.get(key) == value] for value in _in_order(rows, key)}
        if len(values) > 1:
            found.append(Axis(key, name, first, values))
    return sorted(found, key=lambda axis: -axis.effect)


def _in_order(rows: Sequence[Row], key: str) -> list[str]:
    """By size if they are numbers, else as they were asked for."""
    said = dict.fromkeys(row.settings[key] for row in sorted(rows, key=lambda row: row.job) if key in row.settings)
    try:
        return sorted(said, key=float)
    except ValueError:
        return list(said)


def axes_figure(board: Leaderboard) -> Markup:
    """A lane for each value of each key, a dot for each job; nothing if nothing was swept."""
    found = axes(board)
    if not found:
        return Markup()
    objective = found[0].objective
    levels = [row.level(objective) for axis in found for rows in axis.values.values() for row in rows]
    scale = scale_of(_array(levels), margin=0.06)
    longest = max(len(humanize.cut(value, 22)) for axis in found for value in axis.values)
    panels = [_axis_panel(axis, scale, board) for axis in found]
    what = f"{MEASURES[objective]}; a dot is a job, the bar the median of its value's jobs"
    parts = [*panels, x_axis(_ticks(scale, objective), what)]
    return tag("div", parts, class_="chart lanes", style=f"--gutter:{min(max(7 * longest + 18, 60), 150)}px")


def _axis_panel(axis: Axis, scale: Scale, board: Leaderboard) -> Markup:
    shown = dict(list(axis.values.items())[:_MOST_VALUES])
    plot = Plot(scale, Scale(len(shown), 0), _LANE * len(shown))
    marks = [mark for at, value in enumerate(shown) for mark in _lane(plot, at, axis, value, board)]
    names = [(humanize.cut(value, 22), f"{axis.name}={value}") for value in shown]
    return lanes(_axis_title(axis, len(shown)), names, marks, _LANE, _ticks(scale, axis.objective))


def _lane(plot: Plot, at: int, axis: Axis, value: str, board: Leaderboard) -> Iterator[Markup]:
    rows = axis.values[value]
    levels = _array([row.level(axis.objective) for row in rows])
    middle = np.full(levels.size, at + 0.5)
    yield plot.line(_array([levels.min(), levels.max()]), middle[:1].repeat(2), "range")
    shown = [in_its_unit(row.level(axis.objective), axis.objective) for row in rows]
    titles = [f"{board.names[row.job]}: {said}" for row, said in zip(rows, shown, strict=True)]
    yield plot.points(levels, middle, titles, "plain")
    level = axis.medians[value]
    yield plot.line(_array([level, level]), _array([at + 0.2, at + 0.8]), "series0 median")


def _axis_title(axis: Axis, shown: int) -> Markup:
    medians = axis.medians
    best, worst = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
    more = f"; {shown} of {len(medians)} values shown" if shown < len(medians) else ""
    said = (
        f"{best}: {in_its_unit(medians[best], axis.objective)}, "
        f"{worst}: {in_its_unit(medians[worst], axis.objective)}, "
        f"{medians[worst] / medians[best]:.2f}x (medians over all else){more}"
    )
    return Markup("<b>{}</b> {}").format(axis.name, said)


# --- the order of the runs --------------------------------------------------------------------------------------------


def order_figure(board: Leaderboard) -> Markup:
    """Wall times in the order of the runs, relative to each job's own mean, if they clearly rise or fall.

    Of a multirun in one process always, since its jobs share it; as they are, where nothing was repeated.
    """
    rows = [row for row in board.rows if row.measured]
    repeated = [row for row in rows if len(row.walls) > 1]
    if repeated:
        points = [
            (one.order, one.wall_seconds / fmean(row.walls), row)
            for row in repeated
            for one in row.completed
            if one.wall_seconds
        ]
        line = drift([at for at, _, _ in points], [value for _, value, _ in points], _noise(repeated).freedom)
        if line is None:
            return Markup()
        more = "longer" if line.last > line.first else "less"
        said = f"the last runs took {100 * abs(line.last - line.first):.0f} % {more} than the first"
        return _order_panel(board, points, "wall time relative to the job's own mean", said, "")
    if board.sweep.isolated or board.sweep.processes > 1 or len(rows) < 3:
        return Markup()
    points = [(one.order, one.wall_seconds, row) for row in rows for one in row.completed if one.wall_seconds]
    said = "the jobs ran in one process, one after the other: later ones find warm what the first had to make"
    return _order_panel(board, points, "wall time", said, " s")


def _noise(rows: Sequence[Row]) -> Noise:
    return noise_of([row.walls for row in rows])


def _order_panel(
    board: Leaderboard, points: Sequence[tuple[int, float, Row]], what: str, said: str, unit: str
) -> Markup:
    points = sorted(points, key=lambda point: point[0])
    places, values = _array([float(at) for at, _, _ in points]), _array([value for _, value, _ in points])
    plot = Plot(scale_of(places, margin=0.03), scale_of(values, margin=0.1), 140)
    titles = [f"{board.names[row.job]}: {value:.3g}{unit}" for _, value, row in points]
    title = Markup("<b>{}</b> {}").format(what, said)
    x_ticks = [tick for tick in number_ticks(plot.x, _MOST_TICKS) if tick.at >= 0 and "." not in tick.text]
    marks = [plot.line(places, values, "plain thin"), plot.points(places, values, titles, "series0")]
    drawn = panel(title, 140, marks, number_ticks(plot.y, 4, unit), x_ticks)
    return tag("div", [drawn, x_axis(x_ticks, "place in the order of the runs")], class_="chart")


def _array(values: Sequence[float | None]) -> Floats:
    return np.array(values, np.float64)
