"""The sums of a pass to which tiles are added as they are inflated."""

import numpy as np
import pytest

from runner.engine.shared import all_summed, fused_axes
from runner.planning.records import StagePlan
from runner.reduce.pixel_types import Pixels
from runner.settings import Over

SPACE, TIME, ZONES = (frozenset({over}) for over in Over)
NONE = frozenset[Over]()


@pytest.mark.parametrize(
    ("space", "time", "zones", "fused"),
    [
        ("mean", "mean", "mean", SPACE | TIME | ZONES),
        ("mean", "mean", "", SPACE | TIME),
        ("mean", "slope", "mean", SPACE | ZONES),
        ("var", "max", "mean", ZONES),
        ("", "median", "mean", ZONES),
        ("mean", "median", "median", SPACE | ZONES),
        ("mean", "mean", "var", NONE),
        ("mean", "slope", "", NONE),
        ("mean", "median", "", NONE),
        ("", "", "mean", ZONES),
    ],
)
def test_zones_take_tiles_as_they_are_inflated_whatever_is_beside_them(
    space: str, time: str, zones: str, fused: frozenset[Over]
) -> None:
    asked = zip(Over, (space, time, zones), strict=True)
    stages = tuple(StagePlan(over.value, over, (name,)) for over, name in asked if name)
    ordered, needs = any(stage.ordered for stage in stages), all_summed(stages, counts_scenes=False)
    assert fused_axes(needs, Pixels(np.dtype(np.float32), 0), ordered=ordered) == fused
    assert not fused_axes(needs, Pixels(np.dtype(np.int64), 0), ordered=ordered)
