"""From pixels as stored to the values that are accumulated: one rule for both engines."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.model import Stack
from runner.read.header import Header
from runner.reduce.missing import missing
from runner.reduce.pixels import Pixels
from runner.settings import JobSettings, Mask

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PixelRule:
    """How a stack's pixels are taken: as stored, or as float64 where scales or masks change them.

    `pixels` says the type that is accumulated and what of it counts; `nodata` is of the pixels as stored.
    """

    pixels: Pixels
    nodata: float | int | None
    band: int
    scale: bool  # by the scale and offset of each file
    masks: bool  # the files' own masks and alpha bands hide pixels

    @property
    def as_stored(self) -> bool:
        """Whether pixels are accumulated as they are in the files."""
        return not (self.scale or self.masks)

    def values(self, stored: Values, valid: Values | None, header: Header) -> Values:
        """Stored pixels in the accumulated type; where that is another, NaN where missing or not `valid`."""
        if self.as_stored:
            return stored
        values = stored.astype(np.float64)
        values[missing(stored, self.nodata)] = np.nan
        if valid is not None and self.masks:
            values[~valid] = np.nan
        if self.scale:
            values *= header.scales[self.band - 1]
            values += header.offsets[self.band - 1]
        return values


def make_rule(job: JobSettings, stack: Stack) -> PixelRule:
    """The rule of a job. Raises PlanError for a type of pixels there are no statistics of."""
    band = job.source.band
    nodata = stack.nodata if job.mask is Mask.nodata else None
    valid_range = (job.source.valid_range[0], job.source.valid_range[1]) if job.source.valid_range else None
    headers = [scene.header for scene in stack.scenes]
    scale = job.source.mask_and_scale and any(
        (one.scales[band - 1], one.offsets[band - 1]) != (1, 0) for one in headers
    )
    masks = job.mask is Mask.nodata and any(one.layout.has_mask or one.layout.has_alpha for one in headers)
    changed = scale or masks
    pixels = Pixels(np.dtype(np.float64) if changed else stack.dtype, None if changed else nodata, valid_range)
    return PixelRule(pixels, nodata, band, scale, masks)
