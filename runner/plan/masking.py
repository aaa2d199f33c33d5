"""From pixels as stored to the values that are accumulated: one rule for both engines."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.errors import PlanError
from runner.model import Stack
from runner.read.header import Header
from runner.read.masks import FileMask
from runner.reduce.nodata import ValidRange, missing, nodata_range
from runner.reduce.pixel_types import Pixels
from runner.settings import JobSettings, Mask

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PixelRule:
    """How a stack's pixels are taken: as stored, or as float64 where scales or masks change them.

    Masked integers of 64 bits stay what they are, since float64 would round them: one value of the type stands for what
    is hidden.

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
        """Stored pixels in the accumulated type, NaN or what stands for it where missing or not `valid`.

        Raises PlanError for a pixel that counts and has the value that stands for hidden ones.
        """
        if self.as_stored:
            return stored
        hidden = self._hidden(stored, valid, header)
        if self.pixels.in_pieces:
            return self._marked(stored, hidden)
        values = stored.astype(np.float64)
        values[hidden] = np.nan
        if self.scale:
            values *= header.scales[self.band - 1]
            values += header.offsets[self.band - 1]
        return values

    def _hidden(self, stored: Values, valid: Values | None, header: Header) -> Values:
        mask = header.mask_of(self.band) if self.masks else FileMask.none
        by_nodata = self.both or not mask.before_nodata
        hidden: Values = missing(stored, self.nodata) if by_nodata else np.zeros(stored.shape, np.bool_)
        if valid is not None and hides(mask, self.nodata, both=self.both):
            hidden |= ~valid
        return hidden

    def _marked(self, stored: Values, hidden: Values) -> Values:
        mark = self.pixels.nodata
        if ((stored == mark) & ~hidden).any():
            raise PlanError(
                f"a pixel that no mask hides is {mark}, which stands for hidden pixels of masked {stored.dtype} files; "
                f"say source.nodata={mark} if it is nodata, or mask=none"
            )
        marked: Values = np.where(hidden, stored.dtype.type(mark), stored)
        return marked


def hides(mask: FileMask, nodata: float | int | None, *, both: bool) -> bool:
    """Whether a file's own mask hides pixels; alpha gives way to nodata."""
    return mask is not FileMask.none and (both or mask is not FileMask.alpha or nodata is None)


def make_rule(job: JobSettings, stack: Stack) -> PixelRule:
    """The rule of a job; nodata of the settings hides pixels in masked files too.

    Raises PlanError for a type of pixels there are no statistics of, and for a nodata value that they cannot have.
    """
    band = job.source.band
    nodata = None if job.mask is Mask.none else stack.nodata
    both = job.mask is Mask.both or job.source.nodata is not None
    valid_range = (job.source.valid_range[0], job.source.valid_range[1]) if job.source.valid_range else None
    headers = [scene.header for scene in stack.scenes]
    _refuse_rounded(nodata, [one for one in headers if both or not one.mask_of(band).before_nodata])
    scale = job.source.mask_and_scale and any(header.scale_of(band) != (1, 0) for header in headers)
    masks = job.mask is not Mask.none and any(hides(one.mask_of(band), nodata, both=both) for one in headers)
    return PixelRule(
        _accumulated(stack.dtype, nodata, valid_range, scale, masks), nodata, band, scale, masks, both and masks
    )


def _refuse_rounded(nodata: float | int | None, by_nodata: Iterable[Header]) -> None:
    """Raise PlanError for half floats that were rounded, nodata pixels too, when their file was written."""
    if nodata is None or math.isnan(nodata) or not any(one.layout.half_floats for one in by_nodata):
        return
    with np.errstate(over="ignore"):
        half = float(np.float16(nodata))
    lowest, highest = nodata_range(nodata, np.float32)
    if not lowest <= half <= highest:
        raise PlanError(
            f"nodata is {nodata}, and no float of 16 bits (NBITS=16) has this value: it was rounded in the pixels, to "
            f"{half} or near it; set source.nodata to what they have, or mask=none if none of them is nodata"
        )


def _accumulated(
    dtype: np.dtype, nodata: float | int | None, valid_range: ValidRange | None, scale: bool, masks: bool
) -> Pixels:
    if not (scale or masks):
        return Pixels(dtype, nodata, valid_range)
    if scale or not Pixels(dtype).in_pieces:
        return Pixels(np.dtype(np.float64), None, valid_range)
    info = np.iinfo(dtype)
    return Pixels(dtype, info.min if info.min else info.max, valid_range)  # the value least likely to be met
