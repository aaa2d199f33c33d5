"""Footprints as a column of a Parquet table, from which GeoPandas, DuckDB and GDAL draw maps.

Source: GeoParquet 1.1.0 (https://geoparquet.org/releases/v1.1.0/), and well-known binary as it names it (ISO 19125-1).
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from runner.output.arrow import column
from runner.output.footprint import Footprint

GEOMETRY: Final = "geometry"  # the name of the column, which readers expect
_POLYGON, _MULTIPOLYGON = 3, 6  # types of well-known binary
# EPSG:4326 as PROJJSON, in which PROJ may also list each realization, so that bytes would not be the same everywhere.
# Points are longitude, then latitude, as GeoParquet has them for every CRS.
_AXES: Final = (("Geodetic latitude", "Lat", "north"), ("Geodetic longitude", "Lon", "east"))
_DEGREES: Final = {
    "$schema": "https://proj.org/schemas/v0.7/projjson.schema.json",
    "type": "GeographicCRS",
    "name": "WGS 84",
    "datum": {
        "type": "GeodeticReferenceFrame",
        "name": "World Geodetic System 1984",
        "ellipsoid": {"name": "WGS 84", "semi_major_axis": 6378137, "inverse_flattening": 298.257223563},
    },
    "coordinate_system": {
        "subtype": "ellipsoidal",
        "axis": [
            {"name": name, "abbreviation": short, "direction": direction, "unit": "degree"}
            for name, short, direction in _AXES
        ],
    },
    "id": {"authority": "EPSG", "code": 4326},
}
_RING: Final = struct.Struct("<BIII")  # little-endian, type, rings (one), points
_PARTS: Final = struct.Struct("<BII")  # little-endian, type, polygons


def with_footprints(table: pa.Table, footprints: Sequence[Footprint | None]) -> pa.Table:
    """The table with a last column of footprints, null for those that are not known."""
    known = {id(footprint): wkb_of(footprint) for footprint in footprints if footprint is not None}
    shapes = [known.get(id(footprint)) for footprint in footprints]
    return described(table.append_column(GEOMETRY, column(shapes, pa.binary())))


def described(table: pa.Table) -> pa.Table:
    """A table that has such a column, with the metadata by which readers know it."""
    shapes = set(table[GEOMETRY].to_pylist()) - {None}
    metadata = {**(table.schema.metadata or {}), "geo": json.dumps(_metadata(shapes), sort_keys=True)}
    return table.replace_schema_metadata(metadata)


def wkb_of(footprint: Footprint) -> bytes:
    """A footprint as well-known binary."""
    coordinates = footprint.geometry["coordinates"]
    if footprint.geometry["type"] == "Polygon":
        return _polygon(*coordinates)
    return _PARTS.pack(1, _MULTIPOLYGON, len(coordinates)) + b"".join(_polygon(ring) for (ring,) in coordinates)


def _polygon(ring: Sequence[Sequence[float]]) -> bytes:
    return _RING.pack(1, _POLYGON, 1, len(ring)) + np.array(ring, "<f8").tobytes()


def _rings(wkb: bytes) -> Iterator[npt.NDArray[np.float64]]:
    """The rings of a footprint, (points, 2)."""
    several, count = _PARTS.unpack_from(wkb)[1:]
    at, rings = (_PARTS.size, count) if several == _MULTIPOLYGON else (0, 1)
    for _ in range(rings):
        points = _RING.unpack_from(wkb, at)[3]
        yield np.frombuffer(wkb, "<f8", 2 * points, at + _RING.size).reshape(points, 2)
        at += _RING.size + 16 * points


def _metadata(shapes: set[bytes]) -> Mapping[str, Any]:
    kinds = {_POLYGON: "Polygon", _MULTIPOLYGON: "MultiPolygon"}
    found = sorted({kinds[_PARTS.unpack_from(wkb)[1]] for wkb in shapes})
    about = {
        "encoding": "WKB", "geometry_types": found, "crs": _DEGREES, "orientation": "counterclockwise",
    }  # fmt: skip
    if shapes:
        points = np.concatenate([ring for wkb in shapes for ring in _rings(wkb)])
        about["bbox"] = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: about}}
