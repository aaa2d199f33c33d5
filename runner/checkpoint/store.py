"""`partials/`: finished blocks, kept while a run goes on, so that one that was stopped reads only what is missing.

A block serves a later attempt if its scenes are the same objects, in the same order, whose pixels are taken by the same
rule, and if it holds all that the stages ask for. Cluster, chunks and fusing may be others: they change no bits.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from runner.base.atomic import final_name, renamed_at_end
from runner.checkpoint.block_file import KeptBlock, read_block, read_result, write_block
from runner.checkpoint.coalesce import FEW_BYTES, Joining
from runner.checkpoint.remaining import Rest, disjoint, rest_of
from runner.engine.blocks import BlockResult, summed
from runner.engine.trace import TaskTrace
from runner.model import Scene, Stack
from runner.plan.masking import PixelRule
from runner.plan.records import Block, Pass
from runner.plan.weights import row_areas
from runner.read.header import Window
from runner.reduce import KERNELS
from runner.reduce.partial import Needs
from runner.reduce.statistics import statistic
from runner.settings import Over, Weights

FOLDER = "partials"
Version = tuple[str, str]  # of a scene: its href, and what tells its contents from others

log = logging.getLogger(__name__)


class Partials:
    """The kept blocks of a run folder: those that earlier attempts left, and those of this one."""

    def __init__(self, run: Path) -> None:
        self.folder = run / FOLDER
        self.torn = 0  # files that cannot be read, or are of another version
        self._writable = True
        self._taken, self._room = 0, FEW_BYTES  # which they may take however small the input is
        self._kept: list[KeptBlock] = []
        self._lists: dict[str, list[Version]] = {}
        self._own: set[Path] = set()
        if self.folder.is_dir():
            self._read()

    def __len__(self) -> int:
        return len(self._kept)

    def of_pass(self, one: Pass, stack: Stack, rule: PixelRule, on_reused: Callable[[TaskTrace], None]) -> "PassBlocks":
        """Which blocks serve a pass, and which are left to be read; `on_reused` hears of those of earlier attempts."""
        wanted = _Wanted.of(one, stack, rule)
        found: list[tuple[KeptBlock, Block]] = []
        refused: list[tuple[KeptBlock, str]] = []
        for kept in self._kept:
            if not wanted.held.keys() & kept.held.keys():
                continue  # of other stages
            place = wanted.place(kept, self._lists.get(kept.scenes, []))
            if isinstance(place, Block):
                found.append((kept, place))
            else:
                refused.append((kept, place))
        taken = [found[number] for number in disjoint([place for _, place in found])]
        rest = rest_of(one.blocks, [place for _, place in taken], len(stack.scenes))
        self._room = max(FEW_BYTES, sum(scene.size for scene in stack.scenes) // 2)
        return PassBlocks(self, wanted, rest, taken, refused, on_reused, Joining.of(rest.blocks))

    def add(self, wanted: "_Wanted", result: BlockResult, trace: TaskTrace) -> None:
        """Keep a block. A disk that refuses is no reason for the run to fail."""
        if not self._writable:
            return
        try:
            name = self._list_of(wanted.scenes)
            kept = write_block(self.folder, name, wanted.rule, wanted.over, result, trace)
            self._taken += kept.path.stat().st_size
        except OSError as error:
            self._writable = False
            log.warning("blocks are kept no more, since %s cannot be written: %s", self.folder, error)
        else:
            self._kept.append(kept)
            self._own.add(kept.path)
            if self._taken > self._room:
                self._writable = False
                log.warning("blocks are kept no more, since %s has half the size of the input", self.folder)

    def is_own(self, kept: KeptBlock) -> bool:
        """Whether it is of this attempt."""
        return kept.path in self._own

    def drop(self) -> None:
        """Remove them all, once the results are written."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._kept.clear()

    def _read(self) -> None:
        for part in self.folder.glob(".*.part*"):
            if final_name(part.name):  # of an attempt that was killed
                part.unlink(missing_ok=True)
        for path in sorted(self.folder.glob("*.json")):
            try:
                self._lists[path.stem] = [(str(href), str(version)) for href, version in json.loads(path.read_text())]
            except (OSError, ValueError, TypeError):
                log.warning("%s cannot be read", path)
        for path in sorted(self.folder.glob("*.npz")):
            kept = read_block(path)
            if kept is None or kept.scenes not in self._lists:
                self.torn += 1
                log.warning("%s is ignored: it is torn, or of another version", path)
            else:
                self._kept.append(kept)
                self._taken += path.stat().st_size

    def _list_of(self, scenes: Sequence[Version]) -> str:
        """The name of a list of scenes, written once."""
        text = json.dumps(scenes)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        if name not in self._lists or not (self.folder / f"{name}.json").exists():
            self.folder.mkdir(exist_ok=True)
            with renamed_at_end(self.folder / f"{name}.json") as aside:
                aside.write_text(text)
            self._lists[name] = list(scenes)
        return name


