"""The footprint of a grid on Earth, as GeoJSON has it: longitude and latitude in EPSG:4326, cut at the antimeridian.

Source: RFC 7946, sections 3.1.6 (rings), 3.1.9 (antimeridian) and 5 (bounding boxes).
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.model import Grid
from runner.read.header import Window

_STEPS: Final = 8  # along each edge, since straight edges are curves in degrees
_DIGITS: Final = 7  # of a degree: a centimetre
Ring = list[tuple[float, float]]
Degrees = npt.NDArray[np.float64]


class Footprint(NamedTuple):
    """A polygon, or one on either side of the antimeridian; `bbox` is west, south, east, north, west of east there."""

    geometry: dict[str, Any]
    bbox: list[float]


@lru_cache(maxsize=64)
def footprint_of(grid: Grid) -> Footprint | None:
    """The footprint of a grid's outer edges; None if its CRS has no way to degrees.

    A run asks for that of its grid four times. Callers share it, and leave it as it is.
    """
    if grid.crs is None:
        return None
    degrees = in_degrees(grid.crs, *outline(grid))
    if degrees is None:
        return None
    longitudes, latitudes = np.unwrap(degrees[0], period=360), np.clip(degrees[1], -90, 90)
    if abs(longitudes[-1] - longitudes[0]) > 180:
        return _around_pole(latitudes)
    centre = (longitudes.min() + longitudes.max()) / 2
    # Rounded, since an edge that should lie on the antimeridian often lies 3e-14 degrees beyond.
    return _cut(np.round(longitudes - 360 * np.round(centre / 360), _DIGITS), latitudes)


def footprints_of(grid: Grid, windows: Iterable[Window | None]) -> Iterator[Footprint | None]:
    """The footprints of windows of a grid's lattice, each found once; None for no window."""
    known: dict[Window, Footprint | None] = {}
    for window in windows:
        if window is not None and window not in known:
            known[window] = footprint_of(grid.part(window))
        yield None if window is None else known[window]


def in_degrees(crs: str, xs: list[float], ys: list[float]) -> tuple[Degrees, Degrees] | None:
    """Longitudes and latitudes of points in a CRS, in EPSG:4326; None if there is no way to them."""
    from rasterio.crs import CRS  # noqa: PLC0415 - a run has it by now, `python -m runner.log` may not
    from rasterio.warp import transform as reproject  # noqa: PLC0415 - as above

    try:
        degrees = reproject(CRS.from_user_input(crs), CRS.from_epsg(4326), xs, ys)
    except Exception:  # noqa: BLE001 - GDAL's own errors have no public base, and results go without their place
        return None
    longitudes, latitudes = np.array(degrees[0]), np.array(degrees[1])
    return (longitudes, latitudes) if np.isfinite(longitudes).all() and np.isfinite(latitudes).all() else None


def outline(grid: Grid) -> tuple[list[float], list[float]]:
    """Points along the four edges of a grid in its CRS, the first one again at the end."""
    a, b, c, d, e, f = grid.transform
    along = np.linspace(0.0, 1.0, _STEPS, endpoint=False)
    columns = np.concatenate([0 * along, along, 0 * along + 1, 1 - along, [0.0]]) * grid.width
    rows = np.concatenate([along, 0 * along + 1, 1 - along, 0 * along, [0.0]]) * grid.height
    return (a * columns + b * rows + c).tolist(), (d * columns + e * rows + f).tolist()


def _around_pole(latitudes: npt.NDArray[np.float64]) -> Footprint:
    """All longitudes from the lowest latitude of an outline that goes around a pole, to the pole."""
    south, north = (float(latitudes.min()), 90.0) if latitudes.mean() > 0 else (-90.0, float(latitudes.max()))
    south, north = round(south, _DIGITS), round(north, _DIGITS)
    ring = [(-180.0, south), (180.0, south), (180.0, north), (-180.0, north)]
    return Footprint(_polygons([ring]), [-180.0, south, 180.0, north])


def _cut(longitudes: npt.NDArray[np.float64], latitudes: npt.NDArray[np.float64]) -> Footprint:
    """The footprint of an outline whose centre lies between 180 degrees west and east."""
    ring = [(float(x), float(y)) for x, y in zip(longitudes[:-1], latitudes[:-1], strict=True)]
    west, east = float(longitudes.min()), float(longitudes.max())
    rings = [_side(ring, -180, 180)]
    if east > 180:
        rings.append([(x - 360, y) for x, y in _side(ring, 180, 540)])
    if west < -180:
        rings.append([(x + 360, y) for x, y in _side(ring, -540, -180)])
    if east - west >= 360:
        west, east = -180.0, 180.0
    edges = [(west + 180) % 360 - 180 if west < -180 else west, float(latitudes.min()),
             east - 360 if east > 180 else east, float(latitudes.max())]  # fmt: skip
    return Footprint(_polygons(rings), [round(edge, _DIGITS) for edge in edges])


def _side(ring: Ring, west: float, east: float) -> Ring:
    """The part of a ring between two meridians (Sutherland and Hodgman, 1974)."""
    kept = _half(ring, west, lambda x: x >= west)
    return _half(kept, east, lambda x: x <= east)


def _half(ring: Ring, meridian: float, inside: Callable[[float], bool]) -> Ring:
    kept: Ring = []
    for (x0, y0), (x1, y1) in zip([*ring[-1:], *ring[:-1]], ring, strict=True):
        if inside(x0) != inside(x1):
            kept.append((meridian, y0 + (y1 - y0) * (meridian - x0) / (x1 - x0)))
        if inside(x1):
            kept.append((x1, y1))
    return kept


def _polygons(rings: list[Ring]) -> dict[str, Any]:
    closed = [[_closed(ring)] for ring in rings if len(ring) > 2]
    if len(closed) == 1:
        return {"type": "Polygon", "coordinates": closed[0]}
    return {"type": "MultiPolygon", "coordinates": closed}


def _closed(ring: Ring) -> list[list[float]]:
    """A ring that turns to the left, with its first point again at the end."""
    points = [[round(x, _DIGITS), round(y, _DIGITS)] for x, y in ring]
    turned = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip([*points[-1:], *points[:-1]], points, strict=True))
    points = points if turned > 0 else points[::-1]
    return [*points, points[0]]
