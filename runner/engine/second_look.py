"""A second reading of what a task could not read. Only a fault that both readings see is the object's."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from runner.engine.trace import THIS_PROCESS, trace_of
from runner.errors import ReadError
from runner.model import MaskFile, Scene, Stack
from runner.planning.reading import Reading
from runner.read import fast_reader, gdal_reader
from runner.read.fetch import FetchCounts
from runner.read.gdal_environment import gdal_environment
from runner.read.header import Window, same_window
from runner.read.store_errors import MissingError, StoreError
from runner.source.checksums import read_whole
from runner.source.gdal_stores import UNCACHED, gdal_path


def confirmed(reading: Reading, stack: Stack, error: ReadError) -> ReadError:
    """The fault of an object, once this process has seen it too.

    Raises StoreError if the fault lies in the store, the network, or one worker.
    """
    if isinstance(error, StoreError):
        raise error
    scene = next(scene for scene in stack.scenes if error.href in (scene.href, scene.mask and scene.mask.href))
    trace = trace_of(error)
    window = scene.part(trace.task.window) if trace and trace.task else None
    worker = trace.place.worker if trace and trace.place else THIS_PROCESS
    window = window or Window(0, 0, *scene.header.shape)
    try:
        _read(reading, _Look.at(reading, scene, error.href, window))
    except StoreError:
        raise
    except ReadError as second:
        return second if second.href == scene.href else ReadError(scene.href, f"its mask {second}")
    raise StoreError(error.href, _seen_once(error, worker))


def _seen_once(error: ReadError, worker: str) -> str:
    """The problem of a worker, or of one moment."""
    if worker == THIS_PROCESS:
        return f"{error.problem}; but read again, by this process, it is whole: check network, disk and workers"
    if isinstance(error, MissingError):
        return f"worker {worker} does not find it, but this process does; let all workers see the same folders"
    return f"worker {worker} says: {error.problem}; but this process can read it: check that worker, and run again"


@dataclass(frozen=True, slots=True)
class _Look:
    """A file, and the part of it that is read once more."""

    file: Scene | MaskFile
    window: Window
    band: int
    by_gdal: bool

    @classmethod
    def at(cls, reading: Reading, scene: Scene, href: str, window: Window) -> "_Look":
        """The scene or its mask, whichever has this address, where it covers a window of the scene."""
        if scene.mask and href == scene.mask.href:
            assert reading.rule.test  # by which the mask was read
            return cls(scene.mask, scene.mask.part(window), reading.rule.test.band, reading.mask_by_gdal(scene))
        return cls(scene, window, scene.band, reading.by_gdal(scene))


def _read(reading: Reading, look: _Look) -> None:
    """Read a window as tasks do, and keep nothing. Raises ReadError."""
    file, window, band = reading.file_of(look.file), look.window, look.band
    if not look.by_gdal:
        with closing(fast_reader.read_scenes([file], window, band, reading.fetch, FetchCounts())) as tiles:
            _drain(tiles)
        return
    # GDAL does not distinguish a faulty object from a faulty store, and does not look at the checksums of DEFLATE.
    with closing(read_whole(look.file, reading.stores, reading.fetch)) as pieces:
        _drain(pieces)
    if isinstance(look.file, MaskFile):
        fast_reader.check_deflated(same_window([file], window, band), reading.fetch)
    with gdal_environment({**reading.gdal_options, "CPL_VSIL_CURL_NON_CACHED": UNCACHED}):
        _drain(gdal_reader.read_scenes([file], window, band, lambda file: gdal_path(reading.stores.locate(file.href))))


def _drain(parts: Iterable[object]) -> None:
    for _ in parts:
        pass
