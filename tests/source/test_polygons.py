"""Polygons in files of every format, and what is not one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rasterio.crs import CRS

from runner.errors import ConfigError
from runner.settings import SourceSettings
from runner.source.area import Polygons, read_polygons

OUTLINE = [[0, 0], [4, 0], [4, 3], [0, 3], [0, 0]]
HOLE = [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]
POLYGON = {"type": "Polygon", "coordinates": [OUTLINE, HOLE]}
MULTI = {"type": "MultiPolygon", "coordinates": [[OUTLINE, HOLE], [[[9, 9], [8, 9], [8, 8], [9, 9]]]]}


def read_area(name: str, layer: str | None = None) -> Polygons:
    return read_polygons(SourceSettings(area=name, area_layer=layer), None)


def feature(geometry: object) -> dict[str, object]:
    return {"type": "Feature", "properties": {"name": "field"}, "geometry": geometry}


def written(folder: Path, content: object, name: str = "area.geojson") -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def wkb(geometry: dict[str, Any], order: str = "<", axes: int = 2) -> bytes:
    """Well-known binary of a polygon or a multipolygon, with `axes` coordinates a point."""
    mark, kind = (b"\1" if order == "<" else b"\0"), {2: 0, 3: 1000, 4: 3000}[axes]

    def number(value: int) -> bytes:
        return np.array(value, f"{order}u4").tobytes()

    def polygon(rings: list[list[list[float]]]) -> bytes:
        points = [np.hstack([np.array(ring, float), np.full((len(ring), axes - 2), 7.0)]) for ring in rings]
        body = b"".join(number(len(ring)) + ring.astype(f"{order}f8").tobytes() for ring in points)
        return mark + number(kind + 3) + number(len(rings)) + body

    if geometry["type"] == "Polygon":
        return polygon(geometry["coordinates"])
    parts = [polygon(rings) for rings in geometry["coordinates"]]
    return mark + number(kind + 6) + number(len(parts)) + b"".join(parts)


def write_geoparquet(path: Path, rows: list[bytes | None], column: dict[str, object]) -> str:
    about = {"version": "1.1.0", "primary_column": "shape", "columns": {"shape": column}}
    table = pa.table({"shape": pa.array(rows, pa.binary())}).replace_schema_metadata({"geo": json.dumps(about)})
    pq.write_table(table, path)
    return str(path)


@pytest.mark.parametrize(
    ("content", "polygons"),
    [
        (POLYGON, 1),
        (MULTI, 2),
        (feature(POLYGON), 1),
        ({"type": "FeatureCollection", "features": [feature(POLYGON), feature(None), feature(MULTI)]}, 3),
        ({"type": "GeometryCollection", "geometries": [MULTI, POLYGON]}, 3),
        ({"type": "Polygon", "coordinates": [[[*point, 12.5] for point in OUTLINE[:-1]]]}, 1),
    ],
)
def test_geojson_holds_polygons_in_degrees(tmp_path: Path, content: object, polygons: int) -> None:
    found = read_area(written(tmp_path, content))
    assert len(found.polygons) == polygons
    assert found.crs == CRS.from_user_input("OGC:CRS84")
    np.testing.assert_array_equal(found.polygons[-1][0][0], found.polygons[-1][0][-1])  # closed


def test_geojson_of_old_names_its_crs(tmp_path: Path) -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32610"}}
    assert read_area(written(tmp_path, {**POLYGON, "crs": crs})).crs.to_epsg() == 32610


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "{",
            "it is no GeoJSON: line 1, column 2: Expecting property name .*; it was cut off or altered; write it anew",
        ),
        (" \n", "it is empty; name a GeoJSON file with polygons"),
        ("[" * 100_000, "it is no GeoJSON: its objects are nested too deep"),
        ([1], "it is no GeoJSON: it holds a list, wanted an object; write it anew"),
        ({"type": "Polygon"}, "it is no GeoJSON: an object lacks its member 'coordinates'; write it anew"),
        ({"type": "Polygon", "coordinates": [[1, 2], [3, 4]]}, "its coordinates are not those of polygons"),
        ({"type": "Polygon", "coordinates": [[["a", "b"]]]}, 'a polygon has the coordinate "a"; wanted a number'),
        ({"type": "Polygon", "coordinates": [[["0", "1"], [1, 1], [2, 0]]]}, 'has the coordinate "0"; wanted a number'),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], "20"]]}, 'has the coordinate "2"; wanted a number'),
        ({"type": "Polygon", "coordinates": [[[0, True], [1, 1]]]}, "has the coordinate true; wanted a number"),
        ({"type": "Polygon", "coordinates": [[[0, None], [1, 1]]]}, "has the coordinate null; wanted a number"),
        ({"type": "Polygon", "coordinates": [[[0, 10**400], [1, 1]]]}, "its coordinates are not those of polygons"),
        ({"type": "Polygon", "coordinates": [[[0, float("inf")], [1, 1]]]}, "a coordinate that is not finite"),
        ({"type": "Point", "coordinates": [0, 0]}, "it holds a Point; wanted polygons and nothing else"),
        ({}, "it holds an object without a type; wanted polygons"),
        ({"type": "FeatureCollection", "features": []}, "it holds no polygons; name a file, or a layer"),
        ({"type": "Polygon", "coordinates": []}, "it holds no polygons"),
        ({"type": "Polygon", "coordinates": [[], HOLE]}, "it holds no polygons"),  # a hole in nothing
        ({"type": "Polygon", "coordinates": [[[1], [2], [3]]]}, r"a polygon has a point that is not \[x, y\]"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1], [1, 1]]]}, r"a polygon has a point that is not \[x, y\]"),
        ({"type": "Polygon", "coordinates": [[[], []]]}, r"a polygon has a point that is not \[x, y\]"),
        ({**POLYGON, "crs": 5}, "its member crs is 5; wanted one with a name"),
        ({**POLYGON, "crs": {"properties": None}}, "wanted one with a name"),
        ({"type": "Polygon", "coordinates": [[[499980, 0], [1, 1], [2, 2]]]}, "up to 499980, which are no degrees"),
    ],
)
def test_what_is_no_geojson_of_polygons_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_area(written(tmp_path, content))
    assert str(caught.value).startswith("source.area=")


@pytest.mark.parametrize(("order", "axes"), [("<", 2), (">", 2), ("<", 3), (">", 4)])
def test_geoparquet_is_read_without_an_extra(tmp_path: Path, order: str, axes: int) -> None:
    rows = [wkb(POLYGON, order, axes), None, wkb(MULTI, order, axes)]
    found = read_area(write_geoparquet(tmp_path / "area.parquet", rows, {"encoding": "WKB"}))
    assert [len(rings) for rings in found.polygons] == [2, 2, 1]
    np.testing.assert_array_equal(found.polygons[1][1], HOLE)
    assert found.crs == CRS.from_user_input("OGC:CRS84")


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        (wkb(POLYGON)[:40], {"encoding": "WKB"}, "a geometry in it is cut off"),
        (wkb(POLYGON), {"encoding": "polygon"}, "its geometries are encoded as polygon; wanted WKB"),
        (2000 * (b"\1\7\0\0\0\1\0\0\0") + wkb(POLYGON), {"encoding": "WKB"}, "a geometry in it is nested too deep"),
        (b"\1\1\0\0\0" + bytes(16), {"encoding": "WKB"}, "it holds a point; wanted polygons"),
    ],
)
def test_what_is_no_geoparquet_of_polygons_is_refused(
    tmp_path: Path, row: bytes, column: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_area(write_geoparquet(tmp_path / "area.parquet", [row], column))


def test_a_parquet_table_without_geometries_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="it is no GeoParquet: its metadata name no column"):
        read_area(str(tmp_path / "a.parquet"))
    (tmp_path / "b.parquet").write_text("no table")
    with pytest.raises(ConfigError, match="it is no GeoParquet"):
        read_area(str(tmp_path / "b.parquet"))


@pytest.mark.parametrize("name", ["nowhere.geojson", "nowhere.gpkg"])
def test_a_file_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"source.area={name}: there is no such file"):
        read_area(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lake.geojson", "did you mean lakes.geojson"),
        ("xyz", "its folder .* has fields.gpkg, lakes.geojson$"),
        ("below/lakes.geojson", "there is no folder .*/below"),
        ("empty/lakes.geojson", "its folder .*/empty has no file of polygons"),
    ],
)
def test_what_lies_in_place_of_a_missing_file_is_named(tmp_path: Path, name: str, hint: str) -> None:
    for other in ("lakes.geojson", "fields.gpkg", "notes.txt"):
        (tmp_path / other).touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=f"there is no such file; {hint}"):
        read_area(str(tmp_path / name))


def test_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="wanted a file of this machine"):
        read_area("s3://bucket/area.geojson")


def test_a_layer_of_a_file_without_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="source.area_layer=fields: .* has no layers"):
        read_area(written(tmp_path, POLYGON), "fields")


# --- by pyogrio ---------------------------------------------------------------------------------------------------


def write_layer(path: Path, geometries: list[bytes], crs: str | None = "EPSG:32610", **options: object) -> str:
    pyogrio = pytest.importorskip("pyogrio")
    kind, names = "MultiPolygon", [np.array(["x"] * len(geometries), object)]
    shapes = np.array(geometries, object)
    pyogrio.raw.write(path, shapes, names, np.array(["name"]), geometry_type=kind, crs=crs, **options)
    return str(path)


@pytest.mark.parametrize("name", ["area.gpkg", "area.shp", "area.fgb"])
def test_geopackages_and_shapefiles_are_read_by_pyogrio(tmp_path: Path, name: str) -> None:
    found = read_area(write_layer(tmp_path / name, [wkb(MULTI)]))
    assert sorted(len(rings) for rings in found.polygons) == [1, 2]
    assert found.crs.to_epsg() == 32610


def test_a_layer_is_asked_for_where_there_are_several(tmp_path: Path) -> None:
    path = tmp_path / "area.gpkg"
    write_layer(path, [wkb(MULTI)], layer="fields")
    write_layer(path, [wkb(MULTI), wkb(MULTI)], layer="woods", append=True)
    assert len(read_area(str(path), "woods").polygons) == 4
    with pytest.raises(ConfigError, match="it has the layers 'fields', 'woods'; wanted one of them .* got null"):
        read_area(str(path))
    with pytest.raises(ConfigError, match="got roads"):
        read_area(str(path), "roads")


def test_a_file_of_no_format_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyogrio")
    with pytest.raises(ConfigError, match="it holds no polygons that are read"):
        read_area(written(tmp_path, "text", "area.gpkg"))


def test_a_table_without_geometries_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyogrio")
    with pytest.raises(ConfigError, match="it is a table without geometries"):
        read_area(written(tmp_path, "href,datetime\na.tif,2020-01-06\n", "scenes.csv"))


def test_the_extra_that_reads_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyogrio", None)
    with pytest.raises(ConfigError, match=r"pip install 'cog-stack-runner\[vector\]'"):
        read_area(written(tmp_path, "text", "area.gpkg"))
