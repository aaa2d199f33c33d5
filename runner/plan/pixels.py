"""From pixels as stored to the values that are accumulated: one rule for both engines."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.model import Stack
from runner.read.header import Header
from runner.read.masks import FileMask
from runner.reduce.missing import missing
from runner.reduce.pixels import Pixels
from runner.settings import JobSettings, Mask

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PixelRule:
    """How a stack's pixels are taken: as stored, or as float64 where scales or masks change them.

    `pixels` says the type that is accumulated and what of it counts; `nodata` is of the pixels as stored. A file's own
    mask and nodata exclude each other as GDAL has it (see `runner.read.masks`) unless both are asked for.
    """

    pixels: Pixels
    nodata: float | int | None
    band: int
    scale: bool  # by the scale and offset of each file
    masks: bool  # the files' own masks and alpha bands hide pixels
    both: bool = False  # masks and nodata hide pixels in one file

    @property
    def as_stored(self) -> bool:
        """Whether pixels are accumulated as they are in the files."""
        return not (self.scale or self.masks)

    def values(self, stored: Values, valid: Values | None, header: Header) -> Values:
        """Stored pixels in the accumulated type; where that is another, NaN where missing or not `valid`."""
        if self.as_stored:
            return stored
        values = stored.astype(np.float64)
        mask = header.mask_of(self.band) if self.masks else FileMask.none
        if self.both or not mask.before_nodata:
            values[missing(stored, self.nodata)] = np.nan
        if valid is not None and hides(mask, self.nodata, both=self.both):
            values[~valid] = np.nan
        if self.scale:
            values *= header.scales[self.band - 1]
            values += header.offsets[self.band - 1]
        return values


def hides(mask: FileMask, nodata: float | int | None, *, both: bool) -> bool:
    """Whether a file's own mask hides pixels; alpha gives way to nodata."""
    return mask is not FileMask.none and (both or mask is not FileMask.alpha or nodata is None)


def make_rule(job: JobSettings, stack: Stack) -> PixelRule:
    """The rule of a job; nodata of the settings hides pixels in masked files too. Raises PlanError for a type of pixels
    there are no statistics of.
    """
    band = job.source.band
    nodata = None if job.mask is Mask.none else stack.nodata
    both = job.mask is Mask.both or job.source.nodata is not None
    valid_range = (job.source.valid_range[0], job.source.valid_range[1]) if job.source.valid_range else None
    headers = [scene.header for scene in stack.scenes]
    scale = job.source.mask_and_scale and any(
        (one.scales[band - 1], one.offsets[band - 1]) != (1, 0) for one in headers
    )
    masks = job.mask is not Mask.none and any(hides(one.mask_of(band), nodata, both=both) for one in headers)
    changed = scale or masks
    pixels = Pixels(np.dtype(np.float64) if changed else stack.dtype, None if changed else nodata, valid_range)
    return PixelRule(pixels, nodata, band, scale, masks, both and masks)
