"""Charts of HTML and SVG that fit any width: the plot is stretched, while lines, points and text keep their size.

A panel is a plot with its labels; panels of one figure stand under each other and share the axis below them. A plot is
WIDTH units wide, however many pixels that turns out to be, and as many units high as it has pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from runner.base import humanize
from runner.report.records import Floats
from runner.report.scales import Scale, Tick

if TYPE_CHECKING:
    from jinja2 import Environment, Template

WIDTH: Final = 1000
Bools = npt.NDArray[np.bool_]


def template(path: Path) -> "Template":
    """A page's template, which may include files beside it and the reports' style; everything is escaped."""
    return _environment(path.parent).get_template(path.name)


@cache
def _environment(folder: Path) -> "Environment":
    """The templates of a folder, each loaded once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - 50 ms, at the end of a run

    from runner.report.template_cache import TemplateCache  # noqa: PLC0415 - as above

    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=TemplateCache(),
        auto_reload=False,  # which looks at each file for each page
    )
    environment.globals["text"] = humanize
    return environment


def tag(name: str, content: Iterable[str] | str = "", **attributes: object) -> Markup:
    """An element; attributes and text are escaped, what is Markup already is left. `class_` stands for class."""
    markup = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    parts = [content] if isinstance(content, str) else content
    return Markup(f"<{name}{markup}>{''.join(map(escape, parts))}</{name}>")  # noqa: S704 - every part is escaped


@dataclass(frozen=True, slots=True)
class Plot:
    """Draws marks of values on x and y into a plot of this height."""

    x: Scale
    y: Scale
    height: int

    def line(self, xs: Floats, ys: Floats, css: str) -> Markup:
        """A line through the points, broken where a value is NaN; what is alone between gaps is a dot."""
        finite = np.isfinite(xs) & np.isfinite(ys)
        parts = []
        for run in np.split(np.arange(xs.size), np.flatnonzero(~finite)):
            inside = run[finite[run]]
            if inside.size:
                points = " ".join(f"{x:.1f},{y:.1f}" for x, y in self._places(xs[inside], ys[inside]))
                parts.append(f"M{points}" if inside.size > 1 else f"M{points}h0")
        return tag("path", class_=f"line {css}", d="".join(parts)) if parts else Markup()

    def points(self, xs: Floats, ys: Floats, titles: Sequence[str], css: str) -> Markup:
        """A dot for each finite value, which says its title when pointed at."""
        finite = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
        places = self._places(xs[finite], ys[finite])
        named = [titles[number] for number in finite.tolist()]
        return _titled(f"dot {css}", (f"M{x:.1f},{y:.1f}h0" for x, y in places), named)

    def columns(self, xs: Floats, ys: Floats, titles: Sequence[str], css: str) -> Markup:
        """A column from 0 up to each finite value."""
        finite = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
        places, foot = self._places(xs[finite], ys[finite]), self._down(0.0)
        named = [titles[number] for number in finite.tolist()]
        return _titled(f"column {css}", (f"M{x:.1f},{foot:.1f}V{y:.1f}" for x, y in places), named)

    def band(self, xs: Floats, low: Floats, high: Floats, css: str) -> Markup:
        """The area between two lines, where both are known."""
        finite = np.flatnonzero(np.isfinite(xs) & np.isfinite(low) & np.isfinite(high))
        if not finite.size:
            return Markup()
        upper, lower = self._places(xs[finite], high[finite]), self._places(xs[finite], low[finite])[::-1]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *lower])
        return tag("path", class_=f"area {css}", d=f"M{points}z")

    def steps(self, edges: Floats, low: Floats, high: Floats, css: str, part: Scale | None = None) -> Markup:
        """The area between two staircases, each with a value between any two edges.

        `part` is the part of the height that the values are fitted into, from 0 at the foot to 1.
        """
        part = part or Scale(0, 1)
        squeezed = [part.low + self.y.at(values) * (part.high - part.low) for values in (low, high)]
        cells = np.flatnonzero(squeezed[1] - squeezed[0] > 1e-6)
        xs = self.x.at(edges) * WIDTH
        floor, roof = ((1 - values) * self.height for values in squeezed)
        parts = []
        for run in np.split(cells, np.flatnonzero(np.diff(cells) > 1) + 1):
            if run.size:
                over = "".join(f"V{roof[cell]:.1f}H{xs[cell + 1]:.1f}" for cell in run)
                under = "".join(f"V{floor[cell]:.1f}H{xs[cell]:.1f}" for cell in run[::-1])
                parts.append(f"M{xs[run[0]]:.1f},{floor[run[0]]:.1f}{over}{under}z")
        return tag("path", class_=f"area {css}", d="".join(parts)) if parts else Markup()

    def rule(self, value: float, css: str, title: str = "") -> Markup:
        """A line across the plot at a value of y."""
        y = self._down(value)
        return tag("path", tag("title", title) if title else "", class_=f"line {css}", d=f"M0,{y:.1f}H{WIDTH}")

    def _places(self, xs: Floats, ys: Floats) -> list[tuple[float, float]]:
        across, down = self.x.at(xs) * WIDTH, (1 - self.y.at(ys)) * self.height
        return list(zip(across.tolist(), down.tolist(), strict=True))

    def _down(self, value: float) -> float:
        return (1 - self.y.at(value)) * self.height


