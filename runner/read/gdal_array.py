"""One band of one file as an array that is read when it is indexed, through GDAL."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from runner.errors import ReadError
from runner.read.gdal import cause_of, open_tiff, read_pixels, refuse_hidden_mask
from runner.read.header import Header
from runner.read.masks import read_visible

_OPEN_FILES = 128  # per thread; one read of the header serves all chunks of a scene

_handles = threading.local()


@dataclass(frozen=True, slots=True)
class GdalArray:
    """A band of a GeoTIFF, (y, x). Reads in parallel, with one handle per thread."""

    path: str
    href: str
    band: int
    shape: tuple[int, int]
    dtype: np.dtype

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        """The pixels of a window, as they are in the file. Raises ReadError."""
        with self._explained(window):
            return read_pixels(self._dataset, self.band, self._ranges(window))

    def visible(self, header: Header, window: tuple[slice, slice]) -> np.ndarray | None:
        """Where the mask that its header speaks of lets pixels be seen; None if it has none. Raises ReadError."""
        with self._explained(window):
            refuse_hidden_mask(self.href, header, self._dataset, self.band)
            return read_visible(self._dataset, header.mask_of(self.band), self.band, self._ranges(window))

    @property
    def _dataset(self) -> rasterio.DatasetReader:
        return _open(self.path)

    def _ranges(self, window: tuple[slice, slice]) -> tuple[tuple[int, int], tuple[int, int]]:
        rows, columns = (part.indices(size)[:2] for part, size in zip(window, self.shape, strict=True))
        return rows, columns

    @contextmanager
    def _explained(self, window: tuple[slice, slice]) -> Iterator[None]:
        try:
            yield
        except RasterioError as error:
            _forget(self.path)
            problem = f"rows {window[0].start} to {window[0].stop} cannot be read: {cause_of(error)}"
            raise ReadError(self.href, problem) from error


def _cache() -> "OrderedDict[tuple[str, str | None], rasterio.DatasetReader]":
    if not hasattr(_handles, "open"):
        _handles.open = OrderedDict()
    cache: OrderedDict[tuple[str, str | None], rasterio.DatasetReader] = _handles.open
    return cache


def _key(path: str) -> tuple[str, str | None]:
    return path, os.environ.get("AWS_S3_ENDPOINT")  # the same bucket and key elsewhere is another file


def _open(path: str) -> rasterio.DatasetReader:
    """This thread's handle."""
    cache, key = _cache(), _key(path)
    if key not in cache:
        if len(cache) >= _OPEN_FILES:
            cache.popitem(last=False)[1].close()
        cache[key] = open_tiff(path)
    cache.move_to_end(key)
    return cache[key]


def _forget(path: str) -> None:
    handle = _cache().pop(_key(path), None)
    if handle is not None:
        handle.close()
