"""The place of a grid on Earth: its centre and edges in degrees, and a small map of the world."""

import math
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from markupsafe import Markup

from runner.base import humanize
from runner.output.footprint import in_degrees
from runner.report.charts import tag

_LAND: Final = Path(__file__).with_name("land.txt")  # from Natural Earth 1:110m, in the public domain, to a degree
_NORTH, _SOUTH = 84, -58  # what the map shows, unless the place lies beyond
_SEEN = 12  # degrees of a grid that needs no ring to be seen
_ALONG: Final = np.linspace(0.0, 1.0, 9)  # of each edge, since straight edges are curves in degrees
Transform = tuple[float, float, float, float, float, float]


class Place(NamedTuple):
    """A grid in degrees; east is beyond 180 where the grid crosses the antimeridian."""

    longitude: float
    latitude: float
    west: float
    south: float
    east: float
    north: float


def place_of(crs: str, transform: Transform, shape: tuple[float, float]) -> Place | None:
    """The place of a grid of (height, width) pixels; None if its CRS has no way to degrees."""
    degrees = in_degrees(crs, *_outline(transform, shape))
    if degrees is None:
        return None
    longitudes, latitudes = degrees
    centre = float(longitudes[0])
    around = (longitudes - centre + 180) % 360 - 180 + centre
    return Place(
        (centre + 180) % 360 - 180,
        float(latitudes[0]),
        float(around.min()),
        float(latitudes.min()),
        float(around.max()),
        float(latitudes.max()),
    )


def _outline(transform: Transform, shape: tuple[float, float]) -> tuple[list[float], list[float]]:
    """The centre and then points along all four edges, in the grid's CRS."""
    a, b, c, d, e, f = transform
    sides = [(_ALONG, 0 * _ALONG), (_ALONG, 0 * _ALONG + 1), (0 * _ALONG, _ALONG), (0 * _ALONG + 1, _ALONG)]
    columns = np.concatenate([[0.5], *(across for across, _ in sides)]) * shape[1]
    rows = np.concatenate([[0.5], *(down for _, down in sides)]) * shape[0]
    return (a * columns + b * rows + c).tolist(), (d * columns + e * rows + f).tolist()


def axis_unit(crs: Any) -> str:
    """The unit of a CRS along its axes: m, degrees, US survey foot."""
    from rasterio.crs import CRS  # noqa: PLC0415 - a run has it by now, `python -m runner.log` may not

    crs = CRS.from_user_input(crs)
    return "degrees" if crs.is_geographic else {"metre": "m"}.get(crs.linear_units, str(crs.linear_units))


def in_words(place: Place) -> str:
    """47.82° N, 122.80° W, with as many digits as the grid's size asks for."""
    span = max(min(place.east - place.west, place.north - place.south), 1e-9)
    digits = min(max(1 - math.floor(math.log10(span)), 0), 5)
    sides = (place.latitude, "NS"), (place.longitude, "EW")
    shown = (f"{abs(angle):.{digits}f}\N{DEGREE SIGN}\N{NO-BREAK SPACE}{names[angle < 0]}" for angle, names in sides)
    return ", ".join(shown)


def extent(transform: Transform, shape: tuple[float, float], unit: str) -> str:
    """The sides of the grid and of a pixel: 30 x 32 km, pixels of 20 m."""
    a, b, _, d, e, _ = transform
    across, down = math.hypot(a, d), math.hypot(b, e)
    kilometres = unit == "m" and max(across * shape[1], down * shape[0]) >= 1000
    scale, name = (1000, "km") if kilometres else (1, unit or "units")
    sides = humanize.by(humanize.value(side / scale) for side in (across * shape[1], down * shape[0]))
    pixel = (
        humanize.value(across)
        if math.isclose(across, down, rel_tol=1e-3)
        else humanize.by(map(humanize.value, (across, down)))
    )
    return f"{sides} {name}, pixels of {pixel} {unit or 'units'}"


def land() -> str:
    """The path of all land, in degrees east of 180 W and south of the north pole."""
    return _LAND.read_text("ascii")


def locator(place: Place) -> Markup:
    """The world with the grid on it, in a ring if it is small."""
    top = 90 - max(_NORTH, math.ceil(place.north))
    bottom = 90 - min(_SOUTH, math.floor(place.south))
    x, y = place.longitude + 180, 90 - place.latitude
    shift = (place.west + 180) % 360 - place.west  # so that the western edge is on the map
    west, wide, high = place.west + shift, place.east - place.west, place.north - place.south
    size = {"y": f"{90 - place.north:.2f}", "width": f"{wide:.2f}", "height": f"{high:.2f}"}
    lefts = [left for left in (west, west - 360) if left + wide > 0]  # a grid across the antimeridian is at both ends
    area = [tag("rect", class_="area", x=f"{left:.2f}", **size) for left in lefts]
    marks = [tag("path", class_="land", d=land()), *area]
    if max(wide, high) < _SEEN:
        marks.append(tag("circle", class_="ring", cx=f"{x:.2f}", cy=f"{y:.2f}", r="9"))
    return tag("svg", marks, viewBox=f"0 {top} 360 {bottom - top}", class_="locator", role="img",
               aria_label=f"where on Earth: {in_words(place)}")  # fmt: skip
