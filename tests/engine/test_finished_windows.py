"""An observer hears of each window over time when its values are final, and of each pixel once."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from jobs import compose

from runner.engine.compute import compute_pass
from runner.engine.observer import Observer
from runner.engine.results import Values
from runner.plan.planner import make_plan
from runner.read.header import Window
from runner.source.scenes import find_inputs
from runner.source.stores import Stores


class Copies(Observer):
    """Copies each window as soon as it is finished."""

    def __init__(self) -> None:
        self.rasters: dict[str, np.ndarray] = {}
        self.times = np.zeros((300, 500), np.int64)

    def finished(self, window: Window, rasters: Mapping[str, Values]) -> None:
        place = np.s_[window.row : window.row + window.height, window.column : window.column + window.width]
        self.times[place] += 1
        for name, values in rasters.items():
            self.rasters.setdefault(name, np.zeros_like(values))[place] = values[place]


@pytest.mark.parametrize("statistics", ["[mean,count]", "[median,mean]"])
@pytest.mark.parametrize("kind", ["sync", "threads"])
def test_finished_windows_hold_the_values_of_the_result(folder_of_scenes: Path, kind: str, statistics: str) -> None:
    words = [f"stages.temporal_mean.cluster.kind={kind}", f"stages.temporal_mean.statistics={statistics}"]
    job = compose("source=local", f"source.url={folder_of_scenes}/*.tif", "chunks.y=100", "chunks.x=200", *words)
    stack = find_inputs(job.source, Stores(job.source.s3), job.on_error, lambda done, total: None).stack
    one = next(one for one in make_plan(job, stack).passes if "temporal_mean" in [stage.name for stage in one.stages])
    copies = Copies()
    result, _ = compute_pass(one, stack, copies)
    assert (copies.times == 1).all()
    for name, values in result.values["temporal_mean"].items():
        assert copies.rasters[name].tobytes() == values.tobytes()