@dataclass(frozen=True, slots=True)
class PassBlocks:
    """A pass's blocks: those that are done, and those that are left. It is what the block engine calls `Kept`."""

    partials: Partials
    wanted: "_Wanted"
    rest: Rest
    taken: list[tuple[KeptBlock, Block]]
    refused: list[tuple[KeptBlock, str]]
    on_reused: Callable[[TaskTrace], None]
    joining: Joining

    def results(self) -> Iterator[tuple[BlockResult, Sequence[Window]]]:
        """The results of blocks that are done, each read from its file when it is asked for."""
        for number, (kept, place) in enumerate(self.taken, start=len(self.rest.blocks)):
            if not self.partials.is_own(kept):
                self.on_reused(replace(kept.trace, number=number, block=place))
            result = read_result(kept, place, self.wanted.held, self.wanted.ordered)
            yield result, self.rest.parts[place.window]

    def keep(self, result: BlockResult, trace: TaskTrace) -> None:
        """Keep a block that has just come, now or joined to its neighbours."""
        for joined in self.joining.add(result, trace):
            self.partials.add(self.wanted, *joined)

    def close(self) -> None:
        """Keep what waits for neighbours that do not come."""
        for joined in self.joining.rest():
            self.partials.add(self.wanted, *joined)

    def redone(self) -> list[tuple[KeptBlock, str]]:
        """Kept blocks that do not serve and whose windows are read again, with the reasons."""
        windows = {block.window for block in self.rest.blocks}
        return [(kept, why) for kept, why in self.refused if any(_meet(kept.block.window, one) for one in windows)]

    def describe(self, *, explain: bool = False) -> Iterator[str]:
        """What is reused and what is read, and a line for each reason why kept blocks are computed again.

        Nothing if none were kept, unless `explain`, which says where they lie, too.
        """
        if not self.taken and not self.refused and not explain:
            return
        yield f"{kept_blocks(len(self.taken))}, {len(self.rest.blocks)} are to be read"
        again: dict[str, list[Block]] = {}
        for kept, why in self.redone():
            again.setdefault(why, []).append(kept.block)
        for why, blocks in again.items():
            where = f" ({_extent(blocks)})" if explain else ""
            yield f"{len(blocks)} kept blocks are computed again: {why}{where}"
        if explain:
            parts = {"kept": [place for _, place in self.taken], "to be read": self.rest.blocks}
            yield from (f"{what}: {_extent(blocks)}" for what, blocks in parts.items() if blocks)


def _meet(one: Window, other: Window) -> bool:
    return (
        one.row < other.row + other.height
        and other.row < one.row + one.height
        and one.column < other.column + other.width
        and other.column < one.column + one.width
    )


