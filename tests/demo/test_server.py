"""The small S3 server: the same clients get the same answers from it as from moto, and what is its alone."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import boto3  # type: ignore[import-untyped]  # no stubs in the test extra
import numpy as np
import obstore
import psutil  # type: ignore[import-untyped]  # as above
import pytest
import rasterio
import s3fs
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import moto_server
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError
from obstore.store import S3Store
from waiting import LONG, lives, wait_until

from runner.demo.archive import ArchiveSpec, ensure_archive
from runner.demo.server import serve
from runner.errors import SourceError

BUCKET = "demo-sentinel1-rtc"
KEYS = ("an-access-key", "a/secret+key")
NUMBERS = bytes(range(250)) * 4
ODD_KEYS = ("odd/a b.txt", "odd/a+b.txt", "odd/café=1&2.txt", "odd/a%20b.txt")
S3_NAMESPACE = {"s3": "http://s3.amazonaws.com/doc/2006-03-01/"}


@dataclass(frozen=True)
class Service:
    """An S3 endpoint with one bucket, and what that was filled with."""

    endpoint: str
    files: dict[str, Path]

    def obstore(self, signed: bool = False, bucket: str = BUCKET, keys: tuple[str, str] = KEYS) -> S3Store:
        access: dict[str, Any] = {"skip_signature": True}
        if signed:
            access = {"access_key_id": keys[0], "secret_access_key": keys[1]}
        options: dict[str, Any] = {"client_options": {"allow_http": True}, "virtual_hosted_style_request": False}
        return S3Store(bucket, endpoint=self.endpoint, region="us-east-1", **access, **options)

    def s3fs(self) -> s3fs.S3FileSystem:
        options = {"endpoint_url": self.endpoint, "use_listings_cache": False, "skip_instance_cache": True}
        return s3fs.S3FileSystem(key=KEYS[0], secret=KEYS[1], **options)

    def boto3(self) -> Any:
        config = Config(s3={"addressing_style": "path"}, proxies={}, retries={"total_max_attempts": 1})
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", config=config,
            aws_access_key_id=KEYS[0], aws_secret_access_key=KEYS[1],
        )  # fmt: skip

    def request(self, target: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask for exactly this target: nothing between the test and the server tidies it up."""
        connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=LONG)
        try:
            connection.request(method, target, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def stats(self, reset: bool = False) -> dict[str, Any]:
        counted: dict[str, Any] = json.loads(self.request("/_stats?reset=1" if reset else "/_stats")[2])
        return counted


@pytest.fixture(scope="module", autouse=True)
def _no_proxy() -> Iterator[None]:
    """Nothing stands between us and loopback."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = ArchiveSpec(scenes=3, width=300, height=260, block=128)
    root = ensure_archive(tmp_path_factory.mktemp("archive"), spec)
    for key in ("numbers.bin", "folder.txt", "folder/one.txt", "folder/deeper/two.txt", "empty.bin", *ODD_KEYS):
        path = root / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if key == "empty.bin" else NUMBERS if key == "numbers.bin" else key.encode())
    return root


@pytest.fixture(scope="module")
def files(root: Path) -> dict[str, Path]:
    folder = root / BUCKET
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def own(root: Path, files: dict[str, Path]) -> Iterator[Service]:
    with serve(root, page_size=2) as endpoint:
        yield Service(endpoint, files)


def first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


@pytest.fixture(scope="module")
def moto(files: dict[str, Path]) -> Iterator[Service]:
    with moto_server() as endpoint:
        service = Service(endpoint, files)
        client = service.boto3()
        client.create_bucket(Bucket=BUCKET)
        for key, path in files.items():
            # Without this ACL nobody reads an object anonymously, on S3 as on moto.
            client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ACL="public-read")
        client.close()
        yield service


@pytest.fixture(scope="module", params=["own", "moto"])
def s3(request: pytest.FixtureRequest) -> Service:
    service: Service = request.getfixturevalue(request.param)
    return service


@pytest.fixture(scope="module")
def locked(root: Path, files: dict[str, Path]) -> Iterator[Service]:
    """The own server, which lets in only what is signed with KEYS."""
    with serve(root, credentials=KEYS) as endpoint:
        yield Service(endpoint, files)


# ---- what both servers do -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True], ids=["anonymous", "signed"])
def test_obstore_lists_every_object_over_all_pages(s3: Service, signed: bool) -> None:
    listed = {item["path"]: item["size"] for page in obstore.list(s3.obstore(signed)) for item in page}
    assert listed == {key: path.stat().st_size for key, path in s3.files.items()}


def test_a_listing_has_the_etag_and_time_that_a_head_request_has(s3: Service) -> None:
    (listed,) = obstore.list(s3.obstore(), prefix="tiles/RTC/1/IW/10/T/ET/2020/S1A_20200112_10TET_DSC").collect()
    head = obstore.head(s3.obstore(), listed["path"])
    assert (head["e_tag"], head["size"]) == (listed["e_tag"], listed["size"])
    assert abs((head["last_modified"] - listed["last_modified"]).total_seconds()) < 1  # a header has whole seconds


def test_pages_follow_each_other_in_the_order_of_keys(s3: Service) -> None:
    client = s3.boto3()
    pages = list(client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 2}))
    client.close()
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    assert keys == sorted(s3.files, key=str.encode)
    assert [page["KeyCount"] for page in pages[:-1]] == [2] * (len(pages) - 1)
    assert [page["IsTruncated"] for page in pages] == [True] * (len(pages) - 1) + [False]


def test_the_older_listing_has_pages_too(s3: Service) -> None:
    client = s3.boto3()
    pages = list(client.get_paginator("list_objects").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 2}))
    client.close()
    assert [item["Key"] for page in pages for item in page["Contents"]] == sorted(s3.files, key=str.encode)


def test_the_older_listing_rolls_up_folders_over_pages(own: Service) -> None:
    # Not on moto, which gives each common prefix again on every later page.
    client = own.boto3()
    paginator = client.get_paginator("list_objects")
    pages = list(paginator.paginate(Bucket=BUCKET, Delimiter="/", PaginationConfig={"PageSize": 2}))
    client.close()
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    prefixes = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
    assert (keys, prefixes) == (["empty.bin", "folder.txt", "numbers.bin"], ["folder/", "odd/", "tiles/"])


def test_a_listing_can_start_after_a_key(s3: Service) -> None:
    listed = [item["path"] for page in obstore.list(s3.obstore(), offset="numbers.bin") for item in page]
    assert sorted(listed) == sorted(key for key in s3.files if key > "numbers.bin")


def test_s3fs_lists_one_level_by_delimiter(s3: Service) -> None:
    names = s3.s3fs().ls(f"{BUCKET}/folder", detail=False)
    assert sorted(names) == [f"{BUCKET}/folder/deeper", f"{BUCKET}/folder/one.txt"]


def test_s3fs_finds_scenes_by_a_glob(s3: Service) -> None:
    found = s3.s3fs().glob(f"{BUCKET}/tiles/RTC/1/IW/10/T/ET/**/Gamma0_VV.tif")
    assert sorted(found) == sorted(f"{BUCKET}/{key}" for key in s3.files if key.endswith("Gamma0_VV.tif"))


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_listed_and_read(s3: Service, key: str) -> None:
    client = s3.boto3()
    # boto3 asks for encoding-type=url and undoes it.
    listed = [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET, Prefix=key)["Contents"]]
    body = client.get_object(Bucket=BUCKET, Key=key)["Body"]
    assert (listed, body.read()) == ([key], key.encode())
    body.close()
    client.close()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param((0, 1), NUMBERS[:1], id="first byte"),
        pytest.param((990, 1000), NUMBERS[990:], id="up to the end"),
        pytest.param((990, 5000), NUMBERS[990:], id="beyond the end"),
        pytest.param({"offset": 600}, NUMBERS[600:], id="open-ended"),
        pytest.param({"suffix": 7}, NUMBERS[-7:], id="suffix"),
        pytest.param({"suffix": 5000}, NUMBERS, id="suffix longer than the object"),
    ],
)
def test_a_range_gives_its_bytes(s3: Service, wanted: Any, expected: bytes) -> None:
    assert bytes(obstore.get(s3.obstore(), "numbers.bin", options={"range": wanted}).bytes()) == expected


@pytest.mark.parametrize("signed", [False, True], ids=["anonymous", "signed"])
def test_a_whole_object_is_read(s3: Service, signed: bool) -> None:
    assert bytes(obstore.get(s3.obstore(signed), "numbers.bin").bytes()) == NUMBERS


def test_the_header_of_a_range_says_where_it_lies(s3: Service) -> None:
    status, headers, body = s3.request(f"/{BUCKET}/numbers.bin", Range="bytes=10-19")
    assert (status, body) == (206, NUMBERS[10:20])
    assert (headers["content-range"], headers["content-length"]) == ("bytes 10-19/1000", "10")
    assert headers["accept-ranges"] == "bytes"


def test_a_range_beyond_the_end_is_refused(s3: Service) -> None:
    status, _, body = s3.request(f"/{BUCKET}/numbers.bin", Range="bytes=1000-")
    assert (status, code_of(body)) == (416, "InvalidRange")


def test_head_gives_headers_and_no_body(s3: Service) -> None:
    status, headers, body = s3.request(f"/{BUCKET}/numbers.bin", "HEAD")
    assert (status, headers["content-length"], body) == (200, "1000", b"")
    assert re.fullmatch(r'"[0-9a-f]{32}(-\d+)?"', headers["etag"])


def test_an_empty_object_is_read(s3: Service) -> None:
    assert bytes(obstore.get(s3.obstore(), "empty.bin").bytes()) == b""


def test_a_range_pinned_to_its_etag_is_read(s3: Service) -> None:
    etag = obstore.head(s3.obstore(), "numbers.bin")["e_tag"]
    got = obstore.get(s3.obstore(), "numbers.bin", options={"range": (5, 9), "if_match": etag}).bytes()
    assert bytes(got) == NUMBERS[5:9]


def test_a_range_pinned_to_another_etag_is_refused(s3: Service) -> None:
    with pytest.raises(PreconditionError):
        obstore.get(s3.obstore(), "numbers.bin", options={"range": (5, 9), "if_match": '"another"'})


def test_what_is_already_known_is_not_sent_again(s3: Service) -> None:
    etag = obstore.head(s3.obstore(), "numbers.bin")["e_tag"]
    status, _, body = s3.request(f"/{BUCKET}/numbers.bin", If_None_Match=str(etag))
    assert (status, body) == (304, b"")


def test_a_missing_key_is_not_found(s3: Service) -> None:
    with pytest.raises(FileNotFoundError):
        obstore.get(s3.obstore(), "folder/nothing")
    status, _, body = s3.request(f"/{BUCKET}/folder/nothing")
    assert (status, code_of(body)) == (404, "NoSuchKey")


def test_a_folder_is_no_object(s3: Service) -> None:
    assert s3.request(f"/{BUCKET}/folder", "HEAD")[0] == 404


def test_a_missing_bucket_is_not_found(s3: Service) -> None:
    with pytest.raises(BaseError, match="NoSuchBucket"):
        obstore.list(s3.obstore(bucket="no-such-bucket")).collect()
    with pytest.raises(FileNotFoundError):
        s3.s3fs().ls("no-such-bucket")


@pytest.mark.parametrize("signed", [False, True], ids=["anonymous", "signed"])
def test_gdal_reads_a_scene_as_from_the_local_file(s3: Service, signed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    key = min(key for key in s3.files if key.startswith("tiles/"))
    gdal_environment(monkeypatch, s3, signed)
    with rasterio.open(f"/vsis3/{BUCKET}/{key}") as remote, rasterio.open(s3.files[key]) as local:
        assert remote.profile == local.profile
        np.testing.assert_array_equal(remote.read(1), local.read(1))


def gdal_environment(monkeypatch: pytest.MonkeyPatch, service: Service, signed: bool) -> None:
    settings = {"AWS_S3_ENDPOINT": urlsplit(service.endpoint).netloc, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    # GDAL remembers what it has read by bucket and key, whichever server that came from.
    settings |= {"CPL_VSIL_CURL_NON_CACHED": "/vsis3/", "AWS_REGION": "us-east-1"}
    settings |= (
        {"AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1]} if signed else {"AWS_NO_SIGN_REQUEST": "YES"}
    )
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def code_of(body: bytes) -> str | None:
    return ET.fromstring(body).findtext("Code")


# ---- access -------------------------------------------------------------------------------------------------------


def test_unsigned_requests_are_refused_where_there_are_credentials(locked: Service) -> None:
    status, headers, body = locked.request(f"/{BUCKET}/numbers.bin")
    assert (status, code_of(body)) == (403, "AccessDenied")
    assert ET.fromstring(body).findtext("RequestId") == headers["x-amz-request-id"]


@pytest.mark.parametrize(
    ("keys", "code"),
    [((KEYS[0], "wrong"), "SignatureDoesNotMatch"), (("unknown", KEYS[1]), "InvalidAccessKeyId")],
    ids=["wrong secret", "unknown key"],
)
def test_a_wrong_signature_is_refused(locked: Service, keys: tuple[str, str], code: str) -> None:
    with pytest.raises(PermissionDeniedError, match=code):
        obstore.get(locked.obstore(signed=True, keys=keys), "numbers.bin")


def test_every_client_signs_as_the_server_checks(locked: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(obstore.list(locked.obstore(signed=True)).collect()) == len(locked.files)
    assert bytes(obstore.get_range(locked.obstore(signed=True), "odd/a+b.txt", start=0, end=3)) == b"odd"
    assert sorted(locked.s3fs().find(f"{BUCKET}/odd")) == sorted(f"{BUCKET}/{key}" for key in ODD_KEYS)
    key = max(key for key in locked.files if key.startswith("tiles/"))
    gdal_environment(monkeypatch, locked, signed=True)
    with rasterio.open(f"/vsis3/{BUCKET}/{key}") as remote:
        assert remote.shape == (260, 300)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_signed_too(locked: Service, key: str) -> None:
    client = locked.boto3()
    assert client.list_objects_v2(Bucket=BUCKET, Prefix=key)["KeyCount"] == 1
    assert client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == len(key.encode())
    client.close()


@pytest.fixture(scope="module")
def escapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A bucket beside a secret, with symbolic links to it."""
    tmp_path = tmp_path_factory.mktemp("escapes")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("secret")
    bucket = tmp_path / "root" / "bucket"
    bucket.mkdir(parents=True)
    (bucket / "file").write_text("open")
    (bucket / "inner").symlink_to("file")
    (bucket / "link").symlink_to(tmp_path / "secret" / "file")
    (bucket / "folder").symlink_to(tmp_path / "secret")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "secret")
    with serve(tmp_path / "root") as endpoint:
        yield Service(endpoint, {})


