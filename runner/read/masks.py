"""Masks in files, besides the nodata value, as GDAL reads them.

GDAL takes the first that there is: an internal mask, NODATA_VALUES, the nodata value, an alpha band (RFC 15,
https://gdal.org/en/stable/development/rfc/rfc15_nodatabitmask.html).
"""

from collections.abc import Collection, Iterable
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import MaskFlags

Bools = npt.NDArray[np.bool_]


class FileMask(Enum):
    """Masks of a band, in words."""

    none = "nothing"
    mask = "an internal mask"
    values = "nodata values of all bands together (NODATA_VALUES)"
    alpha = "an alpha band"
    lerc = "masks inside of LERC integers"  # if there are any; GDAL refuses a tile with one

    @property
    def before_nodata(self) -> bool:
        """True if GDAL ignores a nodata value beside it."""
        return self in (FileMask.mask, FileMask.values)


def file_masks(flags: Iterable[Collection[MaskFlags]]) -> tuple[FileMask, ...]:
    """The mask of each band, from rasterio's `mask_flag_enums` of a file without a nodata value."""
    return tuple(_file_mask(set(band)) for band in flags)


def _file_mask(flags: set[MaskFlags]) -> FileMask:
    if MaskFlags.alpha in flags:
        return FileMask.alpha
    if flags == {MaskFlags.per_dataset, MaskFlags.nodata}:
        return FileMask.values
    known = {MaskFlags.all_valid}, {MaskFlags.nodata}
    return FileMask.none if flags in known else FileMask.mask  # no flag at all: a mask for each band


def read_visible(dataset: Any, mask: FileMask, band: int, window: Any) -> Bools | None:
    """True for the pixels of a window that a mask does not hide, through rasterio; None without a mask for GDAL."""
    if mask is FileMask.alpha:  # of all bands the last; with a nodata value, GDAL's mask would be of that
        visible: Bools = dataset.read(dataset.count, window=window) != 0
    elif mask.before_nodata:
        visible = dataset.read_masks(band, window=window) != 0
    else:
        return None
    return visible
