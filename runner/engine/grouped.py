"""The layers of a stage over time, group by group, made of the sums of lots."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt

from runner.planning.groups import Lots
from runner.planning.records import Layer, StagePlan
from runner.reduce.arrays import Floats
from runner.reduce.partial import Partial, combine


def finished_layers(stage: StagePlan, lots: Lots, partials: Mapping[int, Partial]) -> Iterator[tuple[Layer, Floats]]:
    """The layers of a stage that are made of sums; `partials` has those of all scenes, by lot."""
    layers = {(layer.statistic, layer.group): layer for layer in stage.layers}
    for number, partial in enumerate(_groups(stage, lots, partials)):
        for name, values in stage.finished(partial).items():
            yield layers[name, number], values


def ordered_layers(
    stage: StagePlan, lots: Lots, partials: Mapping[int, Partial], ordered: Mapping[str, npt.NDArray[Any]]
) -> Iterator[tuple[Layer, Floats]]:
    """The ordered layers, NaN where fewer pixels of a group count than `min_count`."""
    if not ordered:
        return
    counts = [partial.counts for partial in _groups(stage, lots, partials)]
    for layer in stage.layers:
        if layer.name in ordered:
            yield layer, stage.finished_ordered(layer.statistic, ordered[layer.name], counts[layer.group])


def _groups(stage: StagePlan, lots: Lots, partials: Mapping[int, Partial]) -> Iterator[Partial]:
    """The partial of each group of a stage, of all its lots."""
    for numbers in lots.of_groups[stage.name]:
        yield partials[numbers[0]] if len(numbers) == 1 else combine([partials[lot] for lot in numbers])
