"""Causes of failed connections are named; loopback needs no proxy; the authorities of the environment are trusted."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import rasterio
from s3_pages import page_xml
from scenes_on_disk import speckle, write_scene
from scripted_server import Answer, Asked, make_certificate, part_of, scripted_server
from waiting import LONG

from runner.errors import ReadError, SourceError
from runner.model import locate
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, fetch_range
from runner.read.gdal_environment import gdal_environment
from runner.read.network import direct_loopback, proxy_of, speaks_tls
from runner.settings import AzureSettings, GcsSettings, S3Settings, SourceKind, SourceSettings
from runner.source.documents import read_document
from runner.source.gdal_stores import gdal_options, gdal_path, gdal_s3_options
from runner.source.listing import list_objects
from runner.source.stores import Stores, network_environment

ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
ONCE = FetchOptions(attempts=1, timeout_seconds=LONG)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxies and authorities but those that a test names, and time to find out what is wrong with a connection."""
    monkeypatch.setattr("runner.read.network._PROBE_SECONDS", LONG)
    speaks_tls.cache_clear()  # another server may have had the port
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name)


def listed(endpoint: str) -> list[str]:
    s3 = S3Settings(endpoint_url=endpoint, anonymous=True)
    source = SourceSettings("s", SourceKind.glob, "s3://b/*.tif", r"(?P<date>\d{8})", s3=s3)
    return [item.href for item in list_objects(source, Stores(s3, ONCE))]


def fetched(endpoint: str) -> bytes:
    store = Stores(S3Settings(endpoint_url=endpoint, anonymous=True)).s3_store("b")
    return bytes(asyncio.run(fetch_range(ByteRange("s3://b/k", store, "k", None, 0, 10, FetchCounts()), ONCE)))


def one_key(asked: Asked) -> Answer:
    return part_of(bytes(100), asked) if "range" in asked.headers else Answer(body=page_xml(["k.tif"]))


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port where nothing listens, and which nobody else takes meanwhile."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        yield int(mute.getsockname()[1])


def both_say(endpoint: str, words: str) -> None:
    """The client that lists and the client that reads name the same cause."""
    with pytest.raises(SourceError, match=words):
        listed(endpoint)
    with pytest.raises(ReadError, match=words):
        fetched(endpoint)


def test_a_name_that_is_not_found_is_named() -> None:
    both_say("http://no-such-host.invalid:9000", "the name no-such-host.invalid is not found; check source.s3.endpoint")


def test_a_port_where_nothing_listens_is_named(dead_port: int) -> None:
    both_say(f"http://127.0.0.1:{dead_port}", r"nothing listens at http://127.0.0.1:\d+ \(connection refused\)")


def test_a_proxy_that_is_dead_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, dead_port: int) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:canary@127.0.0.1:{dead_port}")
    monkeypatch.setenv("http_proxy", os.environ["HTTP_PROXY"])
    words = r"the proxy http://127.0.0.1:\d+ does not answer; check HTTP_PROXY, or name archive.invalid in NO_PROXY"
    both_say("http://archive.invalid:9000", words)


def test_a_proxy_that_wants_a_login_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server(lambda asked: Answer(407)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.endpoint)
        monkeypatch.setenv("http_proxy", proxy.endpoint)
        both_say("http://archive.invalid:9000", "the proxy wants a login .status 407.")


def test_https_where_there_is_no_tls_is_named() -> None:
    with scripted_server(one_key) as server:
        both_say(server.endpoint.replace("http:", "https:"), r"speaks no TLS: write http:// in source.s3.endpoint_url")


def test_http_where_there_is_tls_is_named(tmp_path: Path) -> None:
    with scripted_server(one_key, make_certificate(tmp_path / "own.pem")) as server:
        both_say(server.endpoint.replace("https:", "http:"), r"speaks TLS: write https:// in source.s3.endpoint_url")


