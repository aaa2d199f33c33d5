"""Pixels of a task that are hidden by files other than their own, or by an area, for a few scenes at a time."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from runner.model import MaskFile
from runner.read.header import ScenePart, ScenePixels, Window
from runner.read.mask_test import ANY_SET, MaskTest, Spread, spread
from runner.reduce.arrays import Bools, Bytes
from runner.reduce.hidden_pixels import SCENES_IN_PLANE, HiddenPixels, planes_for
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
        self._memory = np.zeros(0, np.uint8)

    def take(self, shape: tuple[int, int, int]) -> Bytes:
        """An array of any contents; the one taken before is given up."""
        size = shape[0] * shape[1] * shape[2]
        if self._memory.size < size:
            self._memory = np.zeros(size, np.uint8)
        return self._memory[:size].reshape(shape)


class Hidden:
    """Hidden pixels of some scenes in a task's window: a bit for each scene, eight in a byte, in planes of the window.

    So those of the scenes that are decoded together stay in the cache. Those of a mask are known once all of `covers`
    have been put. `outside`, (rows, columns), is hidden in all scenes.
    """

    def __init__(
        self, scenes: Sequence[int], shape: tuple[int, int], room: HiddenRoom, outside: Bools | None = None
    ) -> None:
        self._numbers = {scene: number for number, scene in enumerate(scenes)}
        self._shape, self._room, self._outside = shape, room, outside
        self._covers: dict[int, Cover] = {}
        self._memory: Bytes | None = None
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
        plane, bit = self._place(part.scene)
        spread(codes, code_test, Spread(factor, top, left), bit, self._taken[plane])

    def pixels(self, scenes: Sequence[int]) -> HiddenPixels:
        """Those of some scenes, for kernels."""
        places = np.array([self._place(scene) for scene in scenes])
        return HiddenPixels(True, self._planes, places[:, 0], places[:, 1].astype(np.uint8))

    def _place(self, scene: int) -> tuple[int, int]:
        """The plane of a scene's bit, and the bit; without masks all scenes share one."""
        plane, shift = divmod(self._numbers[scene] if self._covers else 0, SCENES_IN_PLANE)
        return plane, 1 << shift

    @property
    def _planes(self) -> Bytes:
        if not self._covers:
            assert self._outside is not None  # or nothing is hidden
            return self._outside.view(np.uint8)[np.newaxis]
        planes = self._taken
        if self._outside is not None and not self._complete:
            planes |= np.negative(self._outside.view(np.uint8))  # every bit
        self._complete = True
        return planes

    @property
    def _taken(self) -> Bytes:
        if self._memory is None:
            self._memory = self._room.take((planes_for(len(self._numbers)), *self._shape))
        return self._memory

    def of(self, scene: int, place: Place) -> Bools:
        """The hidden pixels of a scene at a place of the window."""
        plane, bit = self._place(scene)
        return _has(self._planes[plane][place.of_window()], bit)

    def hides(self, scene: int, place: Place) -> bool:
        """True if all pixels of a scene at a place of the window are hidden."""
        plane, bit = self._place(scene)
        pixels = self._planes[plane][place.of_window()]
        return bool(_has(pixels[::_APART, ::_APART], bit).all() and _has(pixels, bit).all())

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


def _has(pixels: Bytes, bit: int) -> Bools:
    found: Bools = (pixels & np.uint8(bit)) != 0
    return found


def _all(pixels: Bools) -> bool:
    return bool(pixels[::_APART, ::_APART].all() and pixels.all())
