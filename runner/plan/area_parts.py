"""The parts of scenes that are read of a stack in an area: whole tiles, without those outside."""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from runner.area import Area
from runner.model import Scene, Stack
from runner.read.header import Window

Bools = npt.NDArray[np.bool_]

_KEPT: Final = 64  # lists of windows, for the scenes of a task that lie alike


def windows_read(area: Area | None, scene: Scene, window: Window) -> tuple[Window, ...]:
    """The parts of a window of the grid that are read of a scene, in rows and columns of the grid."""
    covered = window.common(scene.window)
    if covered is None:
        return ()
    return (covered,) if area is None else _met(area, covered, (scene.row, scene.column), scene.header.tile_shape)


def pixels_in_area(stack: Stack) -> int:
    """The pixels of the grid that can count."""
    return stack.grid.pixels if stack.area is None else stack.area.pixels(stack.grid.window)


@lru_cache(maxsize=_KEPT)
def _met(area: Area, window: Window, place: tuple[int, int], tile: tuple[int, int]) -> tuple[Window, ...]:
    """The tiles of a window that meet the area, cut to the window and joined to rectangles.

    `place` is a tile's first pixel, `tile` its height and width.
    """
    tops, lefts = (
        _edges(window.row, window.height, place[0], tile[0]),
        _edges(window.column, window.width, place[1], tile[1]),
    )
    inside = area.inside(window)
    met = np.logical_or.reduceat(np.logical_or.reduceat(inside, tops[:-1], axis=0), lefts[:-1], axis=1)
    return tuple(
        Window(
            window.row + tops[first], window.column + lefts[left], tops[stop] - tops[first], lefts[right] - lefts[left]
        )
        for first, stop, left, right in _rectangles(met)
    )


def _edges(start: int, size: int, place: int, tile: int) -> list[int]:
    """0, the beginnings of further tiles, and the size."""
    return [0, *range(tile - (start - place) % tile, size, tile), size]


def _rectangles(met: Bools) -> list[tuple[int, int, int, int]]:
    """(first row, row behind, first column, column behind) of rectangles that hold what is True and nothing else."""
    rectangles: list[tuple[int, int, int, int]] = []
    first = 0
    for row in range(1, len(met) + 1):
        if row == len(met) or (met[row] != met[first]).any():
            rectangles += [(first, row, left, right) for left, right in _runs(met[first])]
            first = row
    return rectangles


def _runs(met: Bools) -> list[tuple[int, int]]:
    """The beginnings and ends of what is True."""
    steps = np.diff(met.astype(np.int8), prepend=0, append=0)
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))
