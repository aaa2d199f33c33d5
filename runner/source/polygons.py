"""Polygons in files: GeoJSON, GeoParquet, and by pyogrio GeoPackage, Shapefile and whatever else GDAL reads.

Sources of the formats: RFC 7946 (GeoJSON; its `crs` is of the version before, 2008); https://geoparquet.org/releases;
OGC 06-103r4, 8.2 (well-known binary).
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runner.base.humanize import listed
from runner.errors import ConfigError, expanded, printable

Ring = npt.NDArray[np.float64]  # (points, 2): x and y; it ends where it begins
Polygon = list[Ring]  # its outline, and the outlines of its holes

_LONGITUDES: Final = "OGC:CRS84"  # degrees, longitude first
_JSON: Final = (".json", ".geojson")
_PARQUET: Final = (".parquet", ".geoparquet", ".pq")
_EXTRA: Final = "pip install 'cog-stack-runner[vector]'"


@dataclass(frozen=True)
class Polygons:
    """The polygons of a file, and their CRS as rasterio takes it; None if the file has none."""

    polygons: list[Polygon]
    crs: str | Mapping[str, Any] | None


def _refuse_missing(name: str) -> None:
    """Raise ConfigError for a file that is not there."""
    if "://" in name:
        raise ConfigError(f"source.area={printable(name)}: wanted a file of this machine; copy it here")
    if not expanded(name).exists():
        raise ConfigError(f"source.area={printable(name)}: there is no such file")


def read_polygons(name: str, layer: str | None = None) -> Polygons:
    """The polygons of a file, by the ending of its name. Raises ConfigError for a file without polygons."""
    path = expanded(name)
    _refuse_missing(name)
    ending = path.suffix.lower()
    if layer is not None and ending in (*_JSON, *_PARQUET):
        raise ConfigError(f"source.area_layer={layer}: {printable(name)} has no layers; wanted null")
    read = _from_json if ending in _JSON else _from_parquet if ending in _PARQUET else _from_layer(layer)
    try:
        found = read(path)
    except ConfigError as error:
        raise ConfigError(f"source.area={printable(name)}: {error}") from error.__cause__
    except OSError as error:
        raise ConfigError(f"source.area={printable(name)}: it cannot be read: {error.strerror or error}") from error
    if not found.polygons:
        raise ConfigError(f"source.area={printable(name)}: it holds no polygons")
    return found


# --- GeoJSON ------------------------------------------------------------------------------------------------------


def _from_json(path: Path) -> Polygons:
    try:
        tree = json.loads(path.read_bytes())
        polygons = list(_of_json(tree))
    except RecursionError as error:
        raise ConfigError("it is no GeoJSON: its objects are nested too deep") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ConfigError(f"it is no GeoJSON: {type(error).__name__}: {error}") from error
    crs = _crs_of_json(tree)
    if crs == _LONGITUDES:
        _refuse_no_degrees(polygons)
    return Polygons(polygons, crs)


def _crs_of_json(tree: Mapping[str, Any]) -> str:
    """The name in the member `crs`, else that of all GeoJSON."""
    crs = tree.get("crs")
    if crs is None:
        return _LONGITUDES
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str):
        raise ConfigError(f"its member crs is {json.dumps(crs)[:100]}; wanted one with a name, such as EPSG:32610")
    return name


def _of_json(tree: Mapping[str, Any]) -> Iterator[Polygon]:
    """The polygons of a GeoJSON object; of anything else raises ConfigError."""
    kind = tree.get("type")
    if kind == "FeatureCollection":
        for feature in tree["features"]:
            yield from _of_json(feature)
    elif kind == "Feature":
        yield from _of_json(tree["geometry"]) if tree["geometry"] else ()
    elif kind == "GeometryCollection":
        for geometry in tree["geometries"]:
            yield from _of_json(geometry)
    elif kind == "Polygon":
        yield from _polygon(tree["coordinates"])
    elif kind == "MultiPolygon":
        for rings in tree["coordinates"]:
            yield from _polygon(rings)
    else:
        raise ConfigError(f"it holds {_a(kind)}; wanted polygons and nothing else")


def _a(kind: object) -> str:
    return f"a {printable(str(kind))}" if kind else "an object without a type"


def _polygon(rings: Sequence[Any]) -> Iterator[Polygon]:
    """A polygon of lists of coordinates; nothing of an empty one, whose outline has no points."""
    if len(rings) and len(rings[0]):
        yield [_closed(np.array([_xy(point) for point in ring], np.float64)) for ring in rings if len(ring)]


def _xy(point: Sequence[Any]) -> Sequence[float]:
    """x and y of a position. Raises ConfigError for texts, which numpy would take for numbers."""
    for coordinate in point[:2]:
        if isinstance(coordinate, bool) or not isinstance(coordinate, (int, float)):
            raise ConfigError(f"a polygon has the coordinate {json.dumps(coordinate)[:40]}; wanted a number")
    return point[:2]


def _closed(ring: Ring) -> Ring:
    if ring.ndim != 2 or ring.shape[1] != 2:
        raise ConfigError("a polygon has a point that is not [x, y]")
    if not np.isfinite(ring).all():
        raise ConfigError("a polygon has a coordinate that is not finite")
    return ring if len(ring) and (ring[0] == ring[-1]).all() else np.vstack([ring, ring[:1]])


def _refuse_no_degrees(polygons: Iterable[Polygon]) -> None:
    furthest = max((float(np.abs(ring).max()) for rings in polygons for ring in rings), default=0)
    if furthest > 360:
        raise ConfigError(
            f"it has coordinates of up to {furthest:.10g}, which are no degrees; GeoJSON is in longitude and latitude, "
            "unless its member crs says otherwise: ogr2ogr -t_srs EPSG:4326 writes it so"
        )


# --- GeoParquet ---------------------------------------------------------------------------------------------------


def _from_parquet(path: Path) -> Polygons:
    import pyarrow.parquet as pq  # noqa: PLC0415 - of such files alone
    from pyarrow import ArrowException  # noqa: PLC0415 - as above

    try:
        with pq.ParquetFile(path) as file:
            about = json.loads((file.schema_arrow.metadata or {}).get(b"geo", b"{}"))
            column = about.get("columns", {}).get(about.get("primary_column"))
            if column is None:
                raise ConfigError("it is no GeoParquet: its metadata name no column of geometries")
            if column.get("encoding") != "WKB":
                raise ConfigError(f"its geometries are encoded as {column.get('encoding')}; wanted WKB")
            rows = file.read([about["primary_column"]]).column(0).to_pylist()
    except (ArrowException, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"it is no GeoParquet: {error}") from error
    polygons = [polygon for row in rows if row for polygon in _of_wkb(row)]
    return Polygons(polygons, column.get("crs", _LONGITUDES))


# --- by pyogrio ---------------------------------------------------------------------------------------------------


def _from_layer(layer: str | None) -> Callable[[Path], Polygons]:
    def read(path: Path) -> Polygons:
        try:
            import pyogrio  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigError(
                f"pyogrio reads it, which is not installed: {_EXTRA}; or write it as GeoJSON (ogr2ogr area.geojson ...)"
            ) from error
        try:
            name = _layer(layer, [str(name) for name, _ in pyogrio.list_layers(path)])
            about, _, geometries, _ = pyogrio.raw.read(path, layer=name, columns=[])
        except pyogrio.errors.DataSourceError as error:
            raise ConfigError(f"it holds no polygons that are read: {str(error).partition('; It might')[0]}") from error
        if geometries is None:
            raise ConfigError("it is a table without geometries; wanted polygons")
        polygons = [polygon for data in geometries if data for polygon in _of_wkb(data)]
        return Polygons(polygons, about["crs"])

    return read


def _layer(wanted: str | None, layers: Sequence[str]) -> str:
    """The layer that is asked for, or the only one."""
    if wanted in layers or (wanted is None and len(layers) == 1):
        return wanted or layers[0]
    names = listed([f"'{printable(layer)}'" for layer in layers], 10)
    raise ConfigError(f"it has the layers {names}; wanted one of them as source.area_layer, got {wanted or 'null'}")


# --- well-known binary --------------------------------------------------------------------------------------------

_KINDS: Final = {1: "a point", 2: "a line", 4: "points", 5: "lines"}
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000  # flags of PostGIS


def _of_wkb(data: bytes) -> Iterator[Polygon]:
    """The polygons of a geometry; of anything else raises ConfigError."""
    try:
        yield from _Wkb(data).polygons()
    except (struct.error, ValueError, TypeError) as error:
        raise ConfigError(f"a geometry in it is cut off or no well-known binary: {error}") from error
    except RecursionError as error:
        raise ConfigError("a geometry in it is nested too deep") from error


class _Wkb:
    """Reads well-known binary, from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def polygons(self) -> Iterator[Polygon]:
        """The polygons of the next geometry."""
        order = "<" if self._data[self._place : self._place + 1] == b"\1" else ">"
        self._place += 1
        code = self._number(order)
        self._place += 4 * bool(code & _SRID)
        kind, axes = _kind_and_axes(code)
        if kind == 3:
            rings = [self._ring(order, axes) for _ in range(self._number(order))]
            yield from _polygon(rings)
        elif kind in (6, 7):
            for _ in range(self._number(order)):
                yield from self.polygons()
        else:
            raise ConfigError(f"it holds {_KINDS.get(kind, 'curves or surfaces')}; wanted polygons and nothing else")

    def _number(self, order: str) -> int:
        (number,) = struct.unpack_from(f"{order}I", self._data, self._place)
        self._place += 4
        return int(number)

    def _ring(self, order: str, axes: int) -> Ring:
        count = self._number(order)
        points = np.frombuffer(self._data, f"{order}f8", count * axes, self._place)
        self._place += 8 * count * axes
        return points.reshape(count, axes)[:, :2].astype(np.float64)


def _kind_and_axes(code: int) -> tuple[int, int]:
    """The kind of a geometry, and the number of coordinates of a point."""
    more = bool(code & _Z) + bool(code & _M)
    plain = code & 0x0FFFFFFF
    return plain % 1000, 2 + more + {0: 0, 1: 1, 2: 1, 3: 2}.get(plain // 1000, 0)
