"""Polygons in files: GeoJSON, GeoParquet, and by pyogrio GeoPackage, Shapefile and whatever else GDAL reads.

Sources of the formats: RFC 7946 (GeoJSON; its `crs` is of the version before, 2008); https://geoparquet.org/releases.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from runner.base.humanize import listed
from runner.errors import ConfigError, printable
from runner.source.rings import Polygon, polygon
from runner.source.wkb import polygons_of

LONGITUDES: Final = "OGC:CRS84"  # degrees, longitude first
JSON: Final = (".json", ".geojson")
PARQUET: Final = (".parquet", ".geoparquet", ".pq")
_ANEW_PARQUET: Final = "write it anew, as by GeoPandas' to_parquet"
_ANEW: Final = "write it anew, as from QGIS or by ogr2ogr -f GeoJSON"
_EXTRA: Final = "pip install 'cog-stack-runner[vector]'"


# --- files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class FileFeatures:
    """The polygons of each feature of a file, the values of one of its columns, and its CRS as it has it."""

    polygons: list[list[Polygon]]
    values: Sequence[Any] | npt.NDArray[Any] | None
    crs: Any


@contextmanager
def told_of(file: str) -> Iterator[None]:
    """Let errors of this context begin with the setting that names the file. Raises ConfigError."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error.__cause__
    except OSError as error:
        raise ConfigError(f"{file}: it cannot be read: {error.strerror or error}") from error


def refuse_layer(key: str, layer: str | None, path: Path, name: str) -> None:
    """Raise ConfigError for a layer of a file whose format has none; `name` is that of the settings."""
    if layer is not None and path.suffix.lower() in (*JSON, *PARQUET):
        raise ConfigError(f"{key}={layer}: {printable(name)} has no layers; wanted null")


def features_of_file(path: Path, key: str, layer: str | None, column: str | None = None) -> FileFeatures:
    """The features of a file, by the ending of its name. Raises ConfigError, which names the `key` of the layer."""
    ending = path.suffix.lower()
    if ending in JSON:
        return _from_json(path, column)
    if ending in PARQUET:
        return _from_parquet(path, column)
    return _from_layer(path, key, layer, column)


# --- GeoJSON ------------------------------------------------------------------------------------------------------


def _from_json(path: Path, column: str | None) -> FileFeatures:
    try:
        tree = _tree_of_json(path)
        features = tree["features"] if tree.get("type") == "FeatureCollection" else [tree]
        polygons = [[*_of_json(feature)] for feature in features]
        properties = [feature.get("properties") or {} for feature in features]
    except RecursionError as error:
        raise ConfigError("it is no GeoJSON: its objects are nested too deep") from error
    except KeyError as error:
        raise ConfigError(f"it is no GeoJSON: an object lacks its member {error}; {_ANEW}") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ConfigError(f"it is no GeoJSON: its coordinates are not those of polygons ({error}); {_ANEW}") from error
    crs = _crs_of_json(tree)
    if crs == LONGITUDES:
        _refuse_no_degrees(polygon for of_feature in polygons for polygon in of_feature)
    if column is None:
        return FileFeatures(polygons, None, crs)
    _refuse_missing_column(column, sorted({name for of_feature in properties for name in of_feature}))
    return FileFeatures(polygons, [of_feature.get(column) for of_feature in properties], crs)


