"""Headers under on_error=skip: an object's own fault, said twice, leaves it out; any other fault ends the run."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer, always, faulty_server, first, for_key
from scenes_on_disk import speckle, write_scene
from waiting import LONG

from runner.errors import ReadError, SourceError
from runner.model import Inputs, Scene
from runner.read.fetch import FetchOptions
from runner.read.store_errors import ChangedError, DeniedError, StoreError
from runner.settings import OnError, S3Settings, SourceKind, SourceSettings
from runner.source.scenes import find_inputs
from runner.source.stores import Stores

BAD = "20200112.tif"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    for seed, day in enumerate(("06", "12", "18")):
        write_scene(tmp_path / f"b/202001{day}.tif", speckle((64, 64), seed=seed), blockxsize=64, blockysize=64)
    with faulty_server(tmp_path) as server:
        yield server


def inputs_of(server: FaultyServer, seconds: float = LONG) -> Inputs:
    s3 = S3Settings(endpoint_url=server.endpoint, anonymous=True)
    source = SourceSettings("s", SourceKind.glob, "s3://b/*.tif", r"(?P<date>\d{8})", s3=s3)
    fetch = FetchOptions(attempts=3, backoff_seconds=0.001, timeout_seconds=seconds)
    return find_inputs(source, Stores(s3, fetch), OnError.skip, lambda done, total: None)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("expired", StoreError, "the credentials have expired"),
        ("503", StoreError, "throttles"),
        ("301", StoreError, "set source.s3.region"),
        ("400", StoreError, "status 400"),
        ("403", DeniedError, "access denied"),
        ("html", StoreError, "ignores Range requests"),
        ("reset", StoreError, "the connection fails"),
        ("short", StoreError, "the body ends early"),
        pytest.param("silent", StoreError, "no answer within fetch.timeout", marks=pytest.mark.slow),
    ],
)
def test_a_fault_of_the_store_ends_the_run_and_leaves_no_scene_out(
    server: FaultyServer, fault: str, kind: type[ReadError], words: str
) -> None:
    server.script = for_key(BAD, always(fault))
    with pytest.raises(kind, match=f"{BAD}.*{words}"):
        inputs_of(server, 2 if fault == "silent" else LONG)


def truncate(path: Path) -> None:
    os.truncate(path, 200)


def make_a_page(path: Path) -> None:
    path.write_text("<!doctype html>")


@pytest.mark.parametrize(("spoil", "words"), [(truncate, "truncated"), (make_a_page, "an HTML page")])
def test_an_object_at_fault_is_read_twice_and_left_out(
    server: FaultyServer, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(tmp_path / "b" / BAD)
    inputs = inputs_of(server)
    assert [one.item.href for one in inputs.left_out] == [f"s3://b/{BAD}"]
    assert words in inputs.left_out[0].reason
    assert len([asked for asked in server.asked if asked.key == BAD]) == 2


def test_a_fault_that_is_said_once_leaves_no_scene_out(server: FaultyServer) -> None:
    server.script = for_key(BAD, lambda asked: "404" if asked.attempt == 1 else None)
    inputs = inputs_of(server)
    assert len(inputs.stack.scenes) == 3


def test_requests_and_retries_of_listing_and_headers_are_counted(server: FaultyServer) -> None:
    server.script = first(2, "500")
    inputs = inputs_of(server)
    assert (inputs.fetched.requests, inputs.fetched.retries) == (1 + 3 + 2, 2)


def test_an_object_replaced_after_it_was_listed_ends_the_run(server: FaultyServer, tmp_path: Path) -> None:
    waiting = [lambda: write_scene(tmp_path / "b" / BAD, speckle((64, 64), seed=9))]
    server.before = lambda asked: waiting.pop()() if waiting else None
    with pytest.raises(ChangedError, match="changed between listing"):
        inputs_of(server)


def test_versions_are_those_of_the_listing_where_answers_tell_none(tmp_path: Path) -> None:
    from s3_pages import page_xml
    from scripted_server import Answer, Asked, part_of, scripted_server

    write_scene(tmp_path / "a.tif", speckle((64, 64)), blockxsize=64, blockysize=64)
    content, headers = (tmp_path / "a.tif").read_bytes(), {"Last-Modified": "Thu, 02 Jan 2020 03:04:05 GMT"}

    def script(asked: Asked) -> Answer:
        if "range" in asked.headers:
            return part_of(content, asked, **headers)
        page = page_xml(["20200101.tif"]).replace(b"<Size>7<", b"<Size>%d<" % len(content))
        return Answer(body=page)

    with scripted_server(script) as server:
        s3 = S3Settings(endpoint_url=server.endpoint, anonymous=True)
        source = SourceSettings("s", SourceKind.glob, "s3://b/*.tif", r"(?P<date>\d{8})", s3=s3)

        def scene() -> Scene:
            return find_inputs(source, Stores(s3), OnError.stop, lambda done, total: None).stack.scenes[0]

        assert (scene().etag, str(scene().modified)) == ('"0"', "2020-01-02 03:04:05+00:00")
        headers["Last-Modified"] = "Thu, 02 Jan 2020 04:04:05 GMT"
        with pytest.raises(ChangedError, match="changed between listing"):
            scene()
        headers.clear()
        with pytest.raises(StoreError, match="neither an ETag nor a Last-Modified"):
            scene()


def test_a_key_that_no_reader_takes_is_refused_by_its_name() -> None:
    from s3_pages import page_xml
    from scripted_server import Answer, scripted_server

    with scripted_server(lambda asked: Answer(body=page_xml(["a//20200101.tif"]))) as server:
        s3 = S3Settings(endpoint_url=server.endpoint, anonymous=True)
        source = SourceSettings("s", SourceKind.glob, "s3://b/**/*.tif", r"(?P<date>\d{8})", s3=s3)
        with pytest.raises(SourceError, match="s3://b/a//20200101.tif: its key has an empty or dotted part"):
            find_inputs(source, Stores(s3), OnError.stop, lambda done, total: None)
        assert len(server.asked) == 1
