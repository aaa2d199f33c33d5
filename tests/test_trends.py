"""Trends of whole runs: the bits of fractions whatever the chunks, cluster and order; decibels; resume; refusals."""

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from jobs import Typed, compose, found_stack, local_source
from log_folders import asked
from passes import computed
from scenes_on_disk import speckle, write_scene
from slopes import expected

from runner.checkpoint.store import Partials
from runner.engine.compute import compute_pass
from runner.errors import ConfigError, PlanError
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.reduce.decibels import decibels
from runner.reduce.scene_times import milliseconds
from runner.settings import JobSettings

NAMES = "slope,slope_stderr,first,last,range,cv,count"
ORDERED = "theil_sen,mann_kendall,mann_kendall_p,median"
DAYS = ["20191230_ASC", "20200103_ASC", "20200103_DSC", "20200301_ASC", "20210704_DSC"]  # two of one day
SHAPE = (5, 60, 90)


def pixels() -> np.ndarray:
    cube = speckle(SHAPE, holes=0.5)
    cube[:, :2] = 0
    cube[:, 2:4] = 0.25
    return cube


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    for day, scene in zip(DAYS, pixels(), strict=True):
        write_scene(root / f"S1A_{day}.tif", scene, blockxsize=32, blockysize=32, predictor=3)
    return root


def job_of(folder: Path, *words: str) -> JobSettings:
    job = compose("output.raster_dtype=float64", *words)
    return replace(job, source=local_source(folder, datetime_regex=r"(?P<date>\d{8})_(?P<orbit>ASC|DSC)"))


def stack_of(job: JobSettings) -> Stack:
    return found_stack(job.source)


@pytest.mark.parametrize(
    "words",
    [
        ["chunks.time=2", "chunks.y=37", "chunks.x=64", "chunks.snap=false"],
        ["chunks.time=1", "stages.temporal_mean.cluster.kind=sync"],
        ["reader=gdal", "chunks.time=3"],
        ["engine=xarray", "chunks.time=2"],
    ],
    ids=" ".join,
)
def test_a_run_has_the_trends_of_its_scenes(folder: Path, words: list[str]) -> None:
    job = job_of(folder, f"stages.temporal_mean.statistics=[{NAMES}]", *words)
    stack = stack_of(job)
    found = computed(job, stack)["temporal_mean"]
    wanted = expected(pixels(), [milliseconds(scene.time) for scene in stack.scenes])
    compare = np.testing.assert_allclose if "engine=xarray" in words else np.testing.assert_array_equal
    for name in wanted:
        compare(
            found[name], wanted[name], err_msg=name, **({"rtol": 1e-9, "atol": 1e-8} if "engine" in words[0] else {})
        )


def test_kept_tasks_serve_a_stack_with_an_earlier_scene(folder: Path, tmp_path: Path) -> None:
    job = job_of(folder, "~stage@stages.spatial_mean", f"stages.temporal_mean.statistics=[{NAMES}]", "chunks.time=2")
    stack = stack_of(job)
    for scenes in (stack.scenes[1:], stack.scenes):
        part, partials = replace(stack, scenes=scenes), Partials(tmp_path)
        (pass_,) = make_plan(job, part).passes
        kept = partials.of_pass(pass_, part)
        remaining = replace(pass_, tasks=kept.remaining.tasks)
        found = compute_pass(remaining, part, checkpoint=kept)[0].values["temporal_mean"]
        partials.flush()
    assert len(kept.taken) == 2
    for name, wanted in expected(pixels(), [milliseconds(scene.time) for scene in stack.scenes]).items():
        np.testing.assert_array_equal(found[name], wanted, err_msg=name)
    later = replace(stack.scenes[-1], time=stack.scenes[-1].time + timedelta(days=1))
    dated = replace(stack, scenes=(*stack.scenes[:-1], later))  # as another source.datetime_regex may read it
    (pass_,) = make_plan(job, dated).passes
    ((_, reason),) = [
        refused for refused in Partials(tmp_path).of_pass(pass_, dated).refused if later.href in refused[1]
    ]
    assert "2021-07-05" in reason


