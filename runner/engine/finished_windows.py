"""Windows finished where they were read: a task of all scenes on a worker elsewhere sends statistics back, not sums.

A mean and a count take 5 to 8 bytes a pixel, and the sums behind them 20.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from runner.engine.grouped import finished_layers, ordered_layers
from runner.engine.results import Values, overflow_noted
from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult
from runner.errors import RunnerError
from runner.planning.groups import Lots
from runner.planning.records import Layer, StagePlan
from runner.reduce.arrays import Integers
from runner.reduce.partial import rows
from runner.reduce.statistics import statistic
from runner.settings import Over

ROWS: Final = 64  # finished at a time, so that numpy's temporary arrays stay in the cache


def finished(shared: Shared, result: TaskResult) -> TaskResult:
    """A result with the layers over time of its window in place of their sums, if it has all scenes.

    One with a value that the raster's type cannot hold stays as it is. Raises RunnerError as `check_seen`.
    """
    task, partials, raster, lots = result.task, result.over_time, shared.raster, shared.lots
    if not partials or raster is None or task.stop - task.start < len(shared.scenes):
        return result
    name = "+".join(stage.name for stage in shared.stages)
    for lot, partial in partials.items():
        check_seen(name, partial.seen, lots.sizes[lot], f"{task.window}")
    beyond: set[tuple[str, str]] = set()
    stages = [stage for stage in shared.stages if stage.over is Over.time]
    values = {stage.name: _finished(stage, lots, result, raster, beyond) for stage in stages}
    if beyond:
        return result
    others = {name: ordered for name, ordered in result.ordered.items() if name not in values}
    return replace(result, over_time={}, ordered=others, finished=values)


def _finished(
    stage: StagePlan, lots: Lots, result: TaskResult, raster: np.dtype, beyond: set[tuple[str, str]]
) -> dict[str, Values]:
    partials, ordered = result.over_time, result.ordered.get(stage.name, {})
    shape = next(iter(partials.values())).counts.shape
    values: dict[str, Values] = {
        layer.name: np.empty(shape, value_type(layer, lots.scenes_of(stage.name, layer.group), raster))
        for layer in stage.layers
    }
    for top in range(0, shape[0], ROWS):
        strip = {lot: rows(partial, top, min(top + ROWS, shape[0])) for lot, partial in partials.items()}
        for layer, of_strip in finished_layers(stage, lots, strip):
            with overflow_noted(beyond, stage.name, layer.statistic):
                values[layer.name][top : top + ROWS] = of_strip
    for layer, enough in ordered_layers(stage, lots, partials, ordered):
        with overflow_noted(beyond, stage.name, layer.statistic):
            values[layer.name][:] = enough
    return values


def value_type(layer: Layer, scenes: int, raster: np.dtype) -> np.dtype:
    """The type of a layer over time of so many scenes: that of rasters, or for counts the smallest."""
    return np.min_scalar_type(-1 - scenes) if statistic(layer.statistic).dtype.kind == "i" else raster


def check_seen(name: str, seen: Integers | npt.NDArray[np.int64], expected: int, place: str) -> None:
    """Raise RunnerError unless every pixel of every scene was seen once."""
    if not (seen == expected).all():
        raise RunnerError(
            f"{name}: {place} saw {seen.min()} to {seen.max()} pixels a cell, wanted {expected}; "
            "run again, and report it if it happens twice"
        )
