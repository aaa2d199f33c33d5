"""Rings of polygons moved to the pixels of a lattice, all of a file at once.

The edges of polygons are straight in the CRS of their file. In that of the scenes they are not, so points are added to
them until they lie as they should within a hundredth of a pixel.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from runner.errors import ConfigError
from runner.model import Grid
from runner.source.boxes import Box, reach_in, surroundings
from runner.source.rings import Polygon, Ring

_TOLERANCE: Final = 0.01  # pixels between an edge and the points that stand for it
_FRACTIONS: Final = (0.25, 0.5)  # of an edge, where that is tried: an edge that turns in its middle is off at a quarter
_MOST_TURNS: Final = 16  # that an edge is cut in halves
_FURTHEST: Final = 2.0**30  # pixels from the first one; further on, GDAL's 32 bits and digits get lost

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Move = Callable[[Ring, Integers], Ring]  # of points, and the number of each one's ring, to pixels


def in_pixels(key: str, polygons: Sequence[Polygon], crs: CRS, lattice: Grid, grid: Grid) -> list[Polygon]:
    """The rings in columns and rows of the lattice, without what lies far from the grid; none of a polygon that does.

    Raises ConfigError, which begins with `key`, also for points so far away that they would not lie right.
    """
    polygons = _in_pixels(key, polygons, crs, lattice, grid)
    furthest = max((float(np.abs(ring).max()) for rings in polygons for ring in rings), default=0.0)
    if furthest > _FURTHEST:
        raise ConfigError(
            f"{key}: a polygon has a point {furthest:.3g} pixels from the scenes, wanted at most {_FURTHEST:.3g}; its "
            "coordinates were altered, or are of another CRS than the file says"
        )
    return polygons


def _in_pixels(key: str, polygons: Sequence[Polygon], crs: CRS, lattice: Grid, grid: Grid) -> list[Polygon]:
    to_pixels = _affine(~Affine(*lattice.transform))
    if lattice.crs is None:
        raise ConfigError(f"{key}: the scenes have no CRS in which it could have a place")
    theirs = CRS.from_wkt(lattice.crs)
    if crs == theirs:
        return _like(
            polygons, to_pixels(np.concatenate([np.empty((0, 2)), *(ring for rings in polygons for ring in rings)]))
        )
    reach = None if crs.is_geographic and theirs.is_geographic else reach_in(crs, grid)
    around = surroundings(reach) if reach else None
    rings = [ring if around is None else _near(ring, around) for rings in polygons for ring in rings]
    moved = iter(_moved([ring for ring in rings if len(ring)], crs, theirs, to_pixels))
    pixels = [next(moved) if len(ring) else ring for ring in rings]
    if not all(np.isfinite(ring).all() for ring in pixels):
        raise ConfigError(f"{key}: it has no place in {lattice.crs_name}, the scenes' CRS")
    ends = np.cumsum([0, *map(len, polygons)])
    parts = [pixels[start:stop] for start, stop in pairwise(ends)]
    return [[ring for ring in part if len(ring)] if len(part[0]) else [] for part in parts]


def _like(polygons: Sequence[Polygon], points: Ring) -> list[Polygon]:
    """Points, ring after ring, as rings of polygons like these."""
    ends = iter(np.cumsum([len(ring) for rings in polygons for ring in rings]).tolist())
    return [[points[(stop := next(ends)) - len(ring) : stop] for ring in rings] for rings in polygons]


def _moved(rings: list[Ring], crs: CRS, wanted: CRS, to_pixels: Callable[[Ring], Ring]) -> list[Ring]:
    if not rings:
        return []
    pixels, numbers = _bent(rings, _mover(rings, crs, wanted, to_pixels))
    return np.split(pixels, np.flatnonzero(np.diff(numbers)) + 1)


def _mover(rings: list[Ring], crs: CRS, wanted: CRS, to_pixels: Callable[[Ring], Ring]) -> Move:
    """The way of points to pixels. Longitudes do not jump at 180 degrees: they are near to where they were, or to that
    of the middle of their ring.
    """
    middles = np.array([(ring.min(axis=0) + ring.max(axis=0)) / 2 for ring in rings])
    if wanted.is_geographic and not crs.is_geographic:
        middles = _transformed(middles, crs, wanted)

    def move(points: Ring, numbers: Integers) -> Ring:
        moved = _transformed(points, crs, wanted)
        if wanted.is_geographic:
            near = points[:, 0] if crs.is_geographic else middles[numbers, 0]
            with np.errstate(invalid="ignore"):  # of points without a place, which are refused
                moved[:, 0] += 360 * np.round((near - moved[:, 0]) / 360)
        return to_pixels(moved)

    return move


def _affine(transform: Affine) -> Callable[[Ring], Ring]:
    a, b, c, d, e, f = tuple(transform)[:6]
    return lambda points: np.stack(
        [a * points[:, 0] + b * points[:, 1] + c, d * points[:, 0] + e * points[:, 1] + f], axis=1
    )


def _transformed(points: Ring, crs: CRS, wanted: CRS) -> Ring:
    """Points in another CRS; inf where they have no place in it."""
    from rasterio.warp import transform  # noqa: PLC0415 - only an area in another CRS needs it

    try:
        with rasterio.Env():
            xs, ys = transform(crs, wanted, points[:, 0], points[:, 1])
    except (RasterioError, ValueError):
        return np.full_like(points, np.inf)
    return np.stack([np.asarray(xs, np.float64), np.asarray(ys, np.float64)], axis=1)


def _bent(rings: list[Ring], move: Move) -> tuple[Ring, Integers]:
    """Rings in pixels, one behind the other, with as many points as their edges need to lie right there; and the number
    of each point's ring.
    """
    points = np.concatenate(rings)
    numbers = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    pixels = move(points, numbers)
    unknown = numbers[1:] == numbers[:-1]  # edges of which nothing is known
    for _ in range(_MOST_TURNS):
        edges = np.flatnonzero(unknown)
        cut = edges[_misplaced(points, pixels, numbers, edges, move)]
        if not cut.size:
            break
        middles = (points[cut] + points[cut + 1]) / 2
        moved = move(middles, numbers[cut])
        points, pixels = np.insert(points, cut + 1, middles, axis=0), np.insert(pixels, cut + 1, moved, axis=0)
        numbers = np.insert(numbers, cut + 1, numbers[cut])
        unknown = np.zeros(len(numbers) - 1, np.bool_)
        inserted = cut + 1 + np.arange(len(cut))
        unknown[inserted - 1] = unknown[inserted] = True
    return pixels, numbers


def _misplaced(points: Ring, pixels: Ring, numbers: Integers, edges: Integers, move: Move) -> Bools:
    """True for the edges that lie wrong if they are straight in pixels."""
    wrong = np.zeros(len(edges), np.bool_)
    start, step = points[edges], points[edges + 1] - points[edges]
    first, across = pixels[edges], pixels[edges + 1] - pixels[edges]
    for fraction in _FRACTIONS if len(edges) else ():
        moved = move(start + fraction * step, numbers[edges])
        wrong |= np.abs(moved - (first + fraction * across)).max(axis=1) > _TOLERANCE
    return wrong


def _near(ring: Ring, box: Box) -> Ring:
    """The part of a ring in a box, as `clip`; most lie wholly inside or outside."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    if low[0] >= box[0] and low[1] >= box[1] and high[0] <= box[2] and high[1] <= box[3]:
        return ring
    if high[0] < box[0] or high[1] < box[1] or low[0] > box[2] or low[1] > box[3]:
        return ring[:0]
    return clip(ring, box)


def clip(ring: Ring, box: Box) -> Ring:
    """The part of a closed ring in a box, closed along its sides; empty if there is none (Sutherland and Hodgman)."""
    for axis, limit, sign in ((0, box[0], 1), (1, box[1], 1), (0, box[2], -1), (1, box[3], -1)):
        ring = _half(ring, axis, limit, sign)
        if not len(ring):
            break
    return ring


def _half(ring: Ring, axis: int, limit: float, sign: int) -> Ring:
    """The part of a closed ring where sign * (coordinate - limit) is not negative."""
    inside = sign * (ring[:, axis] - limit) >= 0
    if inside.all():
        return ring
    before, after = ring[:-1], ring[1:]
    crosses = inside[:-1] != inside[1:]
    step = after - before
    share = np.divide(limit - before[:, axis], step[:, axis], out=np.zeros(len(step)), where=crosses)
    crossing = before + share[:, np.newaxis] * step
    crossing[:, axis] = limit
    both = np.stack([crossing, after], axis=1)  # of each edge where it crosses, and its end
    kept = both[np.stack([crosses, inside[1:]], axis=1)]
    return np.vstack([kept, kept[:1]]) if len(kept) else kept
