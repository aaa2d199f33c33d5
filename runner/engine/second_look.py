"""A second reading of what a task could not read: only what both say of an object is true of the object."""

from collections.abc import Iterable
from contextlib import closing

from runner.engine.trace import THIS_PROCESS, trace_of
from runner.errors import ReadError
from runner.model import Scene, Stack, locate
from runner.plan.planner import fetch_options
from runner.plan.readers import by_gdal
from runner.read import fast_reader, gdal_reader
from runner.read.fetch import FetchCounts
from runner.read.gdal_environment import gdal_environment
from runner.read.header import SceneFile, Window
from runner.read.store_errors import MissingError, StoreError
from runner.settings import EngineName, JobSettings
from runner.source.checksums import read_whole
from runner.source.stores import Stores, gdal_path, gdal_s3_options


def confirmed(job: JobSettings, stack: Stack, error: ReadError) -> ReadError:
    """The fault of an object, once this process has seen it too.

    Raises StoreError if the fault is the store's or the network's, or of the worker alone.
    """
    if isinstance(error, StoreError):
        raise error
    scene = next(scene for scene in stack.scenes if scene.href == error.href)
    task = trace_of(error)
    window = task.block.window if task and task.block else Window(0, 0, *scene.header.shape)
    worker = task.place.worker if task and task.place else THIS_PROCESS
    try:
        _read(job, scene, window)
    except StoreError:
        raise
    except ReadError as again:
        return again
    raise StoreError(error.href, _seen_once(error, worker))


def _seen_once(error: ReadError, worker: str) -> str:
    """The fault of a worker, or of one moment."""
    if worker == THIS_PROCESS:
        return f"{error.problem}; but read again, by this process, it is whole: check network, disk and workers"
    if isinstance(error, MissingError):
        return f"worker {worker} does not find it, but this process does; let all workers see the same folders"
    return f"worker {worker} says: {error.problem}; but this process can read it: check that worker, and run again"


def _read(job: JobSettings, scene: Scene, window: Window) -> None:
    """Read a window as the job does, and keep nothing. Raises ReadError."""
    fetch, band = fetch_options(job.fetch), job.source.band
    stores, location = Stores(job.source.s3, fetch), locate(scene.href)
    version = scene.etag, scene.header, scene.size, scene.modified
    file = SceneFile(scene.href, stores.of(location), location.key, *version)
    if job.engine is EngineName.block and not by_gdal(job.reader, scene.header, band):
        with closing(fast_reader.read_scenes([file], window, band, fetch, FetchCounts())) as parts:
            _drain(parts)
        return
    with closing(read_whole(scene, stores, fetch)) as pieces:  # GDAL does not tell a faulty object from a faulty store
        _drain(pieces)
    uncached = {} if location.bucket is None else {"CPL_VSIL_CURL_NON_CACHED": f"/vsis3/{location.bucket}/"}
    with gdal_environment({**job.gdal.options, **gdal_s3_options(job.source.s3), **uncached}):
        _drain(gdal_reader.read_scenes([file], window, band, lambda file: gdal_path(locate(file.href))))


def _drain(parts: Iterable[object]) -> None:
    for _ in parts:
        pass