def _titled(css: str, paths: Iterable[str], titles: Sequence[str]) -> Markup:
    """A path for each title, which it says when pointed at; as by `tag`, and of thousands in a tenth of the time."""
    start = f'<path class="{escape(css)}" d="'
    parts = [f'{start}{d}"><title>{escape(title)}</title></path>' for d, title in zip(paths, titles, strict=True)]
    return Markup("".join(parts))  # noqa: S704 - every part is escaped, or made of numbers


def box(left: float, right: float, top: float, bottom: float, css: str) -> Markup:
    """A rectangle in units of the plot, at least a little wide."""
    width, height = max(right - left, 0.4), bottom - top
    return tag("rect", class_=css, x=f"{left:.1f}", y=f"{top:.1f}", width=f"{width:.1f}", height=f"{height:.1f}")


def panel(
    title: Markup | str, height: int, marks: Iterable[Markup], y_ticks: Sequence[Tick], x_ticks: Sequence[Tick] = ()
) -> Markup:
    """A plot with a line above it that says what it shows, and its labels to the left."""
    grid = [
        *(tag("path", class_="grid", d=f"M{tick.at * WIDTH:.1f},0V{height}") for tick in x_ticks),
        *(tag("path", class_="grid", d=f"M0,{(1 - tick.at) * height:.1f}H{WIDTH}") for tick in y_ticks),
    ]
    labels = [tag("span", tick.text, style=f"top:{100 * (1 - tick.at):.2f}%") for tick in y_ticks]
    return _framed(title, labels, [*grid, *marks], height)


def lanes(
    title: Markup | str, names: Sequence[tuple[str, str]], marks: Iterable[Markup], lane: int, x_ticks: Sequence[Tick]
) -> Markup:
    """A panel with a lane of `lane` pixels for each (name, what it says when pointed at)."""
    height = lane * len(names)
    grid = [tag("path", class_="grid", d=f"M{tick.at * WIDTH:.1f},0V{height}") for tick in x_ticks]
    rows = [tag("path", class_="grid", d=f"M0,{number * lane}H{WIDTH}") for number in range(len(names) + 1)]
    labels = [
        tag("span", name, title=note, style=f"top:{100 * (number + 0.5) / len(names):.2f}%")
        for number, (name, note) in enumerate(names)
    ]
    return _framed(title, labels, [*grid, *rows, *marks], height)


def _framed(title: Markup | str, labels: Iterable[Markup], marks: Iterable[Markup], height: int) -> Markup:
    box = {"viewBox": f"0 0 {WIDTH} {height}", "preserveAspectRatio": "none", "style": f"height:{height}px"}
    parts = [tag("div", title, class_="name"), tag("div", labels, class_="ys"), tag("svg", marks, **box)]
    return tag("div", parts, class_="panel")


def _place(number: int, tick: Tick, count: int) -> str | None:
    """The class of a label by which it gives way on a narrow page: every second or third one stays."""
    odd = count > 3 and number % (3 if count > 5 else 2) > 0
    classes = ["odd"] * odd + ["start"] * (tick.at < 0.06) + ["end"] * (tick.at > 0.94)
    return " ".join(classes) or None


def x_axis(ticks: Sequence[Tick], note: str = "") -> Markup:
    """The labels under the panels; some give way where it is narrow."""
    labels = [
        tag("span", tick.text, class_=_place(number, tick, len(ticks)), style=f"left:{100 * tick.at:.2f}%")
        for number, tick in enumerate(ticks)
    ]
    return tag("div", [tag("div", labels, class_="xs"), tag("div", note, class_="said")], class_="axis")


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """Swatches (CSS class, what it stands for)."""
    return tag(
        "span",
        [tag("span", [tag("i", class_=f"swatch {css}"), name], class_="key") for css, name in entries],
        class_="legend",
    )


def bar(fraction: float | None, css: str = "") -> Markup:
    """A bar in a table cell, for a part of one."""
    share = 0.0 if fraction is None or not np.isfinite(fraction) else min(max(fraction, 0.0), 1.0)
    return tag("span", tag("i", class_=css or None, style=f"width:{100 * share:.1f}%"), class_="bar")


def spread_evenly(start: Floats, stop: Floats, amount: Floats, edges: Floats) -> Floats:
    """The amounts between any two edges, each amount spread evenly from its start to its stop.

    The sum over the bins is the sum of the amounts, if the edges hold all of them. NaN counts as nothing.
    """
    finite = np.isfinite(start) & np.isfinite(stop) & np.isfinite(amount)
    start, amount = start[finite], amount[finite]
    stop = np.maximum(stop[finite], start + 1e-6)
    rate = amount / (stop - start)
    moments = np.concatenate([start, stop])
    order = np.argsort(moments, kind="stable")
    moments, rates = moments[order], np.cumsum(np.concatenate([rate, -rate])[order])
    if not moments.size:
        return np.zeros(edges.size - 1)
    total = np.concatenate([[0.0], np.cumsum(rates[:-1] * np.diff(moments))])
    return np.diff(np.interp(edges, moments, total))
