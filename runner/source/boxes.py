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
_MARGIN: Final = 0.05  # of the scenes' width and height, by which a shape may lie outside and is transformed with them


def reach_of(grid: Grid) -> Box:
    """West, south, east and north of a grid."""
    corners = [Affine(*grid.transform) @ (x, y) for x in (0, grid.width) for y in (0, grid.height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def turns_of(crs: CRS | None, grid: Grid) -> tuple[float, ...]:
    """Degrees by which a shape is in the same place again, since longitudes run from -180 or from 0; none in metres.

    `crs` is that of the shape, None if it is the grid's.
    """
    theirs = None if grid.crs is None else CRS.from_wkt(grid.crs)
    both = theirs is not None and theirs.is_geographic and (crs is None or crs.is_geographic)
    return (360.0, -360.0) if both else ()


def bounds_in(wanted: CRS, crs: CRS, box: Box) -> Box | None:
    """A box in another CRS, its sides taken point by point; None if it has no place there, or crosses the date line."""
    from rasterio.warp import transform_bounds  # noqa: PLC0415 - only a box needs it

    try:
        with rasterio.Env():
            west, south, east, north = transform_bounds(crs, wanted, *box, densify_pts=_DENSIFIED)
    except (RasterioError, ValueError):
        return None
    return (west, south, east, north) if all(map(isfinite, (west, south, east, north))) and west < east else None


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
