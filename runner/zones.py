"""Zones: polygons that part a grid, each with a name, as runs of its pixels.

They are computed once for a grid, whatever its tasks are, so that results do not depend on chunks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from runner.area import Area, Rings, crossings, edges_of
from runner.read.header import Window
from runner.reduce.exact import Total, Wide
from runner.reduce.zone_runs import ZoneRuns

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Names: TypeAlias = npt.NDArray[Any]  # of zones: int64, float64, or objects that are texts

MOST_NAMED: Final = 10  # zones in a message
_STRIP_PIXELS: Final = 2**24  # of an area that are looked at together


@dataclass(frozen=True, eq=False)
class Zones:
    """The zones of a grid, each by its number from 0 on.

    `names` has the zones that lie on the grid. Those that do not are counted alone.
    """

    names: Names
    runs: ZoneRuns  # on the whole grid
    key: str  # zones.file=NAME, for messages
    sha256: str  # of the polygons, their names and CRS, and of the way in which pixels are chosen
    file_sha256: str  # of the polygons, their names and CRS
    width: int  # columns of the grid
    fractions: bool  # a pixel counts by its fraction
    partly: int  # zones that reach beyond the grid
    outside: int  # zones of the file that have no pixel on the grid, since they lie beyond it
    outside_named: tuple[str, ...]  # the first of them

    @property
    def empty(self) -> int:
        """The number of zones that lie on the grid and have no pixel."""
        return int((self.pixels == 0).sum())

    @cached_property
    def pixels(self) -> Integers:
        """The number of pixels of each zone."""
        lengths = (self.runs.stop - self.runs.start).astype(np.int64)
        return np.bincount(self.runs.zone, lengths, len(self.names)).astype(np.int64)

    def most_in_rows(self, rows: int) -> tuple[int, int]:
        """The most zones, and the most runs, in so many rows of the grid, counted from each of these many on."""
        height = len(self.runs.rows) - 1
        tops = np.arange(0, height, rows)
        bottoms = np.minimum(tops + rows, height)
        first, last = self._row_ends
        met = np.searchsorted(first, bottoms) - np.searchsorted(last, tops)
        return int(met.max(initial=0)), int((self.runs.rows[bottoms] - self.runs.rows[tops]).max(initial=0))

    @cached_property
    def _row_ends(self) -> tuple[Integers, Integers]:
        """The first rows of zones, and their last ones, each in order."""
        row, drawn = self.runs.row_numbers(), self.pixels > 0
        first, last = np.full(len(self.names), len(self.runs.rows)), np.zeros(len(self.names), np.int64)
        np.minimum.at(first, self.runs.zone, row)
        np.maximum.at(last, self.runs.zone, row)
        return np.sort(first[drawn]), np.sort(last[drawn])

    @property
    def nbytes(self) -> int:
        """Bytes of the runs."""
        return self.runs.nbytes

    def in_window(self, window: Window) -> ZoneRuns:
        """The runs in a window of the grid."""
        return self.runs.part(*window)

    def within(self, area: Area, window: Window) -> "Zones":
        """The zones without the pixels of the grid that an area leaves out."""
        return replace(self, runs=_inside(self.runs, area, window))

    def picture(self, most: int) -> npt.NDArray[np.int32]:
        """The numbers of zones in a small picture of the grid, whose longer side has at most so many pixels; else -1.

        Of zones that overlap, the last is seen.
        """
        height, width = len(self.runs.rows) - 1, self.width
        shrink = max(1.0, max(height, width) / most)
        rows, columns = (_middles(side, max(1, round(side / shrink))) for side in (height, width))
        picture = np.full((len(rows), len(columns)), -1, np.int32)
        for line, row in enumerate(rows):
            runs = slice(int(self.runs.rows[row]), int(self.runs.rows[row + 1]))
            first, stop = (np.searchsorted(columns, ends[runs]) for ends in (self.runs.start, self.runs.stop))
            for run in np.argsort(self.runs.zone[runs], kind="stable"):
                picture[line, first[run] : stop[run]] = self.runs.zone[runs][run]
        return picture

    def weights(self, areas: Floats | None) -> Total:
        """The exact sum of the weights of all pixels of each zone, by the areas of the rows if there are any."""
        runs = self.runs if areas is None else self.runs.by_area(areas)
        wide = Wide.zeros(len(self.names))
        wide.add_products((runs.stop - runs.start).astype(np.float64), runs.weight, runs.zone.astype(np.int64))
        wide.carry()
        return Total(np.zeros((2, len(self.names))), wide)


def _middles(side: int, parts: int) -> Integers:
    """The pixels in the middle of so many parts of a side."""
    return ((np.arange(parts) + 0.5) * side / parts).astype(np.int64)


def center_runs(zones: Sequence[Sequence[Rings]], shape: tuple[int, int]) -> ZoneRuns:
    """The pixels of a grid whose centres lie in the polygons of each zone, as `Area` has it."""
    edges = [edges_of(rings) for polygons in zones for rings in polygons]
    owner = np.repeat(np.arange(len(zones)), [len(polygons) for polygons in zones])
    polygon = np.repeat(np.arange(len(edges)), [len(of) for of in edges])
    edge, row, column = crossings(np.concatenate([np.empty((0, 4)), *edges]), 0, shape[0])
    column = np.clip(column, 0, shape[1])
    order = np.lexsort((column, row, polygon[edge]))  # an edge that enters a polygon, and the next, that leaves it
    edge, row, column = edge[order], row[order], column[order]
    return united(shape, row[::2], owner[polygon[edge[::2]]], (column[::2], column[1::2]))


def united(shape: tuple[int, int], row: Integers, zone: Integers, columns: tuple[Integers, Integers]) -> ZoneRuns:
    """Runs of whole pixels; those of a zone that overlap or touch are joined."""
    line, step = zone.astype(np.int64) * shape[0] + row, shape[1] + 2
    start, stop = line * step + columns[0], line * step + columns[1]
    order = np.argsort(start[start < stop], kind="stable")
    start, stop = start[start < stop][order], stop[start < stop][order]
    reached = np.maximum.accumulate(np.concatenate([[-1], stop[:-1]])) if len(stop) else stop
    first = np.flatnonzero(start > reached)
    last = np.maximum.reduceat(stop, first) if len(first) else stop
    line, left = np.divmod(start[first], step)
    zone, row = np.divmod(line, shape[0])
    return ZoneRuns.of(shape[0], row, zone, (left, last - line * step), None)


def _inside(runs: ZoneRuns, area: Area, window: Window) -> ZoneRuns:
    """The parts of runs that lie in an area. Rows are laid end to end, so that runs are intervals of one line."""
    width = window.width + 1
    start, stop = _inside_intervals(area, window, width)
    row = runs.row_numbers()
    first = np.searchsorted(stop, row * width + runs.start, side="right")
    count = np.maximum(np.searchsorted(start, row * width + runs.stop, side="left") - first, 0)
    run = np.repeat(np.arange(len(row)), count)
    interval = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(count) - count, count)
    left = np.maximum(start[interval] - row[run] * width, runs.start[run])
    right = np.minimum(stop[interval] - row[run] * width, runs.stop[run])
    return ZoneRuns.of(window.height, row[run], runs.zone[run].astype(np.int64), (left, right), runs.fraction[run])


def _inside_intervals(area: Area, window: Window, width: int) -> tuple[Integers, Integers]:
    """First pixels of an area and those behind its last, in rows of `width` laid end to end."""
    starts, stops = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    rows = max(1, _STRIP_PIXELS // window.width)
    for top in range(0, window.height, rows):
        strip = window._replace(row=window.row + top, height=min(rows, window.height - top))
        start, stop = intervals(area.inside(strip))
        starts.append(start + top * width)
        stops.append(stop + top * width)
    return np.concatenate(starts), np.concatenate(stops)


def intervals(mask: npt.NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """The runs of True in the rows of a mask; first pixels and those behind the last, in rows of one pixel more."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1).ravel()
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
