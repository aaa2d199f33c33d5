"""The area of `source.area` on the lattice of a stack.

The edges of polygons are straight in the CRS of their file. In that of the scenes they are not, so points are added to
them until they lie as they should within a hundredth of a pixel.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.transform import Affine

from runner.area import Area
from runner.errors import ConfigError, OutsideError, printable
from runner.model import Grid
from runner.read.header import Window
from runner.settings import SourceSettings
from runner.source.boxes import Box, in_digits, reach_in, reach_of, surroundings, turns_of
from runner.source.polygons import Polygon, Polygons, Ring, read_polygons

_TOLERANCE: Final = 0.01  # pixels between an edge and the points that stand for it
_FRACTIONS: Final = (0.25, 0.5)  # of an edge, where that is tried: an edge that turns in its middle is off at a quarter
_MOST_TURNS: Final = 16  # that an edge is cut in halves

Move = Callable[[Ring], Ring]


def area_digest(source: SourceSettings) -> str | None:
    """The digest of the polygons that `Area` has too; None without an area.

    Raises ConfigError for a file that cannot be used: ask before anything is listed.
    """
    if source.area is None:
        return None
    found = read_polygons(source.area, source.area_layer)
    return _sha256(found, _crs(source.area, found.crs))


def cut_to_area(source: SourceSettings, lattice: Grid, extent: Window) -> tuple[Window, Area]:
    """The part of an extent, a window of a lattice, that the area covers, and the area on the grid of that part.

    Raises ConfigError for a file that cannot be used, OutsideError for an area without a pixel of the extent.
    """
    assert source.area is not None  # by the caller
    found = read_polygons(source.area, source.area_layer)
    grid, crs = lattice.part(extent), _crs(source.area, found.crs)
    pixels = [rings for outline in found.polygons if (rings := _in_pixels(source.area, outline, crs, lattice, grid))]
    turned = [_turned(rings, lattice, turn) for turn in turns_of(grid) for rings in pixels]
    pixels += [rings for rings in turned if _reaches(rings[0], extent)]
    area = Area.of(pixels, _sha256(found, crs))
    part = area.box and area.box.common(extent)
    if part is None or not area.meets(part):
        raise _outside(source.area, found, crs, grid)
    return part, area.moved(part.row, part.column)


def _turned(rings: Polygon, lattice: Grid, degrees: float) -> Polygon:
    """Rings in pixels, by other longitudes."""
    to_pixels = ~Affine(*lattice.transform)
    return [ring + degrees * np.array([to_pixels.a, to_pixels.d]) for ring in rings]


def _reaches(outline: Ring, extent: Window) -> bool:
    """True if the columns of an outline in pixels meet those of an extent."""
    return bool(outline[:, 0].max() > extent.column and outline[:, 0].min() < extent.column + extent.width)


def _crs(name: str, crs: str | Mapping[str, Any] | None) -> CRS:
    if crs is None:
        raise ConfigError(f"source.area={printable(name)}: it names no CRS; give it one (ogr2ogr -a_srs EPSG:...)")
    try:
        with rasterio.Env():  # or PROJ itself writes to the console
            return CRS.from_user_input(crs)
    except (CRSError, ValueError) as error:
        raise ConfigError(f"source.area={printable(name)}: its CRS {str(crs)[:100]} is not known") from error


def _sha256(found: Polygons, crs: CRS) -> str:
    """The digest of the polygons and their CRS; other attributes of a file change no pixels."""
    digest = hashlib.sha256(crs.to_wkt().encode())
    for ring in (ring for rings in found.polygons for ring in (np.array([[len(rings), 0.0]]), *rings)):
        digest.update(len(ring).to_bytes(8, "little") + ring.astype("<f8").tobytes())
    return digest.hexdigest()


def _outside(name: str, found: Polygons, crs: CRS, grid: Grid) -> OutsideError:
    points = np.concatenate([ring for rings in found.polygons for ring in rings])
    box: Box = (*map(float, points.min(axis=0)), *map(float, points.max(axis=0)))  # type: ignore[assignment]
    reach = reach_in(crs, grid)
    theirs = f"{in_digits(reach)} there" if reach else f"{in_digits(reach_of(grid))} in {grid.crs_name}"
    return OutsideError(
        f"source.area={printable(name)}: no pixel has its centre inside; the box of its polygons is {in_digits(box)} "
        f"in {crs.to_string()[:60]}, and that of the stack is {theirs}"
    )


# --- from coordinates to pixels -----------------------------------------------------------------------------------


def _in_pixels(name: str, rings: Polygon, crs: CRS, lattice: Grid, grid: Grid) -> Polygon:
    """The rings in columns and rows of the lattice, without what lies far from the grid."""
    to_pixels = _affine(~Affine(*lattice.transform))
    if lattice.crs is None:
        raise ConfigError(f"source.area={printable(name)}: the scenes have no CRS in which it could have a place")
    theirs = CRS.from_wkt(lattice.crs)
    if crs == theirs:
        return [to_pixels(ring) for ring in rings]
    reach = None if crs.is_geographic and theirs.is_geographic else reach_in(crs, grid)
    around = surroundings(reach) if reach else None
    clipped = [ring if around is None else clip(ring, around) for ring in rings]
    moved = [_bent(ring, _mover(ring, crs, theirs, to_pixels)) for ring in clipped if len(ring)]
    if not all(np.isfinite(ring).all() for ring in moved):
        raise ConfigError(f"source.area={printable(name)}: it has no place in {lattice.crs_name}, the scenes' CRS")
    return moved


def _mover(ring: Ring, crs: CRS, wanted: CRS, to_pixels: Move) -> Move:
    """The way of a ring's points to pixels. Longitudes do not jump at 180 degrees: they are near to where they were,
    or to that of the ring's middle.
    """
    middle = (ring.min(axis=0) + ring.max(axis=0))[np.newaxis] / 2

    def move(points: Ring) -> Ring:
        moved = _transformed(points, crs, wanted)
        if wanted.is_geographic:
            near = points[:, 0] if crs.is_geographic else _transformed(middle, crs, wanted)[:, 0]
            with np.errstate(invalid="ignore"):  # of points without a place, which are refused
                moved[:, 0] += 360 * np.round((near - moved[:, 0]) / 360)
        return to_pixels(moved)

    return move


def _affine(transform: Affine) -> Move:
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


def _bent(ring: Ring, move: Move) -> Ring:
    """A ring in pixels, with as many points as its edges need to lie right there."""
    pixels = move(ring)
    for _ in range(_MOST_TURNS):
        wrong = _misplaced(ring, pixels, move)
        if not wrong.any():
            break
        after = np.flatnonzero(wrong) + 1
        middles = (ring[after - 1] + ring[after]) / 2
        ring, pixels = np.insert(ring, after, middles, axis=0), np.insert(pixels, after, move(middles), axis=0)
    return pixels


def _misplaced(ring: Ring, pixels: Ring, move: Move) -> npt.NDArray[np.bool_]:
    """True for edges that lie wrong if they are straight in pixels."""
    wrong = np.zeros(len(ring) - 1, np.bool_)
    for fraction in _FRACTIONS:
        straight = pixels[:-1] + fraction * (pixels[1:] - pixels[:-1])
        wrong |= np.abs(move(ring[:-1] + fraction * (ring[1:] - ring[:-1])) - straight).max(axis=1) > _TOLERANCE
    return wrong


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
