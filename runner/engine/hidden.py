"""Pixels of a task that are hidden by files other than their own, or by an area, for a few scenes at a time."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.model import MaskFile
from runner.read.header import ScenePart, ScenePixels, Window
from runner.read.mask_test import ANY_SET, MaskTest, Spread, spread
from runner.reduce.arrays import Bools, Integers
from runner.reduce.pixel_types import Place

_APART: Final = 32  # pixels between those that are looked at first


class Cover(NamedTuple):
    """The mask of a scene. The first of its pixels that are read is at `row` and `column` of the window."""

    mask: MaskFile
    row: int
    column: int


class HiddenRoom:
    """Memory for the hidden pixels of the scenes at hand, used again for the next."""

    def __init__(self) -> None:
        self._memory = np.zeros(0, np.bool_)

    def take(self, shape: tuple[int, int, int]) -> Bools:
        """An array of any contents; the one taken before is given up."""
        size = shape[0] * shape[1] * shape[2]
        if self._memory.size < size:
            self._memory = np.zeros(size, np.bool_)
        return self._memory[:size].reshape(shape)


class Hidden:
    """Hidden pixels of some scenes in a task's window.

    Those of a mask are known once all of `covers` have been put. `outside`, (rows, columns), is hidden in all scenes.
    """

    def __init__(
        self, scenes: Sequence[int], shape: tuple[int, int], room: HiddenRoom, outside: Bools | None = None
    ) -> None:
        self._slots = {scene: slot for slot, scene in enumerate(scenes)}
        self._shape, self._room, self._outside = shape, room, outside
        self._covers: dict[int, Cover] = {}
        self._memory: Bools | None = None
        self._complete = False

    def cover(self, scene: int, cover: Cover) -> None:
        """Say which mask hides pixels of a scene."""
        self._covers[scene] = cover

    @property
    def has_outside(self) -> bool:
        """True if some pixels are hidden in all scenes."""
        return self._outside is not None

    def put(self, part: ScenePixels, test: MaskTest) -> None:
        """Take pixels of a scene's mask, placed among those that are read of it."""
        cover = self._covers[part.scene]
        mask, factor = cover.mask, cover.mask.factor
        nodata = mask.header.nodata_of(test.band)
        codes, code_test = test.of_codes(part.pixels, nodata)
        if part.valid is not None:  # the mask has a mask
            codes, code_test = (test.hides(part.pixels, nodata) | ~part.valid).view(np.uint8), ANY_SET
        top, left = cover.row + part.row * factor, cover.column + part.column * factor
        spread(codes, code_test, Spread(factor, top, left), self._taken[self._slots[part.scene]])

    @property
    def pixels(self) -> Bools:
        """(scenes, rows, columns), True where hidden."""
        pixels = self._taken
        if self._outside is not None and not self._complete:
            if self._covers:
                pixels |= self._outside
            else:
                pixels[:] = self._outside
        self._complete = True
        return pixels

    @property
    def _taken(self) -> Bools:
        if self._memory is None:
            self._memory = self._room.take((len(self._slots), *self._shape))
        return self._memory

    def slots(self, scenes: Sequence[int]) -> Integers:
        """The places of scenes among the pixels."""
        return np.array([self._slots[scene] for scene in scenes], np.int64)

    def of(self, scene: int, place: Place) -> Bools:
        """The hidden pixels of a scene at a place of the window."""
        pixels: npt.NDArray[Any] = self.pixels[self._slots[scene]]
        return pixels[place.of_window()]

    def hides(self, scene: int, place: Place) -> bool:
        """True if all pixels of a scene at a place of the window are hidden."""
        return _all(self.of(scene, place))

    def is_outside(self, part: ScenePart, pixels: Window) -> bool:
        """True if pixels of a scene are hidden in all scenes, whatever the masks are."""
        assert self._outside is not None
        window = pixels.shifted(part.row - part.window.row, part.column - part.window.column)
        return _all(self._outside[window.slices])

    def mask_is_outside(self, part: ScenePart, pixels: Window) -> bool:
        """True if pixels of a mask hide none but those that are hidden in all scenes."""
        assert self._outside is not None
        mask, row, column = self._covers[part.scene]
        top = row + (pixels.row - part.window.row) * mask.factor
        left = column + (pixels.column - part.window.column) * mask.factor
        covered = Window(top, left, pixels.height * mask.factor, pixels.width * mask.factor)
        window = covered.common(Window(0, 0, *self._shape))
        return window is None or _all(self._outside[window.slices])


def _all(pixels: Bools) -> bool:
    return bool(pixels[::_APART, ::_APART].all() and pixels.all())
