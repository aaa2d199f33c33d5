"""Buckets of a moto, filled, looked into, and reached through a server whose answers a test may change."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from moto import moto_server
from scripted_server import Answer, Asked

KEYS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "knows", "AWS_EC2_METADATA_DISABLED": "true"}
BUCKET = "results"


class Bucket:
    """One bucket, looked into by boto3."""

    def __init__(self, endpoint: str, name: str = BUCKET) -> None:
        self.endpoint, self.name = endpoint, name
        words = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
        self.s3: Any = boto3.client("s3", endpoint_url=endpoint, **words)

    def make(self) -> "Bucket":
        self.s3.create_bucket(Bucket=self.name)
        return self

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """The objects below a prefix by their paths from there."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {key.removeprefix(prefix): self.get(key) for key in keys}

    def get(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        return body

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.name, Key=key)

    def unfinished(self) -> list[str]:
        """The keys of uploads in parts that were begun and not ended."""
        uploads = self.s3.list_multipart_uploads(Bucket=self.name).get("Uploads", ())
        return sorted(upload["Key"] for upload in uploads)

    def begin(self, key: str, part: bytes) -> None:
        """Begin an upload in parts, as a process does that is killed then."""
        upload = self.s3.create_multipart_upload(Bucket=self.name, Key=key)["UploadId"]
        self.s3.upload_part(Bucket=self.name, Key=key, UploadId=upload, PartNumber=1, Body=part)


@contextmanager
def moto_bucket() -> Iterator[Bucket]:
    """An empty bucket of a moto of its own, and credentials for it in the environment."""
    with moto_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield Bucket(endpoint).make()


def relay(endpoint: str) -> Callable[[Asked], Answer]:
    """A script that sends each request on to another server."""
    pool = urllib3.PoolManager(maxsize=16)

    def script(asked: Asked) -> Answer:
        headers = {name: value for name, value in asked.headers.items() if name not in ("host", "expect")}
        answer = pool.request(
            asked.method, endpoint + asked.target, body=asked.body, headers=headers, redirect=False, retries=False
        )
        own = {name: value for name, value in answer.headers.items() if name.lower() not in _OWN}
        if asked.method == "HEAD":
            own["Content-Length"] = answer.headers.get("Content-Length", "0")
        return Answer(answer.status, answer.data, own)

    return script


def as_googles(script: Callable[[Asked], Answer]) -> Callable[[Asked], Answer]:
    """A script that takes requests in the words of Google's XML API, which are S3's but for the names of headers.

    Source: "XML API reference: HTTP headers"; fake-gcs-server takes no uploads by this API.
    """

    def translated(asked: Asked) -> Answer:
        headers = {name.replace("x-goog-", "x-amz-"): value for name, value in asked.headers.items()}
        headers["authorization"] = _SIGNED
        path, mark, query = asked.target.partition("?")
        asked = asked._replace(target=path.replace("%2F", "/") + mark + query)
        generation = headers.pop("x-amz-if-generation-match", None)
        condition = {} if generation is None else {"if-none-match": "*"} if generation == "0" else {"if-match": '"1"'}
        if asked.method == "PUT" and "x-amz-copy-source" in headers and condition:
            there = script(asked._replace(method="HEAD", headers={"authorization": _SIGNED}, body=b""))
            if there.status == 200:
                return Answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            condition = {}
        answer = script(asked._replace(headers={**headers, **condition}))
        return answer._replace(status=412) if "if-match" in condition and answer.status == 404 else answer

    return translated


_SIGNED = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
_OWN = ("content-length", "transfer-encoding", "connection", "server", "date")


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a folder by their paths in it."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def environment() -> dict[str, str]:
    """The environment of a process that may write into these buckets."""
    return {**os.environ, **KEYS}