def test_a_certificate_of_an_unknown_authority_is_named(tmp_path: Path) -> None:
    with scripted_server(one_key, make_certificate(tmp_path / "own.pem")) as server:
        both_say(server.endpoint, r"the certificate of https://127.0.0.1:\d+ is not trusted; set AWS_CA_BUNDLE")


def test_a_certificate_of_another_name_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path / "other.pem", "10.0.0.1")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with scripted_server(one_key, certificate) as server:
        both_say(server.endpoint, r"the certificate of https://127.0.0.1:\d+ is of another name")


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_authorities_of_the_environment_are_trusted_by_every_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    content = write_scene(tmp_path / "scene.tif", speckle((64, 64)), blockxsize=64, blockysize=64).read_bytes()
    table = b"href,datetime\nk.tif,2020-01-01\n"

    def script(asked: Asked) -> Answer:
        if not asked.path.endswith((".tif", ".csv")):
            return one_key(asked)
        body = table if asked.path.endswith(".csv") else content
        return part_of(body, asked) if "range" in asked.headers else Answer(body=body, headers={"ETag": '"0"'})

    certificate = make_certificate(tmp_path / "own.pem")
    monkeypatch.setenv(variable, str(certificate))
    with scripted_server(script, certificate) as server:
        s3 = S3Settings(endpoint_url=server.endpoint, anonymous=True)
        assert listed(server.endpoint) == ["s3://b/k.tif"]
        assert fetched(server.endpoint)
        manifest = SourceSettings("s", SourceKind.manifest, "s3://b/list.csv", s3=s3)
        assert [item.href for item in list_objects(manifest, Stores(s3, ONCE))] == ["s3://b/k.tif"]
        with (
            gdal_environment({**network_environment(s3), **gdal_s3_options(s3), **ALONE}),
            rasterio.open(gdal_path(locate(f"s3://b/{variable}.tif"))) as raster,
        ):
            assert raster.shape == (64, 64)


def test_a_bundle_that_is_a_folder_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path))
    with pytest.raises(SourceError, match="that is a folder; name a PEM file"):
        fetched("https://127.0.0.1:9")


def test_a_bundle_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(SourceError, match="AWS_CA_BUNDLE=/nowhere/ca.pem: there is no such file"):
        fetched("https://127.0.0.1:9")
    with pytest.raises(SourceError, match="AWS_CA_BUNDLE=/nowhere/ca.pem: there is no such file"):
        listed("https://127.0.0.1:9")


@pytest.mark.parametrize(
    "content", ["", "garbage", "-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n"]
)
def test_a_bundle_without_a_certificate_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (tmp_path / "ca.pem").write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    for ask in (fetched, listed):
        with pytest.raises(SourceError, match="AWS_CA_BUNDLE=.*ca.pem: no certificate in it can be read"):
            ask("https://127.0.0.1:9")


def test_a_redirect_to_a_dead_address_names_both(dead_port: int) -> None:
    target = f"http://127.0.0.1:{dead_port}/k?X=secret"
    with scripted_server(lambda asked: Answer(307, headers={"Location": target})) as server:
        both_say(
            server.endpoint, f"{server.endpoint} sends on to .*: nothing listens at .*127.0.0.1:{dead_port} [^?]*$"
        )


def test_no_client_asks_a_proxy_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead_port: int
) -> None:
    content = write_scene(tmp_path / "scene.tif", speckle((64, 64)), blockxsize=64, blockysize=64).read_bytes()
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{dead_port}")

    def script(asked: Asked) -> Answer:
        return part_of(content, asked) if "range" in asked.headers else one_key(asked)

    with scripted_server(script) as server:
        s3 = S3Settings(endpoint_url=server.endpoint, anonymous=True)
        with gdal_environment({**network_environment(s3), **gdal_s3_options(s3), **ALONE}):
            assert listed(server.endpoint) == ["s3://b/k.tif"]
            assert fetched(server.endpoint) == content[:10]
            with rasterio.open(gdal_path(locate("s3://b/proxied.tif"))) as raster:
                assert raster.shape == (64, 64)


