"""Zones beside statistics that take decoded tiles: each stage has the bits that it has alone, whatever the pixels."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from jobs import compose, local_source
from marks import few_quick
from masked_scenes import mask_settings, masked_stack, write_mask
from passes import computed
from rasterio.transform import Affine
from scenes_on_disk import speckle, write_scene
from zone_files import star, write_zones

from runner.model import Stack
from runner.planning.planner import make_plan
from runner.read.header import Window
from runner.settings import JobSettings, MaskSettings

SCENE, DAYS = Window(0, 0, 90, 110), 5
TILES = {"blockxsize": 32, "blockysize": 48}
CORNERS = {"EPSG:32610": Affine(20, 0, 499980, 0, -20, 5300040), "EPSG:4326": Affine(0.01, 0, 10, 0, -0.01, 50)}
MASK = mask_settings(bits=[1])


@dataclass(frozen=True)
class Kind:
    """What the pixels are."""

    dtype: str = "float32"
    crs: str = "EPSG:32610"  # in degrees, pixels have weights
    scale: float | None = None
    masked: bool = False
    nodata: int | None = 0


KINDS = [
    Kind(),
    Kind(masked=True),
    Kind(crs="EPSG:4326"),
    Kind("uint16"),
    Kind("uint16", masked=True),
    Kind("uint16", masked=True, nodata=None),
    Kind("uint16", scale=2.75e-5),
    Kind("uint16", scale=2.75e-5, masked=True, nodata=None),
]
OVER_TIME = (["slope", "first", "count"], ["min", "var"], ["median"])


def written(folder: Path, kind: Kind) -> None:
    """Scenes, some tiles of which have no pixel that counts, with masks and zones."""
    corner = CORNERS[kind.crs]
    for day in range(1, DAYS + 1):
        name, random = f"2020010{day}", np.random.default_rng(day)
        pixels = speckle(SCENE[2:], seed=day)
        pixels[:, : 40 * (day % 2)] = 0
        stored = pixels if kind.dtype == "float32" else (pixels * 9000).astype(kind.dtype)
        profile = {"crs": kind.crs, "transform": corner, "nodata": kind.nodata, **TILES}
        write_scene(folder / f"{name}_B.tif", stored, **profile)
        codes = random.integers(0, 4, SCENE[2:], dtype=np.uint8)
        write_mask(folder, day, SCENE, codes, **{**profile, "nodata": None})
    random, middles = np.random.default_rng(3), [(30, 30), (80, 40), (50, 70), (5, 85)]
    rings = [[corner @ point for point in star(random, middle, 30)] for middle in middles]
    zones = [{"type": "Polygon", "coordinates": [[*ring, ring[0]]]} for ring in rings]
    write_zones(folder / "zones.json", [{"type": "Feature", "properties": {}, "geometry": zone} for zone in zones],
                crs=kind.crs)  # fmt: skip


def job_of(folder: Path, kind: Kind) -> tuple[JobSettings, Stack]:
    """A job of all three axes, and its stack."""
    zonal = ["stage@stages.zones=zonal", f"zones.file={folder / 'zones.json'}", "zones.pixels=fraction"]
    source = local_source(folder, url=f"{folder}/*_B.tif", scale=kind.scale)
    mask = MASK if kind.masked else MaskSettings()
    return replace(compose("engine=block", *zonal), source=source, mask=mask), masked_stack(source, mask)


@pytest.mark.parametrize("group_by", few_quick([None, "date"]))
@pytest.mark.parametrize("kind", few_quick(KINDS, 2), ids=str)
def test_each_stage_has_the_bits_that_it_has_alone(tmp_path: Path, kind: Kind, group_by: str | None) -> None:
    written(tmp_path, kind)
    job, stack = job_of(tmp_path, kind)
    for statistics in OVER_TIME:
        over_time = replace(job.stages["temporal_mean"], statistics=statistics, group_by=group_by)
        job = replace(job, stages={**job.stages, "temporal_mean": over_time})
        (one,) = make_plan(job, stack).passes
        assert len(one.stages) == 3
        found = computed(job, stack)
        for name, stage in job.stages.items():
            for statistic, values in computed(replace(job, stages={name: stage}), stack)[name].items():
                np.testing.assert_array_equal(found[name][statistic], values, err_msg=f"{name} {statistic}")
