"""The first bytes of local files, read a few at a time: of each file its own, once, and the rest left to the store."""

import asyncio
from pathlib import Path

import pytest

from runner.model import StoredObject
from runner.read.header import HEADER_BYTES
from runner.settings import S3Settings
from runner.source.first_bytes import FirstBytes
from runner.source.stores import Stores


def written(folder: Path, count: int) -> list[StoredObject]:
    """Files of other bytes each, the last of which is longer than a header."""
    items = []
    for number in range(count):
        file = folder / f"{number}.tif"
        file.write_bytes(bytes([number]) * (HEADER_BYTES + 1 if number == count - 1 else number + 1))
        items.append(StoredObject(str(file), file.stat().st_size, None, None))
    return items


@pytest.mark.parametrize("count", [1, 8, 9, 20])
def test_each_file_has_its_own_first_bytes_whatever_the_order_they_are_asked_for(tmp_path: Path, count: int) -> None:
    items, stores = written(tmp_path, count), Stores(S3Settings())

    async def read() -> list[bytes]:
        first = FirstBytes(items, stores)
        parts = await asyncio.gather(*(first.of(item) for item in reversed(items)))
        return [bytes(part.data) for part in reversed(parts) if part]

    assert asyncio.run(read()) == [Path(item.href).read_bytes()[:HEADER_BYTES] for item in items]
    assert stores.counts.requests == count
    assert stores.counts.bytes == sum(min(item.size or 0, HEADER_BYTES) for item in items)


def test_a_file_that_is_asked_for_again_is_read_anew_by_the_store(tmp_path: Path) -> None:
    (item,) = written(tmp_path, 1)

    async def read() -> list[bool]:
        first = FirstBytes([item], Stores(S3Settings()))
        return [await first.of(item) is not None, await first.of(item) is not None]

    assert asyncio.run(read()) == [True, False]


def test_a_file_that_is_gone_and_an_object_in_a_bucket_are_left_to_the_store(tmp_path: Path) -> None:
    known, gone = written(tmp_path, 2)
    Path(gone.href).unlink()
    remote, stores = StoredObject("s3://bucket/x.tif", 9, None, None), Stores(S3Settings())

    async def read() -> list[bool]:
        first = FirstBytes([gone, remote, known], stores)
        return [await first.of(item) is not None for item in (gone, remote, known)]

    assert asyncio.run(read()) == [False, False, True]
    assert stores.counts.requests == 1
