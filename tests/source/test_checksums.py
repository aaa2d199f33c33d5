"""Objects against their MD5: what S3's own ETags allow, and what they do not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # no stubs in the test extra
import pytest
from jobs import found_stack
from moto import moto_server
from scenes_on_disk import speckle, write_scene

from runner.errors import ReadError, SourceError
from runner.model import Scene
from runner.read.fetch import FetchOptions
from runner.read.store_errors import MissingError
from runner.settings import S3Settings, SourceKind, SourceSettings
from runner.source.checksums import damaged
from runner.source.stores import Stores

Bucket = tuple[Any, SourceSettings]


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    """A bucket of moto's, whose ETags are those of S3, with two scenes uploaded in one piece: client and source."""
    with moto_server() as endpoint:
        client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
        )
        client.create_bucket(Bucket="scenes", ACL="public-read")
        for day in (1, 2):
            path = write_scene(tmp_path / f"2020010{day}.tif", speckle((300, 200), seed=day))
            client.put_object(Bucket="scenes", Key=path.name, Body=path.read_bytes(), ACL="public-read")
        s3 = S3Settings(endpoint_url=endpoint, anonymous=True)
        yield client, SourceSettings("s", SourceKind.glob, "s3://scenes/*.tif", r"(?P<date>\d{8})", s3=s3)
        client.close()


def scenes_of(source: SourceSettings) -> tuple[Scene, ...]:
    return found_stack(source).scenes


def problems(source: SourceSettings, scenes: tuple[Scene, ...]) -> list[ReadError]:
    stores = Stores(source.s3)
    return list(damaged(scenes, stores, FetchOptions(attempts=2, backoff_seconds=0.001), lambda done, total: None))


def test_what_was_uploaded_in_one_piece_has_its_md5_as_etag(bucket: Bucket) -> None:
    scenes = scenes_of(bucket[1])
    assert len(scenes) == 2
    assert not problems(bucket[1], scenes)


def test_an_object_that_is_gone_is_a_problem_too(bucket: Bucket) -> None:
    client, source = bucket
    scenes = scenes_of(source)
    client.delete_object(Bucket="scenes", Key="20200101.tif")
    assert [(type(one), one.href) for one in problems(source, scenes)] == [(MissingError, "s3://scenes/20200101.tif")]


def test_a_multipart_upload_cannot_be_verified(bucket: Bucket, tmp_path: Path) -> None:
    client, source = bucket
    whole = {"Bucket": "scenes", "Key": "20200103.tif"}
    content = write_scene(tmp_path / whole["Key"], speckle((300, 200), seed=3)).read_bytes()
    one = {**whole, "UploadId": client.create_multipart_upload(**whole, ACL="public-read")["UploadId"]}
    etag = client.upload_part(**one, PartNumber=1, Body=content)["ETag"]
    client.complete_multipart_upload(**one, MultipartUpload={"Parts": [{"ETag": etag, "PartNumber": 1}]})
    with pytest.raises(SourceError, match="20200103.tif: fetch.verify=checksum wants an MD5 .*set fetch.verify=none"):
        problems(source, scenes_of(source))