def _extent(blocks: Sequence[Block]) -> str:
    """Where these blocks lie, from the first row, column and scene to the last."""
    windows = [block.window for block in blocks]
    rows = min(one.row for one in windows), max(one.row + one.height for one in windows)
    columns = min(one.column for one in windows), max(one.column + one.width for one in windows)
    scenes = min(block.start for block in blocks), max(block.stop for block in blocks)
    return (
        f"{len(blocks)} blocks, rows {rows[0]} to {rows[1]}, columns {columns[0]} to {columns[1]}, "
        f"scenes {scenes[0]} to {scenes[1]}"
    )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a pass asks of its blocks, and by what their bits are determined."""

    scenes: list[Version]
    whole: Window
    rule: dict[str, str]
    held: dict[Over, frozenset[str]]
    ordered: dict[str, tuple[Over, list[str]]]  # by stage
    over: dict[str, Over]
    _places: dict[Version, int] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, one: Pass, stack: Stack, rule: PixelRule) -> "_Wanted":
        """What these stages need of this stack."""
        needs = {axis: summed(one.stages, axis) for axis in Over}
        names = [one.name for one in fields(Needs)]
        scenes = [(scene.href, _version(scene)) for scene in stack.scenes]
        return cls(
            scenes=scenes,
            whole=Window(0, 0, stack.grid.height, stack.grid.width),
            rule=_rule_facts(rule) | _weight_facts(one, stack),
            held={axis: frozenset(name for name in names if getattr(of, name)) for axis, of in needs.items() if of},
            ordered={
                stage.name: (stage.over, [name for name in stage.statistics if statistic(name).ordered])
                for stage in one.stages
                if stage.ordered
            },
            over={stage.name: stage.over for stage in one.stages},
            _places={scene: at for at, scene in enumerate(scenes)},
            _versions=dict(scenes),
        )

    def place(self, kept: KeptBlock, scenes: Sequence[Version]) -> Block | str:
        """Where a kept block lies in the stack of now, or why it does not serve."""
        if kept.kernels != KERNELS:
            return f"the arithmetic was version {kept.kernels} and is {KERNELS}"
        for name, now in self.rule.items():
            if kept.rule.get(name) != now:
                return f"{name} was {kept.rule.get(name)} and is {now}"
        lacking = self._lacking(kept)
        if lacking:
            return lacking
        return self._run(kept, scenes[kept.block.start : kept.block.stop])

    def _lacking(self, kept: KeptBlock) -> str | None:
        for axis, names in self.held.items():
            if axis not in kept.held:
                return f"stages over {axis.value} were computed apart"
            if names - kept.held[axis]:
                return f"statistics over {axis.value} now need {', '.join(sorted(names - kept.held[axis]))}"
        for axis, ordered in self.ordered.values():
            if set(ordered) - kept.ordered.get(axis, frozenset()):
                return f"statistics over {axis.value} now need all values"
        return None

    def _run(self, kept: KeptBlock, scenes: Sequence[Version]) -> Block | str:
        for href, version in scenes:
            now = self._versions.get(href)
            if now != version:
                return f"{href} is left out now" if now is None else f"{href} has changed: it was {version}, now {now}"
        places = [self._places[scene] for scene in scenes]
        if not places or places != list(range(places[0], places[0] + len(places))):
            return "its scenes are in another order"
        block = Block(kept.block.window, places[0], places[0] + len(places))
        for axis, _ in self.ordered.values():
            if axis is Over.time and len(places) < len(self.scenes):
                return "statistics of all values need all scenes"
            if axis is Over.space and block.window != self.whole:
                return "statistics of all values need whole scenes"
        return block


def kept_blocks(count: int) -> str:
    """1 finished block is kept, 12 finished blocks are kept."""
    return "1 finished block is kept" if count == 1 else f"{count} finished blocks are kept"


def _version(scene: Scene) -> str:
    version = f"ETag {scene.etag}" if scene.etag else f"{scene.size} bytes of {scene.modified}"
    beside = f", beside it {scene.sidecars_sha256}" if scene.sidecars_sha256 else ""
    return version + beside


def _rule_facts(rule: PixelRule) -> dict[str, str]:
    pixels = rule.pixels
    return {
        "source.band": str(rule.band),
        "the pixels' type": np.dtype(pixels.dtype).name,
        "nodata": repr(rule.nodata),
        "nodata that is left out": repr(pixels.nodata),
        "source.valid_range": repr(pixels.valid_range),
        "scaling": str(rule.scale),
        "masking by the files": str(rule.masks),
        "masking by nodata too": str(rule.both),
    }


def _weight_facts(one: Pass, stack: Stack) -> dict[str, str]:
    if all(stage.weights is Weights.none for stage in one.stages):
        return {}
    return {"the area of pixels": hashlib.sha256(row_areas(stack.grid).tobytes()).hexdigest()[:16]}