def test_ordered_trends_of_both_engines_agree(folder: Path) -> None:
    words = ["~stage@stages.spatial_mean", f"stages.temporal_mean.statistics=[{ORDERED}]"]
    block, xarray = (job_of(folder, *words, f"engine={engine}") for engine in ("block", "xarray"))
    stack = stack_of(block)
    ours, theirs = (computed(job, stack)["temporal_mean"] for job in (block, xarray))
    for name, values in ours.items():
        assert np.isfinite(values[2:4]).all()
        np.testing.assert_allclose(values, theirs[name], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("engine", ["block", "xarray"])
def test_decibels_are_of_the_result_and_negative_results_are_missing(tmp_path: Path, engine: str) -> None:
    cube = speckle((3, 40, 40))
    cube[:, :7] = -1
    for day, scene in enumerate(cube, start=1):
        write_scene(tmp_path / f"2020010{day}.tif", scene)
    names = "[mean,first,std,count,median,q25]"
    words = ["stages.temporal_mean.statistics=" + names, f"engine={engine}"]
    linear, db = (
        replace(compose(*words, scale), source=local_source(tmp_path))
        for scale in ("output.scale=linear", "output.scale=db")
    )
    stack = stack_of(db)
    plain, shown = (computed(job, stack)["temporal_mean"] for job in (linear, db))
    for name in plain:
        if name in ("std", "count"):
            assert shown[name].tobytes() == plain[name].tobytes()
            continue
        assert np.isnan(shown[name][:7]).all()
        wanted = 10 * np.log10(plain[name][7:].astype(float))
        np.testing.assert_allclose(shown[name][7:], wanted, rtol=1e-6, atol=2e-6)


def test_a_logarithm_is_near_numpys_wherever_it_is() -> None:
    values = np.concatenate([np.logspace(-300, 300, 9999), np.linspace(0.5, 2, 9999), [1, 10, 5e-324, 1.7e308]])
    np.testing.assert_allclose(decibels(values), 10 * np.log10(values), rtol=1e-15, atol=1e-15)
    edges = decibels(np.array([0.0, -0.0, -3.0, np.nan, np.inf, -np.inf]))
    np.testing.assert_array_equal(edges, [-np.inf, -np.inf, -np.inf, np.nan, np.inf, -np.inf])


def test_a_slope_over_space_is_refused_with_what_to_type() -> None:
    with pytest.raises(
        ConfigError, match=r"stages.spatial_mean.statistics: slope follows .*temporal_mean.statistics=\[m"
    ):
        compose("statistics=[mean,slope]")


def test_times_too_far_to_be_added_up_are_refused(folder: Path) -> None:
    job = job_of(folder, "stages.temporal_mean.statistics=[slope]")
    stack = stack_of(job)
    far = replace(stack.scenes[-1], time=stack.scenes[-1].time.replace(year=2300))
    with pytest.raises(PlanError, match=r"S1A_20210704_DSC.* of 2300-07-04"):
        make_plan(job, replace(stack, scenes=(*stack.scenes[:-1], far)))


# --- the command line -----------------------------------------------------------------------------------------------


SOURCE = ["source=local", r"source.datetime_regex=(?P<date>\d{8})_(?P<orbit>ASC|DSC)", "output.dir=run"]


@pytest.mark.slow
def test_the_stage_of_a_trend_is_one_word_and_verified(typed: Typed, folder: Path, tmp_path: Path) -> None:
    done = typed(*SOURCE, f"source.url={folder}/*.tif", "source.units=mm", "+stage@stages.trend=trend")
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / "run/trend_slope.tif") as raster:
        assert raster.tags()["units"] == "(mm)/Julian_year"
    page = (tmp_path / "run/report.html").read_text()
    assert "background:linear-gradient(to top, #053061" in page
    assert asked(tmp_path, "verify", "run").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_decibels_are_told_in_rasters_tables_and_on_the_console(
    typed: Typed, folder: Path, tmp_path: Path, kind: str
) -> None:
    words = [f"cluster={kind}", "output.scale=db", "source.units=gamma0", "source.offset=-0.06", "source.scale=1"]
    done = typed(*SOURCE, f"source.url={folder}/*.tif", *words, "statistics=[mean,std,count]")
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / "run/temporal_mean.tif") as raster:
        missing = int(np.isnan(raster.read(1)).sum())
        assert raster.tags()["units"] == "dB"
    with rasterio.open(tmp_path / "run/temporal_count.tif") as raster:
        missing -= int((raster.read(1) == 0).sum())
    assert f"temporal_mean: {missing} values of mean are 0 or negative" in done.stdout + done.stderr
    schema = pq.read_schema(tmp_path / "run/spatial_mean.parquet")
    assert schema.field("mean").metadata[b"units"] == b"dB"
    assert schema.field("std").metadata[b"units"] == b"gamma0"
    item = json.loads((tmp_path / "run/item.json").read_text())
    assert item["assets"]["temporal_mean"]["bands"][0]["unit"] == "dB"
    assert asked(tmp_path, "verify", "run").returncode == 0


@pytest.mark.slow
def test_kept_sums_of_times_and_ends_go_on(typed: Typed, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    for day, scene in zip(DAYS, pixels(), strict=True):
        write_scene(scenes / f"S1A_{day}.tif", scene)
    broken = scenes / f"S1A_{DAYS[3]}.tif"
    whole, stamp = broken.read_bytes(), broken.stat()
    broken.write_bytes(whole[:-2000] + bytes(2000))
    os.utime(broken, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    words = [*SOURCE, f"source.url={scenes}/*.tif", f"stages.temporal_mean.statistics=[{NAMES}]", "chunks.time=1"]
    assert typed(*words, "cluster=sync").returncode == 1
    assert list((tmp_path / "run/partials").glob("*.task"))
    broken.write_bytes(whole)
    os.utime(broken, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    done = asked(tmp_path, "resume", "run")
    assert done.returncode == 0, done.stderr
    wanted = expected(pixels(), [milliseconds(scene.time) for scene in stack_of(job_of(scenes)).scenes])
    for name in ("slope", "slope_stderr", "first", "last"):
        with rasterio.open(tmp_path / f"run/temporal_{name}.tif") as raster:
            np.testing.assert_array_equal(raster.read(1), wanted[name].astype(np.float32))
