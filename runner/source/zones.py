"""Zones laid onto the grid of a stack: its pixels that belong to each, or the fractions of them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runner.errors import ConfigError, printable
from runner.model import Grid, Stack
from runner.reduce.zone_runs import ZoneRuns
from runner.settings import ZonePixels, ZoneSettings
from runner.source.area import turned
from runner.source.boxes import turns_of
from runner.source.coverage import covered_runs
from runner.source.pixel_rings import in_pixels
from runner.source.rings import Polygon
from runner.source.stores import Stores
from runner.source.zone_files import Features, read_features
from runner.zones import MOST_NAMED, Zones, center_runs, intervals, united

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_KEPT: Final = 4  # grids, whose zones are kept for the next stack
_WINDOW_PIXELS: Final = 2**25  # that GDAL draws at once
_EXTRA: Final = "pip install 'cog-stack-runner[zones]'"


def zones_of(settings: ZoneSettings, stack: Stack, stores: Stores | None) -> Zones:
    """The zones of `zones.file` on the grid of a stack, within its area if it has one.

    Raises ConfigError for a file that cannot be used.
    """
    zones = laid(read_features(settings, stores), settings.pixels, stack.grid)
    return zones if stack.area is None else zones.within(stack.area, stack.grid.window)


@lru_cache(maxsize=_KEPT)
def laid(features: Features, pixels: ZonePixels, grid: Grid) -> Zones:
    """The zones of a file on a grid. Raises ConfigError for outlines that have no fractions."""
    zones = _on_grid(features, grid)
    shape = grid.height, grid.width
    if pixels is ZonePixels.center:
        runs = center_runs(zones, shape)
    elif pixels is ZonePixels.all_touched:
        runs = _touched_runs(zones, shape)
    else:
        _refuse_crossing(features)
        runs = covered_runs(zones, shape)
    drawn = np.bincount(runs.zone, minlength=len(zones)) > 0
    beyond = _reach_beyond(zones, shape)
    kept, outside = np.flatnonzero(drawn | ~beyond), np.flatnonzero(~drawn & beyond)
    numbers = np.zeros(len(zones), np.int32)
    numbers[kept] = np.arange(len(kept))
    return Zones(
        names=features.names[kept],
        runs=runs._replace(zone=numbers[runs.zone]),
        key=features.key,
        sha256=f"{features.sha256[:32]} {pixels.value}",
        file_sha256=features.sha256,
        width=grid.width,
        fractions=pixels is ZonePixels.fraction,
        partly=int((drawn & beyond).sum()),
        outside=len(outside),
        outside_named=tuple(map(str, features.names[outside[:MOST_NAMED]].tolist())),
    )


def _on_grid(features: Features, grid: Grid) -> list[list[Polygon]]:
    """The polygons of each zone in pixels of the grid; those far from it are left out."""
    flat = [rings for polygons in features.polygons for rings in polygons]
    owner = np.repeat(np.arange(len(features.polygons)), [len(polygons) for polygons in features.polygons])
    zones: list[list[Polygon]] = [[] for _ in features.polygons]
    turns = turns_of(grid)
    for zone, rings in zip(owner, in_pixels(features.key, flat, features.crs, grid, grid), strict=True):
        if not rings:
            continue
        zones[zone].append(rings)
        others = [turned(rings, grid, degrees) for degrees in turns]
        boxes = _boxes(others)
        met = (boxes[:, 0] < grid.width) & (boxes[:, 2] > 0)
        zones[zone] += [other for other, meets in zip(others, met, strict=True) if meets]
    return zones


def _boxes(polygons: Sequence[Polygon]) -> Floats:
    """First column, first row, last column and last row of each polygon, (polygons, 4)."""
    if not polygons:
        return np.empty((0, 4))
    outlines = [rings[0] for rings in polygons]
    points, firsts = np.concatenate(outlines), np.cumsum([0, *map(len, outlines[:-1])])
    return np.hstack([np.minimum.reduceat(points, firsts), np.maximum.reduceat(points, firsts)])


def _reach_beyond(zones: Sequence[Sequence[Polygon]], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """True for each zone that does not lie wholly on a grid."""
    boxes = _boxes([rings for polygons in zones for rings in polygons])
    inside = (boxes[:, :2] >= 0).all(axis=1) & (boxes[:, 2] <= shape[1]) & (boxes[:, 3] <= shape[0])
    counts = np.array([len(polygons) for polygons in zones], np.int64)
    owner = np.repeat(np.arange(len(zones)), counts)
    return np.bincount(owner, inside, len(zones)) < np.maximum(counts, 1)


def _geometry(polygons: Sequence[Polygon]) -> dict[str, Any]:
    """A zone in columns and rows as GeoJSON has it."""
    coordinates = [[ring.tolist() for ring in rings] for rings in polygons]
    return {"type": "MultiPolygon", "coordinates": coordinates}


# --- all touched --------------------------------------------------------------------------------------------------


def _touched_runs(zones: Sequence[Sequence[Polygon]], shape: tuple[int, int]) -> ZoneRuns:
    """The pixels of a grid that the polygons of each zone touch, drawn by GDAL in the box of each."""
    from rasterio.features import rasterize  # noqa: PLC0415 - of such zones alone
    from rasterio.transform import Affine  # noqa: PLC0415 - as above

    rows, starts, stops, owners = (list[Integers]() for _ in range(4))
    for zone, polygons in enumerate(zones):
        for top, left, height, width in _windows(polygons, shape):
            corner = Affine.translation(left, top)
            drawn = rasterize([_geometry(polygons)], (height, width), transform=corner, all_touched=True, dtype="uint8")
            start, stop = intervals(drawn.astype(np.bool_))
            row = start // (width + 1)
            rows.append(row + top)
            starts.append(start - row * (width + 1) + left)
            stops.append(stop - row * (width + 1) + left)
            owners.append(np.full(len(row), zone))
    none = np.empty(0, np.int64)
    row, start, stop, owner = (np.concatenate([none, *parts]) for parts in (rows, starts, stops, owners))
    return united(shape, row, owner, (start, stop))


def _windows(polygons: Sequence[Polygon], shape: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """The part of a grid around some polygons, in strips of a bounded size."""
    if not polygons:
        return []
    boxes = _boxes(polygons)
    left, top = np.maximum(np.floor(boxes[:, :2].min(axis=0)) - 1, 0).astype(int)
    right, bottom = np.minimum(np.ceil(boxes[:, 2:].max(axis=0)) + 1, [shape[1], shape[0]]).astype(int)
    if left >= right or top >= bottom:
        return []
    rows = max(1, _WINDOW_PIXELS // (right - left))
    return [(row, left, min(rows, bottom - row), right - left) for row in range(top, bottom, rows)]


# --- fractions ----------------------------------------------------------------------------------------------------


def _refuse_crossing(features: Features) -> None:
    """Raise ConfigError for outlines that cross themselves or one another: what they cover is not defined."""
    try:
        import shapely  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            f"zones.pixels=fraction: shapely checks outlines, which is not installed: {_EXTRA}"
        ) from error
    polygons = [rings for of_zone in features.polygons for rings in of_zone]
    rings = [ring for of_polygon in polygons for ring in of_polygon]
    offsets = (np.cumsum([0, *map(len, parts)]) for parts in (rings, polygons, features.polygons))
    shapes = shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, np.concatenate(rings), tuple(offsets))
    wrong = np.flatnonzero(~shapely.is_valid(shapes))
    if wrong.size:
        name = printable(str(features.names[wrong[0]]))
        reason = str(shapely.is_valid_reason(shapes[wrong[0]]))
        raise ConfigError(
            f"{features.key}: {wrong.size} of {len(shapes)} zones cross themselves, so that zones.pixels=fraction is "
            f"not defined, such as {name}: {reason}; repair them (ogr2ogr -makevalid)"
        )
