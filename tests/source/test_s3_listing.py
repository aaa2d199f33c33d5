"""Pages of a listing are read to their end: the whole archive, or an error; never a part of it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from moto import moto_server
from s3_pages import page_xml
from scripted_server import Answer, Asked, ScriptedServer, error, scripted_server
from waiting import LONG

from runner.errors import SourceError
from runner.model import StoredObject
from runner.read.fetch import FetchOptions
from runner.settings import S3Settings, SourceKind, SourceSettings
from runner.source.listing import list_objects
from runner.source.s3_listing import list_keys
from runner.source.stores import Stores

KEYS = [f"a/{number}.tif" for number in range(6)]
QUICK = FetchOptions(attempts=3, backoff_seconds=0.001, timeout_seconds=LONG)


def three_pages(asked: Asked) -> Answer:
    """Two keys a page; a token is the number of keys that came before."""
    token = asked.query.get("continuation-token")
    start = int(token or 0)
    following = str(start + 2) if start + 2 < len(KEYS) else None
    return Answer(body=page_xml(KEYS[start : start + 2], following, token))


def spoilt(bad: Callable[[Asked, Answer], Answer], times: int = 1000) -> Callable[[Asked], Answer]:
    """Three pages, of which the second is spoilt so many times."""
    left = [None] * times

    def script(asked: Asked) -> Answer:
        good = three_pages(asked)
        if asked.query.get("continuation-token") == "2" and left:
            left.pop()
            return bad(asked, good)
        return good

    return script


def body(change: Callable[[bytes], bytes]) -> Callable[[Asked, Answer], Answer]:
    return lambda asked, good: Answer(good.status, change(good.body))


def always(answer: Answer) -> Callable[[Asked, Answer], Answer]:
    return lambda asked, good: answer


def source_at(server: ScriptedServer, pattern: str = "a/*.tif") -> SourceSettings:
    s3 = S3Settings(endpoint_url=server.endpoint, anonymous=True)
    return SourceSettings("s", SourceKind.glob, f"s3://b/{pattern}", r"(?P<date>\d{8})", s3=s3)


def listed(server: ScriptedServer, pattern: str = "a/*.tif", stores: Stores | None = None) -> list[StoredObject]:
    source = source_at(server, pattern)
    return list_objects(source, stores or Stores(source.s3, QUICK))


def keys(server: ScriptedServer, pattern: str = "a/*.tif") -> list[str]:
    return [item.href.removeprefix("s3://b/") for item in listed(server, pattern)]


def test_all_pages_make_the_listing() -> None:
    with scripted_server(three_pages) as server:
        found = listed(server)
        assert [item.href for item in found] == [f"s3://b/{key}" for key in KEYS]
        assert (found[0].size, found[0].etag, str(found[0].modified)) == (7, '"0"', "2020-01-02 03:04:05+00:00")
        assert [asked.query["prefix"] for asked in server.asked] == ["a/"] * 3


BROKEN = {  # a page, and what is said if it stays so
    "an error document with status 200": (always(error(200, "InternalError")), "the server fails .*InternalError"),
    "cut in the middle": (body(lambda page: page[: len(page) // 2]), "not whole"),
    "cut between two keys": (body(lambda page: page[: page.index(b"</Contents>") + 11]), "not whole"),
    "fewer keys than it counts": (
        body(lambda page: page[: page.index(b"<Contents>")] + page[page.rindex(b"<Contents>") :]),
        "1 keys that counts 2",
    ),
    "the last page in its place": (lambda asked, good: Answer(body=page_xml(KEYS[4:], None, "4")), "another page"),
    "the first page again": (lambda asked, good: Answer(body=page_xml(KEYS[:2], "2", "0")), "another page"),
    "the first page again, with another token": (always(Answer(body=page_xml(KEYS[:2], "9"))), "keys do not follow"),
    "the first page again, as the last": (always(Answer(body=page_xml(KEYS[:2]))), "keys do not follow"),
    "a page of which a part was there": (always(Answer(body=page_xml(KEYS[1:4], "4"))), "keys do not follow"),
    "a page of another prefix": (always(Answer(body=page_xml(KEYS[2:4], "4", Prefix="a/1"))), "another prefix .a/1"),
    "a page of another bucket": (always(Answer(body=page_xml(KEYS[2:4], "4", Name="c"))), "another bucket .c."),
    "204": (always(Answer(204)), "status 204 in place of a page"),
    "206": (lambda asked, good: good._replace(status=206), "status 206 in place of a page"),
    "no word on the end": (body(lambda page: page.replace(b"IsTruncated", b"Other")), "IsTruncated"),
    "no way to the next": (body(lambda page: page.replace(b"NextContinuationToken", b"X")), "NextContinuationToken"),
    "a key without a size": (body(lambda page: page.replace(b"<Size>7</Size>", b"")), "no size"),
    "an empty body": (always(Answer()), "not whole"),
    "503": (always(error(503, "SlowDown")), "throttles"),
    "RequestTimeout": (always(error(400, "RequestTimeout")), "the server fails .*RequestTimeout"),
}  # fmt: skip


@pytest.mark.parametrize("bad", [bad for bad, _ in BROKEN.values()], ids=BROKEN.keys())
def test_a_page_that_is_broken_for_a_while_is_asked_for_again(bad: Callable[[Asked, Answer], Answer]) -> None:
    with scripted_server(spoilt(bad, times=2)) as server:
        source = source_at(server)
        stores = Stores(source.s3, QUICK)
        assert len(list_objects(source, stores)) == len(KEYS)
        assert (stores.counts.requests, stores.counts.retries) == (5, 2)


@pytest.mark.parametrize(("bad", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_page_that_stays_broken_ends_the_run_after_the_stated_attempts(
    bad: Callable[[Asked, Answer], Answer], words: str
) -> None:
    with scripted_server(spoilt(bad)) as server:
        with pytest.raises(SourceError, match=f"s3://b: it cannot be listed: .*{words}"):
            listed(server)
        assert len(server.asked) == 1 + QUICK.attempts


LASTING = {
    "a web page": (Answer(body=b"<!DOCTYPE html><title>Please log in</title>"), "a web page in place of"),
    "another document": (Answer(body=b"<ListAllMyBucketsResult/>"), "a <ListAllMyBucketsResult> document"),
    "entities": (Answer(body=b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x/>'), "defines entities"),
    "301": (Answer(301, error(301, "PermanentRedirect").body, {"x-amz-bucket-region": "eu-west-1"}),
            "set source.s3.region=eu-west-1"),
    "a redirect to itself": (Answer(307, headers={"Location": "/b?continuation-token=2"}), "status 307"),
    "expired credentials": (error(400, "ExpiredToken"), "the credentials have expired .ExpiredToken.; log in again"),
    "the clock": (error(403, "RequestTimeTooSkewed"), "the clock of this machine differs"),
    "access denied": (error(403, "AccessDenied"), "access denied; .*requester_pays"),
    "no such bucket": (error(404, "NoSuchBucket"), "it does not exist there"),
    "501": (error(501, "NotImplemented"), "refuses .status 501, NotImplemented"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "words"), LASTING.values(), ids=LASTING.keys())
def test_what_does_not_pass_ends_the_run_at_once(answer: Answer, words: str) -> None:
    with scripted_server(spoilt(always(answer))) as server:
        with pytest.raises(SourceError, match=words):
            listed(server)
        assert len(server.asked) <= 1 + 5  # redirects are followed, but not for ever


def test_pages_in_a_circle_end_the_run() -> None:
    with scripted_server(lambda asked: Answer(body=page_xml([f"a/{asked.number}"], "again"))) as server:
        with pytest.raises(SourceError, match="round in a circle"):
            listed(server)
        assert len(server.asked) == 2


def test_pages_without_end_end_the_run() -> None:
    with scripted_server(lambda asked: Answer(body=page_xml(KEYS[:2], f"token {asked.number}"))) as server:
        with pytest.raises(SourceError, match="keys do not follow"):
            listed(server)
        assert len(server.asked) == 1 + QUICK.attempts
        server.script = lambda asked: Answer(body=page_xml([], f"token {asked.number}"))
        with pytest.raises(SourceError, match="more than 100 pages of the listing in a row without a key"):
            listed(server)


def test_empty_pages_between_others_are_passed_over() -> None:
    pages = {"": page_xml(KEYS[:2], "2"), "2": page_xml([], "3"), "3": page_xml(KEYS[2:])}
    with scripted_server(lambda asked: Answer(body=pages[asked.query.get("continuation-token", "")])) as server:
        assert keys(server) == KEYS


@pytest.mark.parametrize(
    "order", [["a/C", "a/a", "a/B", "a/b"], ["a/a", "a/B", "a/b", "a/C"], ["a/x", "a/c", "a/b", "a/a"]]
)
def test_a_server_of_another_order_is_listed(order: list[str]) -> None:
    order = [f"{key}.tif" for key in order]
    pages = {"": page_xml(order[:2], "2"), "2": page_xml(order[2:])}
    with scripted_server(lambda asked: Answer(body=pages[asked.query.get("continuation-token", "")])) as server:
        assert keys(server) == sorted(order)


def test_a_page_that_drips_ends_by_the_timeout() -> None:
    dripping = Answer(body=b"x" * 20_000, byte_seconds=0.05)
    with scripted_server(lambda asked: dripping) as server:
        source = source_at(server)
        with pytest.raises(SourceError, match="no answer within fetch.timeout"):
            list_objects(source, Stores(source.s3, replace(QUICK, timeout_seconds=1, attempts=2)))
        assert len(server.asked) == 2


def test_objects_in_another_namespace_than_their_page_are_listed() -> None:
    page = page_xml(KEYS).replace(b"<KeyCount>6</KeyCount>", b"")
    mixed = page.replace(b"<Contents>", b'<Contents xmlns="">', 2).replace(b"<Key>", b'<Key xmlns="urn:x">')
    with scripted_server(lambda asked: Answer(body=mixed)) as server:
        assert keys(server) == KEYS


@pytest.mark.parametrize("written", [b"&#x1;", b"&#1;", b"\x01", b"&#x01;"])
def test_a_key_with_a_character_that_xml_forbids_ends_no_listing(written: bytes) -> None:
    page = page_xml([*KEYS, "b/?.tif"]).replace(b"%3F", written)
    with scripted_server(lambda asked: Answer(body=page)) as server:
        assert keys(server) == KEYS
        found = asyncio.run(list_keys("b", "**", Stores(source_at(server).s3, QUICK))).objects
        assert found[-1].href == "s3://b/b/\x01.tif"


def test_an_unsigned_redirect_is_followed() -> None:
    with (
        scripted_server(three_pages) as server,
        scripted_server(lambda asked: Answer(307, headers={"Location": server.endpoint + "/b"})) as first,
    ):
        server.script = lambda asked: Answer(body=page_xml(KEYS))
        assert keys(first) == KEYS


def test_a_key_listed_twice_is_one() -> None:
    with scripted_server(lambda asked: Answer(body=page_xml(KEYS + KEYS[:3]))) as server:
        assert keys(server) == KEYS


ODD = ["a//1.tif", "a/./2.tif", "a/../3.tif", "a/\t4.tif", "a/\n5.tif", "a/\x1b6.tif", "/7.tif", "a/8 +%25é.tif"]


def test_odd_keys_do_not_end_a_listing() -> None:
    with scripted_server(lambda asked: Answer(body=page_xml([*ODD, "b/9.tif"]))) as server:
        assert keys(server, "b/*.tif") == ["b/9.tif"]
        source = source_at(server)
        found = asyncio.run(list_keys("b", "**", Stores(source.s3, QUICK))).objects
        assert [item.href for item in found] == [f"s3://b/{key}" for key in [*ODD, "b/9.tif"]]


def test_folder_markers_are_not_scenes() -> None:
    with scripted_server(lambda asked: Answer(body=page_xml(["a/", "a/x.tif/", "a/x.tif", "a/x.tif/y.tif"]))) as server:
        assert keys(server) == ["a/x.tif"]
        assert keys(server, "**/*.tif") == ["a/x.tif", "a/x.tif/y.tif"]


def test_keys_that_a_server_does_not_encode_are_taken_as_they_are() -> None:
    page = page_xml([]).replace(b"<EncodingType>url</EncodingType>", b"").replace(b"<KeyCount>0</KeyCount>", b"")
    item = b"<Contents><Key>a/1%20+.tif</Key><Size>7</Size></Contents></ListBucketResult>"
    with scripted_server(lambda asked: Answer(body=page.replace(b"</ListBucketResult>", item))) as server:
        assert keys(server) == ["a/1%20+.tif"]


def test_odd_keys_of_an_independent_server_are_listed() -> None:
    import boto3  # type: ignore[import-untyped]  # no stubs in the test extra

    with moto_server() as endpoint:
        access = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=endpoint, **access)
        client.create_bucket(Bucket="bucket", ACL="public-read")
        wanted = sorted(["a//1.tif", "a/8 +%25é~.tif", "a/b.tif"])
        for key in wanted:
            client.put_object(Bucket="bucket", Key=key, Body=b"x", ACL="public-read")
        client.close()
        stores = Stores(S3Settings(endpoint_url=endpoint, anonymous=True), QUICK)
        found = asyncio.run(list_keys("bucket", "a/**", stores)).objects
    assert [item.href for item in found] == [f"s3://bucket/{key}" for key in wanted]
