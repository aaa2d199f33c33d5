"""Results of neighbouring blocks, joined before they are kept: the sums of a window take as many bytes for one scene as
for a hundred.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from typing import Final

import numpy as np

from runner.engine.blocks import BlockResult
from runner.engine.trace import TaskTrace, Work
from runner.plan.records import Block
from runner.read.header import Window
from runner.reduce.partial import Partial, among, combine

ENOUGH: Final = 32  # scenes: what is kept of so many DEFLATE scenes of speckle is 5 % of their bytes
FEW_BYTES: Final = 2**28  # that may be kept without joining, so that a changed scene spoils no other's blocks
_PIXEL_BYTES: Final = 7  # of a block's pixel in its file, if its sums are of float32 pixels
_MOST_PIXELS: Final = 2**23  # of all windows under way, each of which may take 24 bytes
Result = tuple[BlockResult, TaskTrace]


@dataclass(slots=True)
class Joining:
    """Blocks that have come and are not kept yet, window by window.

    `left` counts those of each that are to come; with `enough` scenes they wait no longer.
    """

    left: Counter[Window]
    enough: int = ENOUGH
    _waiting: dict[Window, list[Result]] = field(default_factory=dict)

    @classmethod
    def of(cls, blocks: Iterable[Block]) -> "Joining":
        """For these blocks, which may come in any order."""
        left = Counter(block.window for block in blocks)
        size = sum(window.height * window.width * count for window, count in left.items()) * _PIXEL_BYTES
        return cls(left, ENOUGH if size > FEW_BYTES else 1)

    def add(self, result: BlockResult, trace: TaskTrace) -> Iterator[Result]:
        """Take a block, and yield what is to be kept now."""
        window = result.block.window
        self.left[window] -= 1
        if result.over_time is None:  # a few bytes for each scene
            yield result, trace
            return
        runs = self._waiting.pop(window, [])
        runs = _joined([*runs, (result, trace)])
        if self.left[window] <= 0:
            yield from runs
            return
        yield from (run for run in runs if _scenes(run) >= self.enough)
        self._waiting[window] = [run for run in runs if _scenes(run) < self.enough]
        yield from self._crowded_out()

    def rest(self) -> Iterator[Result]:
        """What waits yet, where no more blocks come."""
        while self._waiting:
            yield from self._waiting.popitem()[1]

    def _crowded_out(self) -> Iterator[Result]:
        """What waits longest, where windows take too much memory."""
        while sum(len(runs) * window.height * window.width for window, runs in self._waiting.items()) > _MOST_PIXELS:
            yield from self._waiting.pop(next(iter(self._waiting)))


def _scenes(run: Result) -> int:
    return run[0].block.stop - run[0].block.start


def _joined(runs: list[Result]) -> list[Result]:
    """Results of one window, with those joined whose scenes follow one another."""
    joined: list[Result] = []
    for run in sorted(runs, key=lambda one: one[0].block.start):
        if joined and joined[-1][0].block.stop == run[0].block.start:
            joined[-1] = _join(*joined[-1], *run)
        else:
            joined.append(run)
    return joined


def _join(one: BlockResult, first: TaskTrace, other: BlockResult, second: TaskTrace) -> Result:
    block = Block(one.block.window, one.block.start, other.block.stop)
    result = replace(
        other,
        block=block,
        over_time=combine([part for part in (one.over_time, other.over_time) if part]),
        over_space=_side_by_side(one.over_space, other.over_space),
        ordered={
            stage: {name: np.concatenate([values, other.ordered[stage][name]]) for name, values in statistics.items()}
            for stage, statistics in one.ordered.items()
        },
    )
    return result, _trace(block, first, second)


def _side_by_side(one: Partial | None, other: Partial | None) -> Partial | None:
    """Partials over space of scenes and of those that follow them."""
    if one is None or other is None:
        return None
    scenes = len(one.counts) + len(other.counts)
    return combine([among(one, 0, scenes), among(other, len(one.counts), scenes)])


def _trace(block: Block, one: TaskTrace, other: TaskTrace) -> TaskTrace:
    """As of one task that did the work of both, at the second's place."""
    work = None
    if one.work and other.work:
        work = Work(*map(sum, zip(astuple(one.work), astuple(other.work), strict=True)))
    started = min((at for at in (one.started, other.started) if at is not None), default=None)
    return replace(other, block=block, started=started, work=work)