@pytest.mark.parametrize(
    "target",
    [
        "/bucket/../../secret/file", "/bucket/%2e%2e/%2e%2e/secret/file", "/bucket/..%2f..%2fsecret%2ffile",
        "/../secret/file", "/%2e%2e/secret/file", "/..%2fsecret/file", "/bucket/link", "/bucket/folder/file",
        "/linked/file", "/bucket/./file", "/bucket//file", "/bucket/file%00", "/bucket/file/", "/bucket/" + "x" * 300,
        "/..?list-type=2", "/linked?list-type=2", "/.?list-type=2",
    ],
)  # fmt: skip
def test_no_key_leads_out_of_the_root_nor_names_a_file_twice(escapes: Service, target: str) -> None:
    status, _, body = escapes.request(target)
    assert status == 404
    assert code_of(body) in {"NoSuchKey", "NoSuchBucket"}


@pytest.mark.parametrize("prefix", ["", "folder/", "../", "../../secret/", "/", "./", "%00/"])
def test_no_listing_leads_out_of_the_root(escapes: Service, prefix: str) -> None:
    status, _, body = escapes.request(f"/bucket?list-type=2&prefix={prefix}")
    keys = [element.text or "" for element in ET.fromstring(body).iterfind("s3:Contents/s3:Key", S3_NAMESPACE)]
    assert (status, sorted(keys)) == (200, [] if prefix else ["file", "inner"])


