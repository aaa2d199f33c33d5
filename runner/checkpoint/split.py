"""Kept tasks split in two, by the scenes that a filter leaves out: these alone are read again, and subtracted.

A sum over time tells nothing of its parts. So the scenes that are left out are summed by themselves, and their sums,
which are exact, are subtracted from what was kept with them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from runner.checkpoint.coalesce import Result, joined
from runner.checkpoint.pass_tasks import PassTasks, Reusable, of_places
from runner.checkpoint.remaining import Placed, spans_of
from runner.checkpoint.store import Partials
from runner.engine.block_engine import Restored
from runner.engine.tasks import TaskResult
from runner.engine.trace import TaskTrace
from runner.model import Stack
from runner.planning.cost import cost_of_tasks
from runner.planning.records import Pass, StagePlan, Task, lots_of_stages
from runner.read.header import Window
from runner.reduce.partial import NOT_SUMS, Partial, subtract
from runner.reduce.statistics import statistic
from runner.settings import Over

Numbers = npt.NDArray[np.int64]


def not_subtracted(stages: Iterable[StagePlan]) -> list[str]:
    """The statistics over time that are made of more than sums, such as the least value or a median."""
    names = dict.fromkeys(name for stage in stages if stage.over is Over.time for name in stage.statistics)
    return [
        name
        for name in names
        if statistic(name).ordered or any(getattr(statistic(name).needs, need) for need in NOT_SUMS)
    ]


@dataclass(slots=True)
class SplitTasks:
    """The pass over some scenes of a stack, by whose results kept tasks are split: a `Checkpoint` of the block engine.

    `pass_` and `stack` are of these scenes alone, which `few` numbers in the whole stack.
    """

    of_pass: PassTasks
    pass_: Pass
    stack: Stack
    few: Numbers
    _mixed: dict[Window, list[Reusable]] = field(default_factory=dict)  # kept tasks that are to be split
    _alone: dict[Window, list[Reusable]] = field(default_factory=dict)  # those of no other scenes
    _came: dict[Window, list[tuple[TaskResult, TaskTrace]]] = field(default_factory=dict)
    _to_come: dict[Window, int] = field(default_factory=dict)

    @classmethod
    def of(cls, partials: Partials, pass_: Pass, stack: Stack, few: Collection[int]) -> "SplitTasks | None":
        """The pass over the scenes `few` of a pass that was computed; None if what was kept of it cannot be split.

        Nothing need be read for sums over space alone, which are kept scene by scene. Raises OutputError.
        """
        of_pass = partials.of_pass(pass_, stack)
        numbers = np.array(sorted(few), np.int64)
        if of_pass.remaining.tasks or Over.time not in of_pass.requirements.held or not_subtracted(pass_.stages):
            return None
        of_few = replace(stack, scenes=tuple(stack.scenes[number] for number in numbers))
        scenes = numbers.tolist()
        stages = (replace(stage, groups=stage.groups and stage.groups.among(scenes)) for stage in pass_.stages)
        split = cls(of_pass, replace(pass_, stages=tuple(stages)), of_few, numbers)
        tasks = split._sorted()
        split.pass_ = replace(split.pass_, tasks=tasks, cost=cost_of_tasks(split.stack, pass_.reading, tasks))
        return split

    def _sorted(self) -> tuple[Task, ...]:
        """Sort kept tasks by what they have of the scenes, and make the tasks that read these."""
        tasks: list[Task] = []
        for each in self.of_pass.taken:
            window, scenes = each.placed.window, each.placed.numbers
            inside = np.isin(scenes, self.few)
            if inside.all():
                self._alone.setdefault(window, []).append(each)
            elif inside.any():
                self._mixed.setdefault(window, []).append(each)
                spans = spans_of(np.searchsorted(self.few, scenes[inside]))
                tasks += [Task(window, start, stop) for start, stop in spans]
                self._to_come[window] = self._to_come.get(window, 0) + len(spans)
        return tuple(tasks)

    def restored(self) -> Iterator[Restored]:
        """The kept tasks of no other scenes, of windows of which none is read."""
        for window in self._alone.keys() - self._to_come.keys():
            yield from self._restored(window)

    def restored_after(self, task: Task) -> Iterator[Restored]:
        """The kept tasks of no other scenes, of the window of which this task was the last to come."""
        if task.window not in self._came:
            yield from self._restored(task.window)

    def _restored(self, window: Window) -> Iterator[Restored]:
        for each in self._alone.get(window, ()):
            result, begin = self.of_pass.read(each).result, 0
            places = np.searchsorted(self.few, each.placed.numbers)
            lots = {few: result.over_time[whole] for few, whole in self._lots(places) if whole in result.over_time}
            for start, stop in spans_of(places):
                part = of_places(result, np.arange(begin, begin + stop - start), self.of_pass.requirements.over)
                over_time = {} if begin else lots
                yield Restored(replace(part, task=Task(window, start, stop), over_time=over_time), [window], None)
                begin += stop - start

    def keep(self, result: TaskResult, trace: TaskTrace) -> None:
        """Take a task, and split the kept ones of its window once all of them have come. Raises OutputError."""
        window = result.task.window
        self._came.setdefault(window, []).append((result, trace))
        if len(self._came[window]) == self._to_come[window]:
            self._split(window, self._came.pop(window))

    def close(self) -> None:
        """Set the kept tasks of these scenes aside."""
        partials = self.of_pass.partials
        partials.flush()
        alone = [each for window in self._alone for each in self._alone[window] if each not in self._small(window)]
        partials.set_aside([*(each.kept for each in alone), *self.of_pass.written_apart(self.few)])

    def _small(self, window: Window) -> list[Reusable]:
        """The kept tasks of no other scenes that are joined with those which are split off."""
        alone = self._alone.get(window, ()) if window in self._mixed else ()
        return [each for each in alone if each.placed.scenes < self.of_pass.coalescing.enough]

    def _split(self, window: Window, came: list[tuple[TaskResult, TaskTrace]]) -> None:
        partials, apart = self.of_pass.partials, []
        for each in self._mixed[window]:
            left_out = self._left_out(each, came)
            partials.add(self.of_pass, self._without(each, left_out))
            apart.append(left_out)
        small = map(self.of_pass.read, self._small(window))
        for result in joined([*apart, *small], self.of_pass.coalescing.enough):
            partials.add(self.of_pass, result)
        partials.flush()
        for each in self._mixed[window]:
            partials.remove(each.kept)

    def _left_out(self, each: Reusable, came: list[tuple[TaskResult, TaskTrace]]) -> Result:
        """The results of the scenes of a kept task that are left out, as one, numbered as in the whole stack."""
        scenes = set(each.placed.numbers.tolist())
        parts = []
        for result, trace in came:
            numbers = self.few[result.task.start : result.task.stop]
            if numbers[0] in scenes:
                placed = Placed.of(result.task.window, numbers)
                pairs = self._lots(np.arange(result.task.start, result.task.stop))
                over_time = {whole: result.over_time[few] for few, whole in pairs}
                parts.append(Result(replace(result, task=placed.hull, over_time=over_time), trace, placed.spans))
        (whole,) = joined(parts, len(scenes) + 1)
        return whole

    def _lots(self, places: Numbers) -> set[tuple[int, int]]:
        """The lots of the scenes at some places of `few`: among these alone, and in the whole stack."""
        of_few = lots_of_stages(self.pass_.stages, len(self.few))
        of_whole = self.of_pass.requirements.lots_of(self.few[places]) or [0] * len(places)
        return {(of_few.of_scene(place), lot) for place, lot in zip(places.tolist(), of_whole, strict=True)}

    def _without(self, each: Reusable, left_out: Result) -> Result:
        """A kept task without the scenes that are left out."""
        result, trace, _ = self.of_pass.read(each)
        scenes = each.placed.numbers
        places = np.flatnonzero(~np.isin(scenes, self.few))
        placed = Placed.of(each.placed.window, scenes[places])
        rest = of_places(result, places, self.of_pass.requirements.over)
        over_time = self._lots_without(scenes[places], result.over_time, left_out.result.over_time)
        return Result(replace(rest, task=placed.hull, over_time=over_time), trace, placed.spans)

    def _lots_without(
        self, scenes: Numbers, of_all: Mapping[int, Partial], left_out: Mapping[int, Partial]
    ) -> dict[int, Partial]:
        """The sums of the lots of the scenes that stay."""
        lots = sorted({*self.of_pass.requirements.lots_of(scenes)}) or [0]
        return {lot: subtract(of_all[lot], left_out[lot]) if lot in left_out else of_all[lot] for lot in lots}
