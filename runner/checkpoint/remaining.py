"""What is left of a plan once some of its pixels are done, whatever cut they were done in.

Sums are exact and combine in any order, so that blocks of another plan serve as well, as long as none counts twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from runner.plan.records import Block
from runner.read.header import Window

Run = tuple[int, int]  # of scenes, start to stop


@dataclass(frozen=True, slots=True)
class Rest:
    """The blocks to be read yet, and for each window of done blocks those that its cells over time are finished in."""

    blocks: tuple[Block, ...]
    parts: dict[Window, tuple[Window, ...]]


def disjoint(blocks: Sequence[Block]) -> list[int]:
    """Which of these blocks to take, so that windows are the same or have no pixel in common, and scenes neither.

    Windows that hold most go first.
    """
    by_window: dict[Window, list[int]] = {}
    for number, block in enumerate(blocks):
        by_window.setdefault(block.window, []).append(number)
    sizes = {window: sum(_size(blocks[number]) for number in numbers) for window, numbers in by_window.items()}
    cover = _Cover(by_window)
    taken: list[int] = []
    for window in sorted(by_window, key=lambda one: (-sizes[one], one)):
        if not cover.owners(window):
            cover.take(window, 0)
            taken += _disjoint_runs(blocks, by_window[window])
    return sorted(taken)


def _size(block: Block) -> int:
    return block.window.height * block.window.width * (block.stop - block.start)


def _disjoint_runs(blocks: Sequence[Block], numbers: Iterable[int]) -> Iterator[int]:
    taken: list[Run] = []
    for number in sorted(numbers, key=lambda one: (blocks[one].start - blocks[one].stop, blocks[one].start)):
        block = blocks[number]
        if all(stop <= block.start or block.stop <= start for start, stop in taken):
            taken.append((block.start, block.stop))
            yield number


def rest_of(planned: Sequence[Block], done: Sequence[Block], scenes: int) -> Rest:
    """The planned blocks less those done, of a stack of so many scenes; `done` are such as `disjoint` chooses."""
    runs: dict[Window, list[Run]] = {}
    for block in done:
        runs.setdefault(block.window, []).append((block.start, block.stop))
    windows = list(runs)
    cover = _Cover([*windows, *(block.window for block in planned)])
    for number, window in enumerate(windows):
        cover.take(window, number)
    left: list[Block] = []
    parts: dict[Window, dict[Window, None]] = {window: {} for window in windows}
    for block in planned:
        held = [windows[number] for number in cover.owners(block.window)]
        for window in held:
            common = _common(block.window, window)
            for start, stop in _gaps(runs[window], block.start, block.stop):
                left.append(Block(common, start, stop))
                parts[window][common] = None
        left += [Block(window, block.start, block.stop) for window in _less(block.window, held)]
    whole = {window: (window,) for window in windows if not list(_gaps(runs[window], 0, scenes))}
    return Rest(tuple(left), {window: tuple(found) for window, found in parts.items()} | whole)


def _gaps(runs: Iterable[Run], start: int, stop: int) -> Iterator[Run]:
    """What is left of scenes `start` to `stop` between these runs."""
    for first, last in sorted(runs):
        if first > start and min(first, stop) > start:
            yield start, min(first, stop)
        start = max(start, last)
    if start < stop:
        yield start, stop


def _common(one: Window, other: Window) -> Window:
    row, column = max(one.row, other.row), max(one.column, other.column)
    below = min(one.row + one.height, other.row + other.height)
    right = min(one.column + one.width, other.column + other.width)
    return Window(row, column, below - row, right - column)


def _less(window: Window, others: Iterable[Window]) -> list[Window]:
    """What is left of a window, in as wide rectangles as may be."""
    left = [window]
    for other in others:
        left = [part for one in left for part in _less_one(one, other)]
    return left


def _less_one(one: Window, other: Window) -> Iterator[Window]:
    row, column, height, width = common = _common(one, other)
    if height <= 0 or width <= 0:
        yield one
        return
    below, right = one.row + one.height, one.column + one.width
    around = [
        Window(one.row, one.column, row - one.row, one.width),
        Window(row, one.column, height, column - one.column),
        Window(row, column + width, height, right - column - width),
        Window(row + height, one.column, below - row - height, one.width),
    ]
    yield from (part for part in around if part.height and part.width and part != common)


class _Cover:
    """Who owns what of the grid, told between the edges of windows alone."""

    def __init__(self, windows: Iterable[Window]) -> None:
        found = np.array([*set(windows)], np.int64).reshape(-1, 4)
        self._rows = np.unique(np.concatenate([found[:, 0], found[:, 0] + found[:, 2]]))
        self._columns = np.unique(np.concatenate([found[:, 1], found[:, 1] + found[:, 3]]))
        self._owner = np.full((max(0, len(self._rows) - 1), max(0, len(self._columns) - 1)), -1, np.int64)

    def take(self, window: Window, owner: int) -> None:
        """Give it to a number from 0 on."""
        self._owner[self._place(window)] = owner

    def owners(self, window: Window) -> list[int]:
        """Whom parts of it belong to."""
        return [int(one) for one in np.unique(self._owner[self._place(window)]) if one >= 0]

    def _place(self, window: Window) -> tuple[slice, slice]:
        top, below = np.searchsorted(self._rows, [window.row, window.row + window.height])
        left, right = np.searchsorted(self._columns, [window.column, window.column + window.width])
        return slice(top, below), slice(left, right)
