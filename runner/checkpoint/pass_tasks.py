"""The kept tasks of one pass, and those that remain."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from runner.base.humanize import plural, relative_path
from runner.checkpoint.coalesce import Coalescing, Result, joined
from runner.checkpoint.remaining import Placed, Remaining
from runner.checkpoint.requirements import Requirements, Version
from runner.checkpoint.task_file import KeptTask, Rules, Scenes, read_result
from runner.engine.block_engine import Restored
from runner.engine.tasks import TaskResult
from runner.engine.trace import TaskTrace
from runner.planning.records import Task
from runner.read.header import Window
from runner.reduce.partial import of_scenes
from runner.reduce.zone_sums import zones_of_scenes
from runner.settings import Over


class Store(Protocol):
    """The folder of kept tasks, with those of a run that is reused."""

    reused: Path | None

    def scenes_of(self, kept: KeptTask) -> list[Version]:
        """The list of scenes that a kept task counts in."""

    def is_own(self, kept: KeptTask) -> bool:
        """True for a task of this attempt."""

    def of_other_passes(self, of_pass: "PassTasks") -> frozenset[Path]:
        """The kept tasks that other passes have use for with all their sums."""

    def is_here(self, kept: KeptTask) -> bool:
        """True for a task of this run."""

    def add(self, of_pass: "PassTasks", result: Result) -> None:
        """Keep a task."""

    def flush(self) -> None:
        """Write the tasks that are kept in memory."""

    def set_aside(self, kept: Sequence[KeptTask]) -> None:
        """Keep tasks of scenes that are left out of this run."""

    def remove(self, kept: KeptTask) -> None:
        """Remove a task that others have replaced."""


class Reusable(NamedTuple):
    """A kept task that serves, and the scenes that it has in today's stack."""

    kept: KeptTask
    placed: Placed


