"""A failure is put down to whose it is: the object's, or the store's, the credentials', the network's."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from obstore.store import S3Store
from scripted_server import Answer, Asked, ScriptedServer, error, part_of, scripted_server

from runner.errors import ReadError, SourceError
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, fetch_range, fetch_start
from runner.read.store_errors import ChangedError, DeniedError, MissingError, StoreError, is_readable
from runner.settings import S3Settings
from runner.source.stores import Stores

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

CONTENT = bytes(range(100))
QUICK = FetchOptions(attempts=3, backoff_seconds=0.001, timeout_seconds=5)


def fetched(server: ScriptedServer, etag: str | None = None, size: int | None = None, stop: int = 10) -> bytes:
    return bytes(asyncio.run(fetch_range(wanted(server, etag, size, stop), QUICK)))


def wanted(server: ScriptedServer, etag: str | None = None, size: int | None = None, stop: int = 10) -> ByteRange:
    store = Stores(S3Settings(endpoint_url=server.endpoint, anonymous=True)).s3_store("b")
    return ByteRange("s3://b/k", store, "k", etag, 0, stop, FetchCounts(), size)


def web_page(status: int) -> Answer:
    return Answer(status, b"<html>default backend</html>", {"Content-Type": "text/html"})


OF_THE_OBJECT = {
    "gone": (error(404, "NoSuchKey"), MissingError, "not found: it was never there, or was deleted"),
    "gone, without a word": (Answer(404), MissingError, "not found"),
    "ends before the range": (error(416, "InvalidRange"), ReadError, "it ends before them; upload it again"),
}
OF_THE_STORE = {
    "expired credentials": (error(400, "ExpiredToken"), StoreError, "expired .ExpiredToken.; log in again"),
    "the clock": (error(403, "RequestTimeTooSkewed"), StoreError, "the clock of this machine differs"),
    "denied": (error(403, "AccessDenied"), DeniedError, "access denied to bytes 0 to 10 .403."),
    "denied, without a word": (Answer(403), DeniedError, "access denied"),
    "unknown keys": (error(403, "InvalidAccessKeyId"), DeniedError, "access denied"),
    "archived": (error(403, "InvalidObjectState"), StoreError, "it is archived .InvalidObjectState.; restore it"),
    "no bucket": (error(404, "NoSuchBucket"), StoreError, "there is no such bucket"),
    "404 of a proxy": (web_page(404), StoreError, "404 is not an S3 server's"),
    "a redirect": (error(301, "PermanentRedirect"), StoreError, "set source.s3.region"),
    "redirects in a circle": (Answer(307, headers={"Location": "/b/k"}), StoreError, "from one address to the next"),
    "a web page": (web_page(200), StoreError, "ignores Range requests"),
    "400": (error(400, "InvalidRequest"), StoreError, "refuses .status 400, InvalidRequest."),
    "TLS on the port": (Answer(400, b"Client sent an HTTP request to an HTTPS server."), StoreError, "speaks TLS"),
}  # fmt: skip
PASSING = {
    "throttled": (error(503, "SlowDown"), StoreError, "unread after 3 attempts: the server throttles"),
    "RequestTimeout": (error(400, "RequestTimeout"), StoreError, "unread after 3 attempts: .*RequestTimeout"),
    "500": (error(500, "InternalError"), StoreError, "unread after 3 attempts: the server fails"),
    "short": (Answer(206, b"x" * 9, {"Content-Range": "bytes 0-9/100"}), StoreError, "the body ends early"),
}


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [*OF_THE_OBJECT.values(), *OF_THE_STORE.values()],
    ids=[*OF_THE_OBJECT.keys(), *OF_THE_STORE.keys()],
)
def test_what_lasts_is_asked_for_once_and_has_its_own_remedy(answer: Answer, kind: type[ReadError], words: str) -> None:
    with scripted_server(lambda asked: answer) as server:
        with pytest.raises(ReadError, match=words) as caught:
            fetched(server)
        assert type(caught.value) is kind
        assert len(server.asked) <= 11  # the client itself follows redirects
        assert len(server.asked) == 1 or "Location" in answer.headers


@pytest.mark.parametrize(("answer", "kind", "words"), PASSING.values(), ids=PASSING.keys())
def test_what_may_pass_is_asked_for_as_often_as_stated(answer: Answer, kind: type[ReadError], words: str) -> None:
    with scripted_server(lambda asked: answer) as server:
        with pytest.raises(ReadError, match=words) as caught:
            fetched(server)
        assert type(caught.value) is kind
        assert len(server.asked) == QUICK.attempts


# --- versions -----------------------------------------------------------------------------------------------------


def served(etag: str | None, **more: str) -> Callable[[Asked], Answer]:
    headers = {"ETag": etag} if etag else {}
    return lambda asked: part_of(CONTENT, asked, **headers, **more)


def test_a_server_that_ignores_if_match_gives_no_replaced_object() -> None:
    with scripted_server(served('"new"')) as server:
        with pytest.raises(ChangedError, match='was ETag "old"; it is now ETag "new", 100 bytes; run again'):
            fetched(server, etag='"old"')
        assert [asked.headers["if-match"] for asked in server.asked] == ['"old"']


def test_an_object_of_another_size_is_another_object_whatever_its_etag() -> None:
    with (
        scripted_server(served(None)) as server,
        pytest.raises(ChangedError, match="90 bytes; it is now ETag None, 100 bytes"),
    ):
        fetched(server, etag='"old"', size=90)


@pytest.mark.parametrize("form", ['W/"0a"', '"0A"', '"0a-gzip"', "0a"])
def test_forms_of_one_etag_are_one_object(form: str) -> None:
    with scripted_server(served('"0a"')) as server:
        assert fetched(server, etag=form) == CONTENT[:10]
    with scripted_server(served(form)) as server:
        assert fetched(server, etag='"0a"', size=100) == CONTENT[:10]


def test_a_server_that_refuses_every_precondition_is_read_and_held_to_its_answers() -> None:
    def script(asked: Asked) -> Answer:
        return error(412, "PreconditionFailed") if "if-match" in asked.headers else served('"0a"')(asked)

    with scripted_server(script) as server:
        assert fetched(server, etag='"0a"') == CONTENT[:10]
        with pytest.raises(ChangedError):
            fetched(server, etag='"0b"')


def test_the_start_of_a_short_object_says_its_size_and_version() -> None:
    with scripted_server(served('W/"0a"')) as server:
        start = asyncio.run(fetch_start(wanted(server, stop=32768), QUICK))
    assert (bytes(start.data), start.size, start.etag) == (CONTENT, 100, 'W/"0a"')


@pytest.mark.parametrize(
    ("key", "readable"),
    [
        ("a/b.tif", True),
        ("a b/ü+%20.tif", True),
        ("a..b/.c.tif", True),
        ("a//b.tif", False),
        ("/b.tif", False),
        ("a/./b.tif", False),
        ("../b.tif", False),
        ("a\tb.tif", False),
        ("a\x7fb.tif", False),
        ("a/", False),
    ],
)
def test_keys_that_clients_change_or_refuse_are_known(key: str, readable: bool) -> None:
    assert is_readable(key) is readable


def test_credentials_that_cannot_be_renewed_are_named() -> None:
    calls = []

    def keys() -> "S3Credential":
        calls.append(None)
        if len(calls) > 1:
            raise SourceError("AWS credentials: the provider sso fails; log in again")
        return {"access_key_id": "A", "secret_access_key": "S", "token": None, "expires_at": datetime.now(UTC)}

    with scripted_server(served('"0a"')) as server:
        client: ClientConfig = {"allow_http": True}
        store = S3Store("b", endpoint=server.endpoint, credential_provider=keys, client_options=client)
        part = ByteRange("s3://b/k", store, "k", None, 0, 10, FetchCounts())
        assert asyncio.run(fetch_range(part, QUICK))
        with pytest.raises(StoreError, match="s3://b/k: AWS credentials: the provider sso fails; log in again$"):
            asyncio.run(fetch_range(part, QUICK))