def test_buckets_outside_the_root_are_not_named(escapes: Service) -> None:
    _, _, body = escapes.request("/")
    names = [element.text for element in ET.fromstring(body).iterfind("s3:Buckets/s3:Bucket/s3:Name", S3_NAMESPACE)]
    assert names == ["bucket"]


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_nothing_can_be_written(own: Service, method: str) -> None:
    status, _, body = own.request(f"/{BUCKET}/numbers.bin", method)
    assert (status, code_of(body)) == (405, "MethodNotAllowed")
    assert own.files["numbers.bin"].read_bytes() == NUMBERS


def test_what_is_not_implemented_says_so(own: Service) -> None:
    status, _, body = own.request(f"/{BUCKET}/numbers.bin?acl")
    assert (status, code_of(body)) == (501, "NotImplemented")


@pytest.mark.parametrize("query", ["max-keys=x", "max-keys=-1", "continuation-token=%25", "encoding-type=xml"])
def test_a_listing_refuses_parameters_it_cannot_read(own: Service, query: str) -> None:
    status, _, body = own.request(f"/{BUCKET}?list-type=2&{query}")
    assert (status, code_of(body)) == (400, "InvalidArgument")


def test_keys_are_encoded_when_asked(own: Service) -> None:
    _, _, body = own.request(f"/{BUCKET}?list-type=2&encoding-type=url&prefix=odd/caf%C3%A9")
    listing = ET.fromstring(body)
    assert listing.findtext("s3:Contents/s3:Key", namespaces=S3_NAMESPACE) == "odd/caf%C3%A9%3D1%262.txt"
    assert listing.findtext("s3:Prefix", namespaces=S3_NAMESPACE) == "odd/caf%C3%A9"


