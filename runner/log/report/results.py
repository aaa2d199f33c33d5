"""Figures of what came out: rasters with their axes, series over time, coverage."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from markupsafe import Markup

from runner.log.report import text
from runner.log.report.charts import Plot, bar, legend, panel, tag, x_axis
from runner.log.report.records import Floats, Raster, SceneTable
from runner.log.report.scales import Scale, Tick, number_ticks, scale_of, time_scale, time_ticks

_MOST_DOTS = 600  # with more scenes than that, dots would run together
_MOST_PANELS = 10
_LEAST_COVERED: Final = 10
_LEVELS: Final = ("mean", "median")  # statistics that share a panel, with a band of quantiles behind them
_COVERAGE: Final = ("valid_fraction", "count")


def raster_figure(raster: Raster, *, large: bool) -> Markup:
    """The picture with coordinates on its edges, a colour bar, and what to know about it."""
    height, width = raster.picture_shape
    data = b64encode(raster.png).decode()
    described = f"{raster.statistic} of {raster.stage or raster.file}"
    picture = tag(
        "div",
        Markup('<img src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">').format(
            data, described, width, height
        ),
        class_="frame" if width >= 200 else "frame coarse",
    )
    xs, ys, said = _edges(raster, most=5 if large else 3)
    left = tag("div", [tag("span", tick.text, style=f"top:{100 * tick.at:.2f}%") for tick in ys], class_="ys")
    below = tag("div", [tag("span", tick.text, style=f"left:{100 * tick.at:.2f}%") for tick in xs], class_="xs")
    drawn = tag("div", [left, picture, _colour_bar(raster), below], class_="map", style=f"--ratio:{width / height:.4f}")
    title = [
        tag("b", raster.statistic),
        f" {_unit(raster.units)}",
        tag("span", raster.file, class_="file"),
    ]
    return tag(
        "figure", [tag("div", title, class_="name"), drawn, tag("figcaption", _about(raster, said if large else ""))]
    )


def _edges(raster: Raster, most: int) -> tuple[list[Tick], list[Tick], str]:
    """Ticks to the right and downwards, from 0 to 1, and what they count."""
    a, b, c, d, e, f = raster.transform
    height, width = raster.shape
    if b or d:  # rotated: an edge has no one coordinate
        return number_ticks(Scale(0, width), most), number_ticks(Scale(0, height), most), "pixels (the grid is rotated)"
    xs = _either_way(c, c + a * width, most)
    ys = _either_way(f, f + e * height, most)
    unit = f" in {raster.axis_unit}" if raster.axis_unit else ""
    return xs, ys, f"coordinates{unit}, {raster.crs or 'without a CRS'}"


def _either_way(first: float, last: float, most: int) -> list[Tick]:
    ticks = number_ticks(Scale(min(first, last), max(first, last)), most)
    return ticks if first < last else [tick._replace(at=1 - tick.at) for tick in ticks]


def _colour_bar(raster: Raster) -> Markup:
    low, high = raster.stretch
    scale = Scale(low, high)
    ticks = [tick for tick in number_ticks(scale, 6) if raster.dtype[0] not in "iu" or _is_whole(scale, tick)]
    labels = tag(
        "div", [tag("span", tick.text, style=f"top:{100 * (1 - tick.at):.2f}%") for tick in ticks], class_="ys"
    )
    ends = " ".join(name for name, more in zip(("below", "above"), raster.beyond, strict=True) if more)
    return tag("div", [tag("div", class_=f"colours {ends}".strip()), labels], class_="scale")


def _is_whole(scale: Scale, tick: Tick) -> bool:
    value = scale.low + tick.at * (scale.high - scale.low)
    return abs(value - round(value)) < 1e-6


def _about(raster: Raster, axes: str) -> list[Markup]:
    """The caption; what all rasters share stands below the large one."""
    colours = f"colours from {text.value(raster.stretch[0])} to {text.value(raster.stretch[1])}"
    lines = [
        f"{colours}, the 2nd to the 98th percentile" if any(raster.beyond) else colours,
        f"values from {text.value(raster.least)} to {text.value(raster.most)}",
    ]
    if raster.least is None:
        lines = ["no values"]
    if axes:
        lines.append(f"{text.by(map(text.count, raster.shape))} pixels, {raster.dtype}, {axes}")
    missing = None if raster.valid is None else 1 - raster.valid
    hatched = [tag("i", class_="swatch hatch"), f"no data {text.percent(missing)}"]
    return [tag("span", "; ".join(lines) + ". "), tag("span", hatched, class_="key")]


def coverage_raster(rasters: Sequence[Raster]) -> Raster | None:
    """The raster that tells how many values each pixel has."""
    return next((raster for name in _COVERAGE for raster in rasters if raster.statistic == name), None)


# --- series over time -----------------------------------------------------------------------------------------------


def series_figure(table: SceneTable) -> Markup:
    """Every statistic of every scene over time: means, then the others, then how much of each scene is valid."""
    x = time_scale(table.time)
    ticks = time_ticks(x, 7)
    levels = [name for name in table.columns if name in _LEVELS]
    quantiles = sorted(
        (name for name in table.columns if _quantile(name) is not None), key=lambda name: _quantile(name) or 0
    )
    levels += quantiles[len(quantiles) // 2 : -(len(quantiles) // 2) or None]  # the middle one, which has no partner
    first = levels or [name for name in table.columns if name not in _COVERAGE][:1]
    rest = [name for name in table.columns if name not in (*first, *quantiles, *_COVERAGE)]
    coverage = [name for name in _COVERAGE if name in table.columns][:1]
    panels = [_level_panel(table, first, quantiles, x, ticks)] if first else []
    panels += [_line_panel(table, name, x, ticks) for name in rest[:_MOST_PANELS]]
    panels += [_coverage_panel(table, name, x, ticks) for name in coverage]
    said = (
        "date of the scene, UTC"
        if x.high - x.low > 2 * 86400
        else f"time of the scene, UTC, from {text.moment(x.low, 10)}"
    )
    return tag("figure", [*panels, x_axis(ticks, said)], class_="chart")


def _quantile(name: str) -> float | None:
    """0.05 of q05, 0.999 of q99_9; None of what is no quantile."""
    digits = name.removeprefix("q").replace("_", ".")
    return float(digits) / 100 if name.startswith("q") and digits.replace(".", "", 1).isdigit() else None


def _level_panel(table: SceneTable, names: list[str], quantiles: list[str], x: Scale, x_ticks: list[Tick]) -> Markup:
    y = scale_of(np.concatenate([table.columns[name] for name in (*names, *quantiles)]), margin=0.06)
    plot = Plot(x, y, 200)
    marks, keys = [], []
    for low, high in zip(quantiles[: len(quantiles) // 2], quantiles[::-1], strict=False):
        marks.append(plot.band(table.time, table.columns[low], table.columns[high], "faint"))
        keys.append((f"faint shade{len(marks) - 1}", f"{low} to {high}"))
    for at, name in enumerate(names):
        marks += [plot.line(table.time, table.columns[name], f"series{at}"), *_dots(plot, table, name, f"series{at}")]
        keys.append((f"series{at}", name))
    if len(keys) == 1:
        keys = []  # the title names it
    marks += _absent(plot, table, names[0])
    if np.isnan(table.columns[names[0]]).any():
        keys.append(("absent", "no valid pixel"))
    title = [_named(table, names[0]), legend(keys)]
    return panel(Markup().join(title), plot.height, marks, number_ticks(y, 6), x_ticks)


def _line_panel(table: SceneTable, name: str, x: Scale, x_ticks: list[Tick]) -> Markup:
    y = scale_of(table.columns[name], margin=0.08)
    plot = Plot(x, y, 90)
    marks = [plot.line(table.time, table.columns[name], "series0"), *_dots(plot, table, name, "series0")]
    return panel(_named(table, name), plot.height, marks, number_ticks(y, 3), x_ticks)


def _coverage_panel(table: SceneTable, name: str, x: Scale, x_ticks: list[Tick]) -> Markup:
    values = table.columns[name]
    y = Scale(0, 1) if name == "valid_fraction" else scale_of(values, zero=True)
    ticks = number_ticks(Scale(0, 100), 2, " %") if name == "valid_fraction" else number_ticks(y, 2)
    plot = Plot(x, y, 80)
    if values.size <= _MOST_DOTS:
        marks = [plot.columns(table.time, values, _titles(table, name), "coverage")]
    else:
        marks = [_binned_columns(plot, table.time, values)]
    return panel(_named(table, name), plot.height, marks, ticks, x_ticks)


def _binned_columns(plot: Plot, time: Floats, values: Floats) -> Markup:
    """The mean of the scenes that fall together, as a staircase."""
    known = np.isfinite(values) & np.isfinite(time)
    edges = np.linspace(plot.x.low, plot.x.high, 301)
    scenes = np.histogram(time[known], edges)[0]
    mean = np.histogram(time[known], edges, weights=values[known])[0] / np.maximum(scenes, 1)
    return plot.steps(edges, np.zeros(300), mean, "coverage")


def _named(table: SceneTable, name: str) -> Markup:
    said = {"valid_fraction": "of the scene's pixels", "count": "valid pixels"}.get(name, _unit(table.units.get(name)))
    return Markup("<b>{}</b> {}").format(name, " ".join([said, *["by area"] * (name in table.by_area)]).strip())


def _unit(units: str | None) -> str:
    """The unit as it is shown: nothing for what has none, which is 1 in UDUNITS."""
    return "" if units in (None, "1") else str(units)


def _titles(table: SceneTable, name: str) -> list[str]:
    shown = text.percent if name == "valid_fraction" else text.value
    numbers = (float(number) if np.isfinite(number) else None for number in table.columns[name])
    return [
        f"{scene}, {text.day(float(time))}: {name} {shown(number)}"
        for scene, time, number in zip(table.scenes, table.time, numbers, strict=True)
    ]


def _dots(plot: Plot, table: SceneTable, name: str, css: str) -> Iterable[Markup]:
    if table.time.size <= _MOST_DOTS:
        yield plot.points(table.time, table.columns[name], _titles(table, name), css)


def _absent(plot: Plot, table: SceneTable, name: str) -> Iterable[Markup]:
    """A mark at the foot of the plot for each scene without a value."""
    gone = np.flatnonzero(np.isnan(table.columns[name]))[:_MOST_DOTS]
    foot = np.full(gone.size, plot.y.low + 5 / plot.height * (plot.y.high - plot.y.low))
    titles = [f"{table.scenes[at]}, {text.day(float(table.time[at]))}: no valid pixel" for at in gone]
    yield plot.points(table.time[gone], foot, titles, "absent")


def least_covered(table: SceneTable, pixels: float | None) -> list[tuple[str, str, Markup, str]]:
    """(scene, date, bar, fraction) of the scenes with the fewest valid pixels; nothing if the table does not tell."""
    name = next((name for name in _COVERAGE if name in table.columns), None)
    if name is None or (name == "count" and not pixels) or len(table.scenes) < 2:
        return []
    fraction = table.columns[name] / (1 if name == "valid_fraction" else pixels or 1)
    order = np.argsort(fraction, kind="stable")[:_LEAST_COVERED]
    return [
        (
            table.scenes[at],
            text.day(float(table.time[at])),
            bar(float(fraction[at]), "coverage"),
            text.percent(float(fraction[at])),
        )
        for at in order
    ]
