"""A second reading of what a task could not read. Only a fault that both readings see is the object's."""

from collections.abc import Iterable
from contextlib import closing

from runner.engine.trace import THIS_PROCESS, trace_of
from runner.errors import ReadError
from runner.model import Scene, Stack
from runner.plan.reading import Reading
from runner.read import fast_reader, gdal_reader
from runner.read.fetch import FetchCounts
from runner.read.gdal_environment import gdal_environment
from runner.read.header import Window
from runner.read.store_errors import MissingError, StoreError
from runner.source.checksums import read_whole
from runner.source.stores import UNCACHED, gdal_path


def confirmed(reading: Reading, stack: Stack, error: ReadError) -> ReadError:
    """The fault of an object, once this process has seen it too.

    Raises StoreError if the fault lies in the store, the network, or one worker.
    """
    if isinstance(error, StoreError):
        raise error
    scene = next(scene for scene in stack.scenes if scene.href == error.href)
    trace = trace_of(error)
    window = scene.part(trace.task.window) if trace and trace.task else None
    worker = trace.place.worker if trace and trace.place else THIS_PROCESS
    try:
        _read(reading, scene, window or Window(0, 0, *scene.header.shape))
    except StoreError:
        raise
    except ReadError as second:
        return second
    raise StoreError(error.href, _seen_once(error, worker))


def _seen_once(error: ReadError, worker: str) -> str:
    """The problem of a worker, or of one moment."""
    if worker == THIS_PROCESS:
        return f"{error.problem}; but read again, by this process, it is whole: check network, disk and workers"
    if isinstance(error, MissingError):
        return f"worker {worker} does not find it, but this process does; let all workers see the same folders"
    return f"worker {worker} says: {error.problem}; but this process can read it: check that worker, and run again"


def _read(reading: Reading, scene: Scene, window: Window) -> None:
    """Read a window as tasks do, and keep nothing. Raises ReadError."""
    file, band = reading.file_of(scene), reading.rule.band
    if not reading.by_gdal(scene):
        with closing(fast_reader.read_scenes([file], window, band, reading.fetch, FetchCounts())) as tiles:
            _drain(tiles)
        return
    # GDAL does not distinguish a faulty object from a faulty store.
    with closing(read_whole(scene, reading.stores, reading.fetch)) as pieces:
        _drain(pieces)
    with gdal_environment({**reading.gdal_options, "CPL_VSIL_CURL_NON_CACHED": UNCACHED}):
        _drain(gdal_reader.read_scenes([file], window, band, lambda file: gdal_path(reading.stores.locate(file.href))))


def _drain(parts: Iterable[object]) -> None:
    for _ in parts:
        pass
