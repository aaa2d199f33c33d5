"""What a worker on another machine does before its first task: reach the scenes, and load the kernels."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

from runner.engine.warm_up import load_kernels
from runner.errors import ClusterError, ReadError, RunnerError
from runner.model import Scene
from runner.planning.reading import Reading
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, fetch_range
from runner.read.network import endpoint_and_host, is_loopback
from runner.source.stores import Stores, endpoint_of

_ATTEMPTS: Final = 3
_TIMEOUT_SECONDS: Final = 20.0
_BYTES: Final = 16


def prepared(reading: Reading, scene: Scene, *, kernels: bool) -> None:
    """Read the first bytes of a scene and of its mask, as tasks do, and load the kernels.

    Raises ClusterError for what this worker cannot reach, although the process that planned the run has read it.
    """
    for file in (scene, scene.mask):
        if file is not None:
            refuse_unreachable(reading.stores, reading.fetch, [Pinned(file.href, file.etag, file.size, file.modified)])
    if kernels:
        load_kernels()


class Pinned(NamedTuple):
    """An object, and its version where that is known."""

    href: str
    etag: str | None = None
    size: int | None = None
    modified: datetime | None = None


def refuse_unreachable(stores: Stores, fetch: FetchOptions, objects: Sequence[Pinned]) -> None:
    """Read the first bytes of each object, which the run's own process has read. Raises ClusterError."""
    for item in objects:
        try:
            read_start(stores, fetch, item)
        except RunnerError as error:  # also of credentials that are not there
            what = f"{error}" if isinstance(error, ReadError) else f"{item.href}: {error}"
            local = stores.locate(item.href).root is None
            raise ClusterError(f"it cannot read {what}; {_remedy(stores, local=local)}") from error


def read_start(stores: Stores, fetch: FetchOptions, item: Pinned) -> None:
    """Read the first bytes of an object. Raises ReadError."""
    location = stores.locate(item.href)
    options = replace(fetch, attempts=_ATTEMPTS, timeout_seconds=_TIMEOUT_SECONDS)
    store, counts = stores.of(location), FetchCounts()
    start = ByteRange(item.href, store, location.key, item.etag, 0, _BYTES, counts, item.size, item.modified)
    asyncio.run(fetch_range(start, options))


def _remedy(stores: Stores, *, local: bool) -> str:
    """What to do about an object that one process reads and another does not."""
    if local:
        return (
            "the run's own process does, so give both the same folders under the same paths, put the scenes into a "
            "bucket, or choose cluster=threads or cluster=processes"
        )
    endpoint = endpoint_of(stores.s3)
    if endpoint and is_loopback(endpoint_and_host(endpoint)[1]):
        return (
            f"{endpoint} is an address within one machine, as the demo's is; serve the scenes under an address of the "
            "network, or choose cluster=threads or cluster=processes"
        )
    return "the run's own process does, so look at the network and the credentials of this worker"