def test_an_etag_changes_when_the_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    path = tmp_path / "bucket" / "key"
    path.write_bytes(b"before")
    with serve(tmp_path) as endpoint:
        service = Service(endpoint, {})
        etag = obstore.head(service.obstore(bucket="bucket"), "key")["e_tag"]
        before = path.stat().st_mtime_ns
        wait_until(lambda: path.write_bytes(b"behind") and path.stat().st_mtime_ns != before)  # by the kernel's tick
        with pytest.raises(PreconditionError):
            obstore.get(service.obstore(bucket="bucket"), "key", options={"if_match": etag})


# ---- the process ---------------------------------------------------------------------------------------------------


def test_requests_and_bytes_are_counted_until_reset(own: Service) -> None:
    own.stats(reset=True)
    store = own.obstore()
    obstore.head(store, "numbers.bin")
    obstore.get_range(store, "numbers.bin", start=0, end=100)
    obstore.get_range(store, "numbers.bin", start=100, end=150)
    own.request(f"/{BUCKET}/nothing")
    expected = {
        "requests": {"HEAD HeadObject": 1, "GET GetObject": 3},
        "statuses": {"200": 1, "206": 2, "404": 1},
        "bytes_sent": 150,
    }
    assert own.stats(reset=True) == expected
    assert own.stats() == {"requests": {}, "statuses": {}, "bytes_sent": 0}


