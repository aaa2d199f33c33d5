"""Objects of an S3 bucket, written once, by botocore: obstore makes no condition on uploads in parts, nor ends them.

Source: Amazon S3 API Reference: PutObject, CompleteMultipartUpload (If-None-Match), "Checking object integrity".
"""

import hashlib
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from runner.errors import OutputError, printable
from runner.host.stopping import refuse_if_stopped
from runner.publish.media_types import media_type
from runner.publish.s3_client import client_of, in_words, refusal_behind, unanswered
from runner.publish.target import CHUNK_BYTES, Sent, of_output, parts_of, refuse_damaged, sha256_of
from runner.read.refusals import Refusal
from runner.read.store_errors import reason_of
from runner.source.stores import Stores

_PARTS_TOGETHER: Final = 4
_MOST_PARTS: Final = 10_000
_ATTEMPTS_AT_ONCE: Final = threading.BoundedSemaphore(8)  # bodies in memory, of all uploads of this process
_THERE: Final = (412, 409)  # another object, or another upload of it that is about to end
_UNKNOWN: Final = (405, 501)  # not allowed for anybody, not implemented


class _ThereError(Exception):
    """The condition that no object has this key does not hold."""


class _UnknownError(OutputError):
    """The server does not know what it was asked."""


@dataclass(frozen=True, slots=True)
class S3Target:
    """Objects below a prefix of a bucket."""

    client: Any
    bucket: str
    prefix: str
    more: dict[str, str]  # arguments of every request

    @classmethod
    def of(cls, bucket: str, prefix: str, stores: Stores) -> "S3Target":
        """The objects by these settings. Raises SourceError for credentials that are not there."""
        if not stores.s3.anonymous:
            stores.credentials.keys()
        more = {"RequestPayer": "requester"} if stores.s3.requester_pays else {}
        return cls(client_of(stores), bucket, prefix, more)

    @property
    def url(self) -> str:
        """The address."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def below(self, name: str) -> "S3Target":
        """The objects below a path."""
        return replace(self, prefix=self._key(name))

    def sizes(self) -> dict[str, int]:
        """The bytes of every object there is."""
        before = self._key("")
        pages = self._pages("list_objects_v2", "Contents", Prefix=before)
        return {entry["Key"].removeprefix(before): entry["Size"] for entry in pages}

    def first(self) -> str | None:
        """The path of an object there is, or None."""
        before = self._key("")
        request = {"Bucket": self.bucket, "Prefix": before, "MaxKeys": 1, **self.more}
        found = self._answer(lambda: self.client.list_objects_v2(**request), self.url).get("Contents")
        return str(found[0]["Key"]).removeprefix(before) if found else None

    def refuse_unwritable(self) -> None:
        """Raise OutputError if an upload cannot be begun; it is ended at once, so that no object is left."""
        name = "outputs.json"
        self._end(name, self._call("create_multipart_upload", name)["UploadId"])

    def put(self, name: str, path: Path, sha256: str, sent: Sent) -> bool:
        """Write a file as an object, in parts if it is large; False if there is one of this name."""
        size = path.stat().st_size
        if size <= CHUNK_BYTES:
            arrived = self.put_bytes(name, path.read_bytes())
            sent(size)
            return arrived
        return self._put_parts(name, path, sha256, sent)

    def put_bytes(self, name: str, body: bytes) -> bool:
        """Write a few bytes as an object; False if there is one of this name."""
        checksum = _base64(body)
        try:
            with _ATTEMPTS_AT_ONCE:
                answer = self._call(
                    "put_object", name, Body=body, IfNoneMatch="*", ChecksumSHA256=checksum, **_type_of(name)
                )
        except _ThereError:
            return False
        if answer.get("ChecksumSHA256") != checksum:
            self._prove(name, hashlib.sha256(body).hexdigest())
        return True

    def _put_parts(self, name: str, path: Path, sha256: str, sent: Sent) -> bool:
        upload = self._call("create_multipart_upload", name, ChecksumAlgorithm="SHA256", **_type_of(name))["UploadId"]
        try:
            parts = self._sent_parts(name, path, upload, sent)
            answer = self._call(
                "complete_multipart_upload", name, UploadId=upload, IfNoneMatch="*", MultipartUpload={"Parts": parts}
            )
        except BaseException as error:
            with suppress(OutputError, _ThereError):
                self._end(name, upload)
            if isinstance(error, _ThereError):
                return False
            raise
        if answer.get("ChecksumSHA256") != _of_parts(part["ChecksumSHA256"] for part in parts):
            self._prove(name, sha256)
        return True

    def _sent_parts(self, name: str, path: Path, upload: str, sent: Sent) -> list[dict[str, Any]]:
        """Send the parts of a file, several at a time; what the end of the upload must name."""
        part_bytes = _part_bytes(path.stat().st_size)

        def send(number: int) -> dict[str, Any]:
            refuse_if_stopped()
            with _ATTEMPTS_AT_ONCE:
                body = _part(path, number, part_bytes)
                words = {"PartNumber": number, "ChecksumSHA256": _base64(body)}
                answer = self._call("upload_part", name, UploadId=upload, Body=body, **words)
            sent(len(body))
            return {"ETag": answer["ETag"], **words}

        count = -(-path.stat().st_size // part_bytes)
        pool = ThreadPoolExecutor(_PARTS_TOGETHER, "part")
        try:
            return list(pool.map(send, range(1, count + 1)))
        finally:
            pool.shutdown(cancel_futures=True)

    def _prove(self, name: str, sha256: str) -> None:
        """Read an object back, since the store does not say what it holds; it is removed if it is something else."""
        _, arrived = sha256_of(self.chunks(name))
        if arrived != sha256:
            self._call("delete_object", name)
            refuse_damaged(self._href(name), sha256, arrived)

    def holds(self, name: str, path: Path, sha256: str) -> bool:
        """Tell if an object is the same bytes as a file: by the store's own hash of it, or else read back."""
        about = self._call("head_object", name, ChecksumMode="ENABLED")
        if about["ContentLength"] != path.stat().st_size:
            return False
        digest = b64encode(bytes.fromhex(sha256)).decode()
        if about.get("ChecksumSHA256") == digest:
            return True
        if about.get("ChecksumSHA256", "").partition("-")[2]:
            parts = parts_of(path, _part_bytes(about["ContentLength"]))
            if about["ChecksumSHA256"] == _of_parts(map(_base64, parts)):
                return True
        return sha256_of(self.chunks(name))[1] == sha256

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of an object, in pieces. Raises OutputError."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as in _client

        answer = self._call("get_object", name)
        with closing(answer["Body"]) as body:
            try:
                yield from body.iter_chunks(2**20)
            except (BotoCoreError, OSError) as error:  # the body ends early
                raise OutputError(f"{self._href(name)}: cannot be read to its end: {error}; try later") from error

    def drop_parts(self, names: set[str]) -> None:
        """End uploads of these objects that were begun and not ended, as a process that was killed leaves them."""
        before = self._key("")
        with suppress(_UnknownError):
            for entry in list(self._pages("list_multipart_uploads", "Uploads", Prefix=before)):
                if entry["Key"].removeprefix(before) in names:
                    self._end(entry["Key"].removeprefix(before), entry["UploadId"])

    def _end(self, name: str, upload: str) -> None:
        """End an upload in parts without an object. A server that cannot keeps the parts."""
        with suppress(_UnknownError):
            self._call("abort_multipart_upload", name, UploadId=upload)

    # --- requests -----------------------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _href(self, name: str) -> str:
        return printable(f"s3://{self.bucket}/{self._key(name)}")

    def _call(self, operation: str, name: str, **words: Any) -> Any:
        """One request for an object. Raises OutputError, and _ThereError for a condition that does not hold."""
        about = {"Bucket": self.bucket, "Key": self._key(name), **self.more, **words}
        return self._answer(lambda: getattr(self.client, operation)(**about), self._href(name))

    def _pages(self, operation: str, field: str, **words: Any) -> Iterator[dict[str, Any]]:
        pages = self.client.get_paginator(operation).paginate(Bucket=self.bucket, **self.more, **words)

        def entries() -> list[dict[str, Any]]:
            return [entry for page in pages for entry in page.get(field, ())]

        yield from self._answer(entries, self.url)

    @staticmethod
    def _answer(request: Callable[[], Any], href: str) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as in _client

        try:
            return request()
        except ClientError as error:
            refusal = refusal_behind(error)
            if refusal.status in _THERE and refusal.code in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise _ThereError from error
            kind = _UnknownError if refusal.status in _UNKNOWN else OutputError
            raise kind(f"{href}: {in_words(refusal, href)}") from error
        except RecursionError as error:  # botocore follows a redirect without an end
            raise OutputError(f"{href}: {in_words(Refusal('', 301, 'PermanentRedirect', ''), href)}") from error
        except (BotoCoreError, OSError) as error:
            raise OutputError(f"{href}: {of_output(reason_of(unanswered(error), href))}") from error


def _type_of(name: str) -> dict[str, str]:
    return {"ContentType": media_type(name).partition(";")[0]}


def _part_bytes(size: int) -> int:
    """The bytes of each part but the last: as few as may be, and no more parts than S3 takes."""
    return max(CHUNK_BYTES, -(-size // _MOST_PARTS // 2**20) * 2**20)


def _part(path: Path, number: int, part_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek((number - 1) * part_bytes)
        return file.read(part_bytes)


def _base64(body: bytes) -> str:
    return b64encode(hashlib.sha256(body).digest()).decode()


def _of_parts(checksums: Any) -> str:
    """The hash of an object in parts: that of the hashes of its parts, and their number."""
    digests = [b64decode(checksum) for checksum in checksums]
    return f"{b64encode(hashlib.sha256(b''.join(digests)).digest()).decode()}-{len(digests)}"
