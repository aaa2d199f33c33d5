"""Coalescing: results of neighbouring tasks are joined before they are kept.

The sums of a window take as many bytes for one scene as for a hundred.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from typing import Final

import numpy as np

from runner.engine.tasks import TaskResult
from runner.engine.trace import TaskTrace, Work
from runner.planning.records import Task
from runner.read.header import Window
from runner.reduce.partial import Partial, among, combine

ENOUGH: Final = 32  # scenes: kept sums of that many DEFLATE scenes of speckle take 5 % of the scenes' bytes
FEW_BYTES: Final = 2**28  # that may be kept without joining, so that a changed scene spoils its own tasks only
_PIXEL_BYTES: Final = 7  # of a task's pixel in its file, if its sums are of float32 pixels
_MOST_PIXELS: Final = 2**23  # of all windows under way, each of which may take 24 bytes
Result = tuple[TaskResult, TaskTrace]


@dataclass(slots=True)
class Coalescing:
    """Tasks that have finished and are not kept yet, window by window.

    `to_come` counts the tasks of each window that are missing. Results of `enough` scenes do not wait for them.
    """

    to_come: Counter[Window]
    enough: int = ENOUGH
    _waiting: dict[Window, list[Result]] = field(default_factory=dict)

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> "Coalescing":
        """For these tasks, which may finish in any order."""
        to_come = Counter(task.window for task in tasks)
        size = sum(window.height * window.width * count for window, count in to_come.items()) * _PIXEL_BYTES
        return cls(to_come, ENOUGH if size > FEW_BYTES else 1)

    def add(self, result: TaskResult, trace: TaskTrace) -> Iterator[Result]:
        """Take a task, and yield the results to be kept now."""
        window = result.task.window
        self.to_come[window] -= 1
        if result.over_time is None:  # a few bytes for each scene
            yield result, trace
            return
        results = _joined([*self._waiting.pop(window, []), (result, trace)])
        if self.to_come[window] <= 0:
            yield from results
            return
        yield from (ready for ready in results if _scenes(ready) >= self.enough)
        self._waiting[window] = [waiting for waiting in results if _scenes(waiting) < self.enough]
        yield from self._crowded_out()

    def rest(self) -> Iterator[Result]:
        """The results that still wait when no more tasks come."""
        while self._waiting:
            yield from self._waiting.popitem()[1]

    def _crowded_out(self) -> Iterator[Result]:
        """The results that have waited longest, where windows take too much memory."""
        while sum(len(results) * w.height * w.width for w, results in self._waiting.items()) > _MOST_PIXELS:
            yield from self._waiting.pop(next(iter(self._waiting)))


def _scenes(result: Result) -> int:
    return result[0].task.stop - result[0].task.start


def _joined(results: list[Result]) -> list[Result]:
    """Results of one window; those of consecutive scenes are joined."""
    joined: list[Result] = []
    for result in sorted(results, key=lambda result: result[0].task.start):
        if joined and joined[-1][0].task.stop == result[0].task.start:
            joined[-1] = _join(joined[-1], result)
        else:
            joined.append(result)
    return joined


def _join(left: Result, right: Result) -> Result:
    (first, first_trace), (second, second_trace) = left, right
    task = Task(first.task.window, first.task.start, second.task.stop)
    result = replace(
        second,
        task=task,
        over_time=combine([partial for partial in (first.over_time, second.over_time) if partial]),
        over_space=_side_by_side(first.over_space, second.over_space),
        ordered={
            stage: {name: np.concatenate([values, second.ordered[stage][name]]) for name, values in statistics.items()}
            for stage, statistics in first.ordered.items()
        },
    )
    return result, _trace(task, first_trace, second_trace)


def _side_by_side(first: Partial | None, second: Partial | None) -> Partial | None:
    """Partials over space of consecutive scenes as one."""
    if first is None or second is None:
        return None
    scenes = len(first.counts) + len(second.counts)
    return combine([among(first, 0, scenes), among(second, len(first.counts), scenes)])


def _trace(task: Task, first: TaskTrace, second: TaskTrace) -> TaskTrace:
    """The trace of one task that did the work of both, at the second's place."""
    work = None
    if first.work and second.work:
        work = Work(*map(sum, zip(astuple(first.work), astuple(second.work), strict=True)))
    started = min((time for time in (first.started, second.started) if time is not None), default=None)
    return replace(second, task=task, started=started, work=work)
