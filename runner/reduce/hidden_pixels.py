"""Hidden pixels as kernels take them: a bit for each scene, several scenes in a byte."""

from typing import Any, Final, NamedTuple

import numpy as np

from runner.reduce.arrays import Bytes, Integers

SCENES_IN_PLANE: Final = 8  # the bits of a byte


class HiddenPixels(NamedTuple):
    """Pixels of a window that do not count, whatever their values are: a bit for each scene, several in a byte."""

    some: bool  # whether there may be any
    planes: Bytes  # (planes, rows, columns) of the window; a bit is set where its scene is hidden
    plane: Integers  # (scenes) of these tiles: the plane in which each has its bit
    bits: Bytes  # (scenes)

    @property
    def shape(self) -> tuple[int, int] | None:
        """The shape of the window, None if nothing is hidden."""
        return (self.planes.shape[1], self.planes.shape[2]) if self.some else None


class Hides(NamedTuple):
    """The hidden pixels of a row of one scene."""

    row: Bytes
    bit: Any  # uint8, which is set where a pixel is hidden


NO_HIDDEN: Final = HiddenPixels(False, np.empty((0, 0, 0), np.uint8), np.empty(0, np.int64), np.empty(0, np.uint8))


def planes_for(scenes: int) -> int:
    """The number of planes, and so of bytes for each pixel of the window, that have bits for so many scenes."""
    return -(-scenes // SCENES_IN_PLANE)
