"""ERDAS Imagine's .aux, from which GDAL takes nodata, CRS and place of the TIFF beside it."""

import logging
import warnings
from typing import Any, Final

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from runner.read.header import NO_TRANSFORM, Header

_BEGIN: Final = b"EHFA_HEADER_TAG"  # TeX has files of this ending too
_DIGITS: Final = 1e-9  # of a place, which an .aux computes from its corners


def says_more(content: bytes, header: Header) -> bool:
    """True if GDAL would find more in it than the TIFF of this header says itself."""
    if not content.startswith(_BEGIN):
        return False
    try:
        with rasterio.Env(), MemoryFile(content) as memory, _opened(memory) as dataset:
            return _is_of(dataset, header) and _differs(dataset, header)
    except RasterioError as error:
        logging.getLogger(__name__).debug("an .aux that GDAL cannot open: %s", error)
        return False


def _opened(memory: MemoryFile) -> Any:
    """The dataset in a file, without rasterio's warning if it has no transform."""
    with warnings.catch_warnings(category=NotGeoreferencedWarning, action="ignore"):
        return memory.open(driver="HFA")


def _is_of(dataset: Any, header: Header) -> bool:
    """True if GDAL takes it for the sidecar of an image of this size."""
    fits = (dataset.shape, dataset.count) == (header.shape, header.bands)
    return fits and "HFA_DEPENDENT_FILE" in dataset.tags(ns="HFA")


def _differs(dataset: Any, header: Header) -> bool:
    nodata = any(value not in (None, own) for value, own in zip(dataset.nodatavals, header.nodatas, strict=True))
    transform = tuple(dataset.transform)[:6]
    place = transform != NO_TRANSFORM and not np.allclose(transform, header.transform, rtol=_DIGITS, atol=0)
    crs = bool(dataset.crs) and (not header.crs or dataset.crs != CRS.from_wkt(header.crs))
    return nodata or place or crs or "NODATA_VALUES" in dataset.tags() or bool(dataset.gcps[0])
