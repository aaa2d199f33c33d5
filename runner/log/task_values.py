"""The final values of a task that has all pixels of its cells: a window with all scenes, or a whole scene."""

from collections.abc import Iterator, Sequence

from runner.engine.area_seen import seen_inside
from runner.engine.grouped import finished_layers, ordered_layers
from runner.engine.results import NoDecibels
from runner.engine.task_sums import Values
from runner.engine.tasks import TaskResult
from runner.engine.zone_values import finished_zones, ordered_rows
from runner.errors import RecordError
from runner.model import Stack
from runner.planning.records import Layer, StagePlan, lots_of_stages
from runner.reduce.arrays import Floats
from runner.reduce.partial import Partial
from runner.reduce.zone_sums import ZoneSums
from runner.settings import Over


def finished_values(
    result: TaskResult, stage: StagePlan, stages: Sequence[StagePlan], stack: Stack
) -> dict[Layer, Values]:
    """The layers of one of the stages of a task. Raises RecordError if the task did not see every pixel once."""
    values = _layers_over_time(result, stage, stages, stack) if stage.over is Over.time else _row(result, stage, stack)
    return {layer: NoDecibels().left_out(stage, layer.statistic, of_layer) for layer, of_layer in values}


def _layers_over_time(
    result: TaskResult, stage: StagePlan, stages: Sequence[StagePlan], stack: Stack
) -> Iterator[tuple[Layer, Values]]:
    lots = lots_of_stages(stages, len(stack.scenes))
    for lot, partial in result.over_time.items():
        _refuse_unseen(result, partial, lots.sizes[lot])
    yield from finished_layers(stage, lots, result.over_time)
    yield from ordered_layers(stage, lots, result.over_time, result.ordered.get(stage.name, {}))


def _row(result: TaskResult, stage: StagePlan, stack: Stack) -> Iterator[tuple[Layer, Values]]:
    """The rows of a scene in a table."""
    if stage.zones is not None:
        assert result.over_zones is not None  # by the stage
        sums = ZoneSums(1, len(stage.zones.names))
        sums.add(result.over_zones, 0)
        assert sums.whole is not None  # one was added
        yield from _layers(finished_zones(sums.whole, stage, stack))
    else:
        scene = result.over_space
        assert scene is not None  # every stage counts its pixels
        _refuse_unseen(result, scene, stack.grid.pixels)
        yield from _layers(stage.finished(seen_inside(scene, stack)))
    yield from _layers(dict(ordered_rows(stage, result)))


def _layers(values: dict[str, Floats]) -> Iterator[tuple[Layer, Values]]:
    return ((Layer(name), of_name) for name, of_name in values.items())


def _refuse_unseen(result: TaskResult, partial: Partial, expected: int) -> None:
    if not (partial.seen == expected).all():
        raise RecordError(
            f"{result.task.window} saw {partial.seen.min()} pixels a cell, wanted {expected}; verify again"
        )
