"""Blocks of rasters encoded while other windows are still computed, while cores wait for the network.

Blocks that are not encoded by the end are encoded when the raster is written. The bytes are the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from runner.host.spool import Spool
from runner.output.block_coder import BLOCK, Bytes, Coder
from runner.output.overviews import Stored
from runner.output.raster import common_type, missing_of
from runner.planning.memory import AHEAD_BYTES
from runner.read.header import Window
from runner.settings import Layout, OutputSettings


@contextmanager
def encoding_ahead(output: OutputSettings, source: np.dtype) -> Iterator["Ahead"]:
    """Encode ahead in a thread of its own. `source` is the type of the scenes' pixels."""
    with ThreadPoolExecutor(1, "encoder") as pool:
        try:
            yield Ahead(output, source, pool)
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(slots=True)
class Ahead:
    """Rasters whose windows are finished one after the other.

    Their encoded blocks take no more memory than the largest of them, or a fixed amount where they lie on disk, for
    which the plan has room.
    """

    output: OutputSettings
    source: np.dtype
    pool: ThreadPoolExecutor
    _rasters: dict[int, "_Raster"] = field(default_factory=dict)  # by the identity of their values

    def finished_stage(self, rasters: Sequence[Stored], window: Window) -> None:
        """Take a window of all rasters of a stage, which may become bands of one file."""
        together = [values.dtype for values in rasters] if self.output.layout is Layout.bands else []
        for values in rasters:
            self.finished(values, window, together)

    def finished(self, values: Stored, window: Window, together: Iterable[np.dtype] = ()) -> None:
        """Take a window of a raster, whose values there are final. `together` has the types of its file's bands."""
        if self.output.compression == "none":
            return
        if id(values) not in self._rasters:
            dtype = common_type([values.dtype, *together], self.output, self.source)
            coder = Coder.of(self.output.compression, self.output.level, dtype, missing_of(dtype))
            self._rasters[id(values)] = _Raster(values, coder)
        raster = self._rasters[id(values)]
        most = max(each.most_bytes for each in self._rasters.values())
        for number, rows, columns in raster.completed(window):
            if sum(each.bytes for each in self._rasters.values()) < most:
                raster.blocks[number] = self.pool.submit(raster.encoded, rows, columns)
                raster.begun_bytes += raster.bytes_of(BLOCK * BLOCK)

    def blocks(self, values: Stored) -> Mapping[int, Future[Bytes]]:
        """The blocks of a raster that are encoded or under way, by their numbers. Removes the raster."""
        raster = self._rasters.pop(id(values), None)
        return {} if raster is None else {number: job for number, job in raster.blocks.items() if not job.cancel()}

    def drop(self) -> None:
        """Forget all rasters: their values are computed again."""
        for raster in list(self._rasters.values()):
            self.blocks(raster.values)


@dataclass(slots=True)
class _Raster:
    """A raster that grows. The thread that encodes changes `saved_bytes` alone, and no other thread does."""

    values: Stored
    coder: Coder
    blocks: dict[int, Future[Bytes]] = field(default_factory=dict)
    begun_bytes: int = 0
    saved_bytes: int = 0  # by compressing what was begun
    _missing: npt.NDArray[np.int64] = field(init=False)  # pixels of each block that are not final

    def __post_init__(self) -> None:
        height, width = self.values.shape
        self._missing = _pixels(Window(0, 0, height, width)).copy()

    @property
    def bytes(self) -> int:
        """Bytes of the blocks that are encoded, and the most that those under way will have."""
        return self.begun_bytes - self.saved_bytes

    @property
    def most_bytes(self) -> int:
        """The bytes that encoded blocks may take: as many as the raster itself, where that lies in memory."""
        return AHEAD_BYTES if isinstance(self.values, Spool) else self.bytes_of(self.values.size)

    def bytes_of(self, pixels: int) -> int:
        """Bytes of pixels that are not compressed."""
        return pixels * self.coder.dtype.itemsize

    def completed(self, window: Window) -> Iterator[tuple[int, slice, slice]]:
        """The numbers, rows and columns of the blocks of which this window is the last part."""
        pixels, first = _pixels(window), (window.row // BLOCK, window.column // BLOCK)
        missing = self._missing[first[0] : first[0] + pixels.shape[0], first[1] : first[1] + pixels.shape[1]]
        missing -= pixels
        if missing.all():
            return
        for row, column in (np.argwhere(missing == 0) + first).tolist():
            top, left = row * BLOCK, column * BLOCK
            yield row * self._missing.shape[1] + column, slice(top, top + BLOCK), slice(left, left + BLOCK)

    def encoded(self, rows: slice, columns: slice) -> Bytes:
        """A block as it will stand in the file."""
        data = self.coder.encoded(self.values[rows, columns])
        self.saved_bytes += self.bytes_of(BLOCK * BLOCK) - len(data)
        return data


@lru_cache(maxsize=16)  # of windows that threads have finished: each is of several rasters
def _pixels(window: Window) -> npt.NDArray[np.int64]:
    """The pixels in a window of each block that it touches. Not to be changed."""
    rows, columns = _overlaps(window.row, window.height), _overlaps(window.column, window.width)
    pixels: npt.NDArray[np.int64] = rows[:, None] * columns
    return pixels


def _overlaps(start: int, length: int) -> npt.NDArray[np.int64]:
    """What each block along an axis shares with `length` pixels from start on, if it shares any."""
    first = np.arange(start // BLOCK * BLOCK, start + length, BLOCK)
    overlaps: npt.NDArray[np.int64] = np.minimum(start + length, first + BLOCK) - np.maximum(start, first)
    return overlaps
