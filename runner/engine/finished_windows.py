"""Windows finished where they were read: a task of all scenes on a worker elsewhere sends statistics back, not sums.

A mean and a count take 5 to 8 bytes a pixel, and the sums behind them 20.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from runner.engine.results import Values, overflow_noted
from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult
from runner.errors import RunnerError
from runner.planning.records import StagePlan
from runner.reduce.arrays import Integers
from runner.reduce.partial import Partial, rows
from runner.reduce.statistics import finish, statistic
from runner.settings import Over

ROWS: Final = 64  # finished at a time, so that numpy's temporary arrays stay in the cache


def finished(shared: Shared, result: TaskResult) -> TaskResult:
    """A result with the statistics over time of its window in place of their sums, if it has all scenes.

    One with a value that the raster's type cannot hold stays as it is. Raises RunnerError as `check_seen`.
    """
    task, partial, raster, scenes = result.task, result.over_time, shared.raster, len(shared.scenes)
    if partial is None or raster is None or task.stop - task.start < scenes:
        return result
    stages = [stage for stage in shared.stages if stage.over is Over.time]
    check_seen("+".join(stage.name for stage in shared.stages), partial.seen, scenes, f"{task.window}")
    beyond: set[tuple[str, str]] = set()
    values = {}
    for stage in stages:
        values[stage.name] = _finished(stage, partial, scenes, raster, beyond)
        for name, ordered in result.ordered.get(stage.name, {}).items():
            with overflow_noted(beyond, stage.name, name):
                enough = statistic(name).where_enough(ordered, partial.counts, stage.min_count)
                values[stage.name][name] = enough.astype(value_type(name, scenes, raster))
    if beyond:
        return result
    others = {name: ordered for name, ordered in result.ordered.items() if name not in values}
    return replace(result, over_time=None, ordered=others, finished=values)


def _finished(
    stage: StagePlan, partial: Partial, scenes: int, raster: np.dtype, beyond: set[tuple[str, str]]
) -> dict[str, Values]:
    names = [name for name in stage.statistics if not statistic(name).ordered]
    shape = partial.counts.shape
    values: dict[str, Values] = {name: np.empty(shape, value_type(name, scenes, raster)) for name in names}
    for top in range(0, shape[0], ROWS):
        strip = rows(partial, top, min(top + ROWS, shape[0]))
        for name, of_strip in finish(strip, names, stage.min_count, stage.weights).items():
            with overflow_noted(beyond, stage.name, name):
                values[name][top : top + ROWS] = of_strip
    return values


def value_type(name: str, scenes: int, raster: np.dtype) -> np.dtype:
    """The type of a statistic over time of so many scenes: that of rasters, or for counts the smallest."""
    return np.min_scalar_type(-1 - scenes) if statistic(name).dtype.kind == "i" else raster


def check_seen(name: str, seen: Integers | npt.NDArray[np.int64], expected: int, place: str) -> None:
    """Raise RunnerError unless every pixel of every scene was seen once."""
    if not (seen == expected).all():
        raise RunnerError(
            f"{name}: {place} saw {seen.min()} to {seen.max()} pixels a cell, wanted {expected}; "
            "run again, and report it if it happens twice"
        )