@pytest.mark.parametrize(
    ("environment", "endpoint", "hosts"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": "http://p"}, None, "localhost,127.0.0.1,::1"),
        ({"all_proxy": "http://p", "NO_PROXY": "a.b, localhost"}, None, "a.b,localhost,127.0.0.1,::1"),
        ({"https_proxy": "http://p"}, "http://127.0.0.2:9000", "localhost,127.0.0.1,::1,127.0.0.2"),
        ({"https_proxy": "http://p"}, "https://example.org", "localhost,127.0.0.1,::1"),
        ({"https_proxy": "http://p", "no_proxy": "*"}, None, None),
    ],
)
def test_loopback_is_added_to_what_needs_no_proxy(
    environment: dict[str, str], endpoint: str | None, hosts: str | None
) -> None:
    wanted = {} if hosts is None else {"NO_PROXY": hosts, "no_proxy": hosts}
    assert direct_loopback(endpoint, environment) == wanted


def test_a_proxy_is_told_without_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_of("https://outside.example/b") == "http://proxy:3128"
    assert proxy_of("https://inside.example/b") is None


# --- other stores than S3's ---------------------------------------------------------------------------------------


def web_says(endpoint: str, words: str) -> None:
    """A reader of ranges and a reader of whole documents name the same cause, and the same setting."""
    stores, href = Stores(S3Settings(), ONCE), f"{endpoint}/k.tif"
    location = stores.locate(href)
    with pytest.raises(ReadError, match=words):
        asyncio.run(fetch_range(ByteRange(href, stores.of(location), location.key, None, 0, 10, FetchCounts()), ONCE))
    with pytest.raises(ReadError, match=words):
        read_document(href, "manifest", stores)


def test_causes_of_failed_connections_to_a_web_server_name_its_address(tmp_path: Path, dead_port: int) -> None:
    web_says(
        "https://no-such-host.invalid", "the name no-such-host.invalid is not found; check its address and the net"
    )
    web_says(
        f"http://127.0.0.1:{dead_port}", r"nothing listens at http://127.0.0.1:\d+ .*; check its address, or start"
    )
    with scripted_server(one_key) as server:
        web_says(server.endpoint.replace("http:", "https:"), "speaks no TLS: write http:// in its address")
    with scripted_server(one_key, make_certificate(tmp_path / "own.pem")) as server:
        web_says(server.endpoint, "is not trusted; set SSL_CERT_FILE to a PEM file")
        web_says(server.endpoint.replace("https:", "http:"), "speaks TLS: write https:// in its address")


@pytest.mark.parametrize("href", ["gs://b/k.tif", "az://c/k.tif"])
def test_authorities_of_the_environment_are_trusted_by_clients_of_other_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, href: str
) -> None:
    content = write_scene(tmp_path / "scene.tif", speckle((64, 64)), blockxsize=64, blockysize=64).read_bytes()
    told = {"ETag": '"0"', "Last-Modified": "Mon, 06 Jan 2020 00:00:00 GMT"}

    def script(asked: Asked) -> Answer:
        return part_of(content, asked, **told) if "range" in asked.headers else Answer(body=content, headers=told)

    certificate = make_certificate(tmp_path / "own.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with scripted_server(script, certificate) as server:
        source = SourceSettings(
            gcs=GcsSettings(server.endpoint, anonymous=True), azure=AzureSettings("a", server.endpoint, anonymous=True)
        )
        stores = Stores.of_source(source, ONCE)
        location = stores.locate(href)
        part = ByteRange(href, stores.of(location), location.key, None, 0, 10, FetchCounts())
        assert bytes(asyncio.run(fetch_range(part, ONCE))) == content[:10]
        with (
            gdal_environment({**network_environment(source.s3), **gdal_options(source), **ALONE}),
            rasterio.open(gdal_path(location)) as raster,
        ):
            assert raster.shape == (64, 64)
