"""Pixels of a task that are hidden by files other than their own, for a few scenes at a time."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.model import MaskFile
from runner.read.header import ScenePixels
from runner.read.mask_test import MaskTest, Spread, spread
from runner.reduce.arrays import Bools, Integers
from runner.reduce.pixel_types import Place

_APART: Final = 32  # pixels between those that are looked at first


class Cover(NamedTuple):
    """The mask of a scene, whose first pixel is at `row` and `column` of the window, or would be."""

    mask: MaskFile
    row: int
    column: int


class HiddenRoom:
    """Memory for the hidden pixels of the scenes at hand, used again for the next."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.bool_)

    def take(self, shape: tuple[int, int, int]) -> Bools:
        """An array of any contents; the one taken before is given up."""
        size = shape[0] * shape[1] * shape[2]
        if self._memory.size < size:
            self._memory = np.empty(size, np.bool_)
        return self._memory[:size].reshape(shape)


class Hidden:
    """Hidden pixels of some scenes in a task's window, once their masks have been read.

    `outside` are those of the window, (rows, columns), that are hidden in all scenes.
    """

    def __init__(
        self, test: MaskTest, outside: Bools | None, shape: tuple[int, int], covers: dict[int, Cover], room: HiddenRoom
    ) -> None:
        self._test, self._outside, self._shape, self._covers, self._room = test, outside, shape, covers, room
        self._slots = {scene: slot for slot, scene in enumerate(covers)}
        self._pixels: Bools | None = None

    @property
    def pixels(self) -> Bools:
        """(scenes, rows, columns), True where hidden."""
        if self._pixels is None:
            self._pixels = self._room.take((len(self._covers), *self._shape))
        return self._pixels

    def put(self, part: ScenePixels) -> None:
        """Take pixels of a scene's mask, placed in it."""
        cover = self._covers[part.scene]
        mask, factor = cover.mask, cover.mask.factor
        codes, table = self._test.table(part.pixels, mask.header.nodata_of(self._test.band))
        if part.valid is not None:  # the mask has a mask
            codes, table = (table[codes] | ~part.valid).view(np.uint8), np.array([False, True])
        top, left = cover.row + part.row * factor, cover.column + part.column * factor
        pixels = self.pixels[self._slots[part.scene]]
        spread(codes, table, Spread(factor, top, left), pixels)
        if self._outside is not None:
            rows, columns = (
                slice(max(start, 0), max(start + factor * size, 0))
                for start, size in zip((top, left), codes.shape, strict=True)
            )
            pixels[rows, columns] |= self._outside[rows, columns]

    def slots(self, scenes: Sequence[int]) -> Integers:
        """The places of scenes among the pixels."""
        return np.array([self._slots[scene] for scene in scenes], np.int64)

    def of(self, scene: int, place: Place) -> Bools:
        """The hidden pixels of a scene at a place of the window."""
        pixels: npt.NDArray[Any] = self.pixels[self._slots[scene]]
        return pixels[place.of_window()]

    def hides(self, scene: int, place: Place) -> bool:
        """True if all pixels of a scene at a place of the window are hidden."""
        pixels = self.of(scene, place)
        return bool(pixels[::_APART, ::_APART].all() and pixels.all())


class Outside:
    """Pixels of a task's window that are outside of the area, and so hidden in all scenes; as `Hidden`."""

    def __init__(self, outside: Bools) -> None:
        self.pixels: Bools = outside[np.newaxis]

    def slots(self, scenes: Sequence[int]) -> Integers:
        """The one place of all scenes among the pixels."""
        return np.zeros(len(scenes), np.int64)

    def of(self, scene: int, place: Place) -> Bools:  # noqa: ARG002 - as `Hidden`, to which it matters
        """The hidden pixels of a scene at a place of the window."""
        pixels: Bools = self.pixels[0][place.of_window()]
        return pixels

    def hides(self, scene: int, place: Place) -> bool:
        """True if all pixels of a scene at a place of the window are hidden."""
        return bool(self.of(scene, place).all())
