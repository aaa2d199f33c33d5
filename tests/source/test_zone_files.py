"""Files of zones in every format, and what cannot be one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
from zone_files import feature, write_zones

from runner.errors import ConfigError
from runner.model import Grid
from runner.settings import ZonePixels, ZoneSettings
from runner.source.zone_files import read_features
from runner.source.zones import laid

SQUARE = [(2, 2), (6, 2), (6, 7), (2, 7)]
OTHER = [(4, 4), (9, 4), (9, 9), (4, 9)]
TWO = [feature(SQUARE, name="a", code=7, share=0.5), feature(OTHER, name="b", code=9, share=1.5)]


def grid() -> Grid:
    from rasterio.crs import CRS

    return Grid(CRS.from_epsg(32610).to_wkt(), "EPSG:32610", (20, 0, 499980, 0, -20, 5300040), 12, 15)


@pytest.mark.parametrize("ending", ["geojson", "gpkg", "shp", "fgb", "parquet"])
def test_every_format_has_the_same_zones(tmp_path: Path, ending: str) -> None:
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.GeoDataFrame.from_features(TWO, crs="EPSG:32610")
    path = tmp_path / f"zones.{ending}"
    if ending == "parquet":
        frame.to_parquet(path)
    elif ending == "geojson":
        write_zones(path, TWO)
    else:
        frame.to_file(path, engine="pyogrio")
    found = read_features(ZoneSettings(str(path), id="name"), None)
    order = np.argsort(found.names.astype(str))  # FlatGeobuf sorts by place
    assert found.names[order].tolist() == ["a", "b"]
    zones = laid(found, ZonePixels.center, grid())
    assert zones.pixels[order].tolist() == [20, 25]


@pytest.mark.parametrize(
    ("column", "kind", "names"),
    [
        ("name", "object", ["a", "b"]),
        ("code", "int64", [7, 9]),
        ("share", "float64", [0.5, 1.5]),
        (None, "int64", [0, 1]),
    ],
)
def test_names_keep_their_type(tmp_path: Path, column: str | None, kind: str, names: list[Any]) -> None:
    found = read_features(ZoneSettings(str(write_zones(tmp_path / "z.geojson", TWO)), id=column), None)
    assert (found.names.dtype.name, found.names.tolist()) == (kind, names)


POINT = {"type": "Feature", "properties": {"name": "p"}, "geometry": {"type": "Point", "coordinates": [1, 2]}}
BARE = {"type": "Feature", "properties": {"name": "n"}, "geometry": None}
LINE = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}}


@pytest.mark.parametrize(
    ("features", "column", "message"),
    [
        ([], None, "it holds no features; name a file, or a layer"),
        (TWO, "nam", "it has no column 'nam'; it has code, name, share"),
        ([TWO[0], feature(OTHER, name="a")], "name", "features 0 and 1 (from 0 on) are both a"),
        ([TWO[0], feature(OTHER)], "name", "feature 1 (from 0 on) has no value"),
        ([TWO[0], feature(OTHER, name=3)], "name", "its values are of type int and str"),
        (
            [TWO[0], feature(OTHER, name="b\ud800")],
            "name",
            "feature 1 (from 0 on) is b\\ud800, which is no text of Unicode",
        ),
        ([feature(SQUARE, name=True)], "name", "its values are of type bool"),
        ([TWO[0], POINT], None, "it holds a Point; wanted polygons and nothing else"),
        ([TWO[0], BARE], None, "feature 1 (from 0 on) has no polygon"),
        ([LINE], None, "feature 0 (from 0 on) has a ring of 3 points"),
    ],
)
def test_what_is_no_zone_is_named(
    tmp_path: Path, features: list[dict[str, Any]], column: str | None, message: str
) -> None:
    path = write_zones(tmp_path / "z.geojson", features)
    with pytest.raises(ConfigError) as raised:
        read_features(ZoneSettings(str(path), id=column), None)
    assert message in str(raised.value)
    assert "z.geojson" in str(raised.value) or "zones.id" in str(raised.value)


def test_a_file_without_a_crs_is_refused(tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    geopandas.GeoDataFrame.from_features(TWO).set_crs(None).to_parquet(tmp_path / "z.parquet")
    with pytest.raises(ConfigError, match="names no CRS; give it one"):
        read_features(ZoneSettings(str(tmp_path / "z.parquet")), None)


def test_layers_are_chosen_by_name(tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.GeoDataFrame.from_features(TWO, crs="EPSG:32610")
    frame.to_file(tmp_path / "z.gpkg", layer="fields", engine="pyogrio")
    frame[:1].to_file(tmp_path / "z.gpkg", layer="lakes", engine="pyogrio")
    assert len(pyogrio.list_layers(tmp_path / "z.gpkg")) == 2
    with pytest.raises(ConfigError, match="wanted one of them as zones.layer, got null"):
        read_features(ZoneSettings(str(tmp_path / "z.gpkg")), None)
    assert len(read_features(ZoneSettings(str(tmp_path / "z.gpkg"), "lakes"), None).names) == 1


def test_outlines_that_cross_have_no_fractions(tmp_path: Path) -> None:
    bow = feature([(1, 1), (8, 8), (8, 1), (1, 8)], name="bow")
    found = read_features(ZoneSettings(str(write_zones(tmp_path / "z.geojson", [TWO[0], bow])), id="name"), None)
    with pytest.raises(ConfigError, match="1 of 2 zones cross themselves.* such as bow: Self-intersection"):
        laid(found, ZonePixels.fraction, grid())
    assert laid(found, ZonePixels.center, grid()).pixels.tolist()[0] == 20


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = write_zones(tmp_path / "z.geojson", TWO)
    first = read_features(ZoneSettings(str(path)), None)
    assert read_features(ZoneSettings(str(path)), None) is first
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "features": content["features"][:1]}))
    assert len(read_features(ZoneSettings(str(path)), None).names) == 1
