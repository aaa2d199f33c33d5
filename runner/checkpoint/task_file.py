"""The file of one finished task: its arrays, and a header with what they follow from."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from runner.base.atomic import renamed_at_end
from runner.base.conversion import converted
from runner.checkpoint import SUFFIX
from runner.checkpoint.array_file import (
    Arrays,
    TornFileError,
    all_bytes,
    read_arrays,
    read_header,
    used_bytes,
    write_arrays,
)
from runner.checkpoint.remaining import Span, numbers_in
from runner.engine.tasks import TaskResult
from runner.engine.trace import TaskTrace
from runner.planning.records import Task
from runner.read.fetch import FetchCounts
from runner.read.inflation import InflateCounts
from runner.reduce import KERNELS
from runner.reduce.partial import ENDS, PLAIN, Partial, combine, renumbered
from runner.reduce.zonal import ZonalPartial
from runner.settings import Over

_NUMBERS: Final = "numbers_of_zones"


@dataclass(frozen=True, slots=True)
class Rules:
    """The scenes, the rule for pixels and the axes of stages that a task's values follow from."""

    scenes: str  # the name of a list of scenes
    pixels: Mapping[str, str]  # the rule for pixels, in texts that can be compared
    over: Mapping[str, Over]  # by stage
    finishing: Mapping[str, str] = field(default_factory=dict)  # by stage over time, in texts that can be compared
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by stage, as in `kept_name`
    lots: Sequence[int] = ()  # of each scene of the list; nothing if all are of one


@dataclass(frozen=True, slots=True)
class KeptTask:
    """Header of a kept task. `spans` count its scenes in the list named `scenes`; `task` is from the first to the last.

    `held` has the names of sums, squares and extremes along each axis, `ordered` the statistics that need all values.
    `finished` has, for each stage over time, the layers of a window that is finished, in place of sums. `lots` has
    the lot of each of its scenes, nothing if all are of one.
    """

    path: Path
    scenes: str
    task: Task
    rule: Mapping[str, str]
    kernels: str
    held: Mapping[Over, frozenset[str]]
    ordered: Mapping[Over, frozenset[str]]
    trace: TaskTrace
    finished: Mapping[str, "FinishedStage"] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()  # none if it has all scenes of its task
    lots: Sequence[int] = ()

    @property
    def places(self) -> tuple[Span, ...]:
        """Its scenes in their list, from start to stop."""
        return self.spans or ((self.task.start, self.task.stop),)


@dataclass(frozen=True, slots=True)
class FinishedStage:
    """What finished values follow from, besides the pixels: their layers, and how they were finished."""

    layers: frozenset[str]
    rules: str


def write_task(
    folder: Path, rules: Rules, result: TaskResult, trace: TaskTrace, spans: Sequence[Span] = ()
) -> tuple[KeptTask, int]:
    """Keep a task's result in a file of its own, of so many bytes; `spans` are its scenes, if not all of the task's.

    Raises OSError.
    """
    arrays: Arrays = {}
    held: dict[Over, frozenset[str]] = {}
    for axis, start, partial in _partials(result):
        held[axis] = partial.held
        arrays |= {f"{start}_{name}": array for name, array in _packed(partial).items()}
    if result.over_zones is not None:
        arrays[_NUMBERS] = result.over_zones.zones
    ordered: dict[Over, frozenset[str]] = {}
    for stage, values in result.ordered.items():
        axis, names = rules.over[stage], rules.names.get(stage, {})
        of_stage = {names.get(name, name): array for name, array in values.items()}
        ordered[axis] = ordered.get(axis, frozenset()).union(of_stage)
        arrays |= {f"{axis.value}_values_{name}": array for name, array in of_stage.items()}
    finished: dict[str, FinishedStage] = {}
    for stage, values in result.finished.items():
        finished[stage] = FinishedStage(frozenset(values), rules.finishing.get(stage, ""))
        arrays |= {f"finished_{stage}_{name}": array for name, array in values.items()}
    facts: dict[str, Any] = {  # of `KeptTask`
        "scenes": rules.scenes,
        "task": result.task,
        "rule": rules.pixels,
        "kernels": KERNELS,
        "held": held,
        "ordered": ordered,
        "finished": finished,
        "spans": tuple(spans),
        "lots": [rules.lots[scene] for scene in numbers_in(spans or [result.task[1:]])] if rules.lots else [],
    }
    plain = msgspec.to_builtins(facts, order="deterministic")  # the same name for the same facts
    name = hashlib.sha256(msgspec.json.encode(plain)).hexdigest()[:32]
    kept = KeptTask(folder / f"{name}{SUFFIX}", **facts, trace=trace)
    with renamed_at_end(kept.path) as temporary:
        size = write_arrays(temporary, {**plain, "trace": trace}, arrays)
    return kept, size


