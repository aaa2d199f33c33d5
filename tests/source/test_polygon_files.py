"""Files of polygons in a bucket: read from a server, once for all stacks of a run."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
from zone_files import feature, write_zones

from runner.demo.server import serve
from runner.errors import SourceError
from runner.settings import S3Settings, SourceKind, SourceSettings, ZoneSettings
from runner.source.area import read_polygons
from runner.source.outlines import Outlines
from runner.source.stores import Stores
from runner.source.zone_files import read_features

SQUARES = [feature([(2, 2), (6, 2), (6, 7), (2, 7)], name="a"), feature([(4, 4), (9, 4), (9, 9), (4, 9)], name="b")]


@pytest.mark.parametrize("ending", ["geojson", "gpkg", "parquet", "shp"])
def test_polygons_of_a_bucket_are_those_of_the_file_and_fetched_once(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "bucket/some folder"
    folder.mkdir(parents=True)
    path = folder / f"fields.{ending}"
    frame = geopandas.GeoDataFrame.from_features(SQUARES, crs="EPSG:32610")
    if ending == "geojson":
        write_zones(path, SQUARES)
    else:
        frame.to_parquet(path) if ending == "parquet" else frame.to_file(path, engine="pyogrio")
    here = read_features(ZoneSettings(str(path), id="name"), None)
    with serve(tmp_path) as endpoint:
        s3 = S3Settings(endpoint_url=endpoint, anonymous=True)
        stores, href = Stores(s3), f"s3://bucket/some folder/fields.{ending}"
        there = read_features(ZoneSettings(href, id="name"), stores)
        area = read_polygons(SourceSettings("s", SourceKind.glob, "", "", area=href), stores)
        with pytest.raises(SourceError, match="there is no such file of polygons"):
            read_polygons(SourceSettings("s", SourceKind.glob, "", "", area="s3://bucket/nothing.gpkg"), stores)
    assert there.sha256 == here.sha256
    assert there.names.tolist() == ["a", "b"]
    for polygon, other in zip(area.polygons, here.polygons, strict=True):
        np.testing.assert_array_equal(polygon[0], other[0][0])
    assert read_features(ZoneSettings(href, id="name"), stores.beside()) is there  # although the server is gone


def test_polygons_have_changed_where_both_digests_are_known_and_differ() -> None:
    now = Outlines("a", "z")
    assert now.changed_since(Outlines()) == now.changed_since(now) == []
    assert now.changed_since(Outlines("b", "z")) == [("source.area", "b", "a")]
    assert Outlines("a").changed_since(Outlines("a", "y")) == []
