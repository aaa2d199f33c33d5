"""The extent of a stack's grid, on the lattice of pixels that its scenes share, and the place of each scene in it."""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from math import ceil, floor

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from runner.area import Area
from runner.errors import ConfigError, OutsideError, SourceError
from runner.model import Grid, Scene
from runner.read.header import Header, Window
from runner.settings import SourceSettings, StackGrid
from runner.source.area import cut_to_area
from runner.source.boxes import Box, bounds_in, in_digits, near, reach_in, reach_of, turns_of
from runner.source.differences import TOLERANCE, offset
from runner.source.stores import Stores


def placed(
    source: SourceSettings, grid: Grid, scenes: tuple[Scene, ...], stores: Stores | None = None
) -> tuple[Grid, tuple[Scene, ...], Area | None]:
    """The grid that source.grid, bbox and area choose, the scenes in their places, and the area on that grid.

    `grid` is of the first scene; all lie on its lattice. Raises SourceError for a grid without pixels, ConfigError for
    a box or a file that is none.
    """
    windows = [grid.window] * len(scenes)
    if source.grid is not StackGrid.same:
        windows = [_window_of(scene.header, grid) for scene in scenes]
    extent = _extent(source.grid, windows)
    if source.bbox is not None:
        extent = _boxed(source, grid, extent)
    area = None
    if source.area is not None:
        extent, area = cut_to_area(source, grid, extent, stores)
    moved = (
        replace(scene, row=window.row - extent.row, column=window.column - extent.column)
        for scene, window in zip(scenes, windows, strict=True)
    )
    return grid.part(extent), tuple(moved), area


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


# --- boxes --------------------------------------------------------------------------------------------------------


def _boxed(source: SourceSettings, grid: Grid, extent: Window) -> Window:
    """The pixels of an extent that the box of the settings touches, whichever way longitudes are counted."""
    part = grid.part(extent)
    crs = None if source.bbox_crs is None else _crs(source.bbox_crs)
    touched = [_touched(box, grid, extent) for box in _boxes(source, crs, part)]
    windows = [window for window in touched if window is not None]
    if not windows:
        raise _outside(source, crs, part)
    whole = reduce(_hull, windows)
    if whole.width > sum(window.width for window in windows):
        raise ConfigError(
            f"source.bbox={source.bbox}: it meets the scenes at their west and at their east edge, and the pixels of a "
            f"box are one piece; their box is {in_digits(reach_of(part))}; name a box on one side, or use source.area"
        )
    return whole


def _boxes(source: SourceSettings, crs: CRS | None, grid: Grid) -> list[Box]:
    """The box of the settings in the CRS of a grid, near which it lies, by all longitudes that the grid may have."""
    box = _box_of(source)
    if crs is None or crs.is_geographic:
        moved = [_transformed(source, same, grid) for same in (box, *_turned(box, grid))]
        return [same for same in moved if same]
    projected = _transformed(source, box, grid)
    return [projected, *_turned(projected, grid)] if projected else []


def _turned(box: Box, grid: Grid) -> list[Box]:
    """The box by other longitudes, where it has them in common with a grid: a pixel, or the whole box.

    A grid of the globe may reach beyond 180 degrees by half a pixel on both sides.
    """
    west, south, east, north = box
    left, _, right, _ = reach_of(grid)
    least = 0.999 * min((right - left) / grid.width, east - west)
    turned = [(west + turn, south, east + turn, north) for turn in turns_of(grid)]
    return [same for same in turned if min(same[2], right) - max(same[0], left) > least]


def _touched(box: Box, grid: Grid, extent: Window) -> Window | None:
    """The pixels of an extent that a box in the CRS of the grid touches; None if there are none."""
    to_pixels = ~Affine(*grid.transform)
    corners = [to_pixels @ (x, y) for x in (box[0], box[2]) for y in (box[1], box[3])]
    (left, right), (top, below) = (
        (floor(min(axis) + TOLERANCE), ceil(max(axis) - TOLERANCE)) for axis in zip(*corners, strict=True)
    )
    return Window(top, left, max(below - top, 1), max(right - left, 1)).common(extent)


def _box_of(source: SourceSettings) -> Box:
    assert source.bbox is not None  # by `placed`
    west, south, east, north = source.bbox
    return west, south, east, north


def _transformed(source: SourceSettings, box: Box, grid: Grid) -> Box | None:
    """A box in the CRS of the grid; None if it lies far outside of the grid, since no CRS is for all places."""
    if source.bbox_crs is None:
        return box
    if grid.crs is None:
        raise ConfigError(
            f"source.bbox_crs={source.bbox_crs}: the scenes have no CRS to transform the box to; wanted null, and "
            "source.bbox in the coordinates of the scenes"
        )
    ours, theirs = _crs(source.bbox_crs), CRS.from_wkt(grid.crs)
    reach = reach_in(ours, grid)
    close = near(box, reach) if reach else box
    if close is None:
        return None
    moved = bounds_in(theirs, ours, close)
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


def _outside(source: SourceSettings, crs: CRS | None, grid: Grid) -> OutsideError:
    reach, name = reach_of(grid), grid.crs_name
    inverse = crs and reach_in(crs, grid)
    if inverse:
        reach, name = inverse, str(source.bbox_crs)
    return OutsideError(
        f"source.bbox={source.bbox}: it lies outside of the scenes, whose box is {in_digits(reach)} in {name}; give a "
        "box that meets theirs, in the CRS of source.bbox_crs"
    )
