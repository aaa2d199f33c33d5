"""Coalescing: results of neighbouring tasks are joined before they are kept.

The sums of a window take as many bytes for one scene as for a hundred.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.checkpoint.remaining import Placed, Span, numbers_in, spans_of
from runner.engine.tasks import TaskResult
from runner.engine.trace import TaskTrace, Work
from runner.planning.records import Task
from runner.read.header import Window
from runner.reduce.partial import Partial, combine, scattered
from runner.reduce.zonal import ZonalPartial
from runner.reduce.zone_sums import zones_joined, zones_of_scenes

ENOUGH: Final = 32  # scenes: kept sums of that many DEFLATE scenes of speckle take 5 % of the scenes' bytes
FEW_BYTES: Final = 2**28  # that may be kept without joining, so that a changed scene spoils its own tasks only
_PIXEL_BYTES: Final = 7  # of a task's pixel in its file, if its sums are of float32 pixels
_MOST_PIXELS: Final = 2**23  # of all windows under way, each of which may take 24 bytes


class Result(NamedTuple):
    """The result of a task, or of several that were joined, with the scenes that it has, in their order."""

    result: TaskResult
    trace: TaskTrace
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, result: TaskResult, trace: TaskTrace) -> "Result":
        """The result of one task."""
        return cls(result, trace, ((result.task.start, result.task.stop),))

    @property
    def scenes(self) -> int:
        """The number of its scenes."""
        return Placed(self.result.task.window, self.spans).scenes

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """The numbers of its scenes."""
        return numbers_in(self.spans)


@dataclass(slots=True)
class Coalescing:
    """Tasks that have finished and are not kept yet, window by window.

    `to_come` counts the tasks of each window that are missing. Results of `enough` scenes do not wait for them.
    """

    to_come: Counter[Window]
    enough: int = ENOUGH
    _waiting: dict[Window, list[Result]] = field(default_factory=dict)

    @classmethod
    def of(cls, tasks: Iterable[Task], enough: int | None = None) -> "Coalescing":
        """For these tasks, which may finish in any order; `enough` depends on their size if it is None."""
        to_come = Counter(task.window for task in tasks)
        size = sum(window.height * window.width * count for window, count in to_come.items()) * _PIXEL_BYTES
        return cls(to_come, enough or (ENOUGH if size > FEW_BYTES else 1))

    def add(self, result: TaskResult, trace: TaskTrace) -> Iterator[Result]:
        """Take a task, and yield the results to be kept now."""
        window = result.task.window
        self.to_come[window] -= 1
        if not result.over_time:  # a few bytes for each scene
            yield Result.of(result, trace)
            return
        results = _neighbours_joined([*self._waiting.pop(window, []), Result.of(result, trace)])
        if self.to_come[window] <= 0:
            yield from joined(results, self.enough)
            return
        yield from (ready for ready in results if ready.scenes >= self.enough)
        self._waiting[window] = [waiting for waiting in results if waiting.scenes < self.enough]
        yield from self._crowded_out()

    def rest(self) -> Iterator[Result]:
        """The results that still wait when no more tasks come."""
        while self._waiting:
            yield from self._waiting.popitem()[1]

    def _crowded_out(self) -> Iterator[Result]:
        """The results that have waited longest, where windows take too much memory."""
        while sum(len(results) * w.height * w.width for w, results in self._waiting.items()) > _MOST_PIXELS:
            yield from self._waiting.pop(next(iter(self._waiting)))


def joined(results: Iterable[Result], enough: int) -> Iterator[Result]:
    """Results of one window, joined until they have enough scenes, which need not be neighbours."""
    waiting: Result | None = None
    for result in sorted(results, key=lambda result: result.spans):
        waiting = result if waiting is None else _join(waiting, result)
        if waiting.scenes >= enough:
            yield waiting
            waiting = None
    if waiting is not None:
        yield waiting


def _neighbours_joined(results: list[Result]) -> list[Result]:
    """Results of one window; those of consecutive scenes are joined."""
    neighbours: list[Result] = []
    for result in sorted(results, key=lambda result: result.spans):
        if neighbours and neighbours[-1].spans[-1][1] == result.spans[0][0]:
            neighbours[-1] = _join(neighbours[-1], result)
        else:
            neighbours.append(result)
    return neighbours


def _join(left: Result, right: Result) -> Result:
    """One result of the scenes of both."""
    first, second = left.result, right.result
    numbers = np.concatenate([left.numbers, right.numbers])
    order = np.argsort(numbers)
    placed = Placed(first.task.window, spans_of(numbers[order]))
    result = replace(
        second,
        task=placed.hull,
        over_time=_combine_lots(first.over_time, second.over_time),
        over_space=_side_by_side(first.over_space, second.over_space, order),
        over_zones=_zones_side_by_side(first.over_zones, second.over_zones, order),
        ordered={
            stage: {
                name: np.concatenate([values, second.ordered[stage][name]])[order]
                for name, values in statistics.items()
            }
            for stage, statistics in first.ordered.items()
        },
    )
    return Result(result, _trace(placed.hull, left.trace, right.trace), placed.spans)


def _zones_side_by_side(
    first: ZonalPartial | None, second: ZonalPartial | None, order: npt.NDArray[np.int64]
) -> ZonalPartial | None:
    """Partials over zones as one, with the scenes in this order, as `_side_by_side`."""
    return zones_of_scenes(zones_joined(first, second), order) if first and second else None


def _combine_lots(first: Mapping[int, Partial], second: Mapping[int, Partial]) -> dict[int, Partial]:
    """Partials over time of different scenes, by lot."""
    both = {lot: combine([partial, second[lot]]) for lot, partial in first.items() if lot in second}
    return {lot: both.get(lot, partial) for lot, partial in sorted({**first, **second}.items())}


def _side_by_side(first: Partial | None, second: Partial | None, order: npt.NDArray[np.int64]) -> Partial | None:
    """Partials over space as one, whose scenes are those of the first and then of the second, in this order."""
    if first is None or second is None:
        return None
    places, count = np.argsort(order), len(first.counts)
    return combine([scattered(first, places[:count], order.size), scattered(second, places[count:], order.size)])


def _trace(task: Task, first: TaskTrace, second: TaskTrace) -> TaskTrace:
    """The trace of one task that did the work of both, at the second's place."""
    work = None
    if first.work and second.work:
        work = Work(*map(sum, zip(astuple(first.work), astuple(second.work), strict=True)))
    started = min((time for time in (first.started, second.started) if time is not None), default=None)
    return replace(second, task=task, started=started, work=work)
