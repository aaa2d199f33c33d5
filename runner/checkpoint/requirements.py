"""Requirements of a pass on kept tasks: the scenes, the rules for pixels, and the sums that its stages need."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import partial

import numpy as np

from runner.checkpoint.task_file import FinishedStage, KeptTask
from runner.engine.shared import summed
from runner.model import Grid, MaskFile, Scene, Stack
from runner.planning.masking import PixelRule
from runner.planning.records import Pass, StagePlan, Task
from runner.planning.weights import row_areas
from runner.read.header import Window
from runner.reduce import KERNELS
from runner.reduce.partial import Needs
from runner.reduce.statistics import statistic
from runner.settings import Over, Weights

Version = tuple[str, str]  # of a scene: its href, and a text that identifies its contents


@dataclass(frozen=True, slots=True)
class Requirements:
    """The conditions under which a kept task serves a pass."""

    scenes: list[Version]
    whole: Window
    rule: dict[str, str]
    held: dict[Over, frozenset[str]]
    ordered: dict[str, tuple[Over, list[str]]]  # by stage
    over: dict[str, Over]
    finished: dict[str, FinishedStage]  # by stage over time: what serves if a window is finished
    _numbers: dict[Version, int] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pass_: Pass, stack: Stack) -> "Requirements":
        """The requirements of these stages on this stack."""
        needs = {axis: summed(pass_.stages, axis) for axis in Over}
        names = [need.name for need in fields(Needs)]
        scenes = [(scene.href, _version(scene)) for scene in stack.scenes]
        return cls(
            scenes=scenes,
            whole=stack.grid.window,
            rule=_rule_facts(pass_.reading.rule) | _stack_facts(stack) | _weight_facts(pass_, stack),
            held={axis: frozenset(filter(partial(getattr, sums), names)) for axis, sums in needs.items() if sums},
            ordered={
                stage.name: (stage.over, [name for name in stage.statistics if statistic(name).ordered])
                for stage in pass_.stages
                if stage.ordered
            },
            over={stage.name: stage.over for stage in pass_.stages},
            finished={
                stage.name: FinishedStage(frozenset(stage.statistics), _finishing(stage, pass_))
                for stage in pass_.stages
                if stage.over is Over.time
            },
            _numbers={scene: number for number, scene in enumerate(scenes)},
            _versions=dict(scenes),
        )

    def place(self, kept: KeptTask, scenes: Sequence[Version]) -> Task | str:
        """The task of today's stack that a kept one stands for, or the reason why it does not serve."""
        if kept.kernels != KERNELS:
            return f"the arithmetic was version {kept.kernels} and is {KERNELS}"
        for name, current in self.rule.items():
            if kept.rule.get(name) != current:
                return f"{name} was {kept.rule.get(name)} and is {current}"
        lacking = self._lacking(kept)
        if lacking:
            return lacking
        return self._task(kept, scenes[kept.task.start : kept.task.stop])

    def _lacking(self, kept: KeptTask) -> str | None:
        finished = self._finished_otherwise(kept) if kept.finished else None
        if finished:
            return finished
        summed = [axis for axis in self.held if not (kept.finished and axis is Over.time)]
        for axis in summed:
            if axis not in kept.held:
                return f"stages over {axis.value} were computed apart"
            if self.held[axis] - kept.held[axis]:
                return f"statistics over {axis.value} now need {', '.join(sorted(self.held[axis] - kept.held[axis]))}"
        for axis, ordered in self.ordered.values():
            if axis in summed and set(ordered) - kept.ordered.get(axis, frozenset()):
                return f"statistics over {axis.value} now need all values"
        return None

    def _finished_otherwise(self, kept: KeptTask) -> str | None:
        """The reason why finished values are not those of today's stages."""
        for stage, needed in self.finished.items():
            there = kept.finished.get(stage)
            if there is None or needed.statistics - there.statistics:
                return f"windows were finished without all statistics of {stage}"
            if needed.rules != there.rules:
                return f"{stage} was finished with {there.rules}, and is with {needed.rules}"
        return None

    def _task(self, kept: KeptTask, scenes: Sequence[Version]) -> Task | str:
        for href, version in scenes:
            current = self._versions.get(href)
            if current is None:
                return f"{href} is left out now"
            if current != version:
                return f"{href} has changed: it was {version}, now {current}"
        numbers = [self._numbers[scene] for scene in scenes]
        if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            return "its scenes are in another order"
        task = Task(kept.task.window, numbers[0], numbers[0] + len(numbers))
        return self._partly(kept, task) or task

    def _partly(self, kept: KeptTask, task: Task) -> str | None:
        """The reason why values that need all pixels of a cell are not whole."""
        all_scenes = task.stop - task.start == len(self.scenes)
        if kept.finished and not all_scenes:
            return "windows were finished without all scenes"
        for axis, _ in self.ordered.values():
            if axis is Over.time and not all_scenes:
                return "statistics of all values need all scenes"
            if axis is Over.space and task.window != self.whole:
                return "statistics of all values need whole scenes"
        return None


def _finishing(stage: StagePlan, pass_: Pass) -> str:
    return f"min_count={stage.min_count} as {pass_.raster.name}"


def _version(scene: Scene) -> str:
    version = _file_version(scene)
    sidecars = f", beside it {scene.sidecars_sha256}" if scene.sidecars_sha256 else ""
    mask = f", its mask {scene.mask.href} {_file_version(scene.mask)}" if scene.mask else ""
    return version + sidecars + mask


def _file_version(file: Scene | MaskFile) -> str:
    return f"ETag {file.etag}" if file.etag else f"{file.size} bytes of {file.modified}"


def _rule_facts(rule: PixelRule) -> dict[str, str]:
    pixels = rule.pixels
    return {
        "the pixels' type": np.dtype(pixels.dtype).name,
        "nodata": repr(rule.nodata),
        "nodata that is left out": repr(pixels.nodata),
        "source.valid_range": repr(pixels.valid_range),
        "scaling": str(rule.scale),
        "masking by the files": str(rule.masks),
        "masking by nodata too": str(rule.both),
    } | ({"the test of masks": str(rule.test)} if rule.test else {})


def _stack_facts(stack: Stack) -> dict[str, str]:
    return {
        "source.band": " or ".join(map(str, sorted(stack.bands))),
        "the grid": _grid_fact(stack.grid),
        "source.scale": str(stack.scale),
        "source.offset": str(stack.offset),
        "the area": stack.area.sha256[:16] if stack.area else "none",
    }


def _grid_fact(grid: Grid) -> str:
    """Tasks count rows and columns from its first pixel."""
    return f"{grid.height} x {grid.width} pixels from ({grid.transform[2]!r}, {grid.transform[5]!r}) on"


def _weight_facts(pass_: Pass, stack: Stack) -> dict[str, str]:
    if all(stage.weights is Weights.none for stage in pass_.stages):
        return {}
    return {"the area of pixels": hashlib.sha256(row_areas(stack.grid).tobytes()).hexdigest()[:16]}
