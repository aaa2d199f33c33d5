"""The memory of a task as the plan states it, against the arrays that are made."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jobs import compose, local_source
from zone_files import feature, write_zones
from zoned_scenes import ONLY_ZONES, SHAPE, THIN, stack_of, stars, write_scenes

from runner.engine.shared import all_summed
from runner.planning.memory import zone_lane_bytes
from runner.planning.planner import make_plan
from runner.planning.records import Chunks
from runner.reduce.fused_kernels import strips_for
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.zonal import ZonalSums
from runner.settings import Over

HEIGHT, WIDTH = SHAPE
TILE = (32, 48)  # of `zoned_scenes`


@pytest.mark.parametrize("pixels", ["center", "fraction"])
def test_what_zones_take_while_tiles_are_added_is_counted(tmp_path: Path, pixels: str) -> None:
    write_scenes(tmp_path)
    write_zones(tmp_path / "zones.json", [*stars(), feature(THIN, name="thin")])
    zonal = ["stage@stages.zones=zonal", f"zones.file={tmp_path / 'zones.json'}", f"zones.pixels={pixels}"]
    source = local_source(tmp_path / "data")
    job, stack = replace(compose(*zonal, *ONLY_ZONES), source=source), stack_of(source)
    stages, dtype = make_plan(job, stack).stages, np.dtype(np.float32)
    (zones,), needs = {stage.zones for stage in stages}, all_summed(stages, counts_scenes=False)[Over.zones]
    assert zones is not None
    made = []
    for tiles in (1, 3, 9):
        flags = strips_for(tiles, TILE[1], dtype, flagged=True).flagged.flags.nbytes
        for top in range(0, HEIGHT, TILE[0]):  # all tiles of a row as one, which is what the plan bounds
            place = Place(0, 0, top, 0, min(TILE[0], HEIGHT - top), WIDTH)
            added = ZonalSums(tiles, Pixels(dtype, 0), needs, zones.runs).strips(place, range(tiles))
            assert added
            sums = [added.sums, added.weighted, added.weights]
            lanes = sum(of.layers.nbytes for of in sums) + added.sums.left.nbytes
            made.append(flags + lanes + added.counts.nbytes + added.values.nbytes)
        stated = zone_lane_bytes(stages, stack, Chunks(tiles, HEIGHT, WIDTH), tiles)
        assert max(made) <= stated <= 1.1 * max(made)
