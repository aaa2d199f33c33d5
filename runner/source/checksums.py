"""Checksums (`fetch.verify=checksum`): objects are read whole and compared with their MD5 before any pixel counts.

S3's ETag is the MD5 of an object that was uploaded in one piece, and in plain text or under SSE-S3; after a multipart
upload it ends in the number of parts, and under SSE-C and SSE-KMS it is no checksum either
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html).
"""

import hashlib
import re
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from runner.errors import ReadError, SourceError
from runner.host.cpus import cpu_count
from runner.model import MaskFile, Scene
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions
from runner.read.fetch_ahead import fetch_ahead
from runner.read.stop_flag import StopFlag
from runner.read.store_errors import StoreError
from runner.source.stores import Stores

if TYPE_CHECKING:
    from obstore import Bytes

_PART_BYTES = 4 * 2**20


def damaged(
    scenes: Sequence[Scene], stores: Stores, fetch: FetchOptions, progress: Callable[[int, int], None]
) -> Generator[ReadError, None, None]:
    """Read every scene whole, and its mask in a file of its own.

    Yields an error for each of which one cannot be read, or has another MD5 than its ETag says.
    Close the generator to cancel what is under way. Raises SourceError, before anything is read, for an object whose
    ETag is no MD5.
    """
    expected = {file.href: _md5_in(file, len(scenes)) for scene in scenes for file in _files(scene)}
    stop = StopFlag()

    def problem_of(scene: Scene) -> ReadError | None:
        problems = (_problem(file, expected[file.href], stores, fetch, stop) for file in _files(scene))
        problem = next(filter(None, problems), None)
        if problem is None or problem.href == scene.href or isinstance(problem, StoreError):
            return problem
        return ReadError(scene.href, f"its mask {problem}")

    with ThreadPoolExecutor(cpu_count()) as pool:
        try:
            for count, problem in enumerate(pool.map(problem_of, scenes), start=1):
                progress(count, len(scenes))
                if problem is not None:
                    yield problem
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _files(scene: Scene) -> list[Scene | MaskFile]:
    return [scene, scene.mask] if scene.mask else [scene]


def _md5_in(file: Scene | MaskFile, among: int) -> str:
    """The MD5, in hex, that an object's ETag is."""
    match = re.fullmatch(r'"?([0-9a-f]{32})"?', file.etag or "")
    if match is None:
        raise SourceError(
            f"{file.href}: fetch.verify=checksum wants an MD5 as ETag of each of {among} objects, got {file.etag} "
            "(a multipart upload, or a local file); upload it in one piece, or set fetch.verify=none"
        )
    return match[1]


def _problem(
    file: Scene | MaskFile, expected: str, stores: Stores, fetch: FetchOptions, stop: StopFlag
) -> ReadError | None:
    try:
        first = _md5_of(file, stores, fetch, stop)
        second = first if first == expected else _md5_of(file, stores, fetch, stop)
    except ReadError as error:
        return error
    if first == expected:
        return None
    if second != first:
        return StoreError(file.href, f"read twice, its bytes have the MD5 {first} and {second}; check the network")
    return ReadError(
        file.href,
        f"its bytes have the MD5 {first}, its ETag is {expected}: damaged since its upload (or encrypted by SSE-KMS or "
        "SSE-C, whose ETags are not an MD5: set fetch.verify=none); upload it again",
    )


def _md5_of(file: Scene | MaskFile, stores: Stores, fetch: FetchOptions, stop: StopFlag) -> str:
    """The MD5 of an object's bytes, in hex. Raises ReadError."""
    digest = hashlib.md5(usedforsecurity=False)
    with closing(read_whole(file, stores, fetch, stop)) as pieces:
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


def read_whole(
    file: Scene | MaskFile, stores: Stores, fetch: FetchOptions, stop: StopFlag | None = None
) -> Generator["Bytes", None, None]:
    """All bytes of an object, piece by piece, pinned to its version. Raises ReadError."""
    location, size = stores.locate(file.href), file.size
    pinned = file.etag, 0, size, FetchCounts(), size, file.modified
    request = ByteRange(file.href, stores.of(location), location.key, *pinned)
    starts = range(0, size, _PART_BYTES)
    parts = ((start, request._replace(start=start, stop=min(start + _PART_BYTES, size))) for start in starts)
    with closing(fetch_ahead(parts, fetch, stop)) as fetched:
        for _, data in fetched:
            yield data
