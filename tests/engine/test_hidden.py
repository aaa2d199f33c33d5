"""Hidden pixels of a task: by an area that is the same for all scenes, and tiles that need not be read for it."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jobs import block_job, local_source
from masked_scenes import MaskPlace, hidden_by, mask_settings, masked_stack, write_mask, write_pair

from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult, run_tasks
from runner.planning.reading import make_reading
from runner.planning.records import StagePlan, Task
from runner.read.header import Window
from runner.reduce.statistics import finish
from runner.settings import JobSettings, Over

SCENE = Window(0, 0, 96, 80)
STAGES = tuple(StagePlan(f"{over.value}_mean", over, ("mean", "count")) for over in (Over.space, Over.time))
MASK = mask_settings(bits=[0])
PLACE = MaskPlace(2, -3, -1)
TILES = {"blockxsize": 16, "blockysize": 16, "compress": "none"}


class Disc:
    """The pixels of a disc, which meets a few tiles."""

    def inside(self, window: Window) -> np.ndarray:
        rows, columns = np.ogrid[window.row : window.row + window.height, window.column : window.column + window.width]
        return np.asarray((rows - 40) ** 2 + (columns - 36) ** 2 < 12**2)


def written(folder: Path, *, masks: bool) -> np.ndarray:
    """Ten scenes as float64, NaN where their masks hide."""
    layers = []
    for day in range(1, 11):
        pixels = np.random.default_rng(day).gamma(2, 3, SCENE[2:]).astype(np.float32)
        write_pair(folder, day, SCENE, pixels, nodata=None, **TILES)
        codes = np.random.default_rng(-day % 99).integers(0, 2, PLACE.shape(SCENE), dtype=np.uint8)
        path = write_mask(folder, day, SCENE, codes, PLACE, **TILES)
        hidden = hidden_by(path, SCENE, MASK, PLACE) if masks else np.zeros(SCENE[2:], bool)
        layers.append(np.where(hidden, np.nan, pixels.astype(np.float64)))
    return np.stack(layers)


def job_of(folder: Path, *, masks: bool) -> JobSettings:
    source = local_source(folder, url=f"{folder}/*_B.tif")
    return replace(block_job(), source=source, mask=MASK if masks else type(MASK)())


def run(job: JobSettings, area: Disc | None, window: Window = SCENE) -> TaskResult:
    """One task of all scenes."""
    stack = masked_stack(job.source, job.mask)
    shared = replace(Shared.of(make_reading(job, stack), stack, STAGES), area=area)
    (result,) = run_tasks(shared, iter([Task(window, 0, len(stack.scenes))]))
    return result


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("window", [SCENE, Window(17, 20, 40, 31), Window(0, 0, 20, 20)])
def test_pixels_outside_of_an_area_do_not_count(tmp_path: Path, window: Window, masks: bool) -> None:
    layers = written(tmp_path, masks=masks)
    result = run(job_of(tmp_path, masks=masks), Disc(), window)
    wanted = np.where(Disc().inside(SCENE), layers, np.nan)[(slice(None), *window.slices)]
    assert result.over_time
    assert result.over_space
    for partial, axis in ((result.over_time[0], 0), (result.over_space, (1, 2))):
        valid = ~np.isnan(wanted)
        found = finish(partial, ["mean", "count"])
        np.testing.assert_array_equal(found["count"], valid.sum(axis))
        with np.errstate(invalid="ignore"):
            mean = np.where(valid, wanted, 0).sum(axis) / valid.sum(axis)
        np.testing.assert_allclose(found["mean"], mean, rtol=1e-12)
        assert (partial.seen == (10 if axis == 0 else window.height * window.width)).all()


def test_tiles_outside_of_an_area_are_not_fetched(tmp_path: Path) -> None:
    written(tmp_path, masks=True)
    for masks in (False, True):
        job = job_of(tmp_path, masks=masks)
        whole, part = run(job, None).fetched.bytes, run(job, Disc()).fetched.bytes
        assert part < whole / 2  # of the six tiles among thirty, and what lies between them


@pytest.mark.slow
def test_hidden_pixels_of_scaled_integers_do_not_count(tmp_path: Path) -> None:
    layers = []
    for day in range(1, 11):
        pixels = np.random.default_rng(day).integers(1, 2**16, SCENE[2:]).astype(np.uint16)
        write_pair(tmp_path, day, SCENE, pixels, nodata=None, **TILES)
        codes = np.random.default_rng(-day % 99).integers(0, 2, PLACE.shape(SCENE), dtype=np.uint8)
        path = write_mask(tmp_path, day, SCENE, codes, PLACE, **TILES)
        layers.append(np.where(hidden_by(path, SCENE, MASK, PLACE), np.nan, pixels * 2.75e-5 - 0.2))
    job = job_of(tmp_path, masks=True)
    stack = masked_stack(replace(job.source, scale=2.75e-5, offset=-0.2), job.mask)
    shared = Shared.of(make_reading(job, stack), stack, STAGES)
    assert shared.split is not None
    (result,) = run_tasks(shared, iter([Task(SCENE, 0, len(layers))]))
    assert result.over_space
    found = finish(result.over_space, ["sum", "count"])
    assert found["sum"].tolist() == [math.fsum(layer[~np.isnan(layer)]) for layer in layers]
    assert found["count"].tolist() == [np.count_nonzero(~np.isnan(layer)) for layer in layers]
    assert result.over_time
    times = finish(result.over_time[0], ["sum"])["sum"]
    for row, column in ((0, 0), (40, 37), (95, 79)):
        cell = [layer[row, column] for layer in layers if not np.isnan(layer[row, column])]
        np.testing.assert_array_equal(times[row, column], math.fsum(cell) if cell else np.nan)
