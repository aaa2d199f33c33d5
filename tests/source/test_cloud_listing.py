"""Buckets of Google Cloud Storage and containers of Azure are listed by the same patterns as those of S3."""

from collections.abc import Iterator
from urllib.parse import quote_plus

import pytest
from jobs import found_stack
from s3_pages import page_xml
from scenes_on_disk import speckle, write_scene
from scripted_server import Answer, Asked, error, scripted_server
from waiting import LONG

from runner.demo.server import serve
from runner.errors import SourceError
from runner.model import StoredObject
from runner.read.fetch import FetchOptions
from runner.settings import AzureSettings, GcsSettings, SourceSettings
from runner.source.listing import list_objects
from runner.source.stores import Stores

NAMES = ["a/20200101.tif", "a/b/20200102.tif", "a/b/c/20200103.tif", "a/b/notes 20200104.txt", "z/20200105+x y.tif"]
QUICK = FetchOptions(attempts=2, backoff_seconds=0.001, timeout_seconds=LONG)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Our S3 server, in whose protocol Google's XML API lists and reads, in pages of two."""
    root = tmp_path_factory.mktemp("buckets")
    for name in NAMES:
        write_scene(root / "bucket" / name, speckle((40, 30)))
    with serve(root, page_size=2) as url:
        yield url


def google(endpoint: str, url: str) -> SourceSettings:
    return SourceSettings(url=url, datetime_regex=r"(?P<date>\d{8})", gcs=GcsSettings(endpoint, anonymous=True))


def azure(endpoint: str, url: str) -> SourceSettings:
    access = AzureSettings("acc", endpoint, anonymous=True)
    return SourceSettings(url=url, datetime_regex=r"(?P<date>\d{8})", azure=access)


def listed(source: SourceSettings) -> list[StoredObject]:
    return list_objects(source, Stores.of_source(source, QUICK))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*.tif", [NAMES[0], NAMES[1], NAMES[2], NAMES[4]]),
        ("a/*.tif", [NAMES[0]]),
        ("a/b/**/*2020010[23].tif", NAMES[1:3]),
        (NAMES[4], [NAMES[4]]),
    ],
)
def test_a_glob_over_google_finds_what_it_names(endpoint: str, pattern: str, expected: list[str]) -> None:
    found = listed(google(endpoint, f"gs://bucket/{pattern}"))
    assert [item.href for item in found] == [f"gs://bucket/{name}" for name in expected]
    assert all(item.size and item.etag and item.modified for item in found)


def test_a_bucket_of_google_becomes_a_stack(endpoint: str) -> None:
    source = google(endpoint, "gs://bucket/a/**/*.tif")
    stores = Stores.of_source(source, QUICK)
    stack = found_stack(source, stores)
    assert [scene.name for scene in stack.scenes] == ["20200101", "b/20200102", "b/c/20200103"]


def blobs(keys: list[str], marker: str = "") -> bytes:
    """A page of List Blobs."""
    items = "".join(
        f"<Blob><Name>{key}</Name><Properties><Last-Modified>Mon, 06 Jan 2020 00:00:00 GMT</Last-Modified>"
        f"<Etag>0x{number}A</Etag><Content-Length>7</Content-Length><Content-Type>image/tiff</Content-Type>"
        "</Properties></Blob>"
        for number, key in enumerate(keys)
    )
    return f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="c"><Blobs>{items}</Blobs>' \
        f"<NextMarker>{marker}</NextMarker></EnumerationResults>".encode()  # fmt: skip


def test_a_glob_over_azure_goes_through_all_pages_and_passes_over_failures() -> None:
    def script(asked: Asked) -> Answer:
        if asked.number == 2:
            return error(503, "ServerBusy")
        last = "marker" in asked.query
        return Answer(body=blobs(["d/20200102.tif", "d/x.txt"] if last else ["d/20200101.tif"], "" if last else "m"))

    with scripted_server(script) as server:
        found = listed(azure(server.endpoint, "az://c/d/*.tif"))
    assert [(item.href, item.size, item.etag) for item in found] == [
        ("az://c/d/20200101.tif", 7, "0x0A"),
        ("az://c/d/20200102.tif", 7, "0x0A"),
    ]
    assert [asked.query["prefix"] for asked in server.asked] == ["d/"] * 3


@pytest.mark.parametrize(
    ("answer", "google_says", "azure_says"),
    [
        (error(403, "AccessDenied"), "gs://c: access denied; for a public bucket set source.gcs.anonymous=true",
         "az://c: access denied; for a public container set source.azure.anonymous=true"),
        (error(404, "NoSuchBucket"), "gs://c: it does not exist there; check the name and source.gcs.end", None),
        (error(404, "ContainerNotFound"), None, "az://c: it does not exist there; check the name and source.azure.end"),
        (error(503, "SlowDown"), "gs://c: it cannot be listed: the server throttles", "az://c: .*the server throttles"),
        (Answer(body=b"<html>hello</html>"), None, "az://c: it cannot be listed: "),
    ],
)  # fmt: skip
def test_a_store_that_cannot_be_listed_says_why_and_what_to_do(
    answer: Answer, google_says: str | None, azure_says: str | None
) -> None:
    with scripted_server(lambda asked: answer) as server:
        for source, words in ((google, google_says), (azure, azure_says)):
            scheme = "gs" if source is google else "az"
            if words:
                with pytest.raises(SourceError, match=words):
                    listed(source(server.endpoint, f"{scheme}://c/*.tif"))


@pytest.mark.parametrize(
    ("scheme", "setting"), [("gs", "source.gcs.endpoint_url"), ("az", "source.azure.endpoint_url")]
)
def test_a_name_that_is_not_found_is_named_with_its_setting(scheme: str, setting: str) -> None:
    source = (google if scheme == "gs" else azure)("http://no-such-host.invalid", f"{scheme}://c/*.tif")
    with pytest.raises(SourceError, match=f"the name no-such-host.invalid is not found; check {setting}"):
        listed(source)


def test_a_pattern_over_a_web_server_is_refused_with_what_to_do() -> None:
    with pytest.raises(SourceError, match=r"a web server has no listing, .*source=manifest. or .*source=stac"):
        listed(SourceSettings(url="https://host/*.tif", datetime_regex="x"))


def test_one_object_of_a_web_server_is_a_listing() -> None:
    assert listed(SourceSettings(url="https://host/20200101.tif", datetime_regex="x")) == [
        StoredObject("https://host/20200101.tif")
    ]


def test_a_page_of_google_may_be_encoded_as_s3s_are() -> None:
    with scripted_server(lambda asked: Answer(body=page_xml([quote_plus("20200101.tif")]))) as server:
        assert [item.href for item in listed(google(server.endpoint, "gs://c/*.tif"))] == ["gs://c/20200101.tif"]