@dataclass(slots=True)
class PassTasks:
    """The kept tasks of a pass and those that remain: a `Checkpoint` of the block engine.

    Kept tasks of a window wait until its last task has come, so that few windows are in memory at a time.
    """

    partials: Store
    requirements: Requirements
    remaining: Remaining
    taken: list[Reusable]
    refused: list[tuple[KeptTask, str]]
    coalescing: Coalescing
    rules: Rules | None = None  # once a task is written
    _to_come: Counter[Window] = field(default_factory=Counter)  # the tasks of each part of a window that are missing
    _numbers: dict[Path, int] = field(default_factory=dict)  # of kept tasks, behind those of the remaining ones
    _of_window: dict[Window, list[Reusable]] = field(default_factory=dict)
    _of_part: dict[Window, list[Window]] = field(default_factory=dict)  # the windows that a part is of
    _joined: set[Path] = field(default_factory=set)
    _written: list[KeptTask] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._to_come.update(task.window for task in self.remaining.tasks)
        for number, each in enumerate(self.taken, start=len(self.remaining.tasks)):
            self._numbers[each.kept.path] = number
            self._of_window.setdefault(each.placed.window, []).append(each)

    def restored(self) -> Iterator[Restored]:
        """The kept tasks of windows of which none remains, each read from its file when it is asked for."""
        for window, reusable in self._of_window.items():
            missing = [part for part in self.remaining.parts[window] if self._to_come[part]]
            for part in missing:
                self._of_part.setdefault(part, []).append(window)
            for each in () if missing else reusable:
                yield from self._restored(each)

    def restored_after(self, task: Task) -> Iterator[Restored]:
        """The kept tasks of windows whose last task has come with this one."""
        self._to_come[task.window] -= 1
        if self._to_come[task.window]:
            return
        for window in self._of_part.pop(task.window, ()):
            if not any(self._to_come[part] for part in self.remaining.parts[window]):
                for each in self._of_window[window]:
                    yield from self._restored(each)

    def _restored(self, each: Reusable) -> Iterator[Restored]:
        """A kept task: its sums over time with the first of its spans, those over space with each."""
        kept, placed = each
        whole, windows = self.read(each), self.remaining.parts[placed.window]
        trace = whole.trace if self._is_of_earlier_attempt(kept) else None
        trace = trace and replace(trace, number=self._numbers[kept.path], task=placed.hull)
        over_time, finished, begin = whole.result.over_time, whole.result.finished, 0
        for start, stop in placed.spans:
            part = _part(whole.result, Task(placed.window, start, stop), begin, self.requirements.over)
            yield Restored(replace(part, over_time=over_time, finished=finished), windows, trace)
            over_time, finished, trace, begin = {}, {}, None, begin + stop - start

    def _is_of_earlier_attempt(self, kept: KeptTask) -> bool:
        return self.partials.is_here(kept) and not self.partials.is_own(kept)

    def read(self, each: Reusable) -> Result:
        """A kept task with its scenes in today's order."""
        kept, placed = each
        needed = self.requirements
        numbers = needed.numbers(kept, self.partials.scenes_of(kept))
        scenes = Scenes(numbers, needed.lots_of(numbers))
        result = read_result(kept, placed.hull, needed.held, needed.ordered, scenes)
        order = np.argsort(numbers)[np.count_nonzero(numbers < 0) :]
        if not np.array_equal(order, np.arange(numbers.size)):
            result = of_places(result, order, needed.over)
        return Result(result, kept.trace, placed.spans)

    def keep(self, result: TaskResult, trace: TaskTrace) -> None:
        """Keep a task that has just finished, now or joined to its neighbours. Raises OutputError."""
        for finished in self.coalescing.add(result, trace):
            self.partials.add(self, finished)

    def close(self) -> None:
        """Keep the tasks that still wait for neighbours."""
        for finished in self.coalescing.rest():
            self.partials.add(self, finished)

    def written(self, kept: KeptTask) -> None:
        """Take note of a task that was kept."""
        self._written.append(kept)

    def in_use(self) -> list[Reusable]:
        """The kept tasks that the values are made of: those taken, and those written."""
        known = [Reusable(kept, self._placed(kept)) for kept in self._written]
        return [each for each in (*self.taken, *known) if each.kept.path not in self._joined]

    def _placed(self, kept: KeptTask) -> Placed:
        return Placed.of(kept.task.window, self.requirements.numbers(kept, self.partials.scenes_of(kept)))

    def written_apart(self, scenes: npt.NDArray[np.int64]) -> list[KeptTask]:
        """The tasks written that have none but these scenes."""
        return [
            kept
            for kept in self._written
            if np.isin(self.requirements.numbers(kept, self.partials.scenes_of(kept)), scenes).all()
        ]

    def compact(self) -> None:
        """Join kept tasks of few scenes, window by window, so that their number does not grow from run to run.

        Raises OutputError.
        """
        few: dict[Window, list[Reusable]] = {}
        for each in self.in_use():
            if each.placed.scenes < self.coalescing.enough and Over.time in each.kept.held:
                few.setdefault(each.placed.window, []).append(each)
        for small in few.values():
            if len(small) > 1:
                for result in joined(map(self.read, small), self.coalescing.enough):
                    self.partials.add(self, result)
                self.partials.flush()
                self._joined.update(each.kept.path for each in small)

    def redone(self) -> list[tuple[KeptTask, str]]:
        """Kept tasks that serve no pass and whose windows are read again, with the reasons."""
        windows = {task.window for task in self.remaining.tasks}
        return [(kept, reason) for kept, reason in self._useless() if any(map(kept.task.window.common, windows))]

    def _useless(self) -> list[tuple[KeptTask, str]]:
        """Kept tasks that do not serve, and are not of another pass of the job either."""
        of_others = self.partials.of_other_passes(self) if self.refused else frozenset()
        return [(kept, reason) for kept, reason in self.refused if kept.path not in of_others]

    def describe(self, *, explain: bool = False) -> Iterator[str]:
        """Lines on the tasks that are reused and to be read, and one for each reason to compute kept tasks again.

        Nothing if none were kept, unless `explain` is set, which adds where the tasks lie.
        """
        if not self.taken and not self._useless() and not explain:
            return
        yield f"{kept_tasks(len(self.taken))}, {len(self.remaining.tasks)} are to be read{self._scenes_read()}"
        redone: dict[str, list[Task]] = {}
        for kept, reason in self.redone():
            redone.setdefault(reason, []).append(kept.task)
        for reason, tasks in redone.items():
            where = f" ({_extent(tasks)})" if explain else ""
            kept_tasks_are = "1 kept task is" if len(tasks) == 1 else f"{len(tasks)} kept tasks are"
            yield f"{kept_tasks_are} computed again: {reason}{where}"
        if explain:
            parts = {"kept": [each.placed.hull for each in self.taken], "to be read": self.remaining.tasks}
            yield from (f"{part}: {_extent(tasks)}" for part, tasks in parts.items() if tasks)

    def describe_again(self) -> Iterator[str]:
        """A line on the tasks that are to be read, of a pass that is begun anew since scenes are left out."""
        count = len(self.remaining.tasks)
        if count:
            yield f"{plural(count, 'task')} {'is' if count == 1 else 'are'} read without the scenes that are left out"

    def _scenes_read(self) -> str:
        """The scenes of the remaining tasks, if others are reused from another run."""
        reused = [kept for kept, _ in self.taken if not self.partials.is_here(kept)]
        if not reused or self.partials.reused is None:
            return ""
        scenes = {number for task in self.remaining.tasks for number in range(task.start, task.stop)}
        of_all = f"{len(scenes)} of {plural(len(self.requirements.scenes), 'scene')}"
        return f": {of_all}; {plural(len(reused), 'task')} of {relative_path(self.partials.reused)} are reused"


def _part(result: TaskResult, task: Task, begin: int, over: dict[str, Over]) -> TaskResult:
    """The scenes of a result from place `begin` on, as many as a task has."""
    places, whole = np.arange(begin, begin + task.stop - task.start), result.task
    if begin == 0 and whole == task:
        return result
    return replace(of_places(result, places, over), task=task)


def of_places(result: TaskResult, places: npt.NDArray[np.int64], over: dict[str, Over]) -> TaskResult:
    """The values of some scenes of a result; those over time are of all of them."""
    ordered = {
        stage: {name: values[places] if over[stage].makes_table else values for name, values in statistics.items()}
        for stage, statistics in result.ordered.items()
    }
    over_space = result.over_space and of_scenes(result.over_space, places)
    over_zones = result.over_zones and zones_of_scenes(result.over_zones, places)
    return replace(result, over_space=over_space, over_zones=over_zones, ordered=ordered)


def _extent(tasks: Sequence[Task]) -> str:
    """The extent of these tasks, from the first row, column and scene to the last."""
    windows = [task.window for task in tasks]
    rows = min(window.row for window in windows), max(window.row + window.height for window in windows)
    columns = min(window.column for window in windows), max(window.column + window.width for window in windows)
    scenes = min(task.start for task in tasks), max(task.stop for task in tasks)
    return (
        f"{len(tasks)} tasks, rows {rows[0]} to {rows[1]}, columns {columns[0]} to {columns[1]}, "
        f"scenes {scenes[0]} to {scenes[1]}"
    )


def kept_tasks(count: int) -> str:
    """1 finished task is kept, 12 finished tasks are kept."""
    return "1 finished task is kept" if count == 1 else f"{count} finished tasks are kept"
