"""One setting for each kind of store, told alike to every client; signatures of web addresses stay in memory."""

import pickle
from pathlib import Path

import pytest
from obstore.store import LocalStore

from runner.errors import SourceError
from runner.model import Location, locate, path_of
from runner.read.fetch import FetchOptions
from runner.settings import AzureSettings, GcsSettings, S3Settings, Signing, SourceSettings, StacSettings
from runner.source.gdal_stores import gdal_options, gdal_path
from runner.source.stores import Clouds, Stores

ONE = "https://host:8443/a%20b/k.tif"
SIGNED = f"{ONE}?sv=1&sig=canary-4711"


@pytest.fixture(autouse=True)
def no_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT", "GOOGLE_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("href", "location", "gdal"),
    [
        ("/data/a b.tif", Location(None, "/data/a b.tif"), "/data/a b.tif"),
        ("s3://bucket/a?b#c.tif", Location("s3://bucket", "a?b#c.tif"), "/vsis3/bucket/a?b#c.tif"),
        ("gs://bucket/a/b.tif", Location("gs://bucket", "a/b.tif"), "/vsigs/bucket/a/b.tif"),
        ("az://container/a/b.tif", Location("az://container", "a/b.tif"), "/vsiaz/container/a/b.tif"),
        (ONE, Location("https://host:8443", "a b/k.tif"), f"/vsicurl/{ONE}"),
        ("http://host/a.tif?x=1&y=%20#z", Location("http://host", "a.tif", "x=1&y=%20"), "/vsicurl/http://host/a.tif?x=1&y=%20"),
        ("https://host/ü/100%25.tif", Location("https://host", "ü/100%.tif"), "/vsicurl/https://host/%C3%BC/100%25.tif"),
    ],
)  # fmt: skip
def test_an_href_is_a_root_and_a_key_and_gdal_opens_the_same(href: str, location: Location, gdal: str) -> None:
    assert locate(href) == location
    assert gdal_path(location) == gdal


def test_a_name_follows_from_the_decoded_path_of_a_web_address() -> None:
    assert path_of(SIGNED) == "https://host:8443/a b/k.tif"
    assert path_of("s3://b/a%20b?c.tif") == "s3://b/a%20b?c.tif"


def test_a_signature_is_kept_in_memory_and_put_back_for_requests_alone() -> None:
    stores = Stores(S3Settings())
    href = stores.unsigned(SIGNED)
    assert href == f"{ONE}?[signed]"
    for copy in (stores, pickle.loads(pickle.dumps(stores))):
        assert copy.locate(href).url == SIGNED
    assert stores.unsigned(SIGNED) == href


def test_a_query_that_is_no_secret_stays_a_part_of_the_address() -> None:
    stores = Stores(S3Settings())
    assert stores.unsigned(f"{ONE}?version=3") == f"{ONE}?version=3"
    assert stores.locate(f"{ONE}?version=3").query == "version=3"


@pytest.mark.parametrize(
    ("hrefs", "words"),
    [
        ([SIGNED, SIGNED.replace("4711", "4712")], "two signed addresses differ in their queries only"),
        (["https://me:canary-4711@host/k.tif"], "an address with a user and a password"),
    ],
)
def test_addresses_that_cannot_be_told_apart_or_hold_a_password_are_refused(hrefs: list[str], words: str) -> None:
    stores = Stores(S3Settings())
    with pytest.raises(SourceError, match=words):
        for href in hrefs:
            stores.unsigned(href)


def test_an_address_whose_signature_is_lost_says_what_to_do() -> None:
    with pytest.raises(SourceError, match=r"k.tif\?\[signed\]: its address was signed, and .* not kept"):
        Stores(S3Settings()).locate(f"{ONE}?[signed]")


def test_gdal_is_told_of_every_store(monkeypatch: pytest.MonkeyPatch) -> None:
    gcs, azure = GcsSettings("http://localhost:4443", True), AzureSettings("acc", "http://host/acc/", True)
    source = SourceSettings(gcs=gcs, azure=azure, stac=StacSettings(sign=Signing.planetary_computer))
    assert gdal_options(source) == {
        "GS_NO_SIGN_REQUEST": "YES",
        "CPL_GS_ENDPOINT": "http://localhost:4443/",
        "AZURE_NO_SIGN_REQUEST": "YES",
        "AZURE_STORAGE_ACCOUNT": "acc",
        "CPL_AZURE_ENDPOINT": "http://host/acc",
        "VSICURL_PC_URL_SIGNING": "YES",
    }
    assert gdal_options(SourceSettings()) == {}
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "other")
    assert gdal_options(SourceSettings()) == {"AZURE_STORAGE_ACCOUNT": "other"}


@pytest.mark.parametrize("option", ["AWS_NO_SIGN_REQUEST", "GS_NO_SIGN_REQUEST", "AZURE_NO_SIGN_REQUEST"])
def test_gdal_signs_where_the_setting_says_so_whatever_the_environment_says(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(option, "YES")
    assert gdal_options(SourceSettings()) == {option: "NO"}


@pytest.mark.parametrize(
    ("sign", "url", "signed"),
    [
        (Signing.auto, "https://planetarycomputer.microsoft.com/api/stac/v1", True),
        (Signing.auto, "items.json", False),
        (Signing.planetary_computer, "items.json", True),
        (Signing.none, "https://planetarycomputer.microsoft.com/api/stac/v1", False),
    ],
)
def test_the_planetary_computer_signs_containers_of_azure(sign: Signing, url: str, signed: bool) -> None:
    stores = Stores.of_source(SourceSettings(url=url, stac=StacSettings(sign=sign)), FetchOptions())
    location = stores.locate("https://acc.blob.core.windows.net/container/a/b.tif")
    root = "https://acc.blob.core.windows.net"
    assert location == (Location(f"{root}/container", "a/b.tif") if signed else Location(root, "container/a/b.tif"))
    assert gdal_path(location) == f"/vsicurl/{root}/container/a/b.tif"


def test_files_of_this_machine_need_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    stores = Stores(S3Settings())
    assert {type(make(locate("/data/x.tif"))) for make in (stores.of, stores.for_listing)} == {LocalStore}


def test_azure_needs_the_name_of_an_account() -> None:
    with pytest.raises(SourceError, match="az://c: the name of its storage account is not known; set source.azure.acc"):
        Stores(S3Settings()).of(locate("az://c/k.tif"))


@pytest.mark.parametrize("content", [None, '{"canary": "4711"}'])
def test_credentials_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content:
        (tmp_path / "key.json").write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    with pytest.raises(SourceError, match="gs://b: no file of Google's credentials is where GOOGLE_APP") as caught:
        Stores(S3Settings()).of(locate("gs://b/k.tif"))
    assert "4711" not in str(caught.value)


def test_a_key_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCESS_KEY", "canary 4711!")
    clouds = Clouds(azure=AzureSettings("acc"))
    with pytest.raises(SourceError, match="az://c: AZURE_STORAGE_ACCESS_KEY is not a key of a storage acc") as caught:
        Stores(S3Settings(), clouds=clouds).of(locate("az://c/k.tif"))
    assert "4711" not in str(caught.value)
