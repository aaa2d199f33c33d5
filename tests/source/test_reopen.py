"""Recorded objects found again: the same in every form of their ETags, gone only if S3 says so, or a clear failure."""

from dataclasses import replace
from pathlib import Path

import pytest
from scripted_server import Answer, Asked, error, scripted_server
from waiting import LONG

from runner.errors import SourceError
from runner.model import StoredObject
from runner.read.fetch import FetchOptions
from runner.settings import OnError, S3Settings, SourceKind, SourceSettings
from runner.source.listing import list_objects
from runner.source.reopen import Lookup, look_up, refuse_problems, renew_signatures
from runner.source.stores import Stores

QUICK = FetchOptions(attempts=3, backoff_seconds=0.001, timeout_seconds=LONG)


def found_at(endpoint: str, etag: str = '"0a"', size: int = 7) -> Lookup:
    recorded = StoredObject("s3://b/k.tif", size, etag)
    (found,) = look_up([recorded], Stores(S3Settings(endpoint_url=endpoint, anonymous=True), QUICK))
    return found


def whole(etag: str) -> Answer:
    return Answer(body=bytes(7), headers={"ETag": etag})


@pytest.mark.parametrize("etag", ['"0a"', 'W/"0a"', '"0A"', '"0a-gzip"'])
def test_an_object_is_the_recorded_one_in_every_form_of_its_etag(etag: str) -> None:
    with scripted_server(lambda asked: whole(etag)) as server:
        assert found_at(server.endpoint).problem is None


@pytest.mark.parametrize(("etag", "size"), [('"0b"', 7), ('"0a"', 8)])
def test_another_etag_or_size_is_another_object(etag: str, size: int) -> None:
    with scripted_server(lambda asked: whole(etag)) as server:
        assert "has changed" in str(found_at(server.endpoint, size=size).problem)


def test_what_s3_says_is_gone_is_gone() -> None:
    with scripted_server(lambda asked: error(404, "NoSuchKey")) as server:
        assert found_at(server.endpoint).current is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(404, "NoSuchBucket"), "it does not exist there"),
        (Answer(404, b"<html>default backend</html>"), "404 is not an S3 server's"),
        (Answer(404), "404 is not an S3 server's"),
        (error(400, "ExpiredToken"), "the credentials have expired"),
        (error(403, "AccessDenied"), "access denied"),
        (Answer(503), "throttles"),
    ],
)
def test_what_is_not_an_answer_on_the_object_ends_the_search(answer: Answer, words: str) -> None:
    with scripted_server(lambda asked: answer) as server, pytest.raises(SourceError, match=words):
        found_at(server.endpoint)


def test_an_answer_that_fails_for_a_while_is_asked_for_again() -> None:
    def script(asked: Asked) -> Answer:
        return Answer(503) if asked.number < 3 else whole('"0a"')

    with scripted_server(script) as server:
        assert found_at(server.endpoint).problem is None
        assert len(server.asked) == 3


def test_a_server_that_knows_no_head_is_asked_by_get() -> None:
    with scripted_server(lambda asked: Answer(405) if asked.method == "HEAD" else whole('"0a"')) as server:
        assert found_at(server.endpoint).problem is None


def test_signatures_come_from_the_source_again(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("href,datetime\nhttps://host/k.tif?sig=canary-4711,2020-01-06\n")
    source = SourceSettings(kind=SourceKind.manifest, url=str(tmp_path / "list.csv"))
    (recorded,) = list_objects(source, Stores(source.s3))
    stores = Stores(source.s3)
    renew_signatures(source, [recorded], stores)
    assert (recorded.href, stores.locate(recorded.href).query) == ("https://host/k.tif?[signed]", "sig=canary-4711")


def looked_up(name: str, now: str, mask: str | None = None) -> Lookup:
    """An object that is the same now, has changed, or is gone; and so for its mask."""
    recorded = StoredObject(f"s3://b/{name}", 7, '"0a"')
    current = {"same": recorded, "changed": replace(recorded, etag='"0b"'), "gone": None}[now]
    return Lookup(recorded, current, looked_up(f"{name}_QA", mask) if mask else None)


BACK, UNPINNED = "bring back what was recorded", "read what has changed as it is now by --unpinned"
SCENES, MASKS = (
    "leave out scenes that are gone with on_error=skip",
    "leave out scenes whose masks are gone with mask.on_missing=skip",
)


@pytest.mark.parametrize(
    ("found", "pinned", "remedy"),
    [
        ([("same", None), ("gone", None)], False, f"{BACK} or {SCENES}"),
        ([("same", "same"), ("same", "gone")], False, f"{BACK} or {MASKS}"),
        ([("same", "same"), ("same", "gone")], True, f"{BACK} or {MASKS}"),
        ([("same", "same"), ("gone", "gone"), ("same", "gone")], False, f"{BACK}, {SCENES} or {MASKS}"),
        ([("same", "gone"), ("gone", "same")], False, BACK),  # nothing would be left
        ([("gone", None)], True, BACK),
        ([("changed", None), ("same", None)], True, f"{BACK} or {UNPINNED}"),
        ([("same", "changed"), ("gone", "same")], True, f"{BACK}, {SCENES} or {UNPINNED}"),
    ],
)
def test_what_helps_against_objects_that_are_not_as_recorded_is_said_and_nothing_else(
    found: list[tuple[str, str | None]], pinned: bool, remedy: str
) -> None:
    lookups = [looked_up(f"{number}.tif", *states) for number, states in enumerate(found)]
    with pytest.raises(SourceError) as raised:
        refuse_problems(lookups, OnError.stop, OnError.stop, pinned=pinned)
    assert str(raised.value).endswith(f"; {remedy}")
