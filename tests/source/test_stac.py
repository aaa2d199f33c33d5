"""STAC items become scenes: one asset each, named by the item, with its properties as columns."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Answer, Asked, part_of, scripted_server
from stac_items import collection_of, link, make_item, write_catalog, write_json

from runner.demo.server import serve
from runner.errors import ReadError, SourceError
from runner.model import StoredObject, locate
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, fetch_range
from runner.read.store_errors import StoreError
from runner.settings import S3Settings, SourceKind, SourceSettings, StacSettings
from runner.source.listing import list_objects
from runner.source.remarks import Remarks, Stated
from runner.source.stores import Clouds, Stores

QUICK = FetchOptions(attempts=2, backoff_seconds=0.001)
ITEMS = [make_item("a", "2020-01-06T10:00:00Z"), make_item("b", "2020-01-12T10:00:00+02:00")]


def source_of(url: object, asset: str = "red", **stac: Any) -> SourceSettings:
    return SourceSettings(kind=SourceKind.stac, url=str(url), asset=asset, stac=StacSettings(**stac))


def listed(source: SourceSettings, remarks: Remarks | None = None) -> list[StoredObject]:
    return list_objects(source, Stores.of_source(source, QUICK), remarks)


def hrefs(source: SourceSettings) -> list[str]:
    return [item.href for item in listed(source)]


# --- where items come from ----------------------------------------------------------------------------------------


def test_a_collection_of_items_on_disk_is_a_listing(tmp_path: Path) -> None:
    first, second = listed(source_of(write_json(tmp_path / "items.json", collection_of([*ITEMS, ITEMS[0]]))))
    assert (first.href, second.href) == (f"{tmp_path}/a.tif", f"{tmp_path}/b.tif")
    assert second.time == datetime(2020, 1, 12, 8, tzinfo=UTC)
    assert dict(first.columns) == {
        "platform": "s2a",
        "eo_cloud_cover": "12.5",
        "seen": "True",
        "collection": "c",
        "scene": "a",
    }
    assert first.assets == (("red", f"{tmp_path}/a.tif"), ("thumbnail", f"{tmp_path}/a.png"))


def test_an_item_alone_is_one_scene(tmp_path: Path) -> None:
    assert hrefs(source_of(write_json(tmp_path / "a.json", ITEMS[0]))) == [f"{tmp_path}/a.tif"]


def test_a_catalog_on_disk_is_walked(tmp_path: Path) -> None:
    assert hrefs(source_of(write_catalog(tmp_path, ITEMS))) == [f"{tmp_path}/c/a/a.tif", f"{tmp_path}/c/b/b.tif"]


def test_a_catalog_in_a_bucket_is_walked(tmp_path: Path) -> None:
    write_catalog(tmp_path / "bucket/x", ITEMS)
    with serve(tmp_path) as endpoint:
        source = source_of("s3://bucket/x/catalog.json")
        source.s3 = S3Settings(endpoint, anonymous=True)
        assert hrefs(source) == ["s3://bucket/x/c/a/a.tif", "s3://bucket/x/c/b/b.tif"]


def files_of(root: Path, asked: Asked) -> Answer:
    path = root / asked.path.lstrip("/")
    return Answer(body=path.read_bytes()) if path.is_file() else Answer(404)


def test_a_catalog_of_the_web_is_walked_each_document_once(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, [make_item("a b"), ITEMS[1]])
    circle = {
        "type": "Catalog",
        "id": "all",
        "links": [link("child", "c/collection.json"), link("child", "catalog.json")],
    }
    write_json(catalog, circle)
    with scripted_server(lambda asked: files_of(tmp_path, asked)) as server:
        found = hrefs(source_of(f"{server.endpoint}/catalog.json"))
        assert [locate(href).key for href in found] == ["c/a b/a b.tif", "c/b/b.tif"]
        assert len(server.asked) == 4


def test_pages_are_followed() -> None:
    def script(asked: Asked) -> Answer:
        page = int(asked.query.get("page", "1"))
        links = [link("next", f"?page={page + 1}")] if page < 3 else []
        return Answer(body=json.dumps(collection_of([make_item(f"i{page}")], links=links)).encode())

    with scripted_server(script) as server:
        found = hrefs(source_of(f"{server.endpoint}/items"))
        assert [href.rpartition("/")[2] for href in found] == ["i1.tif", "i2.tif", "i3.tif"]


def test_a_failure_that_passes_is_asked_for_again_and_a_body_may_come_zipped(tmp_path: Path) -> None:
    import gzip

    body = gzip.compress(write_json(tmp_path / "a.json", ITEMS[0]).read_bytes())

    def script(asked: Asked) -> Answer:
        return Answer(503) if asked.number == 1 else Answer(body=body, headers={"Content-Encoding": "gzip"})

    with scripted_server(script) as server:
        assert hrefs(source_of(f"{server.endpoint}/a.json")) == [f"{server.endpoint}/a.tif"]


def test_an_item_of_a_collection_starts_at_its_own_address(tmp_path: Path) -> None:
    item = make_item("a", links=[link("self", "https://host/x/a.json")])
    assert hrefs(source_of(write_json(tmp_path / "items.json", collection_of([item])))) == ["https://host/x/a.tif"]


@pytest.mark.parametrize(
    ("href", "found"),
    [
        ("s3://b/k.tif", "s3://b/k.tif"),
        ("gs://b/k.tif", "gs://b/k.tif"),
        ("az://c/k.tif", "az://c/k.tif"),
        ("https://h/a/./b/../k.tif", "https://h/a/k.tif"),
        ("/data/k.tif", "/data/k.tif"),
        ("file:///data/k.tif", "/data/k.tif"),
        ("https://h/k.tif?sig=canary-4711", "https://h/k.tif?[signed]"),
    ],
)
def test_assets_lie_anywhere(tmp_path: Path, href: str, found: str) -> None:
    item = make_item("a", assets={"red": {"href": href}})
    assert hrefs(source_of(write_json(tmp_path / "a.json", item))) == [found]


ALTERNATE = {
    "href": "https://host/a.tif",
    "alternate": {"s3": {"href": "s3://b/a.tif"}, "gcs": {"href": "gs://b/a.tif"}},
}
NAMED = {"href": "s3://b/b.tif", "alternate:name": "s3"}


@pytest.mark.parametrize(("alternate", "found"), [(None, "https://host/a.tif"), ("s3", "s3://b/a.tif")])
def test_an_asset_is_read_at_the_alternate_address_that_is_asked_for(
    tmp_path: Path, alternate: str | None, found: str
) -> None:
    assets = {"red": ALTERNATE, "scl": {**ALTERNATE, "alternate": {"s3": {"href": "s3://b/scl.tif"}}}}
    url = write_json(tmp_path / "items.json", make_item("a", assets=assets))
    (item,) = listed(source_of(url, alternate=alternate))
    assert item.href == found
    assert dict(item.assets)["scl"] == ("s3://b/scl.tif" if alternate else "https://host/a.tif")


def test_assets_without_the_alternate_address_are_noted_and_refused_if_none_has_it(tmp_path: Path) -> None:
    parts = {"a": ALTERNATE, "b": NAMED, "c": {"href": "https://host/c.tif"}}
    items = [make_item(name, assets={"red": asset}) for name, asset in parts.items()]
    url, remarks = write_json(tmp_path / "items.json", collection_of(items)), Remarks()
    found = [item.href for item in listed(source_of(url, alternate="s3"), remarks)]
    assert found == ["https://host/c.tif", "s3://b/a.tif", "s3://b/b.tif"]
    assert remarks.notes == ["1 of 3 assets have no alternate address 's3' and are read at their own"]
    with pytest.raises(
        SourceError, match="none of 3 assets has such an address; they have gcs, s3; did you mean 'gcs'"
    ):
        listed(source_of(url, alternate="gs"))


def test_many_files_of_items_are_one_source(tmp_path: Path) -> None:
    for item in [*ITEMS, make_item("c", assets={"nir": {"href": "c.tif"}})]:
        write_json(tmp_path / f"items/{item['id']}.json", item)
    remarks = Remarks()
    found = listed(source_of(tmp_path / "items/*.json"), remarks)
    assert [item.href for item in found] == [f"{tmp_path}/items/a.tif", f"{tmp_path}/items/b.tif"]
    assert [left_out.scene for left_out in remarks.left_out] == ["c"]
    several = replace(source_of(""), url=[f"{tmp_path}/items/a.json", f"{tmp_path}/items/c.json"])
    assert [item.href for item in listed(several)] == [f"{tmp_path}/items/a.tif"]
    with serve(tmp_path) as endpoint:
        source = replace(source_of("s3://items/*.json"), s3=S3Settings(endpoint, anonymous=True))
        assert hrefs(source) == ["s3://items/a.tif", "s3://items/b.tif"]
    with pytest.raises(SourceError, match=r"\*.geojson: nothing matches"):
        listed(source_of(tmp_path / "items/*.geojson"))


def test_the_start_of_a_period_is_the_time_of_an_item_without_another(tmp_path: Path) -> None:
    period = {"datetime": None, "start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-01-31T00:00:00Z"}
    remarks = Remarks()
    (item,) = listed(source_of(write_json(tmp_path / "a.json", make_item("a", properties=period))), remarks)
    assert item.time == datetime(2020, 1, 1, tzinfo=UTC)
    assert remarks.notes == ["the times of 1 of 1 STAC items are the starts of their periods (start_datetime)"]


# --- what is chosen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({}, ["a", "b", "d"]),
        ({"collections": ["e"]}, ["d"]),
        ({"ids": ["a", "d"]}, ["a", "d"]),
        ({"bbox": [10.5, 40.5, 12, 42]}, ["a", "b"]),
        ({"bbox": [-180, 0, -175, 1]}, ["d"]),
        ({"max_items": 2}, ["a", "b"]),
    ],
)
def test_items_of_a_file_are_chosen_as_an_api_would(tmp_path: Path, chosen: dict[str, Any], names: list[str]) -> None:
    over_the_antimeridian = make_item("d", collection="e", bbox=[179, 0, -179, 1])
    url = write_json(tmp_path / "items.json", collection_of([*ITEMS, over_the_antimeridian]))
    assert hrefs(source_of(url, **chosen)) == [f"{tmp_path}/{name}.tif" for name in names]


def test_an_item_without_the_asset_is_left_out_with_the_reason(tmp_path: Path) -> None:
    remarks = Remarks()
    items = [*ITEMS, make_item("d", assets={"blue": {"href": "d.tif"}})]
    found = listed(source_of(write_json(tmp_path / "items.json", collection_of(items))), remarks)
    assert len(found) == 2
    ((item, scene, _, reason, skipped),) = [
        (entry.item.href, entry.scene, entry.time, entry.reason, entry.skipped) for entry in remarks.left_out
    ]
    assert (item, scene, skipped) == (f"{tmp_path}/d.tif", "d", False)
    assert reason == "its STAC item has no asset red: blue"
    assert remarks.notes == ["1 of 3 STAC items are left out: its STAC item has no asset red: blue"]


def test_scale_and_nodata_that_an_item_states_are_remembered(tmp_path: Path) -> None:
    old = {"href": "a.tif", "raster:bands": [{"scale": 0.0001, "offset": -0.1, "nodata": 0}]}
    new = {"href": "b.tif", "nodata": "nan", "bands": [{"name": "red", "raster:scale": 0.01}]}
    items = [make_item("a", assets={"red": old}), make_item("b", assets={"red": new}), make_item("d")]
    remarks = Remarks()
    listed(source_of(write_json(tmp_path / "items.json", collection_of(items))), remarks)
    assert remarks.stated == {
        f"{tmp_path}/a.tif": Stated(0.0001, -0.1, 0),
        f"{tmp_path}/b.tif": Stated(0.01, None, "nan"),
    }


def test_a_signature_in_a_property_is_no_part_of_a_column(tmp_path: Path) -> None:
    properties = {"datetime": "2020-01-06", "preview": "https://h/p.png?sig=canary-4711", "password": "stays"}
    (item,) = listed(source_of(write_json(tmp_path / "a.json", make_item("a", properties=properties))))
    assert dict(item.columns)["preview"] == "https://h/p.png?sig=[redacted]"


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "JSON without an object"),
        ({"type": "Topology"}, "a document of type 'Topology'; wanted a STAC ItemCollection"),
        ({"type": "FeatureCollection", "features": [{"id": "x", "properties": {}}]}, "x is not a STAC item: it lacks"),
        (collection_of([]), "no STAC item is there"),
        (make_item("a", time="tomorrow"), "STAC item a: its datetime is 'tomorrow'; wanted a time"),
        (make_item("a", time=None), "STAC item a: its datetime is None"),
        (make_item("a", assets={"red": {"href": "ftp://h/k.tif"}}), "the asset red is at ftp://h/k.tif; wanted s3://"),
        (make_item("a", assets={"red": {"href": "abfs://c/k.tif"}}), "Azure's abfs:// is az:// here"),
        (make_item("a", assets={"red": {}}), "the asset red is at no href"),
    ],
)
def test_what_is_not_stac_is_refused(tmp_path: Path, document: object, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        listed(source_of(write_json(tmp_path / "x.json", document)))


def test_an_asset_that_no_item_has_is_told_with_those_there_are(tmp_path: Path) -> None:
    url = write_json(tmp_path / "items.json", collection_of(ITEMS))
    with pytest.raises(
        SourceError, match="asset=rad: none of 2 STAC items has .* they have red, thumbnail; did you mean 'red'"
    ):
        listed(source_of(url, "rad"))


@pytest.mark.parametrize("content", ["root:canary:0:0", '{"canary": '])
def test_a_file_that_is_no_json_is_refused_without_a_word_of_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "passwd").write_text(content)
    with pytest.raises(SourceError, match="passwd: not JSON; wanted a STAC") as caught:
        listed(source_of(tmp_path / "passwd"))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"query": ["eo:cloud_cover<20"]}, "source.stac.query is a condition for an API, and source.url is a file"),
        ({"query": ["eo:cloud_cover<20"]}, "choose by source.max_cloud or source.where.PROPERTY, or name the root"),
        ({"datetime": "2020"}, "choose by source.start and source.end"),
        ({"collections": ["x"]}, r"no STAC item is of source.stac.collections=\['x'\]; widen"),
    ],
)
def test_conditions_that_cannot_hold_are_named(tmp_path: Path, chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        listed(source_of(write_json(tmp_path / "items.json", collection_of(ITEMS)), **chosen))


def test_a_link_that_leads_nowhere_ends_it(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, ITEMS)
    (tmp_path / "c/b/b.json").unlink()
    with pytest.raises(SourceError, match="c/b/b.json: there is no such STAC document"):
        listed(source_of(catalog))


def test_a_web_server_that_denies_or_fails_is_told_of() -> None:
    with (
        scripted_server(lambda asked: Answer(403)) as server,
        pytest.raises(
            SourceError, match="access denied to the file .*signature may have expired.*login_from=STAC_TOKEN"
        ),
    ):
        listed(source_of(f"{server.endpoint}/items.json"))
    with (
        scripted_server(lambda asked: Answer(500)) as server,
        pytest.raises(ReadError, match="after 2 attempts: .* fails"),
    ):
        listed(source_of(f"{server.endpoint}/items.json"))


# --- the Planetary Computer ---------------------------------------------------------------------------------------


@pytest.fixture
def planetary_computer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server in place of its token service, and of the one account of Azure."""

    def script(asked: Asked) -> Answer:
        if asked.path == "/token/acc/open":
            return Answer(body=b'{"msft:expiry": "2030-01-01T00:00:00Z", "token": "sv=1&sig=canary-4711"}')
        if asked.path.startswith("/token"):
            return Answer(404, b"no such collection: canary-4711")
        modified = {"Last-Modified": "Mon, 06 Jan 2020 00:00:00 GMT", "ETag": '"x"'}
        return part_of(bytes(100), asked, **modified) if asked.query.get("sig") == "canary-4711" else Answer(403)

    with scripted_server(script) as server:
        monkeypatch.setenv("PC_SDK_SAS_URL", f"{server.endpoint}/token")
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", server.endpoint)
        yield server


def fetched(container: str) -> bytes:
    href = f"https://acc.blob.core.windows.net/{container}/a/k.tif"
    stores = Stores(S3Settings(), clouds=Clouds(signed=True))
    location = stores.locate(href)
    part = ByteRange(href, stores.of(location), location.key, None, 0, 10, FetchCounts())
    return bytes(asyncio.run(fetch_range(part, QUICK)))


def test_tokens_of_the_planetary_computer_sign_requests(planetary_computer: Any) -> None:
    assert fetched("open") == bytes(10)
    assert [asked.path for asked in planetary_computer.asked] == ["/token/acc/open", "/open/a/k.tif"]


def test_a_token_that_is_not_given_is_told_of_without_a_word_of_the_answer(planetary_computer: Any) -> None:
    with pytest.raises(
        StoreError, match="the Planetary Computer gives no token for its container; check source.stac.s"
    ) as caught:
        fetched("closed")
    assert "4711" not in str(caught.value)
