"""From stored pixels to accumulated values: one rule for both engines."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.errors import PlanError
from runner.model import Scene, Stack
from runner.planning.weights import stage_weights
from runner.read.header import Header
from runner.read.mask_test import MaskTest
from runner.read.masks import FileMask
from runner.reduce.fused import FusedSums
from runner.reduce.nodata import missing, nodata_range
from runner.reduce.pixel_types import Pixels
from runner.reduce.scaling import MOST_ADDITIONS, Scaling, split_for
from runner.reduce.statistics import needs, statistic
from runner.settings import EngineName, JobSettings, MaskSettings, OwnMask

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PixelRule:
    """The values of a stack's pixels: as stored, or float64 where scales, masks or gaps change them.

    Masked integers of 64 bits stay integers, since float64 would round them: one value of the type stands for hidden
    pixels.

    `pixels` has the accumulated type and the values that count; `nodata` is the value in the files. As in GDAL, a file
    with a mask of its own ignores nodata (see `runner.read.masks`), unless `both` is set.
    """

    pixels: Pixels
    nodata: float | int | None
    scale: bool  # by the scale and offset of each file
    masks: bool  # the files' own masks and alpha bands hide pixels
    both: bool = False  # masks and nodata hide pixels in one file
    gaps: bool = False  # pixels that do not count go with values none of which is missing as stored
    test: MaskTest | None = None  # by which a mask in a file of its own hides pixels of each scene

    def scaling(self, dtype: np.dtype[Any]) -> Scaling | None:
        """The quick way to scale pixels of a stored type; None where `values` does more than that."""
        if not self.scale or self.masks or self.pixels.in_pieces or (dtype.kind in "iu" and dtype.itemsize == 8):
            return None
        return Scaling(Pixels(dtype, self.nodata))

    def split(self, stack: Stack) -> float | None:
        """The constant by which scaled pixels of a stack are added, see `split_for`; None if they are not so added."""
        if self.scaling(stack.dtype) is None or len(stack.scenes) > MOST_ADDITIONS:
            return None
        scales = {scene.header.scale_of(scene.band) for scene in stack.scenes}
        return split_for(scales, Pixels(stack.dtype, self.nodata))

    @property
    def as_stored(self) -> bool:
        """True if pixels are accumulated as they are in the files."""
        return not (self.scale or self.masks or self.gaps)

    def values(self, stored: Values, valid: Values | None, scene: Scene, hidden: Values | None = None) -> Values:
        """Pixels of a scene in the accumulated type; NaN, or the value that stands for it, where they do not count.

        These are missing, not `valid`, which the file's own mask says, or `hidden`, which another file says.

        Raises PlanError for a pixel that counts and has the value that stands for hidden pixels.
        """
        if self.as_stored:
            return stored if hidden is None else self._blanked(stored, hidden)
        missed = self._missed(stored, valid, scene.header.mask_of(scene.band))
        if hidden is not None:
            missed |= hidden
        if self.pixels.in_pieces:
            return self._marked(stored, missed)
        values = stored.astype(np.float64)
        values[missed] = np.nan
        if self.scale:
            scale, offset = scene.header.scale_of(scene.band)
            values *= scale
            values += offset
        return values

    def _blanked(self, stored: Values, hidden: Values) -> Values:
        assert self.pixels.blank is not None  # by `make_rule`
        values: Values = np.where(hidden, stored.dtype.type(self.pixels.blank), stored)
        return values

    def _missed(self, stored: Values, valid: Values | None, mask: FileMask) -> Values:
        mask = mask if self.masks else FileMask.none
        by_nodata = self.both or not mask.before_nodata
        hidden: Values = missing(stored, self.nodata) if by_nodata else np.zeros(stored.shape, np.bool_)
        if valid is not None and hides(mask, self.nodata, both=self.both):
            hidden |= ~valid
        return hidden

    def _marked(self, stored: Values, hidden: Values) -> Values:
        mark = self.pixels.nodata
        if ((stored == mark) & ~hidden).any():
            raise PlanError(
                f"a pixel that no mask hides is {mark}, which stands for hidden pixels of {stored.dtype} files and for "
                f"those outside of a scene; say source.nodata={mark} if it is nodata, or mask=none if masks hide pixels"
            )
        marked: Values = np.where(hidden, stored.dtype.type(mark), stored)
        return marked


def hides(mask: FileMask, nodata: float | int | None, *, both: bool) -> bool:
    """True if a file's own mask hides pixels; alpha gives way to nodata."""
    return mask is not FileMask.none and (both or mask is not FileMask.alpha or nodata is None)