def test_latency_and_bandwidth_are_kept(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "key").write_bytes(bytes(1_000_000))
    with serve(tmp_path, latency_seconds=0.1, bandwidth_bytes_per_second=5e6) as endpoint:
        service = Service(endpoint, {})

        def seconds_of_a_request() -> float:
            begun = time.monotonic()
            assert len(service.request("/bucket/key")[2]) == 1_000_000
            took = time.monotonic() - begun
            assert took >= 0.3  # 0.1 s of latency and 0.2 s of transfer
            return took

        wait_until(lambda: seconds_of_a_request() < 0.5)  # as one is, of many, on a busy machine too


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def test_the_server_is_gone_after_the_context_even_with_a_body_under_way(root: Path) -> None:
    before = children()
    with serve(root, bandwidth_bytes_per_second=1000) as endpoint:
        (server,) = children() - before
        address = urlsplit(endpoint)
        connection = socket.create_connection((address.hostname, address.port))
        key = next((root / BUCKET).rglob("*.tif")).relative_to(root)
        connection.sendall(f"GET /{key} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.recv(100)
    connection.close()
    assert not server.is_running()


def test_the_server_listens_on_loopback_only(root: Path) -> None:
    before = children()
    with serve(root):
        (server,) = children() - before
        assert {c.laddr.ip for c in server.net_connections() if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_the_server_is_gone_after_an_error_in_the_context(root: Path) -> None:
    before = children()
    with contextlib.suppress(ZeroDivisionError), serve(root):
        (server,) = children() - before
        raise ZeroDivisionError
    assert not server.is_running()


def test_the_server_ends_when_its_parent_is_killed(root: Path) -> None:
    parent = "import sys, time; from pathlib import Path; from runner.demo.server import serve\n"
    parent += "with serve(Path(sys.argv[1])) as url: print(url, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", parent, str(root)], stdout=subprocess.PIPE) as process:
        assert first_line(process).startswith("http://127.0.0.1:")
        (server,) = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
    wait_until(lambda: not lives(server))


def test_the_server_leaves_ctrl_c_to_its_parent(root: Path) -> None:
    before = children()
    with serve(root) as endpoint:
        (server,) = children() - before
        server.send_signal(signal.SIGINT)  # which would end it before it answers
        assert Service(endpoint, {}).request(f"/{BUCKET}/numbers.bin")[0] == 200
        assert os.getpgid(server.pid) != os.getpgid(0)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_url_and_ends_cleanly_on_a_signal(root: Path, stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "runner.demo.server", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        endpoint = first_line(process)
        assert Service(endpoint, {}).request(f"/{BUCKET}/numbers.bin")[2] == NUMBERS
        process.send_signal(stop)
        rest, errors = process.communicate(timeout=LONG)
    assert (process.returncode, rest, errors) == (0, b"", b"")


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"did not start .* it said: .* is not a folder"), serve(tmp_path / "nowhere"):
        pass


def test_the_secret_is_not_on_the_command_line(root: Path) -> None:
    before = children()
    with serve(root, credentials=KEYS):
        (server,) = children() - before
        assert KEYS[1] not in " ".join(server.cmdline())


def test_boto3_names_the_reason_of_a_refusal(locked: Service) -> None:
    client = Service(locked.endpoint, {}).boto3()
    with pytest.raises(ClientError, match="NoSuchKey"):
        client.get_object(Bucket=BUCKET, Key="nothing")
    client.close()
