"""What a bucket holds is listed over the protocol; what cannot be read says why and what to do."""

import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest
from jobs import ROOT, found_stack, local_source
from scenes_on_disk import speckle, write_scene
from waiting import LONG

from runner.demo.server import serve
from runner.errors import SourceError
from runner.model import StoredObject
from runner.read.fetch import FetchOptions
from runner.settings import OnError, S3Settings, SourceKind, SourceSettings
from runner.source.folder import constant_prefix
from runner.source.gdal_stores import gdal_s3_options
from runner.source.listing import list_objects
from runner.source.scenes import find_inputs
from runner.source.stores import Stores

KEYS = ("AKIAEXAMPLE", "example-secret-key")
NAMES = ["a/20200101.tif", "a/b/20200102.tif", "a/b/c/20200103.tif", "a/b/notes 20200104.txt", "z/20200105+x y.tif"]


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("buckets")
    for name in NAMES:
        write_scene(root / "bucket" / name, speckle((40, 30)))
    return root


@pytest.fixture(scope="module")
def endpoint(buckets: Path) -> Iterator[str]:
    with serve(buckets, page_size=2) as url:
        yield url


def source_at(endpoint: str, url: str, **s3: object) -> SourceSettings:
    access = S3Settings(**{"endpoint_url": endpoint, "anonymous": True, **s3})  # type: ignore[arg-type]
    return SourceSettings("s", SourceKind.glob, url, r"(?P<date>\d{8})", s3=access)


def keys(source: SourceSettings) -> list[str]:
    return [item.href.removeprefix("s3://bucket/") for item in listed(source)]


def listed(source: SourceSettings) -> list[StoredObject]:
    return list_objects(source, Stores(source.s3))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*.tif", [NAMES[0], NAMES[1], NAMES[2], NAMES[4]]),
        ("a/*.tif", [NAMES[0]]),
        ("a/**/*.tif", NAMES[:3]),
        ("a/b/**/*2020010[23].tif", NAMES[1:3]),
        ("a/*/2020????.tif", [NAMES[1]]),
        (NAMES[0], [NAMES[0]]),
        (NAMES[4], [NAMES[4]]),
    ],
)
def test_a_glob_over_many_pages_finds_what_it_names(endpoint: str, pattern: str, expected: list[str]) -> None:
    assert keys(source_at(endpoint, f"s3://bucket/{pattern}")) == expected


def test_an_empty_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket/20200101.tif").touch()
    with serve(tmp_path) as endpoint, pytest.raises(SourceError, match=r"s3://bucket/20200101.tif: it is empty"):
        source = source_at(endpoint, "s3://bucket/*.tif")
        find_inputs(source, Stores(source.s3), OnError.stop, lambda done, total: None)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("s3://bucket/**.tif", r"write '\*\*' between slashes"),
        ("/nowhere/20200301.tif", "nothing matches"),
        ("s3://bucket/a", """it is a folder of 3 files .tif; write 'source.url="s3://bucket/a/\\*\\*/\\*.tif"'"""),
        ("s3://bucket/a/*.TIF", """1 file .tif would if they ended so; write 'source.url="s3://bucket/a/\\*.tif"'"""),
    ],
)
def test_a_pattern_that_cannot_work_is_explained(endpoint: str, url: str, problem: str) -> None:
    with pytest.raises(SourceError, match=problem):
        listed(source_at(endpoint, url))


def test_listed_objects_have_size_etag_and_time(endpoint: str, buckets: Path) -> None:
    (item,) = listed(source_at(endpoint, "s3://bucket/a/*.tif"))
    assert item.size == (buckets / "bucket" / NAMES[0]).stat().st_size
    assert item.etag
    assert item.modified is not None


def test_a_bucket_becomes_a_stack(endpoint: str) -> None:
    source = source_at(endpoint, "s3://bucket/**/*.tif")
    stack = found_stack(source)
    assert [scene.name for scene in stack.scenes] == [name.removesuffix(".tif") for name in (*NAMES[:3], NAMES[4])]


@pytest.mark.parametrize(
    ("url", "s3", "problem"),
    [
        ("s3://nowhere/*.tif", {}, "s3://nowhere: it does not exist there; check the name"),
        ("s3://bucket/none/*.tif", {}, "nothing matches"),
        ("s3://bucket/*.tif", {"anonymous": False, "profile": "nobody"}, "source.s3.profile=nobody"),
        ("s3://bucket/*.tif", {"anonymous": False}, "no AWS credentials found: set source.s3.anonymous=true"),
    ],
)
def test_an_unreadable_bucket_says_why_and_what_to_do(
    endpoint: str, url: str, s3: dict[str, object], problem: str
) -> None:
    with pytest.raises(SourceError, match=problem):
        listed(source_at(endpoint, url, **s3))


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match=r"s3://bucket: it cannot be listed: .*endpoint_url=http://127.0.0.1:9"):
        source = source_at("http://127.0.0.1:9", "s3://bucket/*.tif")
        list_objects(source, Stores(source.s3, FetchOptions(attempts=1)))


