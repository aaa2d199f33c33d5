"""Areas together with masks in files of their own: what is read, what the plan says, and the numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jobs import compose, local_source
from marks import few_quick
from masked_scenes import MaskPlace, hidden_by, mask_settings, masked_stack, write_mask, write_pair
from rasterio.features import geometry_mask
from rasterio.transform import Affine

from runner.engine.compute import compute_pass
from runner.planning.planner import make_plan
from runner.read.header import Window
from runner.settings import ChunkSettings

UTM = Affine(20, 0, 499980, 0, -20, 5300040)
SCENE = Window(0, 0, 200, 180)
MASK = mask_settings(bits=[1])
TRIANGLE = [(60, 15), (170, 150), (20, 110), (60, 15)]  # columns and rows


@pytest.mark.parametrize(
    "chunks", few_quick([ChunkSettings(), ChunkSettings(1, 48, 64), ChunkSettings(2, 37, 50, snap=False)], 2)
)
@pytest.mark.parametrize("place", [MaskPlace(), MaskPlace(2, -1, -1)], ids=str)
def test_what_the_area_and_the_masks_leave_is_counted(tmp_path: Path, chunks: ChunkSettings, place: MaskPlace) -> None:
    named = {"type": "name", "properties": {"name": "EPSG:32610"}}
    area = {"type": "Polygon", "coordinates": [[UTM @ point for point in TRIANGLE]], "crs": named}
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    inside = geometry_mask([area], SCENE[2:], UTM, invert=True)
    layers = []
    for day in (1, 2, 3):
        random = np.random.default_rng(day)
        pixels = random.integers(1, 9000, SCENE[2:]).astype(np.uint16)
        write_pair(tmp_path, day, SCENE, pixels, blockxsize=32, blockysize=16)
        codes = random.integers(0, 4, place.shape(SCENE), dtype=np.uint8)
        path = write_mask(tmp_path, day, SCENE, codes, place, blockxsize=32, blockysize=16)
        layers.append(np.where(inside & ~hidden_by(path, SCENE, MASK, place), pixels.astype(np.float64), np.nan))
    source = local_source(tmp_path, url=f"{tmp_path}/*_B.tif", area=str(tmp_path / "area.geojson"))
    stack = masked_stack(source, MASK)
    job = replace(compose("statistics=mean,count,valid_fraction"), source=source, mask=MASK, chunks=chunks)
    (pass_,) = make_plan(job, stack).passes
    result = compute_pass(pass_, stack)[0]
    rows, columns = -stack.scenes[0].row, -stack.scenes[0].column
    canvas = np.stack(layers)[:, rows : rows + stack.grid.height, columns : columns + stack.grid.width]
    counts = (~np.isnan(canvas)).sum(axis=(1, 2))
    space = result.values["spatial_mean"]
    np.testing.assert_array_equal(space["count"], counts)
    np.testing.assert_array_equal(space["mean"], np.nansum(canvas, axis=(1, 2)) / counts)
    np.testing.assert_array_equal(space["valid_fraction"], counts / inside.sum())
    np.testing.assert_array_equal(result.values["temporal_mean"]["count"], (~np.isnan(canvas)).sum(axis=0))
    assert result.fetched.requests == pass_.cost.requests
    assert pass_.cost.stored_bytes <= result.fetched.bytes
    assert pass_.cost.stored_bytes < sum(
        int(file.header.layout.byte_counts.sum()) for scene in stack.scenes for file in (scene, scene.mask) if file
    )
