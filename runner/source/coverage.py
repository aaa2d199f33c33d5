"""The fractions of pixels that polygons cover, from the edges of their outlines alone.

An edge covers, in its row, the part of its own pixel that lies to its right, and all pixels further right, as high as
the edge is; one that leads down adds that, one that leads up takes it away. So the work is that of the outline,
whatever lies inside. Renderers of fonts do the same; see R. Levien, "Inside the fastest font renderer in the world"
(2016).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.reduce.zone_runs import ZoneRuns
from runner.source.rings import Polygon

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_PIECES: Final = 2**17  # of edges that are looked at together, about
_LEAST: Final = 2.0**-30  # of a pixel; less is what rounding leaves where nothing is covered


class Edges(NamedTuple):
    """Edges that are not level, the upper end first."""

    zone: Integers
    left: Floats  # column and row of the upper end
    top: Floats
    right: Floats  # of the lower one
    bottom: Floats
    sign: Floats  # 1 where the zone lies to the right, else -1


class _Pieces(NamedTuple):
    """Pieces of edges, each within one pixel."""

    line: Integers  # zone * rows + row
    column: Integers  # -1 for all that lies to the left of the grid, its width for all to the right
    height: Floats  # with the sign of the edge
    beside: Floats  # of that height, what lies in the pixel to the right of the piece


def covered_runs(zones: Sequence[Sequence[Polygon]], shape: tuple[int, int]) -> ZoneRuns:
    """Runs of pixels that the polygons of each zone cover by equal fractions, which are rounded to float32.

    Outlines must not cross: then the pixels of neighbours add up to 1 up to rounding.
    """
    pieces = (_pieces(edges, shape) for edges in _batches(edges_of(zones)))
    parts = [_runs(some, shape) for some in pieces if some.line.size]
    none = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    line, start, stop, fraction = map(np.concatenate, zip(none, *parts, strict=True))
    zone, row = np.divmod(line, shape[0])
    return ZoneRuns.of(shape[0], row, zone, (start, stop), fraction)


def edges_of(zones: Sequence[Sequence[Polygon]]) -> Edges:
    """The edges of zones, one zone after another; outlines surround their zone, all other rings are holes."""
    rings = [(zone, number > 0, ring) for zone, polygons in enumerate(zones) for rings in polygons
             for number, ring in enumerate(rings)]  # fmt: skip
    owner, hole = np.array([zone for zone, _, _ in rings], np.int64), np.array([hole for _, hole, _ in rings], np.bool_)
    points = np.concatenate([np.empty((0, 2)), *(ring for _, _, ring in rings)])
    of_ring = np.repeat(np.arange(len(rings)), [len(ring) for _, _, ring in rings])
    inside = of_ring[:-1] == of_ring[1:]  # else the last point of a ring, and the first of the next
    begin, end, number = points[:-1][inside], points[1:][inside], of_ring[:-1][inside]
    corner = points[np.searchsorted(of_ring, number)]  # the origin, or large coordinates would cancel
    (x, y), (next_x, next_y) = (begin - corner).T, (end - corner).T
    clockwise = np.bincount(number, x * next_y - next_x * y, len(rings)) > 0  # as rows grow downward
    down = end[:, 1] > begin[:, 1]
    sign = np.where(down ^ clockwise[number] ^ hole[number], 1.0, -1.0)
    upper, lower = np.where(down[:, np.newaxis], begin, end), np.where(down[:, np.newaxis], end, begin)
    edges = Edges(owner[number], upper[:, 0], upper[:, 1], lower[:, 0], lower[:, 1], sign)
    return _chosen(edges, upper[:, 1] < lower[:, 1])


def _chosen(edges: Edges, chosen: npt.NDArray[np.bool_] | slice) -> Edges:
    return Edges(edges.zone[chosen], *(array[chosen] for array in edges[1:]))


def _batches(edges: Edges) -> Iterator[Edges]:
    """All edges of some zones each, with about so many pieces as are looked at together."""
    pieces = np.cumsum(2 + edges.bottom - edges.top + np.abs(edges.right - edges.left))
    firsts = np.flatnonzero(np.diff(edges.zone, prepend=-1))  # of zones
    batch = pieces[firsts] // _PIECES
    starts = firsts[np.flatnonzero(np.diff(batch, prepend=-1))]
    for start, stop in pairwise([*starts, len(edges.zone)]):
        yield _chosen(edges, slice(start, stop))


def _pieces(edges: Edges, shape: tuple[int, int]) -> _Pieces:
    """Edges cut at the rows and then at the columns of a grid, without what lies above or below it."""
    edge, row = _repeated(np.maximum(np.floor(edges.top), 0), np.minimum(np.ceil(edges.bottom), shape[0]))
    left, top, right, bottom, sign = (array[edge] for array in edges[1:])
    slope = (right - left) / (bottom - top)
    begin, end = np.maximum(top, row), np.minimum(bottom, row + 1)
    first = left + (begin - top) * slope
    last = np.where(end < bottom, left + (end - top) * slope, right)
    low, high = np.minimum(first, last), np.maximum(first, last)
    height, width = sign * (end - begin), high - low
    column = np.clip(np.floor(low), -1, shape[1])
    piece, column = _repeated(column, np.clip(np.ceil(high), column + 1, shape[1] + 1))
    low, high, width, height = low[piece], high[piece], width[piece], height[piece]
    first = np.where(column < 0, low, np.maximum(low, column))
    last = np.where(column < shape[1], np.minimum(high, column + 1), high)
    share = np.divide(last - first, width, out=np.ones(len(piece)), where=width > 0)
    height = height * share
    beside = np.where(column < 0, height, height * (column + 1 - (first + last) / 2))
    line = edges.zone[edge] * shape[0] + row
    return _Pieces(line[piece], column, height, beside)


def _repeated(first: Floats, stop: Floats) -> tuple[Integers, Integers]:
    """The whole numbers from each first to before each stop, and the positions from which they come."""
    counts = np.maximum(stop - first, 0).astype(np.int64)
    position = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(position)) - np.repeat(np.cumsum(counts) - counts, counts)
    return position, number + first.astype(np.int64)[position]


def _runs(pieces: _Pieces, shape: tuple[int, int]) -> tuple[Integers, Integers, Integers, Floats]:
    """Line, first column, the one behind the last, and fraction of runs, along their lines."""
    step = shape[1] + 2
    place = pieces.line * step + pieces.column + 1
    order = np.argsort(place, kind="stable")
    place, height, beside = place[order], pieces.height[order], pieces.beside[order]
    firsts = np.flatnonzero(np.diff(place, prepend=-1))  # of the pieces in a pixel
    line, column = np.divmod(place[firsts], step)
    behind = np.cumsum(height)
    ends = np.append(firsts[1:], len(place)) - 1
    before = np.concatenate([[0.0], behind[:-1]])[firsts]
    opening = np.flatnonzero(np.diff(line, prepend=-1))  # of lines
    offset = np.repeat(before[opening], np.diff(np.append(opening, len(line))))
    of_pixel = before - offset + np.add.reduceat(beside, firsts)
    of_gap = behind[ends] - offset  # of all pixels up to the next that an edge meets
    column = column - 1
    until = np.where(np.diff(line, append=-1) == 0, np.append(column[1:], 0), column + 1)
    start, stop = np.stack([column, column + 1], axis=1).ravel(), np.stack([column + 1, until], axis=1).ravel()
    fraction = np.minimum(np.stack([of_pixel, of_gap], axis=1).ravel(), 1.0).astype(np.float32).astype(np.float64)
    kept = (fraction > _LEAST) & (start < stop) & (start >= 0) & (start < shape[1])
    return _joined(np.repeat(line, 2)[kept], start[kept], stop[kept], fraction[kept])


def _joined(
    line: Integers, start: Integers, stop: Integers, fraction: Floats
) -> tuple[Integers, Integers, Integers, Floats]:
    """Runs along their lines; neighbours of equal fractions become one."""
    ends = (line[1:] != line[:-1]) | (start[1:] != stop[:-1]) | (fraction[1:] != fraction[:-1])
    first = np.concatenate([[True], ends])[: len(line)]
    last = np.concatenate([ends, [True]])[: len(line)]
    return line[first], start[first], stop[last], fraction[first]