@pytest.mark.parametrize(
    ("access", "secret", "anonymous"), [(*KEYS, True), (KEYS[0], "wrong", False), ("no", "x", False)]
)
def test_access_denied_hints_at_credentials(
    buckets: Path, monkeypatch: pytest.MonkeyPatch, access: str, secret: str, anonymous: bool
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    with (
        serve(buckets, credentials=KEYS) as endpoint,
        pytest.raises(SourceError, match=r"access denied; for a public bucket set source.s3.anonymous=true") as caught,
    ):
        listed(source_at(endpoint, "s3://bucket/*.tif", anonymous=anonymous))
    assert KEYS[1] not in str(caught.value)


def test_a_profile_of_the_aws_files_signs(buckets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").write_text(f"[work]\naws_access_key_id = {KEYS[0]}\naws_secret_access_key = {KEYS[1]}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with serve(buckets, credentials=KEYS) as endpoint:
        assert keys(source_at(endpoint, "s3://bucket/a/*.tif", anonymous=False, profile="work")) == [NAMES[0]]


def test_a_manifest_may_lie_in_a_bucket(buckets: Path, endpoint: str) -> None:
    table = pd.DataFrame(
        {"href": ["20200101.tif", f"s3://bucket/{NAMES[1]}"], "datetime": ["2021-01-01", "2021-01-02"]}
    )
    table.to_csv(buckets / "bucket/a/scenes.csv", index=False)
    source = source_at(endpoint, "s3://bucket/a/scenes.csv")
    source.kind = SourceKind.manifest
    assert keys(source) == NAMES[:2]


def test_a_local_glob_finds_files_at_every_depth(buckets: Path) -> None:
    found = [item.href for item in listed(local_source(buckets / "bucket/a/b"))]
    assert found == [str(buckets / "bucket" / name) for name in NAMES[1:3]]


LOCKED = [  # what may not be read, and a pattern that leads there
    ("b", "**/*.tif"),
    ("b", "*/*.tif"),
    ("b", "*/deep/*.tif"),
    ("b", "b/*.tif"),
    ("b", "b/deep/20200112.tif"),
    ("b/20200106.tif", "**/*.tif"),
]
# In a process of its own, since root may read everything, unless it gives that up.
_FIND_LOCKED = """
import sys
import traceback
from pathlib import Path
from jobs import found_stack, local_source
from runner.errors import RunnerError
from runner.settings import OnError
root = Path(sys.argv[1])
for locked, pattern in zip(sys.argv[2::2], sys.argv[3::2]):
    (root / locked).chmod(0)
    try:
        source = local_source(root, url=f"{root}/{pattern}")
        print(found_stack(source, on_error=OnError.skip).scenes)
    except RunnerError as error:
        print(error)
    finally:
        (root / locked).chmod(0o700)
"""


@pytest.mark.skipif(os.getuid() == 0 and not shutil.which("setpriv"), reason="root may read everything")
def test_what_may_not_be_read_is_named_and_never_passed_over(tmp_path: Path) -> None:
    for name in ("a/20200101.tif", "b/20200106.tif", "b/deep/20200112.tif"):
        write_scene(tmp_path / name, speckle((64, 64)))
    as_anyone = [] if os.getuid() else ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    words = [sys.executable, "-c", _FIND_LOCKED, str(tmp_path), *chain(*LOCKED)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/helpers")])}
    done = subprocess.run([*as_anyone, *words], capture_output=True, text=True, timeout=LONG, check=True, env=env)
    said = [line.partition(": permission denied; ")[0] for line in done.stdout.splitlines()]
    assert said == [f"{tmp_path}/{locked}" for locked, _ in LOCKED]


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [("a/b/**/*.tif", "a/b/"), ("a/b*.tif", "a/"), ("*.tif", ""), ("a/b.tif", "a/"), ("a/[bc]/d.tif", "a/")],
)
def test_only_what_lies_below_the_constant_part_is_listed(pattern: str, prefix: str) -> None:
    assert constant_prefix(pattern) == prefix


def test_gdal_is_told_the_same_as_the_other_clients() -> None:
    s3 = S3Settings("https://host:9000/", "eu-west-1", False, "work", True)
    assert gdal_s3_options(s3) == {
        "AWS_S3_ENDPOINT": "host:9000",
        "AWS_HTTPS": "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_REGION": "eu-west-1",
        "AWS_PROFILE": "work",
        "AWS_REQUEST_PAYER": "requester",
    }


@pytest.mark.parametrize("content", ["canary:x:0:0\nbin:x:1\n", "canary=4711\nA,b,c\n", 'canary,"un\n\n', "\n"])
def test_a_file_that_is_no_manifest_is_refused_without_a_word_of_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "passwd.csv").write_text(content)
    with pytest.raises(SourceError, match=r"passwd.csv: (wanted the columns|not a CSV)") as caught:
        listed(SourceSettings("s", SourceKind.manifest, str(tmp_path / "passwd.csv")))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("row", ["pipe", "/dev/zero"])
def test_a_manifest_and_its_rows_are_regular_files(tmp_path: Path, row: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "list.csv").write_text(f"href,datetime\n{row},2020-01-01\n")
    for url in (tmp_path / "list.csv", tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(SourceError, match=r"(pipe|/dev/zero): a pipe, a socket or a device, wanted a regular file"):
            listed(SourceSettings("s", SourceKind.manifest, str(url)))


def test_a_column_that_was_probably_meant_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("Href,date\na.tif,2020-01-01\n")
    with pytest.raises(SourceError, match="2 columns without datetime and href; is it 'date' and 'Href'. rename it"):
        listed(SourceSettings("s", SourceKind.manifest, str(tmp_path / "list.csv")))


def keys_printed(key: str, secret: str, more: str = "") -> str:
    """A helper that prints keys as they should be, or not."""
    return f"""printf '%s' '{{"Version": 1, "AccessKeyId": {key}, "SecretAccessKey": {secret}{more}}}'"""


HELPERS = {  # what a credential_process does, and what is said of it
    "fails": ("echo canary-4711 >&2; exit 1", "the provider custom-process fails"),
    "prints no JSON": ("echo canary-4711", "they cannot be read"),
    "is not there": ("/nowhere/canary-4711", "they cannot be read"),
    "prints a list": ("""echo '["canary-4711"]'""", r"they cannot be read .[A-Z]\w+Error.; check credential_process"),
    "prints a text": ("""echo '"canary-4711"'""", r"they cannot be read .[A-Z]\w+Error.; check credential_process"),
    "prints a number as key": (keys_printed("5", '"canary-4711"'), "the access key is not text but of type int"),
    "prints a list as secret": (keys_printed('"A"', '["canary"]'), "the secret key is not text but of type list"),
    "prints a key of two lines": (
        keys_printed(r'"canary\n4711"', '"S"'),
        "the access key holds a character that cannot",
    ),
    "prints a token of two lines": (
        keys_printed('"A"', '"S"', r', "SessionToken": "canary\n4711"'),
        "the session token holds a character that cannot be sent, such as a line break",
    ),
    "prints expired keys": (
        keys_printed('"A"', '"canary"', ', "SessionToken": "canary", "Expiration": "2020-01-01T00:00:00Z"'),
        "they have expired, and .* renewed by .*; log in again",
    ),
}


@pytest.mark.parametrize(("helper", "words"), HELPERS.values(), ids=HELPERS.keys())
def test_what_a_credential_helper_prints_is_not_told(
    endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    helper: str,
    words: str,
) -> None:
    (tmp_path / "helper").write_text(f"#!/bin/sh\n{helper}\n")
    (tmp_path / "helper").chmod(0o700)
    process = "/nowhere/helper" if helper.startswith("/") else tmp_path / "helper"
    (tmp_path / "config").write_text(f"[profile work]\ncredential_process = {process}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(SourceError, match=f"AWS credentials: {words}") as caught:
        listed(source_at(endpoint, "s3://bucket/*.tif", anonymous=False, profile="work"))
    assert "canary" not in "".join(traceback.format_exception(caught.value)) + caplog.text


WRONG_ROWS = {  # of a manifest, below its heading: what is said
    "no href": ("href,datetime\na.tif,2020-01-01\n,2020-01-02\n", "row 2 has no href"),
    "an href of spaces": ('href,datetime\n" ",2020-01-02\n', "row 1 has no href"),
    "no time": ("href,datetime\na.tif,\n", "row 1 has datetime nan; wanted a date"),
    "two times": (
        "href,datetime\na.tif,2020-01-01\nb.tif,2020-01-01\n./a.tif,2020-01-02\n",
        "rows 1 and 3 both name .*/a.tif, with the times 2020-01-01 00:00:00 and 2020-01-02 00:00:00; wanted one",
    ),
    "two bands": (
        "href,datetime,band\na.tif,2020-01-01,1\na.tif,2020-01-01,2\n",
        "rows 1 and 2 both name .*/a.tif, and differ in 'band'; one object is one scene",
    ),
    "semicolons": ("href;datetime;x\na.tif;2020-01-01;1\n", "href; they are separated by ';', wanted commas"),
    "tabs": ("href\tdatetime\na.tif\t2020-01-01\n", "href; they are separated by tabs, wanted commas"),
}


@pytest.mark.parametrize(("text", "said"), WRONG_ROWS.values(), ids=WRONG_ROWS.keys())
def test_a_manifest_that_cannot_be_is_refused_by_row(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(SourceError, match=rf"{tmp_path}/list.csv: .*{said}"):
        listed(SourceSettings("s", SourceKind.manifest, str(tmp_path / "list.csv")))


def test_texts_of_a_manifest_stay_what_they_are_and_empty_ones_are_none(tmp_path: Path) -> None:
    rows = {"a.tif": "NA", "b.tif": "None", "c.tif": "null", "d.tif": "nan", "e.tif": "", "f.tif": "007"}
    lines = [f"{href},2020-01-01,{text}" for href, text in rows.items()]
    (tmp_path / "list.csv").write_text("\n".join(["href,datetime,country", *lines]))
    found = listed(SourceSettings("s", SourceKind.manifest, str(tmp_path / "list.csv")))
    assert [dict(item.columns).get("country", "") for item in found] == list(rows.values())
