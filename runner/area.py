"""An area: polygons on the lattice of a stack's grid, and which pixels lie inside.

A pixel is inside if its centre is. Whether it is depends on the polygons, the row and the column alone, and not on the
window that is asked for, so that results do not depend on chunks. A centre on the left edge of a polygon is outside,
one on its right edge inside, as GDAL has it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from runner.read.header import Window

Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Rings: TypeAlias = Sequence[Floats]  # of a polygon, each (points, 2): column and row; the first pixel covers 0 to 1

_STRIP_PIXELS: Final = 2**22  # that are looked at together, to count


@dataclass(frozen=True, eq=False)
class Area:
    """The union of polygons, given by their edges on a lattice of pixels.

    `edges` are (edges, 4): column and row of the upper end, column and row of the lower one. Those of polygon number n
    begin at `starts[n]` and end at `starts[n + 1]`, and there is one; where they surround a pixel an even number of
    times, it lies in a hole, or outside. The stack's grid begins at `row` and `column` of the lattice.
    """

    edges: Floats
    starts: Integers
    sha256: str  # of the polygons and their CRS, as the file has them
    row: int = 0
    column: int = 0

    @classmethod
    def of(cls, polygons: Iterable[Rings], sha256: str) -> "Area":
        """The area of some polygons, whose rings end where they begin."""
        edges = [edges for rings in polygons if len(edges := edges_of(rings))]
        starts = np.cumsum([0, *map(len, edges)])
        return cls(np.concatenate([np.empty((0, 4)), *edges]), starts, sha256)

    def moved(self, row: int, column: int) -> "Area":
        """The same area, on a grid that begins at this pixel of the lattice."""
        return replace(self, row=row, column=column)

    def inside(self, window: Window) -> Bools:
        """True for the pixels of a window of the grid that are inside, (rows, columns)."""
        window = window.shifted(self.row, self.column)
        inside = np.zeros((window.height, window.width), np.bool_)
        for number in self._near(window):
            part = _window(self._boxes[number]).common(window)
            assert part is not None  # by `_near`
            edges = self.edges[self.starts[number] : self.starts[number + 1]]
            inside[part.shifted(-window.row, -window.column).slices] |= _surrounded(edges, part)
        return inside

    def meets(self, window: Window) -> bool:
        """Tell if a pixel of a window of the grid is inside."""
        return any(self.inside(strip).any() for strip in _strips(window))

    def pixels(self, window: Window) -> int:
        """The number of pixels of a window of the grid that are inside."""
        return int(self.row_counts(window).sum())

    def row_counts(self, window: Window) -> Integers:
        """The number of pixels that are inside, of each row of a window of the grid."""
        return np.concatenate([self.inside(strip).sum(axis=1, dtype=np.int64) for strip in _strips(window)])

    @property
    def box(self) -> Window | None:
        """The pixels of the grid around all polygons; None if there is no pixel whose centre can be inside."""
        if not len(self._boxes):
            return None
        first, stop = self._boxes[:, :2].min(axis=0), self._boxes[:, 2:].max(axis=0)
        return _window(np.concatenate([first, stop])).shifted(-self.row, -self.column)

    @cached_property
    def _boxes(self) -> Integers:
        """(polygons, 4): row and column of the first pixel of the lattice that can be inside, and those behind it."""
        if not len(self.edges):
            return np.empty((0, 4), np.int64)
        low = np.minimum.reduceat(self.edges, self.starts[:-1])
        high = np.maximum.reduceat(self.edges, self.starts[:-1])
        left, right = np.minimum(low[:, 0], low[:, 2]), np.maximum(high[:, 0], high[:, 2])
        rows = [_first_row(low[:, 1]), _first_row(high[:, 3])]
        columns = [_first_column(left), _first_column(right)]
        return np.stack([rows[0], columns[0], rows[1], columns[1]], axis=1)

    def _near(self, window: Window) -> list[int]:
        """The numbers of the polygons whose boxes share a pixel with a window of the lattice."""
        row, column, height, width = window
        first = np.maximum(self._boxes[:, :2], [row, column])
        stop = np.minimum(self._boxes[:, 2:], [row + height, column + width])
        numbers: list[int] = np.flatnonzero((first < stop).all(axis=1)).tolist()
        return numbers


def _window(box: Integers) -> Window:
    row, column, below, right = map(int, box)
    return Window(row, column, below - row, right - column)


def _strips(window: Window) -> Iterator[Window]:
    """A window in strips of a few million pixels."""
    rows = max(1, _STRIP_PIXELS // window.width)
    for top in range(0, window.height, rows):
        yield window._replace(row=window.row + top, height=min(rows, window.height - top))


def edges_of(rings: Rings) -> Floats:
    """The edges of rings, the upper end of each first; without level ones, which no row of centres crosses."""
    edges = np.concatenate([np.hstack([ring[:-1], ring[1:]]) for ring in rings if len(ring) > 1] or [np.empty((0, 4))])
    turned = edges[:, 1] > edges[:, 3]
    edges[turned] = edges[turned][:, [2, 3, 0, 1]]
    return edges[edges[:, 1] < edges[:, 3]]


def _first_row(ordinates: Floats) -> Integers:
    """The first row whose centre is at this ordinate or below it."""
    return np.ceil(ordinates - 0.5).astype(np.int64)


def _first_column(abscissas: Floats) -> Integers:
    """The first column whose centre is to the right of this abscissa."""
    return np.floor(abscissas + 0.5).astype(np.int64)


def crossings(edges: Floats, row: int, height: int) -> tuple[Integers, Integers, Integers]:
    """Where edges, their upper ends first, cross the centres of rows from `row` on: edge, row, first column behind."""
    first = np.maximum(_first_row(edges[:, 1]), row)
    rows = np.maximum(np.minimum(_first_row(edges[:, 3]), row + height) - first, 0)
    crossed = np.repeat(np.arange(len(edges)), rows)
    numbers = first[crossed] + np.arange(len(crossed)) - np.repeat(np.cumsum(rows) - rows, rows)
    left, top, right, bottom = edges[crossed].T
    abscissas = (numbers + 0.5 - top) * (right - left) / (bottom - top) + left
    return crossed, numbers, _first_column(abscissas)


def _surrounded(edges: Floats, window: Window) -> Bools:
    """True for pixels of a window to the left of which an odd number of edges crosses the row of their centres."""
    _, row, column = crossings(edges, window.row, window.height)
    columns = np.clip(column - window.column, 0, window.width)
    crossed = np.zeros((window.height, window.width + 1), np.uint8)
    np.bitwise_xor.at(crossed, (row - window.row, columns), 1)
    return np.bitwise_xor.accumulate(crossed[:, :-1], axis=1).astype(np.bool_)
