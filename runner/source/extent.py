"""The extent of a stack's grid, on the lattice of pixels that its scenes share, and the place of each scene in it."""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from math import ceil, floor, isfinite
from typing import Final

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.transform import Affine

from runner.errors import ConfigError, SourceError
from runner.model import Grid, Scene
from runner.read.header import Header, Window
from runner.settings import SourceSettings, StackGrid
from runner.source.differences import TOLERANCE, offset

Box = tuple[float, float, float, float]  # west, south, east, north

_DENSIFIED: Final = 21  # points on each side of a box that is transformed
_MARGIN: Final = 0.05  # of the scenes' width and height, by which a box may lie outside and is transformed with them


def placed(source: SourceSettings, grid: Grid, scenes: tuple[Scene, ...]) -> tuple[Grid, tuple[Scene, ...]]:
    """The grid that source.grid and source.bbox choose, and the scenes in their places; `grid` is of the first scene.

    The scenes lie on one lattice. Raises SourceError for a grid without pixels, ConfigError for a box that is none.
    """
    windows = [grid.window] * len(scenes)
    if source.grid is not StackGrid.same:
        windows = [_window_of(scene.header, grid) for scene in scenes]
    extent = _extent(source.grid, windows)
    if source.bbox is not None:
        extent = _boxed(source, grid, extent)
    moved = (
        replace(scene, row=window.row - extent.row, column=window.column - extent.column)
        for scene, window in zip(scenes, windows, strict=True)
    )
    return _part_of(grid, extent), tuple(moved)


def _window_of(header: Header, grid: Grid) -> Window:
    """The pixels of a scene, in a grid of its lattice."""
    rows, columns = offset(header.transform, grid.transform, (0, 0))
    return Window(round(rows), round(columns), *header.shape)


def _extent(choice: StackGrid, windows: list[Window]) -> Window:
    if choice is StackGrid.union:
        return reduce(_hull, windows)
    if choice is StackGrid.intersection:
        return _common(windows)
    return windows[0]


def _hull(a: Window, b: Window) -> Window:
    row, column = min(a.row, b.row), min(a.column, b.column)
    below, right = max(a.row + a.height, b.row + b.height), max(a.column + a.width, b.column + b.width)
    return Window(row, column, below - row, right - column)


def _common(windows: Iterable[Window]) -> Window:
    common: Window | None = None
    for number, window in enumerate(windows):
        common = window if common is None else common.common(window)
        if common is None:
            raise SourceError(
                f"source.grid=intersection: the first {number + 1} scenes have no pixel in common; set "
                "source.grid=union, or leave scenes out with source.exclude"
            )
    assert common is not None  # a stack has a scene
    return common


def _part_of(grid: Grid, window: Window) -> Grid:
    a, b, c, d, e, f = grid.transform
    x, y = c + a * window.column + b * window.row, f + d * window.column + e * window.row
    return replace(grid, transform=(a, b, x, d, e, y), height=window.height, width=window.width)


# --- boxes --------------------------------------------------------------------------------------------------------


def _boxed(source: SourceSettings, grid: Grid, extent: Window) -> Window:
    """The pixels of an extent that the box of the settings touches."""
    box = _transformed(source, _box_of(source), _part_of(grid, extent))
    to_pixels = ~Affine(*grid.transform)
    corners = [to_pixels @ (x, y) for x in (box[0], box[2]) for y in (box[1], box[3])]
    (left, right), (top, below) = (
        (floor(min(axis) + TOLERANCE), ceil(max(axis) - TOLERANCE)) for axis in zip(*corners, strict=True)
    )
    window = Window(top, left, max(below - top, 1), max(right - left, 1)).common(extent)
    if window is None:
        raise _outside(source, _reach(_part_of(grid, extent)), grid.crs_name)
    return window


def _box_of(source: SourceSettings) -> Box:
    assert source.bbox is not None  # by `placed`
    west, south, east, north = source.bbox
    return west, south, east, north


def _transformed(source: SourceSettings, box: Box, grid: Grid) -> Box:
    """A box in the CRS of the grid; what lies far outside of the grid is left out, since no CRS is for all places."""
    if source.bbox_crs is None:
        return box
    if grid.crs is None:
        raise ConfigError(
            f"source.bbox_crs={source.bbox_crs}: the scenes have no CRS to transform the box to; wanted null, and "
            "source.bbox in the coordinates of the scenes"
        )
    ours, theirs = _crs(source.bbox_crs), CRS.from_wkt(grid.crs)
    reach = _bounds_in(ours, theirs, _reach(grid))
    near = _near(box, reach) if reach else box
    if near is None:
        assert reach  # or nothing is far from it
        raise _outside(source, reach, source.bbox_crs)
    moved = _bounds_in(theirs, ours, near)
    if moved is None:
        raise ConfigError(
            f"source.bbox={source.bbox}: it has no place in {grid.crs_name}, the CRS of the scenes; wanted "
            f"[west, south, east, north] in {source.bbox_crs}, near the scenes"
        )
    return moved


def _crs(name: str) -> CRS:
    try:
        with rasterio.Env():  # or PROJ itself writes to the console
            return CRS.from_user_input(name)
    except CRSError as error:
        raise ConfigError(f"source.bbox_crs={name}: wanted a CRS, such as EPSG:4326 or EPSG:32610, or null") from error


def _bounds_in(wanted: CRS, crs: CRS, box: Box) -> Box | None:
    """A box in another CRS, its sides taken point by point; None if it has no place there, or crosses the date line."""
    from rasterio.warp import transform_bounds  # noqa: PLC0415 - only a box needs it

    try:
        with rasterio.Env():
            west, south, east, north = transform_bounds(crs, wanted, *box, densify_pts=_DENSIFIED)
    except (RasterioError, ValueError):
        return None
    return (west, south, east, north) if all(map(isfinite, (west, south, east, north))) and west < east else None


def _near(box: Box, reach: Box) -> Box | None:
    """The part of a box in a reach and a little beyond; None if there is none."""
    across, up = _MARGIN * (reach[2] - reach[0]), _MARGIN * (reach[3] - reach[1])
    west, east = max(box[0], reach[0] - across), min(box[2], reach[2] + across)
    south, north = max(box[1], reach[1] - up), min(box[3], reach[3] + up)
    return (west, south, east, north) if west < east and south < north else None


def _outside(source: SourceSettings, reach: Box, crs: str) -> SourceError:
    west, south, east, north = (f"{edge:.10g}" for edge in reach)
    return SourceError(
        f"source.bbox={source.bbox}: it lies outside of the scenes, whose box is [{west}, {south}, {east}, {north}] in "
        f"{crs}; give a box that meets theirs, in the CRS of source.bbox_crs"
    )


def _reach(grid: Grid) -> Box:
    """West, south, east and north of a grid."""
    corners = [Affine(*grid.transform) @ (x, y) for x in (0, grid.width) for y in (0, grid.height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