def make_rule(job: JobSettings, stack: Stack) -> PixelRule:
    """The rule of a job. A nodata value of the settings hides pixels in masked files too.

    Raises PlanError for a pixel type without statistics, and for a nodata value that the pixels cannot have.
    """
    nodata = None if job.mask.own is OwnMask.none else stack.nodata
    both = job.mask.own is OwnMask.both or job.source.nodata is not None
    valid_range = (job.source.valid_range[0], job.source.valid_range[1]) if job.source.valid_range else None
    bands = [(scene.header, scene.band) for scene in stack.scenes]
    _refuse_rounded(nodata, [header for header, band in bands if both or not header.mask_of(band).before_nodata])
    scale = job.source.mask_and_scale and any(header.scale_of(band) != (1, 0) for header, band in bands)
    masks = job.mask.own is not OwnMask.none and any(
        hides(header.mask_of(band), nodata, both=both) for header, band in bands
    )
    stored = Pixels(stack.dtype, nodata, valid_range)
    test = _mask_test(job.mask) if stack.masks else None
    hidden = test is not None or stack.area is not None
    missing_beyond = stack.has_gaps and _orders(job), hidden and not _is_fused(job, stack, stored)
    gaps = stored.blank is None and any(missing_beyond)
    pixels = _with_missing(stored, scale) if scale or masks or gaps else stored
    return PixelRule(pixels, nodata, scale, masks, both and masks, gaps, test)


def _mask_test(mask: MaskSettings) -> MaskTest:
    return MaskTest(mask.band, tuple(mask.bits or ()), tuple(mask.values or ()), tuple(mask.keep or ()))


def _is_fused(job: JobSettings, stack: Stack, pixels: Pixels) -> bool:
    """True if `reduce.fused` computes all stages, which leaves out hidden pixels whatever their values are."""
    if _orders(job):
        return False
    needed = [needs(stage.statistics, stage_weights(name, stage, stack.grid)) for name, stage in job.stages.items()]
    return FusedSums.fits(pixels, needed)


def _orders(job: JobSettings) -> bool:
    """True if the values of scenes are laid beside each other, with those that are missing."""
    names = (name for stage in job.stages.values() for name in stage.statistics)
    return job.engine is EngineName.xarray or any(statistic(name).ordered for name in names)


def _refuse_rounded(nodata: float | int | None, by_nodata: Iterable[Header]) -> None:
    """Raise PlanError for half floats whose nodata pixels were rounded when their file was written."""
    if nodata is None or math.isnan(nodata) or not any(header.layout.half_floats for header in by_nodata):
        return
    with np.errstate(over="ignore"):
        half = float(np.float16(nodata))
    lowest, highest = nodata_range(nodata, np.float32)
    if not lowest <= half <= highest:
        raise PlanError(
            f"nodata is {nodata}, and no float of 16 bits (NBITS=16) has this value: it was rounded in the pixels, to "
            f"{half} or near it; set source.nodata to what they have, or mask=none if none of them is nodata"
        )


def _with_missing(stored: Pixels, scale: bool) -> Pixels:
    """The accumulated type of pixels that scales, masks or gaps change."""
    if scale or not stored.in_pieces:
        return Pixels(np.dtype(np.float64), None, stored.valid_range)
    info = np.iinfo(stored.dtype)
    mark = info.min if info.min else info.max  # the value least likely to be met
    return Pixels(stored.dtype, mark, stored.valid_range)
