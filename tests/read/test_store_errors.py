"""A failure is put down to whose it is: the object's, or the store's, the credentials', the network's."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from obstore.exceptions import GenericError
from obstore.store import LocalStore, S3Store
from scripted_server import Answer, Asked, ScriptedServer, error, part_of, scripted_server
from waiting import LONG

from runner.errors import ReadError, SourceError
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, fetch_range, fetch_start
from runner.read.store_errors import (
    ChangedError,
    DeniedError,
    MissingError,
    StoreError,
    explain,
    is_readable,
    may_pass,
    reason_of,
)
from runner.settings import AzureSettings, GcsSettings, S3Settings
from runner.source.stores import Clouds, Stores

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

CONTENT = bytes(range(100))
QUICK = FetchOptions(attempts=3, backoff_seconds=0.001, timeout_seconds=LONG)


def fetched(server: ScriptedServer, etag: str | None = None, size: int | None = None, stop: int = 10) -> bytes:
    return bytes(asyncio.run(fetch_range(wanted(server, etag, size, stop), QUICK)))


def wanted(server: ScriptedServer, etag: str | None = None, size: int | None = None, stop: int = 10) -> ByteRange:
    store = Stores(S3Settings(endpoint_url=server.endpoint, anonymous=True)).s3_store("b")
    return ByteRange("s3://b/k", store, "k", etag, 0, stop, FetchCounts(), size)


def web_page(status: int) -> Answer:
    return Answer(status, b"<html>default backend</html>", {"Content-Type": "text/html"})


OF_THE_OBJECT = {
    "gone": (error(404, "NoSuchKey"), MissingError, "not found: it was never there, or was deleted"),
}
OF_THE_STORE = {
    "expired credentials": (error(400, "ExpiredToken"), StoreError, "expired .ExpiredToken.; log in again"),
    "the clock": (error(403, "RequestTimeTooSkewed"), StoreError, "the clock of this machine differs"),
    "denied": (error(403, "AccessDenied"), DeniedError, "access denied to bytes 0 to 10 .403."),
    "denied, without a word": (Answer(403), DeniedError, "access denied"),
    "unknown keys": (error(403, "InvalidAccessKeyId"), DeniedError, "access denied"),
    "archived": (error(403, "InvalidObjectState"), StoreError, "it is archived .InvalidObjectState.; restore it"),
    "no bucket": (error(404, "NoSuchBucket"), StoreError, "there is no such bucket"),
    "404 without a word": (Answer(404), StoreError, "404 is not an S3 server's .an empty one.; check"),
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
    "another range": (
        Answer(206, b"x" * 10, {"Content-Range": "bytes 9-18/100"}),
        StoreError,
        "another range than was",
    ),
    "cut range": (
        Answer(206, b"x" * 5, {"Content-Range": "bytes 0-4/100"}),
        StoreError,
        "another range than was asked",
    ),
    "nameless range": (Answer(206, b"x" * 10), StoreError, "does not say with which .Content-Range."),
    "range of unknown whole": (Answer(206, b"x" * 10, {"Content-Range": "bytes 0-9/*"}), StoreError, "Content-Range"),
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


def ends_at(size: int, etag: str) -> Callable[[Asked], Answer]:
    """A server that says 416 to every range, and by HEAD what the object is now."""

    def script(asked: Asked) -> Answer:
        if asked.method == "HEAD":
            return Answer(200, b"x" * size, {"ETag": etag})
        return error(416, "InvalidRange")

    return script


@pytest.mark.parametrize(
    ("now", "etag", "size", "kind", "words"),
    [
        (40, '"new"', 100, ChangedError, "it was ETag .old., 100 bytes; it is now ETag .new., 40 bytes"),
        (40, '"old"', 100, ChangedError, "it is now ETag .old., 40 bytes"),
        (100, '"old"', 100, StoreError, "says that it ends before them, and that it has 100 bytes; check the server"),
        (100, '"old"', None, StoreError, "says that it ends before them, and that it has 100 bytes; check the server"),
        (40, '"old"', 40, ReadError, "truncated: wanted bytes to 60, it has 40; upload it again"),
        (40, '"old"', None, ReadError, "truncated: wanted bytes to 60, it has 40; upload it again"),
    ],
)
def test_the_end_of_an_object_is_believed_only_where_its_size_says_so_too(
    now: int, etag: str, size: int | None, kind: type[ReadError], words: str
) -> None:
    with scripted_server(ends_at(now, etag)) as server:
        part = wanted(server, '"old"', size)._replace(start=50, stop=60)
        with pytest.raises(ReadError, match=words) as caught:
            asyncio.run(fetch_range(part, QUICK))
        assert type(caught.value) is kind
        assert len(server.asked) == 2


THEN = datetime(2024, 1, 1, tzinfo=UTC)
SAME, LATER = "Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:01 GMT"


def fetched_from(script: Callable[[Asked], Answer], modified: datetime | None = THEN) -> bytes:
    with scripted_server(script) as server:
        part = wanted(server, '"old"', 100)._replace(modified=modified)
        return bytes(asyncio.run(fetch_range(part, QUICK)))


def test_time_of_change_tells_the_version_where_a_server_sends_no_etag() -> None:
    assert fetched_from(served(None, **{"Last-Modified": SAME})) == CONTENT[:10]
    with pytest.raises(ChangedError, match="100 bytes, of 2024-01-01 00:00:00; it is now .* 00:00:01"):
        fetched_from(served(None, **{"Last-Modified": LATER}))


def test_the_same_etag_at_another_time_is_the_same_object() -> None:
    assert fetched_from(served('"old"', **{"Last-Modified": LATER})) == CONTENT[:10]


@pytest.mark.parametrize("modified", [THEN, None])
def test_an_answer_that_tells_no_version_is_refused_where_one_was_known(modified: datetime | None) -> None:
    with pytest.raises(StoreError, match="neither an ETag nor a Last-Modified") as caught:
        fetched_from(served(None), modified)
    assert type(caught.value) is StoreError


def lost(path: Path) -> ReadError:
    with pytest.raises(ReadError) as caught:
        asyncio.run(fetch_range(ByteRange(str(path), LocalStore(), str(path), None, 0, 4, FetchCounts()), QUICK))
    return caught.value


def test_a_file_that_is_gone_is_the_fault_of_its_disk_if_its_folder_is_gone_or_empty(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "other.tif").touch()
    assert type(lost(folder / "a.tif")) is MissingError
    (folder / "other.tif").unlink()
    assert type(lost(folder / "a.tif")) is StoreError
    folder.rmdir()
    assert f"its folder {folder} is gone or empty; mount it again" in str(lost(folder / "a.tif"))


def test_the_words_of_a_client_that_repeat_a_header_are_not_told() -> None:
    error = ValueError("Invalid header value b'canary\\n'")
    assert "canary" not in reason_of(error)
    assert "a header of the request holds a character that cannot be sent" in reason_of(error)


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


def test_a_refused_precondition_counts_where_answers_have_no_etag() -> None:
    def script(asked: Asked) -> Answer:
        refused = "if-match" in asked.headers
        return error(412, "PreconditionFailed") if refused else served(None, **{"Last-Modified": SAME})(asked)

    with pytest.raises(ChangedError, match="its ETag is no longer the listed one"):
        fetched_from(script)


def test_an_end_that_no_size_confirms_is_the_fault_of_the_server() -> None:
    with (
        scripted_server(lambda asked: error(416, "InvalidRange")) as server,
        pytest.raises(StoreError, match="says that it ends before them, but not how long it is"),
    ):
        fetched(server, '"old"')


def test_the_start_of_a_short_object_says_its_size_and_version() -> None:
    with scripted_server(served('W/"0a"')) as server:
        start = asyncio.run(fetch_start(wanted(server, stop=32768), QUICK))
    assert (bytes(start.data), start.size, start.version.etag) == (CONTENT, 100, 'W/"0a"')


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


# --- other stores than S3's ---------------------------------------------------------------------------------------


def failed(href: str, answer: Answer) -> ReadError:
    """The failure of the one request for an object of a web server, of Google's or of Azure's store."""
    with scripted_server(lambda asked: answer) as server:
        clouds = Clouds(GcsSettings(server.endpoint, True), AzureSettings("a", server.endpoint, True))
        stores = Stores(S3Settings(), clouds=clouds)
        location = stores.locate(href.replace("http://host", server.endpoint))
        part = ByteRange(href, stores.of(location), location.key, None, 0, 10, FetchCounts())
        with pytest.raises(ReadError) as caught:
            asyncio.run(fetch_range(part, QUICK))
        assert len(server.asked) == 1 or "Location" in answer.headers
    return caught.value


@pytest.mark.parametrize(
    ("href", "answer", "kind", "words"),
    [
        ("gs://b/k", error(404, "NoSuchKey"), MissingError, "not found"),
        ("gs://b/k", error(404, "NoSuchBucket"), StoreError, "no such bucket; check its name and source.gcs.end"),
        ("gs://b/k", web_page(404), StoreError, "404 is not a Google Cloud Storage server's .*; check source.gcs.e"),
        ("gs://b/k", error(403, "AccessDenied"), DeniedError, "set source.gcs.anonymous=true, else name a file"),
        ("gs://b/k", error(401, "AuthenticationRequired"), DeniedError, "access denied to bytes 0 to 10 .401."),
        ("az://c/k", error(404, "BlobNotFound"), MissingError, "not found"),
        ("az://c/k", error(404, "ContainerNotFound"), StoreError, "no such container; check its name, source.azu"),
        ("az://c/k", error(404, "SomethingElse"), StoreError, "404 is not an Azure Blob server's .SomethingElse."),
        ("az://c/k", error(404, "ResourceNotFound"), StoreError, "no such container, or it is not public .*source.az"),
        ("http://host/k", error(409, "PublicAccessNotPermitted"), StoreError, "is not public .*source.stac.sign"),
        ("az://c/k", error(403, "AuthenticationFailed"), DeniedError, "AZURE_STORAGE_SAS_TOKEN .has it expired"),
        ("az://c/k", error(409, "BlobArchived"), StoreError, "it is archived .BlobArchived.; restore it"),
        ("http://host/k", web_page(404), MissingError, "not found"),
        ("http://host/k", Answer(410), StoreError, "the server refuses .status 410.; check its address"),
        ("http://host/k?x=1", Answer(403), DeniedError, "if its address is signed, the signature may have expired"),
        ("http://host/k", Answer(401), DeniedError, "a store that wants a login is read by its own scheme"),
        ("http://host/k", web_page(200), StoreError, "ignores Range requests, .*; check its address"),
        ("http://host/k", Answer(302, headers={"Location": "/k"}), StoreError, "to the next; check its address"),
    ],
)  # fmt: skip
def test_a_failure_is_explained_in_the_words_of_its_store(
    href: str, answer: Answer, kind: type[ReadError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        raise failed(href, answer)
    assert type(caught.value) is kind
    assert "s3" not in str(caught.value).replace("s3://, gs:// or az://", "")


def test_credentials_of_a_cloud_that_are_not_there_are_not_asked_for_again() -> None:
    url = "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token?audience=x"
    nobody = GenericError(f"Generic GCS error: Error performing token request: Error performing GET {url} in 1s - HTTP")
    assert not may_pass(nobody)
    assert reason_of(nobody, "gs://b/k").startswith("no credentials are found; for a public bucket set source.gcs.anon")


def test_credentials_that_get_no_token_say_how_to_log_in_and_no_word_of_the_answer() -> None:
    text = "Error performing token request: Error performing POST https://oauth2.googleapis.com/token in 1s - Server"
    refused = GenericError(f"Generic GCS error: {text} returned non-2xx status code: 400 Bad Request: canary-4711")
    said = str(explain(refused, "gs://b/k", "it", 1))
    assert said == (
        "gs://b/k: https://oauth2.googleapis.com gives no token for these credentials (status 400); log in again "
        "(gcloud auth application-default login)"
    )