def _partials(result: TaskResult) -> Iterator[tuple[Over, str, Partial]]:
    """The partials of a result, each with its axes and with what the names of its arrays begin with."""
    for lot, partial in result.over_time.items():
        yield Over.time, _of_lot(lot), partial
    if result.over_space is not None:
        yield Over.space, Over.space.value, result.over_space
    if result.over_zones is not None:
        yield Over.zones, Over.zones.value, result.over_zones.cells


def kept_name(layer: str, groups: str) -> str:
    """The name by which an ordered layer is kept: stages of other names have it too, if their `groups` are equal.

    `groups` is their digest, empty for a stage without.
    """
    return f"{groups}_{layer}" if groups else layer


def _of_lot(lot: int) -> str:
    """What the names of the arrays of a lot begin with."""
    return f"{Over.time.value}_lot{lot}" if lot else Over.time.value


def read_task(path: Path) -> KeptTask | None:
    """The header of a file that is as it was written; None if it is torn, of another version or of another kind."""
    try:
        return converted({**read_header(path), "path": path}, KeptTask)
    except (OSError, TornFileError, msgspec.ValidationError):
        return None


class Scenes(NamedTuple):
    """The scenes of a kept task in a stack, in the order that they have in the task: their numbers, and their lots.

    `lots` is empty if all are of one.
    """

    numbers: npt.NDArray[np.int64]
    lots: Sequence[int] = ()


def read_result(
    kept: KeptTask,
    task: Task,
    held: Mapping[Over, frozenset[str]],
    ordered: Mapping[str, tuple[Over, Mapping[str, str]]],
    scenes: Scenes | None = None,
) -> TaskResult:
    """The kept result as the result of `task`, limited to what `held` and, stage by stage, `ordered` name.

    `ordered` has the layers with the names that they are kept by. `scenes` are those of the kept task in the stack of
    `task`, whose lots are made of whole lots of the kept result; without them, they are as they were.

    Raises KeyError or ValueError (TornFileError) for a file that was altered since.
    """
    arrays = read_arrays(kept.path)
    places = numbers_in(kept.places)
    scenes = scenes or Scenes(places, kept.lots)
    numbers, count = np.arange(kept.task.stop), places.size
    numbers[places] = scenes.numbers
    moved = not np.array_equal(places, scenes.numbers)
    others = {
        axis: _unpacked(arrays, axis.value, names, np.int64)
        for axis, names in held.items()
        if axis in kept.held and axis is not Over.time
    }
    over_time: dict[int, list[Partial]] = {}
    if Over.time in held and Over.time in kept.held:
        for lot, of_kept in sorted({*zip(scenes.lots or [0] * count, kept.lots or [0] * count, strict=True)}):
            partial = _unpacked(arrays, _of_lot(of_kept), held[Over.time], np.int32)
            over_time.setdefault(lot, []).append(renumbered(partial, numbers) if moved else partial)
    values = {
        stage: {name: arrays[f"{axis.value}_values_{there}"] for name, there in names.items()}
        for stage, (axis, names) in ordered.items()
        if stage not in kept.finished
    }
    finished = {
        stage: {name: arrays[f"finished_{stage}_{name}"] for name in of_stage.layers}
        for stage, of_stage in kept.finished.items()
    }
    return TaskResult(
        task,
        {lot: parts[0] if len(parts) == 1 else combine(parts) for lot, parts in over_time.items()},
        others.get(Over.space),
        values,
        FetchCounts(),
        InflateCounts(),
        0.0,
        0.0,
        finished=finished,
        over_zones=ZonalPartial(arrays[_NUMBERS], others[Over.zones]) if Over.zones in others else None,
    )


# --- packing ----------------------------------------------------------------------------------------------------------


def _packed(partial: Partial) -> Arrays:
    arrays = partial.arrays()
    counts = arrays["counts"]
    # The smallest type that holds them.
    arrays["counts"] = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
    for name in partial.totals:
        for number, layer in enumerate(arrays.pop(name)):
            arrays[f"{name}_{number}"] = used_bytes(layer)
    return arrays


def _unpacked(arrays: Arrays, start: str, names: frozenset[str], counts: type[np.integer[Any]]) -> Partial:
    """A partial with the counts and what `names` has; the names of its arrays begin with `start`."""
    packed = {name.removeprefix(f"{start}_"): array for name, array in arrays.items() if name.startswith(f"{start}_")}
    chosen = {"seen": packed["seen"], "counts": packed["counts"].astype(counts)}
    for name in names:
        if name in PLAIN:
            chosen[name] = packed[name]
            continue
        if name in ENDS:
            chosen |= {key: packed[key] for key in (name, f"{name}_scenes")}
            continue
        chosen[name] = np.stack([all_bytes(packed[f"{name}_{number}"]) for number in (0, 1)])
        chosen |= {key: packed[key] for key in (f"{name}_limbs", f"{name}_first", f"{name}_infinite") if key in packed}
    return Partial.from_arrays(chosen)
