"""Boxes in the CRS of a grid or of the user."""

from math import isfinite
from typing import Final

import rasterio
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from runner.model import Grid

Box = tuple[float, float, float, float]  # west, south, east, north

_DENSIFIED: Final = 21  # points on each side of a box that is transformed
_MOST_DEGREES: Final = 60.0  # of longitude that a box may have to be held against others in a projection
_MARGIN: Final = 0.05  # of the scenes' width and height, by which a shape may lie outside and is transformed with them


def reach_of(grid: Grid) -> Box:
    """West, south, east and north of a grid."""
    corners = [Affine(*grid.transform) @ (x, y) for x in (0, grid.width) for y in (0, grid.height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def turns_of(grid: Grid) -> tuple[float, ...]:
    """Degrees by which a shape is in the same place again, since longitudes run from -180 or from 0; none in metres."""
    return (360.0, -360.0) if grid.crs is not None and CRS.from_wkt(grid.crs).is_geographic else ()


def bounds_in(wanted: CRS, crs: CRS, box: Box) -> Box | None:
    """A box in another CRS, its sides taken point by point; None if it has no place there, or crosses the date line."""
    from rasterio.warp import transform_bounds  # noqa: PLC0415 - only a box needs it

    try:
        with rasterio.Env():
            west, south, east, north = transform_bounds(crs, wanted, *box, densify_pts=_DENSIFIED)
    except (RasterioError, ValueError):
        return None
    return (west, south, east, north) if all(map(isfinite, (west, south, east, north))) and west < east else None


def reach_in(crs: CRS, grid: Grid) -> Box | None:
    """The box of a grid in another CRS; None if it has no place there, or too large a one to be trusted.

    Far from their own place, projections still give numbers.
    """
    if grid.crs is None:
        return None
    theirs, reach = CRS.from_wkt(grid.crs), reach_of(grid)
    if theirs.is_geographic and not crs.is_geographic and reach[2] - reach[0] > _MOST_DEGREES:
        return None
    return bounds_in(crs, theirs, reach)


def surroundings(reach: Box) -> Box:
    """A reach and a little beyond."""
    across, up = _MARGIN * (reach[2] - reach[0]), _MARGIN * (reach[3] - reach[1])
    return reach[0] - across, reach[1] - up, reach[2] + across, reach[3] + up


def near(box: Box, reach: Box) -> Box | None:
    """The part of a box in a reach and a little beyond; None if there is none."""
    around = surroundings(reach)
    west, east = max(box[0], around[0]), min(box[2], around[2])
    south, north = max(box[1], around[1]), min(box[3], around[3])
    return (west, south, east, north) if west < east and south < north else None


def in_digits(box: Box) -> str:
    """[west, south, east, north] as one writes it."""
    return f"[{', '.join(f'{edge:.10g}' for edge in box)}]"
