"""Ranges of local files, read without obstore: the same bytes, the same version, and the rest left to it."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from stat import S_IFREG
from types import SimpleNamespace

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore

from runner.read.fetch import ByteRange, FetchCounts, FetchOptions
from runner.read.fetch_ahead import fetch_ahead
from runner.read.local_files import read_local
from runner.read.store_errors import ChangedError, StoreError
from runner.read.version import ObjectPart, Version, version_of

CONTENT = bytes(range(100))
ANY = Version(None, None, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "x%41 ü.tif"
    file.write_bytes(CONTENT)
    return file


def read(path: Path, start: int, stop: int, expected: Version = ANY) -> ObjectPart | None:
    return asyncio.run(read_local(LocalStore(), str(path), start, stop, expected))


@pytest.mark.parametrize("nanoseconds", [0, 1, 10**9, 1_700_000_000_123_456_789, -5_000_000_001])
def test_a_file_has_the_version_that_obstore_states(path: Path, nanoseconds: int) -> None:
    os.utime(path, ns=(nanoseconds, nanoseconds))
    part = read(path, 0, 10)
    assert part
    assert part.version == version_of(obstore.head(LocalStore(), str(path)))


@pytest.mark.parametrize(
    ("start", "stop", "data"), [(0, 10, CONTENT[:10]), (90, 100, CONTENT[90:]), (90, 200, CONTENT[90:])]
)
def test_a_range_ends_where_the_file_does(path: Path, start: int, stop: int, data: bytes) -> None:
    part = read(path, start, stop)
    assert part
    assert (bytes(part.data), part.size) == (data, 100)


def test_what_is_not_as_expected_is_left_to_obstore(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    assert read(path.with_name("gone"), 0, 10) is None
    assert read(path.with_name("pipe"), 0, 10) is None
    assert read(path.parent, 0, 10) is None
    assert read(path, 100, 110) is None
    assert read(path, 0, 10, Version('"another"', None, None)) is None


def test_a_file_of_a_year_that_python_does_not_have_is_left_to_obstore(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = SimpleNamespace(st_mode=S_IFREG, st_ino=1, st_size=len(CONTENT), st_mtime_ns=6 * 10**20)
    monkeypatch.setattr("os.fstat", lambda _: state)
    assert read(path, 0, 10) is None


def test_a_file_that_is_rewritten_while_it_is_read_is_left_to_obstore(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rewritten(*place: int) -> bytes:
        os.utime(path, (1, 1))
        return pread(*place)

    pread = os.pread
    monkeypatch.setattr("os.pread", rewritten)
    assert read(path, 0, 10) is None


@pytest.mark.parametrize("store", [MemoryStore(), LocalStore("/")])
def test_other_stores_are_left_to_obstore(path: Path, store: object) -> None:
    assert asyncio.run(read_local(store, str(path), 0, 10, ANY)) is None


def test_ranges_of_a_local_file_are_counted_and_one_that_has_changed_is_refused(path: Path) -> None:
    def ranges(etag: str | None) -> Iterator[tuple[int, ByteRange]]:
        for start in (0, 50, 60):
            yield start, ByteRange(str(path), LocalStore(), str(path), etag, start, start + 40, counts)

    counts, part = FetchCounts(), read(path, 0, 1)
    assert part
    fetched = [(start, bytes(data)) for start, data in fetch_ahead(ranges(part.version.etag), FetchOptions())]
    assert fetched == [(start, CONTENT[start : start + 40]) for start in (0, 50, 60)]
    assert counts == FetchCounts(requests=3, bytes=120)
    with pytest.raises(ChangedError):
        list(fetch_ahead(ranges('"another"'), FetchOptions()))


def test_a_file_that_does_not_answer_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr("os.pread", lambda *_: hangs.wait() and b"")
    requested = ByteRange(str(path), LocalStore(), str(path), None, 0, 10, FetchCounts())
    with pytest.raises(StoreError, match=r"no answer within fetch.timeout"):
        list(fetch_ahead([(0, requested)], FetchOptions(timeout_seconds=0.1, attempts=1)))
    hangs.set()
