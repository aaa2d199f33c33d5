"""Means of geographic scenes by area, from files to files: numpy's numbers, the same bits, and said so."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import xarray as xr
from jobs import Typed, compose, found_stack, local_source
from log_folders import asked
from marks import few_quick
from rasterio.transform import from_origin
from scenes_on_disk import speckle, write_scene

from runner.checkpoint.pass_tasks import PassTasks
from runner.checkpoint.store import Partials
from runner.engine.compute import compute_pass
from runner.engine.results import Values
from runner.engine.shared import Shared
from runner.engine.tasks import run_tasks
from runner.engine.trace import TaskTrace
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.planning.weights import row_areas
from runner.settings import JobSettings

NAMES = ["mean", "count", "valid_fraction", "sum", "min", "max", "var", "std"]
PROFILE = {"crs": "EPSG:4326", "transform": from_origin(10, 80, 0.05, 0.05)}
Scenes = npt.NDArray[np.float32]
CHUNKS = {
    "whole": ["chunks=scene"],
    "blocks": ["chunks=block"],
    "odd": ["chunks.time=2", "chunks.y=77", "chunks.x=101", "chunks.snap=false"],
}


def scenes() -> Scenes:
    """Four scenes, 80 to 65 degrees north, brighter to the north; the last without a valid pixel."""
    stack = np.stack([speckle((300, 500), seed=seed) for seed in range(4)])
    stack *= np.linspace(5, 1, 300, dtype=np.float32)[:, np.newaxis]
    stack[3] = 0
    return stack


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("degrees")
    for day, pixels in enumerate(scenes(), start=1):
        write_scene(folder / f"2020010{day}.tif", pixels, **PROFILE)
    return folder


def job_of(folder: Path, *overrides: str) -> JobSettings:
    statistics = f"stages.spatial_mean.statistics=[{','.join(NAMES)}]"
    kinds = [f"stages.{name}.cluster.kind=threads" for name in ("spatial_mean", "temporal_mean")]
    return replace(compose(statistics, *kinds, *overrides), source=local_source(folder))


def stack_of(job: JobSettings) -> Stack:
    return found_stack(job.source)


def over_space(job: JobSettings) -> dict[str, Values]:
    stack, found = stack_of(job), {}
    for one in make_plan(job, stack).passes:
        found |= compute_pass(one, stack)[0].values
    return found["spatial_mean"]


def weighted(stack: Scenes, areas: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """By xarray's own weights, and plain numpy."""
    valid = stack != 0
    values = xr.DataArray(np.where(valid, stack, np.nan).astype(np.float64), dims=("time", "y", "x"))
    by_area = values.weighted(xr.DataArray(areas, dims="y"))
    counts = valid.sum(axis=(1, 2))
    total = stack.astype(np.float64).sum(axis=(1, 2))
    return {
        "mean": by_area.mean(("y", "x")).to_numpy(),
        "var": by_area.var(("y", "x")).to_numpy(),
        "std": by_area.std(("y", "x")).to_numpy(),
        "valid_fraction": (valid * areas[:, np.newaxis]).sum(axis=(1, 2)) / (areas.sum() * stack.shape[2]),
        "count": counts,
        "sum": np.where(counts, total, np.nan),
        "min": values.min(("y", "x")).to_numpy(),
        "max": values.max(("y", "x")).to_numpy(),
    }


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("engine", ["block", "xarray"])
def test_both_engines_give_the_weighted_statistics_of_xarray(folder: Path, engine: str, chunks: str) -> None:
    job = job_of(folder, f"engine={engine}", *CHUNKS[chunks])
    found = over_space(job)
    for name, values in weighted(scenes(), row_areas(stack_of(job).grid)).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", [pytest.param("sync", marks=pytest.mark.slow), "threads"])
@pytest.mark.parametrize("reader", ["cog", "gdal"])
@pytest.mark.parametrize("chunks", few_quick(CHUNKS))
def test_chunks_clusters_and_readers_change_no_bit(folder: Path, chunks: str, reader: str, kind: str) -> None:
    cluster = f"stages.spatial_mean.cluster.kind={kind}"
    ours = over_space(job_of(folder, f"reader={reader}", cluster, *CHUNKS[chunks]))
    theirs = over_space(job_of(folder))
    assert {name: values.tobytes() for name, values in ours.items()} == {
        name: values.tobytes() for name, values in theirs.items()
    }


def test_without_weights_every_pixel_counts_the_same(folder: Path) -> None:
    found = over_space(job_of(folder, "stages.spatial_mean.weights=none"))
    stack = scenes().astype(np.float64)[:3]
    np.testing.assert_allclose(found["mean"][:3], [scene[scene != 0].mean() for scene in stack], rtol=1e-12)
    by_area = over_space(job_of(folder))
    assert (by_area["mean"][:3] < 0.97 * found["mean"][:3]).all()
    for name in ("count", "sum", "min", "max"):
        np.testing.assert_array_equal(by_area[name], found[name])


def test_tasks_that_are_kept_hold_sums_by_area_and_serve_any_min_count(folder: Path, tmp_path: Path) -> None:
    job = job_of(folder, "chunks=block")
    stack = stack_of(job)
    (one,) = make_plan(job, stack).passes

    def kept() -> PassTasks:
        return Partials(tmp_path).of_pass(one, stack)

    first = kept()
    shared = Shared.of(one.reading, stack, one.stages)
    for number, result in enumerate(run_tasks(shared, iter(one.tasks))):
        first.keep(result, TaskTrace(number, result.task, None, None, 0.0))
    first.close()
    second = kept()
    assert not second.remaining.tasks
    result, _ = compute_pass(replace(one, tasks=()), stack, checkpoint=second)
    for name, values in over_space(job).items():
        assert result.values["spatial_mean"][name].tobytes() == values.tobytes()
    stricter = make_plan(job_of(folder, "chunks=block", "stages.spatial_mean.min_count=9"), stack).passes[0]
    assert not Partials(tmp_path).of_pass(stricter, stack).remaining.tasks
    plain = job_of(folder, "chunks=block", "stages.spatial_mean.weights=none")
    (other,) = make_plan(plain, stack).passes
    refused = Partials(tmp_path).of_pass(other, stack)
    assert any("statistics over space now need" in line for line in refused.describe())


@pytest.mark.slow
def test_a_run_says_that_its_means_are_by_area_and_verifies(folder: Path, typed: Typed, tmp_path: Path) -> None:
    source = [f'source.url="{folder}/*.tif"', r'source.datetime_regex="(?P<date>\d{8})"']
    done = typed("source=local", *source, "output.dir=run")
    assert done.returncode == 0, done.stderr
    said = "spatial_mean: mean, valid_fraction by the area of the pixels, since EPSG:4326 is geographic"
    assert said in done.stderr
    assert "spatial_mean: mean by area" in done.stdout
    schema = pq.read_schema(tmp_path / "run/spatial_mean.parquet")
    assert schema.field("mean").metadata[b"weights"] == schema.field("valid_fraction").metadata[b"weights"] == b"area"
    assert b"weights" not in schema.field("count").metadata
    (one,) = json.loads((tmp_path / "run/run.json").read_text())["passes"]
    assert one["weights"] == {"spatial_mean": "area", "temporal_mean": "none"}
    assert "by area" in (tmp_path / "run/report.html").read_text()
    verified = asked(tmp_path, "verify", "run", "--blocks", 4)
    assert verified.returncode == 0, verified.stdout
