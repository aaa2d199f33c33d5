"""Tasks: the bits do not depend on how tiles are inflated, and tiles without a valid pixel are seen undecoded."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import rasterio
from drawn_tiffs import GRID
from hypothesis import given, settings
from hypothesis import strategies as st
from task_scenes import MEANS, MEDIAN, job_of_any_files, scene, speckle, values

from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult, run_tasks
from runner.planning.reading import make_reading
from runner.planning.records import StagePlan, Task
from runner.read.header import Window
from runner.settings import DecodeSettings, Inflate
from runner.source.stack import make_stack


def write(path: Path, pixels: np.ndarray, nodata: float, **options: Any) -> None:
    shape = {"height": pixels.shape[0], "width": pixels.shape[1], "count": 1, "dtype": pixels.dtype.name}
    stored = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", **options}
    with rasterio.open(path, "w", nodata=nodata, **GRID, **shape, **stored) as dataset:
        dataset.write(pixels, 1)


def run(paths: Sequence[Path], inflate: Inflate, stages: Sequence[StagePlan] = MEANS) -> TaskResult:
    """All scenes as one task."""
    job = replace(job_of_any_files(), decode=DecodeSettings(inflate))
    stack = make_stack(job.source, [scene(path, number) for number, path in enumerate(paths)])
    shared = Shared.of(make_reading(job, stack), stack, tuple(stages))
    (result,) = run_tasks(shared, iter([Task(Window(0, 0, stack.grid.height, stack.grid.width), 0, len(paths))]))
    return result


@st.composite
def archives(draw: st.DrawFn) -> tuple[list[np.ndarray], float, dict[str, Any]]:
    """Scenes with tiles of noise, of nodata, and of both; nodata; options of the writer."""
    dtype = draw(st.sampled_from(["float32", "uint16"]))
    nodata = draw(st.sampled_from([0, 7]))
    shape = draw(st.integers(60, 140)), draw(st.integers(60, 140))
    scenes = []
    for number in range(draw(st.integers(1, 9))):
        pixels = speckle(shape, dtype, number)
        for row in range(0, shape[0], 64):
            edge = draw(st.sampled_from([0, 0, 64, 100, 999]))
            pixels[row : row + 64, :edge] = nodata
        scenes.append(pixels)
    predictor = draw(st.sampled_from([1, 2, 3] if dtype.startswith("float") else [1, 2]))
    return scenes, nodata, {"predictor": predictor, "sparse_ok": draw(st.booleans()), "zlevel": 1}


@pytest.mark.slow
@settings(max_examples=6)
@given(archives())
def test_the_bits_are_the_same_in_lanes_and_right(archive: tuple[list[np.ndarray], float, dict[str, Any]]) -> None:
    scenes, nodata, options = archive
    with TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.tif") for number in range(len(scenes))]
        for path, pixels in zip(paths, scenes, strict=True):
            write(path, pixels, nodata, **options)
        lanes, alone = (values(run(paths, way)) for way in (Inflate.lanes, Inflate.libdeflate))
    stacked = np.stack(scenes)
    valid = stacked != nodata
    assert {name: array.tobytes() for name, array in lanes.items()} == {
        name: array.tobytes() for name, array in alone.items()
    }
    assert (lanes["count time"].reshape(stacked.shape[1:]) == valid.sum(axis=0)).all()
    assert (lanes["count space"] == valid.sum(axis=(1, 2))).all()
    assert (lanes["seen time"] == len(scenes)).all()
    assert (lanes["seen space"] == stacked[0].size).all()
    means = np.ma.masked_array(stacked.astype("f8"), ~valid).mean(axis=(1, 2)).filled(np.nan)
    np.testing.assert_allclose(lanes["mean space"], means, rtol=1e-12)


@pytest.fixture
def half_empty(tmp_path: Path) -> list[Path]:
    """Five scenes of 2 x 2 tiles; the two on the left hold nothing but nodata, in all but the first scene."""
    paths = [tmp_path / f"{number}.tif" for number in range(5)]
    for number, path in enumerate(paths):
        pixels = speckle((128, 128), "float32", number)
        pixels[:, : 64 if number else 0] = 0
        write(path, pixels, 0, predictor=3)
    return paths


@pytest.mark.parametrize("inflate", Inflate)
def test_scenes_of_different_tiles_are_each_read_right(tmp_path: Path, inflate: Inflate) -> None:
    forms: list[dict[str, Any]] = [
        *({"blockxsize": size, "blockysize": size} for size in (64, 128, 32, 64, 128)),
        {"tiled": False, "blockysize": 7},
        {"blockxsize": 16, "compress": "lzw"},
    ]
    scenes, paths = [speckle((130, 100), "float32", number) for number in range(len(forms))], []
    for number, form in enumerate(forms):
        scenes[number][: 32 * (number % 3)] = 0
        paths.append(tmp_path / f"{number}.tif")
        write(paths[-1], scenes[number], 0, **form)
    got, stacked = values(run(paths, inflate)), np.ma.masked_equal(np.stack(scenes).astype("f8"), 0)
    for axis, along in (("time", 0), ("space", (1, 2))):
        assert (got[f"count {axis}"].reshape(-1) == stacked.count(axis=along).reshape(-1)).all()
        means = stacked.mean(axis=along).filled(np.nan).reshape(-1)
        np.testing.assert_allclose(got[f"mean {axis}"].reshape(-1), means, rtol=1e-12)


def test_tiles_of_nodata_alone_are_not_inflated(half_empty: list[Path]) -> None:
    assert run(half_empty, Inflate.libdeflate).inflated.missing_tiles == 8


def test_sparse_tiles_of_any_number_of_scenes_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    write(path, np.full((64, 64), np.nan, "float32"), np.nan, sparse_ok=True)
    assert run([path] * 40, Inflate.auto).inflated.missing_tiles == 40


def test_order_statistics_see_every_tile(half_empty: list[Path]) -> None:
    assert run(half_empty, Inflate.lanes, [MEDIAN]).inflated.missing_tiles == 0


def test_small_tiles_of_valid_pixels_are_added(tmp_path: Path) -> None:
    path = tmp_path / "constant.tif"
    write(path, np.full((128, 128), 5, "float32"), 0)
    result = run([path, path, path, path], Inflate.auto)
    assert result.inflated.missing_tiles == 0
    assert (values(result)["count time"] == 4).all()
