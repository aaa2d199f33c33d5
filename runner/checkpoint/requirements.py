"""Requirements of a pass on kept tasks: the scenes, the rules for pixels, and the sums that its stages need."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from runner.checkpoint.remaining import Placed, Span
from runner.checkpoint.task_file import FinishedStage, KeptTask, kept_name
from runner.engine.shared import all_summed
from runner.model import Grid, MaskFile, Scene, Stack
from runner.planning.masking import PixelRule
from runner.planning.records import Pass, StagePlan, lots_of_stages
from runner.planning.weights import row_areas
from runner.read.header import Window
from runner.reduce import KERNELS
from runner.reduce.partial import Needs
from runner.reduce.statistics import statistic
from runner.settings import Over, ResultScale, Weights

_AREA, _ZONES, _PIXEL_AREAS = "the area", "zones.file", "the area of pixels"  # rules that are digests
_NONE: Final = "none"  # of an area
_POLYGONS: Final = "its polygons have changed; bring the earlier file back to take over what was kept with it"

Version = tuple[str, str]  # of a scene: its href, and a text that identifies its contents


@dataclass(frozen=True, slots=True)
class Requirements:
    """The conditions under which a kept task serves a pass."""

    scenes: list[Version]
    whole: Window
    rule: dict[str, str]
    held: dict[Over, frozenset[str]]
    ordered: dict[str, tuple[Over, dict[str, str]]]  # by stage, the layers with the names that they are kept by
    over: dict[str, Over]
    finished: dict[str, FinishedStage]  # by stage over time: what serves if a window is finished
    lots: tuple[int, ...]  # of each scene; nothing if all are of one
    zones_key: str  # zones.file=NAME, for messages
    _numbers: dict[Version, int] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)
    _known: dict[tuple[str, tuple[Span, ...]], npt.NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def of(cls, pass_: Pass, stack: Stack) -> "Requirements":
        """The requirements of these stages on this stack."""
        needs = all_summed(pass_.stages, counts_scenes=pass_.least_valid is not None)
        names = [need.name for need in fields(Needs)]
        time_needs = needs.get(Over.time)
        timed = any(stage.timed for stage in pass_.stages) or bool(time_needs and time_needs.timed)
        scenes = [(scene.href, _version(scene, timed=timed)) for scene in stack.scenes]
        zones = next((stage.zones for stage in pass_.stages if stage.zones is not None), None)
        return cls(
            scenes=scenes,
            whole=stack.grid.window,
            rule=_rule_facts(pass_.reading.rule)
            | _stack_facts(stack)
            | _weight_facts(pass_, stack)
            | ({_ZONES: zones.sha256} if zones else {}),
            held={axis: frozenset(filter(partial(getattr, sums), names)) for axis, sums in needs.items()},
            ordered={
                stage.name: (
                    stage.over,
                    {
                        layer.name: kept_name(layer.name, stage.groups.digest if stage.groups else "")
                        for layer in stage.layers
                        if statistic(layer.statistic).ordered
                    },
                )
                for stage in pass_.stages
                if stage.ordered
            },
            over={stage.name: stage.over for stage in pass_.stages},
            finished={
                stage.name: FinishedStage(frozenset(layer.name for layer in stage.layers), _finishing(stage, pass_))
                for stage in pass_.stages
                if stage.over is Over.time
            },
            lots=lots_of_stages(pass_.stages, len(scenes)).numbers,
            zones_key=zones.key if zones else "",
            _numbers={scene: number for number, scene in enumerate(scenes)},
            _versions=dict(scenes),
        )

    def place(self, kept: KeptTask, scenes: Sequence[Version]) -> Placed | str:
        """The scenes of today's stack that a kept task has, or the reason why it does not serve."""
        if kept.kernels != KERNELS:
            return f"the arithmetic was version {kept.kernels} and is {KERNELS}"
        for name, current in self.rule.items():
            if kept.rule.get(name) != current:
                return _changed_rule(name, kept.rule.get(name), current, self.zones_key)
        lacking = self._lacking(kept)
        if lacking:
            return lacking
        return self._placed(kept, scenes)

    def numbers(self, kept: KeptTask, scenes: Sequence[Version]) -> npt.NDArray[np.int64]:
        """For each scene of a kept task its number in today's stack, -1 if it is not there."""
        key = kept.scenes, kept.places
        if key not in self._known:
            versions = [version for start, stop in kept.places for version in scenes[start:stop]]
            self._known[key] = np.array([self._numbers.get(version, -1) for version in versions], np.int64)
        return self._known[key]

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
            if axis in summed and {*ordered.values()} - kept.ordered.get(axis, frozenset()):
                groups = " of other groups" if axis is Over.time and self.lots and kept.ordered.get(axis) else ""
                return f"statistics over {axis.value} now need all values{groups}"
        return None

    def _finished_otherwise(self, kept: KeptTask) -> str | None:
        """The reason why finished values are not those of today's stages."""
        for stage, needed in self.finished.items():
            there = kept.finished.get(stage)
            if there is None or needed.layers - there.layers:
                return f"windows were finished without all statistics of {stage}"
            if needed.rules != there.rules:
                return f"{stage} was finished with {there.rules}, and is with {needed.rules}"
        return None

    def _placed(self, kept: KeptTask, scenes: Sequence[Version]) -> Placed | str:
        numbers = self.numbers(kept, scenes)
        there = numbers[numbers >= 0]
        if not there.size or (there.size < numbers.size and self._all_or_none()):
            versions = [version for start, stop in kept.places for version in scenes[start:stop]]
            return next((self._change(*versions[place]) for place in np.flatnonzero(numbers < 0)), "it has no scenes")
        placed = Placed.of(kept.task.window, there)
        return self._partly(kept, placed) or self._otherwise_grouped(kept, numbers) or placed

    def _otherwise_grouped(self, kept: KeptTask, numbers: npt.NDArray[np.int64]) -> str | None:
        """The reason why sums of lots do not add up to those of today's: a lot has scenes of several of them."""
        if Over.time not in kept.held or Over.time not in self.held or not self.lots:
            return None
        pairs = {*zip(kept.lots or [0] * numbers.size, self.lots_of(numbers), strict=True)}
        parted = len({of_kept for of_kept, _ in pairs}) < len(pairs)
        return "stages over time now need other groups" if parted else None

    def lots_of(self, numbers: npt.NDArray[np.int64]) -> list[int]:
        """The lots of the scenes of these numbers; nothing if all are of one."""
        return [self.lots[number] for number in numbers.tolist()] if self.lots else []

    def _all_or_none(self) -> bool:
        """True if a kept task serves with all its scenes or with none: sums over time are of all of them."""
        return Over.time in self.held or any(axis is Over.time for axis, _ in self.ordered.values())

    def _change(self, href: str, version: str) -> str:
        """The reason why a scene is not in today's stack."""
        current = self._versions.get(href)
        return f"{href} is left out now" if current is None else f"{href} has changed: it was {version}, now {current}"

    def _partly(self, kept: KeptTask, placed: Placed) -> str | None:
        """The reason why values that need all pixels of a cell are not whole."""
        all_scenes = placed.scenes == len(self.scenes)
        if kept.finished and not all_scenes:
            return "windows were finished without all scenes"
        for axis, _ in self.ordered.values():
            if axis is Over.time and not all_scenes:
                return "statistics of all values need all scenes"
            if axis.makes_table and placed.window != self.whole:
                return "statistics of all values need whole scenes"
        return None