def _parsed(content: bytes) -> Any:
    """JSON by the faster of two parsers; what it refuses, such as NaN or UTF-16, goes to the one that takes more."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(content)


def _tree_of_json(path: Path) -> Any:
    """The object that a file holds. Raises ConfigError for one that is no JSON, and for a value that is no object."""
    data = path.read_bytes()
    if not data.strip():
        raise ConfigError("it is empty; name a GeoJSON file with polygons")
    try:
        tree = _parsed(data)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise ConfigError(f"it is no GeoJSON: {place}; it was cut off or altered; {_ANEW}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"it is no GeoJSON: byte {error.start} is no text; {_ANEW}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"it is no GeoJSON: it holds a {type(tree).__name__}, wanted an object; {_ANEW}")
    return tree


def _crs_of_json(tree: Mapping[str, Any]) -> str:
    """The name in the member `crs`, else that of all GeoJSON."""
    crs = tree.get("crs")
    if crs is None:
        return LONGITUDES
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
        yield from polygon(tree["coordinates"])
    elif kind == "MultiPolygon":
        for rings in tree["coordinates"]:
            yield from polygon(rings)
    else:
        raise ConfigError(f"it holds {_a(kind)}; wanted polygons and nothing else")


def _a(kind: object) -> str:
    return f"a {printable(str(kind))}" if kind else "an object without a type"


def _refuse_no_degrees(polygons: Iterable[Polygon]) -> None:
    """Raise ConfigError for coordinates that cannot be longitudes."""
    furthest = max((float(np.abs(ring).max()) for rings in polygons for ring in rings), default=0)
    if furthest > 360:
        raise ConfigError(
            f"it has coordinates of up to {furthest:.10g}, which are no degrees; GeoJSON is in longitude and latitude, "
            "unless its member crs says otherwise: ogr2ogr -t_srs EPSG:4326 writes it so"
        )


# --- GeoParquet ---------------------------------------------------------------------------------------------------


def _from_parquet(path: Path, column: str | None) -> FileFeatures:
    import pyarrow.parquet as pq  # noqa: PLC0415 - of such files alone
    from pyarrow import ArrowException  # noqa: PLC0415 - as above

    try:
        with pq.ParquetFile(path) as file:
            name, about = _geometries_of(file.schema_arrow.metadata or {})
            if column is not None:
                _refuse_missing_column(column, [each for each in file.schema_arrow.names if each != name])
            table = file.read([name] if column is None else [name, column])
            rows = table[name].to_pylist()
            values = None if column is None else table[column].to_pylist()
    except (ArrowException, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"it is no GeoParquet: {error}; {_ANEW_PARQUET}") from error
    return FileFeatures([[*polygons_of(row)] if row else [] for row in rows], values, about.get("crs", LONGITUDES))


def _geometries_of(metadata: Mapping[bytes, bytes]) -> tuple[str, Mapping[str, Any]]:
    """The column of geometries, and what the metadata of GeoParquet say of it. Raises ConfigError."""
    about = json.loads(metadata.get(b"geo", b"{}"))
    column = about.get("columns", {}).get(about.get("primary_column"))
    if column is None:
        raise ConfigError(f"it is no GeoParquet: its metadata name no column of geometries; {_ANEW_PARQUET}")
    if column.get("encoding") != "WKB":
        raise ConfigError(f"its geometries are encoded as {column.get('encoding')}; wanted WKB")
    return str(about["primary_column"]), column


# --- by pyogrio ---------------------------------------------------------------------------------------------------


def _from_layer(path: Path, key: str, layer: str | None, column: str | None) -> FileFeatures:
    about, geometries, values = _read_layer(path, key, layer, [column] if column else [])
    named = values[column] if column else None
    return FileFeatures([[*polygons_of(data)] if data else [] for data in geometries], named, about["crs"])


def _read_layer(
    path: Path, key: str, layer: str | None, columns: Sequence[str] = ()
) -> tuple[Mapping[str, Any], Sequence[bytes | None], Mapping[str, npt.NDArray[Any]]]:
    """What pyogrio says of a layer, its geometries as well-known binary, and some of its columns.

    Raises ConfigError, which names the key of the layer.
    """
    try:
        import pyogrio  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            f"pyogrio reads it, which is not installed: {_EXTRA}; or write it as GeoJSON (ogr2ogr area.geojson ...)"
        ) from error
    try:
        name = _layer(key, layer, [str(name) for name, _ in pyogrio.list_layers(path)])
        fields = [str(field) for field in pyogrio.read_info(path, layer=name)["fields"]] if columns else []
        for column in columns:
            _refuse_missing_column(column, fields)
        about, _, geometries, values = pyogrio.raw.read(path, layer=name, columns=list(columns))
    except pyogrio.errors.DataSourceError as error:
        if path.is_dir():
            raise ConfigError("it is a folder, and holds no polygons that are read; name a file") from error
        problem = str(error).partition("; It might")[0].rstrip(".")
        raise ConfigError(
            f"it holds no polygons that are read: {problem}; name a GeoJSON, GeoPackage or Shapefile"
        ) from error
    if geometries is None:
        raise ConfigError("it is a table without geometries; wanted polygons")
    return about, geometries, dict(zip(map(str, about["fields"]), values, strict=True))


def _refuse_missing_column(name: str, columns: Sequence[str]) -> None:
    """Raise ConfigError for a column that is not among those of a file."""
    if name not in columns:
        raise ConfigError(
            f"it has no column '{printable(name)}'; it has {listed([*map(printable, columns)], 10) or 'none'}"
        )


def _layer(key: str, wanted: str | None, layers: Sequence[str]) -> str:
    """The layer that is asked for, or the only one."""
    if wanted in layers or (wanted is None and len(layers) == 1):
        return wanted or layers[0]
    names = listed([f"'{printable(layer)}'" for layer in layers], 10)
    raise ConfigError(f"it has the layers {names}; wanted one of them as {key}, got {wanted or 'null'}")
