"""Rows of tables: statistics over zones from their sums in all scenes of a stack, and those that need all values."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from runner.engine.tasks import TaskResult
from runner.model import Stack
from runner.planning.records import StagePlan
from runner.planning.weights import row_areas
from runner.reduce.arrays import Floats
from runner.reduce.exact import Total, Wide
from runner.reduce.partial import Partial
from runner.reduce.zone_sums import ZoneSums
from runner.settings import Weights
from runner.zones import Zones


def empty_sums(stages: Sequence[StagePlan], stack: Stack) -> ZoneSums:
    """Sums of all scenes in all zones, of which nothing is added yet. One of the stages must be over zones."""
    zones = next(stage.zones for stage in stages if stage.zones is not None)
    return ZoneSums(len(stack.scenes), len(zones.names))


def finished_zones(sums: Partial, stage: StagePlan, stack: Stack) -> dict[str, Floats]:
    """The statistics of a stage over zones, each (scenes * zones,): the zones of a scene are next to one another.

    Valid fractions are those of the pixels that a zone has on the grid.
    """
    assert stage.zones is not None  # by the caller
    scenes = sums.counts.size // max(1, len(stage.zones.names))
    sums = replace(sums, seen=np.tile(stage.zones.pixels, scenes))
    if stage.weighing is Weights.area:
        areas = row_areas(stack.grid) if stage.weights is Weights.area else None
        sums = replace(sums, weights_seen=_weights(stage.zones, areas, scenes))
    return stage.finished(sums)


def ordered_rows(stage: StagePlan, result: TaskResult) -> Iterator[tuple[str, Floats]]:
    """The statistics that need all values at once, of a task of whole scenes: (scenes,), or as `finished_zones`."""
    for name, values in result.ordered.get(stage.name, {}).items():
        if stage.zones is None:
            assert result.over_space is not None  # every stage counts its pixels
            yield name, stage.finished_ordered(name, values, result.over_space.counts)
            continue
        assert result.over_zones is not None  # as above
        drawn, counts = result.over_zones.zones, result.over_zones.cells.counts
        whole = np.full((len(values), len(stage.zones.names)), np.nan)
        whole[:, drawn] = stage.finished_ordered(name, values, counts.reshape(values.shape))
        yield name, whole.ravel()


def _weights(zones: Zones, areas: npt.NDArray[np.float64] | None, scenes: int) -> Total:
    """The exact weight of the pixels of each zone, the same for each scene."""
    one = zones.weights(areas).wide
    assert one is not None  # weights are held so
    whole = Wide(np.tile(one.limbs, (scenes, 1)), one.first, np.tile(one.infinite, (scenes, 1)))
    return Total(np.zeros((2, scenes * len(zones.names))), whole)
