"""The plot of time against memory: a dot for each job, and the front of those that no other job beats."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from markupsafe import Markup

from runner.base import humanize
from runner.leaderboard.board import Leaderboard
from runner.leaderboard.labels import shown_keys
from runner.leaderboard.rows import Row
from runner.report.charts import Plot, legend, panel, tag, x_axis
from runner.report.records import Floats
from runner.report.scales import byte_ticks, duration_ticks, scale_of

_HEIGHT: Final = 300  # pixels
_MOST_TICKS: Final = 6
_MOST_NAMED: Final = 24  # dots; if there are more, only those of the front have names


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
    drawn = panel(title, _HEIGHT, marks, byte_ticks(plot.y, 5), duration_ticks(plot.x, _MOST_TICKS))
    labels = tag("div", _labels(plot, board, rows), class_="marks")
    chart = tag("div", [drawn, labels], class_="labelled")
    below = x_axis(duration_ticks(plot.x, _MOST_TICKS), "wall time, from the start of the process to its end")
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


def _array(values: Sequence[float | None]) -> Floats:
    return np.array(values, np.float64)


# --- names of dots ----------------------------------------------------------------------------------------------------


class Box(NamedTuple):
    """A rectangle of the plot, in pixels from its left and its top."""

    left: float
    right: float
    top: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """True if the two have pixels in common."""
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.bottom <= other.top or other.bottom <= self.top)


@dataclass(frozen=True, slots=True)
class _Canvas:
    """The plot at one width of the page, with the rectangles that are taken; `letter` is the width of a letter."""

    plot: Plot
    width: float
    letter: float
    taken: list[Box]

    def take(self, rows: Sequence[Row]) -> None:
        """Take the room of all dots, and of the line of the front."""
        self.taken.extend(map(self._dot, rows))
        places = [self._place(*corner) for corner in _corners([row for row in rows if row.front])]
        for (x, y), (next_x, next_y) in pairwise(places):
            self.taken.append(Box(min(x, next_x), max(x, next_x) + 1, min(y, next_y), max(y, next_y) + 1))

    def side(self, row: Row, letters: int) -> str:
        """The side of its dot on which a label has room, which is taken then; "hidden" if there is none."""
        own = self._dot(row)
        for side in ("above", "left", "below", "right") if row.front else ("right", "left", "above", "below"):
            box = self._label(row, letters, side)
            inside = box.left >= 0 and box.right <= self.width and box.top >= 0 and box.bottom <= _HEIGHT
            if inside and not any(box.overlaps(other) for other in self.taken if other != own):
                self.taken.append(box)
                return side
        return "hidden"

    def _place(self, seconds: float, bytes_: float) -> tuple[float, float]:
        return self.plot.x.at(seconds) * self.width, (1 - self.plot.y.at(bytes_)) * _HEIGHT

    def _dot(self, row: Row) -> Box:
        x, y = self._place(row.wall_seconds or 0.0, row.peak_bytes or 0.0)
        return Box(x - 6, x + 6, y - 6, y + 6)

    def _label(self, row: Row, letters: int, side: str) -> Box:
        x, y = self._place(row.wall_seconds or 0.0, row.peak_bytes or 0.0)
        width = self.letter * letters
        left = {"right": x + 9, "left": x - 9 - width}.get(side, x - max(width / 2, 8))
        y += {"above": -16, "below": 16}.get(side, 0)
        return Box(left, left + width, y - 8, y + 8)


def _labels(plot: Plot, board: Leaderboard, rows: Sequence[Row]) -> Iterator[Markup]:
    """Names beside the dots, the front's and the baseline's first; a name without room is left out."""
    wide, narrow = _Canvas(plot, 1000, 6.4, []), _Canvas(plot, 255, 6.0, [])
    for canvas in (wide, narrow):
        canvas.take(rows)
    first = sorted(rows, key=lambda row: (not row.front, not row.baseline, row.rank or 0))
    for row in first if len(rows) <= _MOST_NAMED else [row for row in rows if row.front or row.baseline]:
        name = _label(board, row)
        sides = [canvas.side(row, len(name)) for canvas in (wide, narrow)]
        if sides != ["hidden", "hidden"]:
            x, y = plot.x.at(row.wall_seconds or 0.0), plot.y.at(row.peak_bytes or 0.0)
            style = f"left:{100 * x:.2f}%;top:{100 * (1 - y):.2f}%"
            yield tag("span", name, class_=f"{sides[0]} narrow-{sides[1]}", style=style)


def _label(board: Leaderboard, row: Row) -> str:
    if row.baseline:
        return "baseline"
    values = ", ".join(row.settings[key] for key in shown_keys(board.rows) if key in row.settings)
    return humanize.cut(values or f"job {row.job}", 40)
