"""A stac-geoparquet table holds the same items as JSON does."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from scripted_server import Answer, scripted_server

from runner.errors import SourceError
from runner.model import StoredObject
from runner.settings import SourceKind, SourceSettings, StacSettings
from runner.source.listing import list_objects
from runner.source.remarks import Remarks, Stated
from runner.source.stores import Stores

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def write_table(path: Path) -> Path:
    """Two items as stac-geoparquet has them: properties as columns, assets as a struct with gaps."""
    red = {"href": "https://host/a.tif", "raster:bands": [{"scale": 0.1, "offset": None}]}
    times = [datetime(2020, 1, 6, 10, tzinfo=UTC), datetime(2020, 1, 12, tzinfo=UTC)]
    table = pa.table({
        "type": ["Feature"] * 2,
        "id": ["a", "b"],
        "collection": ["c", "c"],
        "geometry": pa.array([b"\x01", None], pa.binary()),
        "bbox": [dict(zip(CORNERS, box, strict=True)) for box in ((1.0, 2.0, 3.0, 4.0), (9.0, 9.0, 9.5, 9.5))],
        "datetime": pa.array(times, pa.timestamp("us", "UTC")),
        "eo:cloud_cover": [12.5, None],
        "assets": [{"red": red, "blue": None}, {"red": {"href": "b.tif"}, "blue": {"href": "b_blue.tif"}}],
    })  # fmt: skip
    parquet.write_table(table, path)
    return path


def listed(url: object, remarks: Remarks | None = None, stac: StacSettings | None = None) -> list[StoredObject]:
    source = SourceSettings(kind=SourceKind.stac, url=str(url), asset="red", stac=stac or StacSettings())
    return list_objects(source, Stores(source.s3), remarks)


def test_rows_are_items(tmp_path: Path) -> None:
    remarks = Remarks()
    second, first = listed(write_table(tmp_path / "items.parquet"), remarks)
    assert (first.href, first.time) == ("https://host/a.tif", datetime(2020, 1, 6, 10, tzinfo=UTC))
    assert dict(first.columns) == {"eo_cloud_cover": "12.5", "collection": "c", "scene": "a"}
    assert first.assets == (("red", "https://host/a.tif"),)
    assert (second.href, dict(second.columns)) == (f"{tmp_path}/b.tif", {"collection": "c", "scene": "b"})
    assert remarks.stated == {"https://host/a.tif": Stated(0.1)}


def test_rows_are_chosen_by_their_box(tmp_path: Path) -> None:
    found = listed(write_table(tmp_path / "items.parquet"), stac=StacSettings(bbox=[0, 0, 5, 5]))
    assert [item.href for item in found] == ["https://host/a.tif"]


def test_a_table_may_lie_on_the_web(tmp_path: Path) -> None:
    body = write_table(tmp_path / "items.parquet").read_bytes()
    with scripted_server(lambda asked: Answer(body=body)) as server:
        found = listed(f"{server.endpoint}/x/items.parquet")
        assert [item.href for item in found] == [f"{server.endpoint}/x/b.tif", "https://host/a.tif"]


def test_another_table_and_another_file_are_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"href": ["canary"]}), tmp_path / "scenes.parquet")
    (tmp_path / "text.parquet").write_text("canary")
    for name, words in (
        ("scenes", "wanted the columns id and assets .* read by source=manifest"),
        ("text", "not a Parquet table of STAC items"),
        ("none", "there is no such table of STAC items"),
    ):
        with pytest.raises(SourceError, match=words) as caught:
            listed(tmp_path / f"{name}.parquet")
        assert "canary" not in str(caught.value)
