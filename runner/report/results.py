"""Figures of the rasters: pictures with their axes, colour bars, and how they are laid out."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from markupsafe import Markup

from runner.base import humanize
from runner.report.charts import tag
from runner.report.picture import VIRIDIS, colours_of, is_trend
from runner.report.records import Multiples, Raster
from runner.report.scales import Scale, Tick, number_ticks
from runner.report.series import unit

_MOST_STEPS: Final = 12  # whole numbers that have a colour each
_COVERAGE: Final = ("valid_fraction", "count")


def multiples_figure(multiples: Multiples) -> Markup:
    """Small pictures of groups with their labels, and the one colour bar of all."""
    shown, first = multiples.shown, multiples.shown[0]
    height, width = first.picture_shape
    pictures = [
        tag("figure", [thumbnail(raster), tag("figcaption", raster.tags.get("group", raster.file))]) for raster in shown
    ]
    values = [member.values for member in multiples.members]
    least = min((value.minimum for value in values if isinstance(value.minimum, int | float)), default=None)
    most = max((value.maximum for value in values if isinstance(value.maximum, int | float)), default=None)
    beyond = any(raster.beyond[0] for raster in shown), any(raster.beyond[1] for raster in shown)
    every = replace(first, least=least, most=most, beyond=beyond)
    grid = tag("div", pictures, class_="multiples", style=f"--ratio:{width / height:.4f}")
    some = f"{len(shown)} of {len(multiples.members)} groups have pictures, evenly chosen"
    lines = [
        *_values(every),
        *([some] if len(shown) < len(multiples.members) else []),
        "hatched where there is no data",
    ]
    about = tag("figcaption", f"{'; '.join(lines)}.")
    scaled = tag("div", [grid, _colour_bar(every)], class_="scaled", style=f"--pictures:{len(shown)}")
    return tag("figure", [scaled, about], class_="groups")


def raster_figure(raster: Raster, *, large: bool) -> Markup:
    """The picture with coordinates on its edges, a colour bar, and what to know about it."""
    height, width = raster.picture_shape
    picture = tag("div", _image(raster), class_="frame" if width >= 200 else "frame coarse")
    xs, ys, axes = _edges(raster, most=5 if large else 3)
    left = tag("div", [tag("span", tick.text, style=f"top:{100 * tick.at:.2f}%") for tick in ys], class_="ys")
    below = tag("div", [tag("span", tick.text, style=f"left:{100 * tick.at:.2f}%") for tick in xs], class_="xs")
    drawn = tag("div", [left, picture, _colour_bar(raster), below], class_="map", style=f"--ratio:{width / height:.4f}")
    title = [
        tag("b", raster.statistic),
        f" {unit(raster.units)}",
        tag("span", raster.file, class_="file"),
    ]
    return tag(
        "figure", [tag("div", title, class_="name"), drawn, tag("figcaption", _about(raster, axes if large else ""))]
    )


def thumbnail(raster: Raster) -> Markup:
    """The picture alone, in its frame."""
    height, width = raster.picture_shape
    return tag("div", _image(raster), class_="frame", style=f"--ratio:{width / height:.4f}")


def colour_range(raster: Raster) -> str:
    """The values of the first and the last colour."""
    return humanize.values(*raster.stretch) if raster.least is not None else "no values"


def _image(raster: Raster) -> Markup:
    height, width = raster.picture_shape
    data = Markup(b64encode(raster.png).decode())  # noqa: S704 - of letters, digits and +/= alone
    described = f"{raster.statistic} of {raster.stage or raster.file}"
    markup = Markup('<img src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">')
    return markup.format(data, described, width, height)


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
    """Colours with their values: one label where all is one value, a block for each of a few whole numbers."""
    low, high = raster.stretch
    whole, colours = raster.dtype[0] in "iu", colours_of(raster.statistic)
    style: str | None
    if raster.least is not None and raster.least == raster.most:
        scale, style = Scale(low, high), f"background:#{colours[len(colours) // 2]}"
        ticks = [Tick(0.5, humanize.value(raster.least))]
    elif whole and high - low < _MOST_STEPS:
        scale, style = Scale(low - 0.5, high + 0.5), f"background:{_blocks(round(low), round(high))}"
        ticks = number_ticks(scale, 6, whole=True)
    else:
        scale, style = Scale(low, high), _gradient(colours) if is_trend(raster.statistic) else None
        ticks = number_ticks(scale, 6, whole=whole)
    labels = tag(
        "div", [tag("span", tick.text, style=f"top:{100 * (1 - tick.at):.2f}%") for tick in ticks], class_="ys"
    )
    ends = " ".join(name for name, more in zip(("below", "above"), raster.beyond, strict=True) if more)
    return tag("div", [tag("div", class_=f"colours {ends}".strip(), style=style), labels], class_="scale")


def _gradient(colours: Sequence[str]) -> str:
    return f"background:linear-gradient(to top, {', '.join(f'#{colour}' for colour in colours)})"


def _blocks(low: int, high: int) -> str:
    """A gradient with a step for each whole number, in the colours of the picture."""
    steps = high - low
    colours = [VIRIDIS[round((len(VIRIDIS) - 1) * number / steps)] for number in range(steps + 1)]
    shares = [100 * number / (steps + 1) for number in range(steps + 2)]
    stops = (f"#{colour} {shares[number]:.2f}% {shares[number + 1]:.2f}%" for number, colour in enumerate(colours))
    return f"linear-gradient(to top, {', '.join(stops)})"


def _about(raster: Raster, axes: str) -> list[Markup]:
    """The caption; what all rasters share stands below the large one."""
    missing = None if raster.valid is None else 1 - raster.valid
    lines = _values(raster)
    if axes:
        lines.append(f"{humanize.by(map(humanize.count, raster.shape))} pixels, {raster.dtype}, {axes}")
    if not missing:
        return [tag("span", "; ".join([*lines, "every pixel has data"]) + ".")]
    hatched = [tag("i", class_="swatch hatch"), f"no data {humanize.percent(missing)}"]
    return [tag("span", "; ".join(lines) + ". "), tag("span", hatched, class_="key")]


def _values(raster: Raster) -> list[str]:
    if raster.least is None:
        return ["no values"]
    if raster.least == raster.most:
        return [f"{humanize.value(raster.least)} everywhere"]
    values = f"values from {humanize.value(raster.least)} to {humanize.value(raster.most)}"
    if not any(raster.beyond):
        return [values]
    low, high = map(humanize.value, raster.stretch)
    of = (
        "the further of the 2nd and the 98th percentile"
        if is_trend(raster.statistic)
        else "the 2nd to the 98th percentile"
    )
    return [f"colours from {low} to {high}, {of}", values]


def coverage_raster(rasters: Sequence[Raster]) -> Raster | None:
    """The raster that counts the values of each pixel."""
    return next((raster for name in _COVERAGE for raster in rasters if raster.statistic == name), None)


def columns(rasters: int) -> int:
    """The number of columns for these rasters, so that none stands alone and small."""
    if rasters <= 2 or rasters == 4:
        return min(rasters, 2)
    return 3
