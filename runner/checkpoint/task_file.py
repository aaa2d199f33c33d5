"""The file of one finished task: a plain .npz without pickles, whose member `header` is JSON.

A float64 layer is kept without the low bytes that are 0 in all its cells: sums of 100 float32 pixels have two of them
in eight, and an empty second layer. Counts have the smallest type that holds them.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runner.base.atomic import renamed_at_end
from runner.engine.tasks import TaskResult
from runner.engine.trace import Place, TaskTrace, Work
from runner.planning.records import Task
from runner.read.fetch import FetchCounts
from runner.read.header import Window
from runner.read.inflation import InflateCounts
from runner.reduce import KERNELS
from runner.reduce.partial import Partial
from runner.settings import Over

SCHEMA: Final = 2
Arrays = dict[str, npt.NDArray[Any]]
_TORN = (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Rules:
    """The scenes, the rule for pixels and the axes of stages that a task's values follow from."""

    scenes: str  # the name of a list of scenes
    pixels: Mapping[str, str]  # the rule for pixels, in texts that can be compared
    over: Mapping[str, Over]  # by stage
    finishing: Mapping[str, str] = field(default_factory=dict)  # by stage over time, in texts that can be compared


@dataclass(frozen=True, slots=True)
class KeptTask:
    """Header of a kept task. `task` counts its scenes in the list of scenes named `scenes`.

    `held` has the names of sums, squares and extremes along each axis, `ordered` the statistics that need all values.
    `finished` has, for each stage over time, the statistics of a window that is finished, in place of sums.
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


@dataclass(frozen=True, slots=True)
class FinishedStage:
    """What finished values follow from, besides the pixels: their statistics, and how they were finished."""

    statistics: frozenset[str]
    rules: str


def write_task(folder: Path, rules: Rules, result: TaskResult, trace: TaskTrace) -> KeptTask:
    """Keep a task's result in a file of its own. Raises OSError."""
    arrays: Arrays = {}
    held: dict[str, list[str]] = {}
    for axis, partial in ((Over.time, result.over_time), (Over.space, result.over_space)):
        if partial is not None:
            held[axis.value] = sorted(partial.held)
            arrays |= {f"{axis.value}_{name}": array for name, array in _packed(partial).items()}
    ordered: dict[str, list[str]] = {}
    for stage, values in result.ordered.items():
        axis = rules.over[stage]
        ordered.setdefault(axis.value, []).extend(values)
        arrays |= {f"{axis.value}_values_{name}": array for name, array in values.items()}
    finished: dict[str, list[Any]] = {}
    for stage, values in result.finished.items():
        finished[stage] = [sorted(values), rules.finishing.get(stage, "")]
        arrays |= {f"finished_{stage}_{name}": array for name, array in values.items()}
    facts = {
        "schema": SCHEMA,
        "kernels": KERNELS,
        "scenes": rules.scenes,
        "task": result.task,
        "rule": dict(rules.pixels),
        "held": held,
        "ordered": ordered,
        "finished": finished,
    }
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    final = folder / f"{name}.npz"
    text = json.dumps({**facts, "trace": asdict(trace)}).encode()
    with renamed_at_end(final) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for member, array in {"header": np.frombuffer(text, np.uint8), **arrays}.items():
            _save(archive, member, np.asarray(array, order="C"))
    return _kept_task(final, json.loads(text))


def _save(whole: zipfile.ZipFile, name: str, array: npt.NDArray[Any]) -> None:
    """A member as of `np.savez`, which copies the array twice."""
    with whole.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, np.lib.format.header_data_from_array_1_0(array))
        member.write(array.reshape(-1).view(np.uint8).data)


