"""The extent of a stack's grid, on the lattice of pixels that its scenes share, and the place of each scene in it."""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

from runner.errors import SourceError
from runner.model import Grid, Scene
from runner.read.header import Header, Window
from runner.settings import SourceSettings, StackGrid
from runner.source.differences import offset


def placed(source: SourceSettings, grid: Grid, scenes: tuple[Scene, ...]) -> tuple[Grid, tuple[Scene, ...]]:
    """The grid that source.grid chooses, and the scenes in their places; `grid` is of the first scene.

    The scenes lie on one lattice. Raises SourceError for a grid without pixels.
    """
    windows = [grid.window] * len(scenes)
    if source.grid is not StackGrid.same:
        windows = [_window_of(scene.header, grid) for scene in scenes]
    extent = _extent(source.grid, windows)
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
