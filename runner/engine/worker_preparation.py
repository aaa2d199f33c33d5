"""What a worker on another machine does before its first task: reach the scenes, and load the kernels."""

import asyncio
from dataclasses import replace
from typing import Final

from runner.engine.warm_up import load_kernels
from runner.errors import ClusterError, ReadError
from runner.model import MaskFile, Scene
from runner.planning.reading import Reading
from runner.read.fetch import ByteRange, FetchCounts, fetch_range
from runner.read.network import endpoint_and_host, is_loopback
from runner.source.stores import endpoint_of

_ATTEMPTS: Final = 3
_TIMEOUT_SECONDS: Final = 20.0
_BYTES: Final = 16


def prepared(reading: Reading, scene: Scene, *, kernels: bool) -> None:
    """Read the first bytes of a scene and of its mask, as tasks do, and load the kernels.

    Raises ClusterError for what this worker cannot reach, although the process that planned the run has read it.
    """
    for file in (scene, scene.mask):
        if file is not None:
            _reach(reading, file)
    if kernels:
        load_kernels()


def _reach(reading: Reading, file: Scene | MaskFile) -> None:
    location = reading.stores.locate(file.href)
    options = replace(reading.fetch, attempts=_ATTEMPTS, timeout_seconds=_TIMEOUT_SECONDS)
    start = ByteRange(
        file.href,
        reading.stores.of(location),
        location.key,
        file.etag,
        0,
        _BYTES,
        FetchCounts(),
        file.size,
        file.modified,
    )
    try:
        asyncio.run(fetch_range(start, options))
    except ReadError as error:
        raise ClusterError(f"it cannot read {error}; {_remedy(reading, local=location.root is None)}") from error


def _remedy(reading: Reading, *, local: bool) -> str:
    """What to do about an object that one process reads and another does not."""
    if local:
        return (
            "the run's own process does, so give both the same folders under the same paths, put the scenes into a "
            "bucket, or choose cluster=threads or cluster=processes"
        )
    endpoint = endpoint_of(reading.stores.s3)
    if endpoint and is_loopback(endpoint_and_host(endpoint)[1]):
        return (
            f"{endpoint} is an address within one machine, as the demo's is; serve the scenes under an address of the "
            "network, or choose cluster=threads or cluster=processes"
        )
    return "the run's own process does, so look at the network and the credentials of this worker"