def _changed_rule(name: str, before: str | None, current: str, zones_key: str) -> str:
    """The reason why a task of another rule does not serve, without digests, which say nothing to people."""
    if name == _ZONES and before:
        (polygons, pixels), (polygons_now, pixels_now) = before.split(" "), current.split(" ")
        changed = polygons != polygons_now
        return f"{zones_key}: {_POLYGONS}" if changed else f"zones.pixels was {pixels} and is {pixels_now}"
    if name == _ZONES:
        return "it was kept without stages over zones"
    if name == _AREA and current == _NONE:
        return "it was kept within source.area, which is not set now"
    if name == _AREA:
        return "it was kept without source.area" if before == _NONE else f"source.area: {_POLYGONS}"
    if name == _PIXEL_AREAS:
        return "the area of pixels has changed" if before else "it was kept without the area of pixels"
    return f"{name} was {before} and is {current}"


def _finishing(stage: StagePlan, pass_: Pass) -> str:
    decibels = " in dB" if stage.scale is ResultScale.db else ""
    groups = f" for groups {stage.groups.digest}" if stage.groups else ""
    return f"min_count={stage.min_count} as {pass_.raster.name}{decibels}{groups}"


def _version(scene: Scene, *, timed: bool) -> str:
    """The contents of a scene; with its time and its name, by which scenes are ordered, if values follow from these."""
    version = _file_version(scene) + (f" of {scene.time.isoformat()} as {scene.name}" if timed else "")
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
        _AREA: stack.area.sha256[:16] if stack.area else _NONE,
    }


def _grid_fact(grid: Grid) -> str:
    """Tasks count rows and columns from its first pixel."""
    return f"{grid.height} x {grid.width} pixels from ({grid.transform[2]!r}, {grid.transform[5]!r}) on"


def _weight_facts(pass_: Pass, stack: Stack) -> dict[str, str]:
    if all(stage.weights is Weights.none for stage in pass_.stages):
        return {}
    return {_PIXEL_AREAS: hashlib.sha256(row_areas(stack.grid).tobytes()).hexdigest()[:16]}