def read_task(path: Path) -> KeptTask | None:
    """The header of a file whose checksums are right; None if the file is torn, or of another version."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        with np.load(path, allow_pickle=False) as arrays:
            facts = json.loads(arrays["header"].tobytes())
        return _kept_task(path, facts) if facts["schema"] == SCHEMA else None
    except _TORN:
        return None


def _kept_task(path: Path, facts: Mapping[str, Any]) -> KeptTask:
    window, start, stop = facts["task"]
    return KeptTask(
        path=path,
        scenes=str(facts["scenes"]),
        task=Task(Window(*window), start, stop),
        rule=facts["rule"],
        kernels=str(facts["kernels"]),
        held={Over(axis): frozenset(names) for axis, names in facts["held"].items()},
        ordered={Over(axis): frozenset(names) for axis, names in facts["ordered"].items()},
        trace=_trace(facts["trace"]),
        finished={stage: FinishedStage(frozenset(names), text) for stage, (names, text) in _finished_in(facts)},
    )


def _finished_in(facts: Mapping[str, Any]) -> Any:
    """The finished stages of a header; those of earlier versions have none."""
    return (facts.get("finished") or {}).items()


def _trace(facts: Mapping[str, Any]) -> TaskTrace:
    place = facts["place"] and Place(**facts["place"])
    work = facts["work"] and Work(**facts["work"])
    return TaskTrace(**{**facts, "task": None, "place": place, "work": work})


def read_result(
    kept: KeptTask, task: Task, held: Mapping[Over, frozenset[str]], ordered: Mapping[str, tuple[Over, list[str]]]
) -> TaskResult:
    """The kept result as the result of `task`, limited to what `held` and, stage by stage, `ordered` name.

    Raises KeyError or ValueError for a file that was altered since.
    """
    with np.load(kept.path, allow_pickle=False) as file:
        arrays: Arrays = dict(file.items())
    partials = {
        axis: _unpacked(arrays, axis, names, np.int32 if axis is Over.time else np.int64)
        for axis, names in held.items()
        if axis in kept.held
    }
    values = {
        stage: {name: arrays[f"{axis.value}_values_{name}"] for name in names}
        for stage, (axis, names) in ordered.items()
        if stage not in kept.finished
    }
    finished = {
        stage: {name: arrays[f"finished_{stage}_{name}"] for name in of_stage.statistics}
        for stage, of_stage in kept.finished.items()
    }
    return TaskResult(
        task,
        partials.get(Over.time),
        partials.get(Over.space),
        values,
        FetchCounts(),
        InflateCounts(),
        0.0,
        0.0,
        finished=finished,
    )


# --- packing ----------------------------------------------------------------------------------------------------------


def _packed(partial: Partial) -> Arrays:
    arrays = partial.arrays()
    counts = arrays["counts"]
    arrays["counts"] = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
    for name in partial.totals:
        for number, layer in enumerate(arrays.pop(name)):
            arrays[f"{name}_{number}"] = _used_bytes(layer)
    return arrays


def _used_bytes(layer: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """(cells, bytes in use) of float64 cells, little-endian. The sign of -0.0 is in use too."""
    layer = np.ascontiguousarray(layer, "<f8")
    used = int(np.bitwise_or.reduce(layer.view("<u8"))) if layer.size else 0
    unused = next((byte for byte in range(8) if used >> 8 * byte & 0xFF), 8)
    width = 1 if unused % 2 else 2
    parts = layer.view(f"<u{width}").reshape(-1, 8 // width)[:, unused // width :]
    packed = np.empty(parts.shape, parts.dtype)
    for at in range(parts.shape[1]):  # three times as fast as all parts of a cell together
        packed[:, at] = parts[:, at]
    return packed.view(np.uint8)


def _all_bytes(used: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    cells = np.zeros((len(used), 8), np.uint8)
    cells[:, 8 - used.shape[1] :] = used
    return cells.view("<f8").ravel().astype(np.float64, copy=False)


def _unpacked(arrays: Arrays, axis: Over, names: frozenset[str], counts: type[np.integer[Any]]) -> Partial:
    """A partial with the counts and what `names` has."""
    packed = {name.removeprefix(f"{axis.value}_"): array for name, array in arrays.items()}
    chosen = {"seen": packed["seen"], "counts": packed["counts"].astype(counts)}
    for name in names:
        if name == "extremes":
            chosen[name] = packed[name]
            continue
        chosen[name] = np.stack([_all_bytes(packed[f"{name}_{number}"]) for number in (0, 1)])
        chosen |= {key: packed[key] for key in (f"{name}_limbs", f"{name}_first", f"{name}_infinite") if key in packed}
    return Partial.from_arrays(chosen)
