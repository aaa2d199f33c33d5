"""A stack as an array that dask cuts into chunks: each chunk is read and decoded by the task that needs it."""

from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from runner.engine.hidden import Hidden
from runner.engine.shared import Shared
from runner.engine.task_pixels import TaskPart, read_tasks
from runner.model import Stack
from runner.planning.masking import PixelRule
from runner.planning.reading import Reading
from runner.planning.records import Task
from runner.read.gdal_environment import gdal_options_set
from runner.read.header import ScenePixels, Window
from runner.reduce.pixel_types import Place
from runner.settings import Over

Values: TypeAlias = npt.NDArray[Any]
Index: TypeAlias = int | slice

_FLOAT32_HOLDS: Final = 2  # bytes of integers


def value_type(stack: Stack, rule: PixelRule) -> np.dtype[Any]:
    """The type of a stack's values: that of the files, float64 if they are scaled, floats if integers can be missing.

    Those are float32 for integers of up to 16 bits, and float64 for longer ones, as in xarray.
    """
    stored = stack.dtype.newbyteorder("=")
    if rule.scale:
        return np.dtype(np.float64)
    by_value = rule.pixels.blank is not None or rule.pixels.valid_range is not None
    hidden = rule.masks or rule.test is not None or stack.area is not None or stack.has_gaps
    if stored.kind == "f" or not (by_value or hidden):
        return stored
    return np.dtype(np.float32 if stored.itemsize <= _FLOAT32_HOLDS else np.float64)


class StackArray:
    """The values of a stack, (time, y, x), read when indexed, as dask expects of an array; NaN where missing.

    Picklable: a worker opens its own connections. Any number of threads may read at a time.
    """

    ndim: Final = 3

    def __init__(self, stack: Stack, reading: Reading) -> None:
        self._stack, self._reading = stack, reading
        self.shape = (len(stack.scenes), stack.grid.height, stack.grid.width)
        self.dtype = value_type(stack, reading.rule)

    def __reduce__(self) -> tuple[type["StackArray"], tuple[Stack, Reading]]:
        return type(self), (self._stack, self._reading)

    @property
    def description(self) -> str:
        """The rule by which pixels become values."""
        return f"{self._reading.rule} {self.dtype}"

    @cached_property
    def _shared(self) -> Shared:
        shared = Shared.of(self._reading, self._stack, ())
        fused = frozenset(Over) if self._reading.rule.as_stored else frozenset[Over]()
        return replace(shared, fused=fused)  # tiles of nodata alone are not inflated

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Values:
        """The values at integers and slices of any step. Raises ReadError."""
        parts = index if isinstance(index, tuple) else (index,)
        parts = (*parts, *[slice(None)] * (self.ndim - len(parts)))
        chosen = [np.arange(size)[part] for part, size in zip(parts, self.shape, strict=True)]
        if not all(numbers.size for numbers in chosen):
            return np.empty([size for numbers in chosen for size in numbers.shape], self.dtype)
        (start, stop), rows, columns = ((int(numbers.min()), int(numbers.max()) + 1) for numbers in chosen)
        window = Window(rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0])
        values = self._read(Task(window, start, stop))
        for axis in reversed(range(self.ndim)):  # a number takes its axis away, those before it stay
            values = values.take(chosen[axis] - chosen[axis].min(), axis) if _picks(chosen[axis]) else values
        return values

    def _read(self, task: Task) -> Values:
        (_, _, height, width), count = task.window, task.stop - task.start
        blank = np.nan if self.dtype.kind == "f" else 0  # which no integer is missing to need
        values = np.full((count, height, width), blank, self.dtype)
        with self._gdal_set(task), closing(read_tasks([self._shared], [task])) as parts:
            for part in parts:
                for pixels in _pixels_of(part):
                    self._put(values, task, pixels, part.hidden)
        return values

    def _put(self, values: Values, task: Task, read: ScenePixels, hidden: Hidden | None) -> None:
        """Take the pixels of a scene that count."""
        rule = self._reading.rule
        place = Place(0, 0, read.row, read.column, *read.pixels.shape)
        ours = rule.values(read.pixels, read.valid, self._stack.scenes[task.start + read.scene])
        valid = rule.pixels.valid(ours)
        if hidden is not None:
            valid &= ~hidden.of(read.scene, place)
        np.copyto(values[read.scene][place.of_window()], ours, "unsafe", where=valid)

    def _gdal_set(self, task: Task) -> Any:
        """GDAL's options for this thread, if GDAL reads a scene."""
        by_gdal = any(map(self._reading.needs_gdal, self._stack.scenes[task.start : task.stop]))
        return gdal_options_set(**self._reading.gdal_options) if by_gdal else nullcontext()


def _picks(numbers: Values) -> bool:
    """True unless these are all numbers from the lowest to the highest, in order."""
    return numbers.ndim == 0 or not np.array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))


def _pixels_of(part: TaskPart) -> Iterator[ScenePixels]:
    if isinstance(part.pixels, ScenePixels):
        yield part.pixels
        return
    tiles: Iterable[Any] = part.pixels or ()
    yield from (tile.pixels() for tile in tiles if not tile.missing)
