"""Remaining tasks of a plan, once some of its pixels are done, in tasks of this plan or of others.

Sums are exact and combine in any order. So tasks of another plan serve as well, as long as no pixel counts twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from runner.planning.records import Task
from runner.read.header import Window

Span = tuple[int, int]  # of scenes, start to stop


class Placed(NamedTuple):
    """A window and scenes of today's stack, as spans in their order that neither meet nor touch."""

    window: Window
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, window: Window, numbers: Sequence[int] | npt.NDArray[np.int64]) -> "Placed":
        """The scenes of these numbers, in any order."""
        return cls(window, spans_of(np.sort(np.asarray(numbers, np.int64))))

    @property
    def scenes(self) -> int:
        """The number of its scenes."""
        return sum(stop - start for start, stop in self.spans)

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """The numbers of its scenes, ascending."""
        return numbers_in(self.spans)

    @property
    def hull(self) -> Task:
        """The task from its first scene to its last, between which there may be others."""
        return Task(self.window, self.spans[0][0], self.spans[-1][1])


def spans_of(numbers: npt.NDArray[np.int64]) -> tuple[Span, ...]:
    """Ascending numbers as spans."""
    ends = np.flatnonzero(np.diff(numbers) > 1)
    starts, stops = numbers[[0, *(ends + 1)]], numbers[[*ends, -1]] + 1
    return tuple(zip(starts.tolist(), stops.tolist(), strict=True))


def numbers_in(spans: Iterable[Span]) -> npt.NDArray[np.int64]:
    """The numbers in spans, one span after the other."""
    return np.concatenate([np.arange(start, stop) for start, stop in spans])


@dataclass(frozen=True, slots=True)
class Remaining:
    """Tasks still to run; and for each window of finished tasks, the windows into which its temporal sums are split."""

    tasks: tuple[Task, ...]
    parts: dict[Window, tuple[Window, ...]]


def disjoint(tasks: Sequence[Placed]) -> list[int]:
    """The numbers of tasks that do not overlap: windows are equal or have no pixel in common; scenes of a window too.

    Windows that hold most go first.
    """
    by_window: dict[Window, list[int]] = {}
    for number, task in enumerate(tasks):
        by_window.setdefault(task.window, []).append(number)
    sizes = {window: sum(_size(tasks[number]) for number in numbers) for window, numbers in by_window.items()}
    coverage = _Coverage(by_window)
    chosen: list[int] = []
    for window in sorted(by_window, key=lambda window: (-sizes[window], window)):
        if not coverage.owners(window):
            coverage.take(window, 0)
            chosen += _disjoint_scenes(tasks, by_window[window])
    return sorted(chosen)


def _size(task: Placed) -> int:
    return task.window.height * task.window.width * task.scenes


def _disjoint_scenes(tasks: Sequence[Placed], numbers: Iterable[int]) -> Iterator[int]:
    taken: list[Span] = []
    for number in sorted(numbers, key=lambda number: (-tasks[number].scenes, tasks[number].spans)):
        spans = tasks[number].spans
        if all(stop <= first or last <= start for start, stop in taken for first, last in spans):
            taken += spans
            yield number


def remaining_of(planned: Sequence[Task], done: Sequence[Placed], scenes: int) -> Remaining:
    """The planned tasks of a stack without those done; `done` are tasks that `disjoint` chose."""
    spans: dict[Window, list[Span]] = {}
    for placed in done:
        spans.setdefault(placed.window, []).extend(placed.spans)
    windows = list(spans)
    coverage = _Coverage([*windows, *(task.window for task in planned)])
    for number, window in enumerate(windows):
        coverage.take(window, number)
    tasks: list[Task] = []
    parts: dict[Window, dict[Window, None]] = {window: {} for window in windows}
    for task in planned:
        covered = [windows[number] for number in coverage.owners(task.window)]
        for window in covered:
            common = task.window.common(window)
            assert common is not None  # it owns pixels of the task's window
            for start, stop in _gaps(spans[window], task.start, task.stop):
                tasks.append(Task(common, start, stop))
                parts[window][common] = None
        tasks += [Task(window, task.start, task.stop) for window in _less(task.window, covered)]
    complete = {window: (window,) for window in windows if not list(_gaps(spans[window], 0, scenes))}
    return Remaining(tuple(tasks), {window: tuple(split) for window, split in parts.items()} | complete)


def _gaps(spans: Iterable[Span], start: int, stop: int) -> Iterator[Span]:
    """The scenes from `start` to `stop` that are in none of these spans."""
    for first, last in sorted(spans):
        if first > start and min(first, stop) > start:
            yield start, min(first, stop)
        start = max(start, last)
    if start < stop:
        yield start, stop


def _less(window: Window, others: Iterable[Window]) -> list[Window]:
    """A window without others, in rectangles as wide as possible."""
    rectangles = [window]
    for other in others:
        rectangles = [part for rectangle in rectangles for part in rectangle.without(other)]
    return rectangles


class _Coverage:
    """Owners of the grid's pixels, stored for the cells between the edges of windows."""

    def __init__(self, windows: Iterable[Window]) -> None:
        edges = np.array([*set(windows)], np.int64).reshape(-1, 4)
        self._rows = np.unique(np.concatenate([edges[:, 0], edges[:, 0] + edges[:, 2]]))
        self._columns = np.unique(np.concatenate([edges[:, 1], edges[:, 1] + edges[:, 3]]))
        self._owner = np.full((max(0, len(self._rows) - 1), max(0, len(self._columns) - 1)), -1, np.int64)

    def take(self, window: Window, owner: int) -> None:
        """Give a window to an owner, numbered from 0."""
        self._owner[self._place(window)] = owner

    def owners(self, window: Window) -> list[int]:
        """The owners of parts of a window."""
        return [int(owner) for owner in np.unique(self._owner[self._place(window)]) if owner >= 0]

    def _place(self, window: Window) -> tuple[slice, slice]:
        top, below = np.searchsorted(self._rows, [window.row, window.row + window.height])
        left, right = np.searchsorted(self._columns, [window.column, window.column + window.width])
        return slice(top, below), slice(left, right)
