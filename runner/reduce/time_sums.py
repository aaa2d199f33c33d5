"""Accumulators that know the times of scenes: sums of times, and the pixels of the first and of the last scene."""

from dataclasses import dataclass

import numpy as np

from runner.reduce import kernels, trend_kernels
from runner.reduce.arrays import Floats, Integers, Tile
from runner.reduce.partial import End, Needs
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.scene_times import SceneTime

NO_FIRST, NO_LAST = np.iinfo(np.int32).max, -1  # in place of the number of a scene, where there is none so far


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """The times of a task's scenes, in milliseconds since the epoch, and the number of the first in the stack."""

    times: tuple[SceneTime, ...]
    start: int = 0

    @classmethod
    def of(cls, milliseconds: list[int], start: int = 0) -> "TaskTimes":
        """Scenes in the order of the stack."""
        return cls(tuple(map(SceneTime.of, milliseconds)), start)

    @property
    def milliseconds(self) -> Floats:
        """The times alone, in milliseconds since the epoch."""
        return np.array([scene.time for scene in self.times], np.float64)


class TimedCells:
    """What statistics of time need of each pixel of a window, besides sums."""

    def __init__(self, shape: tuple[int, int], pixels: Pixels, needs: Needs, scenes: TaskTimes) -> None:
        self._pixels, self.scenes = pixels, scenes
        self.times: Integers | None = np.zeros((3, *shape), np.int64) if needs.times else None
        self.first = _no_end(shape, pixels, NO_FIRST) if needs.first else None
        self.last = _no_end(shape, pixels, NO_LAST) if needs.last else None

    @staticmethod
    def bytes_per_pixel(pixels: Pixels, needs: Needs) -> int:
        """Memory of these for each pixel of the window."""
        return 24 * needs.times + (4 + pixels.stored.itemsize) * (needs.first + needs.last)

    def add_tile(self, tile: Tile, place: Place, scene: int) -> None:
        """Add pixels of the scene of this index in the task."""
        if self._pixels.in_pieces:
            valid = self._pixels.valid(tile[place.of_tile()])
            self._add_valid(tile[place.of_tile()], valid, place, scene)
            return
        limits, number = self._pixels.kind.limits, self.scenes.start + scene
        if self.times is not None:
            trend_kernels.add_times(tile, place, limits, self.scenes.times[scene], self.times)
        for end, later in ((self.first, False), (self.last, True)):
            if end is not None:
                trend_kernels.add_end(tile, place, limits, trend_kernels.Arrival(number, later), end)

    def _add_valid(self, part: Tile, valid: Tile, place: Place, scene: int) -> None:
        """As the kernels do, for 64-bit integers, whose limits are no floats."""
        inside = place._replace(top=0, left=0)
        shown = np.where(valid, 1.0, np.nan)
        if self.times is not None:
            limits = kernels.EVERY_PIXEL.limits
            trend_kernels.add_times(shown, inside, limits, self.scenes.times[scene], self.times)
        window, number = place.of_window(), self.scenes.start + scene
        for end, later in ((self.first, False), (self.last, True)):
            if end is not None:
                known = end.scenes[window]
                taken = valid & ((known < number) if later else (known > number))
                np.copyto(end.values[window], part, where=taken)
                known[taken] = number


def _no_end(shape: tuple[int, int], pixels: Pixels, number: int) -> End:
    return End(np.zeros(shape, pixels.stored), np.full(shape, number, np.int32))
