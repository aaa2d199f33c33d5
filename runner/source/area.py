"""The area of `source.area` on the lattice of a stack."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from runner.area import Area
from runner.errors import ConfigError, OutsideError
from runner.model import Grid
from runner.read.header import Window
from runner.settings import SourceSettings
from runner.source.boxes import Box, in_digits, reach_in, reach_of, turns_of
from runner.source.pixel_rings import in_pixels
from runner.source.polygon_files import PolygonFile, features_in
from runner.source.rings import Polygon, Ring, bytes_of
from runner.source.stores import Stores


@dataclass(frozen=True, eq=False, slots=True)
class Polygons:
    """The polygons of `source.area`, their CRS, and the digest of both; other attributes of a file change no pixels."""

    key: str  # source.area=NAME, for messages
    polygons: list[Polygon]
    crs: CRS
    sha256: str


def read_polygons(source: SourceSettings, stores: Stores | None) -> Polygons:
    """The polygons of `source.area`.

    Raises ConfigError for a file that cannot be used, SourceError if a store fails.
    """
    assert source.area is not None  # by the caller
    file = PolygonFile("source.area", source.area, "source.area_layer", source.area_layer)
    found = features_in(file, stores)
    polygons = [polygon for of_feature in found.polygons for polygon in of_feature]
    if not polygons:
        raise ConfigError(f"{file.shown}: it holds no polygons; name a file, or a layer (source.area_layer), that does")
    crs = crs_of(file.shown, found.crs)
    return Polygons(file.shown, polygons, crs, _sha256(polygons, crs))


def area_digest(source: SourceSettings, stores: Stores | None) -> str | None:
    """The digest of the polygons that `Area` has too; None without an area.

    Raises ConfigError for a file that cannot be used: ask before anything is listed.
    """
    return None if source.area is None else read_polygons(source, stores).sha256


def cut_to_area(
    source: SourceSettings, lattice: Grid, extent: Window, stores: Stores | None = None
) -> tuple[Window, Area]:
    """The part of an extent, a window of a lattice, that the area covers, and the area on the grid of that part.

    Raises ConfigError for a file that cannot be used, OutsideError for an area without a pixel of the extent.
    """
    found, grid = read_polygons(source, stores), lattice.part(extent)
    pixels = [rings for rings in in_pixels(found.key, found.polygons, found.crs, lattice, grid) if rings]
    others = [turned(rings, lattice, turn) for turn in turns_of(grid) for rings in pixels]
    pixels += [rings for rings in others if _reaches(rings[0], extent)]
    area = Area.of(pixels, found.sha256)
    part = area.box and area.box.common(extent)
    if part is None or not area.meets(part):
        raise _outside(found, grid)
    return part, area.moved(part.row, part.column)


def turned(rings: Polygon, lattice: Grid, degrees: float) -> Polygon:
    """Rings in pixels, by other longitudes."""
    to_pixels = ~Affine(*lattice.transform)
    return [ring + degrees * np.array([to_pixels.a, to_pixels.d]) for ring in rings]


def _reaches(outline: Ring, extent: Window) -> bool:
    """True if the columns of an outline in pixels meet those of an extent."""
    return bool(outline[:, 0].max() > extent.column and outline[:, 0].min() < extent.column + extent.width)


def crs_of(key: str, crs: str | Mapping[str, Any] | None) -> CRS:
    """The CRS that a file of polygons names. Raises ConfigError, which begins with `key`."""
    if crs is None:
        raise ConfigError(f"{key}: it names no CRS; give it one (ogr2ogr -a_srs EPSG:...)")
    try:
        with rasterio.Env():  # or PROJ itself writes to the console
            return CRS.from_user_input(crs)
    except (CRSError, ValueError) as error:
        raise ConfigError(f"{key}: its CRS {str(crs)[:100]} is not known") from error


def _sha256(polygons: Sequence[Polygon], crs: CRS) -> str:
    digest = hashlib.sha256(crs.to_wkt().encode())
    for part in bytes_of(polygons):
        digest.update(part)
    return digest.hexdigest()


def _outside(found: Polygons, grid: Grid) -> OutsideError:
    points = np.concatenate([ring for rings in found.polygons for ring in rings])
    box: Box = (*map(float, points.min(axis=0)), *map(float, points.max(axis=0)))  # type: ignore[assignment]
    reach = reach_in(found.crs, grid)
    theirs = f"{in_digits(reach)} there" if reach else f"{in_digits(reach_of(grid))} in {grid.crs_name}"
    return OutsideError(
        f"{found.key}: no pixel has its centre inside; the box of its polygons is {in_digits(box)} "
        f"in {found.crs.to_string()[:60]}, and that of the stack is {theirs}"
    )
