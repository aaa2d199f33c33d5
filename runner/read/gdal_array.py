"""A band of a file as an array that is read through GDAL when it is indexed."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from runner.errors import ReadError
from runner.read.gdal_reader import (
    Ranges,
    cause_of,
    fill_sparse,
    forget_others,
    open_tiff,
    read_pixels,
    refuse_hidden_mask,
)
from runner.read.header import Header
from runner.read.masks import read_visible

_OPEN_FILES = 128  # per thread; one read of the header serves all chunks of a scene

_Key: TypeAlias = tuple[str, str | None]  # the path, and the endpoint: the same bucket elsewhere is another
_Handle: TypeAlias = tuple[str, rasterio.DatasetReader]  # the version that it reads

_handles = threading.local()


@dataclass(frozen=True, slots=True)
class GdalArray:
    """A band of a GeoTIFF, (y, x). Reads in parallel, with one handle per thread of a `version` of a file."""

    path: str
    href: str
    version: str
    band: int
    shape: tuple[int, int]
    dtype: np.dtype

    def read(self, header: Header, window: tuple[slice, slice]) -> np.ndarray:
        """The pixels of a window, with sparse tiles as the header says. Raises ReadError."""
        ranges = self._ranges(window)
        with self._explained(window):
            pixels: np.ndarray = read_pixels(self._dataset, self.band, ranges)
        fill_sparse(pixels, header, self.band, ranges)
        return pixels

    def visible(self, header: Header, window: tuple[slice, slice]) -> np.ndarray | None:
        """True for the pixels that the header's mask does not hide; None without a mask. Raises ReadError."""
        with self._explained(window):
            refuse_hidden_mask(self.href, header, self._dataset, self.band)
            return read_visible(self._dataset, header.mask_of(self.band), self.band, self._ranges(window))

    @property
    def _dataset(self) -> rasterio.DatasetReader:
        return _open(self.path, self.version)

    def _ranges(self, window: tuple[slice, slice]) -> Ranges:
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


def _cache() -> "OrderedDict[_Key, _Handle]":
    if not hasattr(_handles, "open"):
        _handles.open = OrderedDict()
    cache: OrderedDict[_Key, _Handle] = _handles.open
    return cache


def _key(path: str) -> _Key:
    return path, os.environ.get("AWS_S3_ENDPOINT")


def _open(path: str, version: str) -> rasterio.DatasetReader:
    """This thread's handle."""
    cache, key = _cache(), _key(path)
    if key in cache and cache[key][0] != version:
        _forget(path)
    if key not in cache:
        if len(cache) >= _OPEN_FILES:
            cache.popitem(last=False)[1][1].close()
        forget_others(path, version)
        cache[key] = version, open_tiff(path)
    cache.move_to_end(key)
    return cache[key][1]


def _forget(path: str) -> None:
    handle = _cache().pop(_key(path), None)
    if handle is not None:
        handle[1].close()
