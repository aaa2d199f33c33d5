"""Rasters that lie on disk until they are written have the values of those in memory; the plan says when."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jobs import compose, found_stack
from scenes_on_disk import speckle, write_scene

from runner.engine.compute import compute_pass
from runner.errors import OutputError
from runner.host.spool import Spool
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.planning.records import Pass
from runner.settings import JobSettings, ReaderName
from runner.summary import show_plan

WIDE = (20_000, 20_000)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobSettings, Stack]:
    folder = tmp_path_factory.mktemp("scenes")
    for day in (1, 2, 3):
        write_scene(folder / f"2020010{day}.tif", speckle((600, 700), seed=day))
    words = ["stages.temporal_mean.statistics=[mean,std,count,median]", "chunks.y=250", "chunks.x=300"]
    job = compose("source=local", f"source.url={folder}/*.tif", "cluster@stages.temporal_mean.cluster=threads", *words)
    return job, found_stack(job.source, on_error=job.on_error)


def pass_over_time(job: JobSettings, stack: Stack) -> Pass:
    return next(one for one in make_plan(job, stack).passes if "temporal_mean" in one.name)


def test_values_on_disk_are_those_in_memory(found: tuple[JobSettings, Stack], tmp_path: Path) -> None:
    plan = pass_over_time(*found)
    arrays = compute_pass(plan, found[1])[0].values["temporal_mean"]
    spools = compute_pass(replace(plan, spool_bytes=1, folder=tmp_path), found[1])[0].values["temporal_mean"]
    for name, spool in spools.items():
        assert isinstance(spool, Spool)
        assert spool.dtype == arrays[name].dtype
        np.testing.assert_array_equal(spool[:], arrays[name])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_found_before_any_task(found: tuple[JobSettings, Stack], tmp_path: Path) -> None:
    plan = replace(pass_over_time(*found), spool_bytes=10**16, folder=tmp_path)
    with pytest.raises(OutputError, match="the rasters need .* of disk until they are written"):
        compute_pass(plan, found[1])


@pytest.mark.parametrize(
    ("shape", "overrides", "on_disk"),
    [
        ((600, 700), [], False),
        ((8000, 8000), [], False),  # four rasters of 256 MB
        (WIDE, [], True),
        (WIDE, ["engine=xarray"], False),
        ((8000, 8000), ["stages.temporal_mean.cluster.memory_limit=3GiB"], True),
    ],
    ids=["small", "a gigabyte", "large", "the reference engine", "little memory"],
)
def test_rasters_lie_on_disk_if_memory_is_better_used(
    found: tuple[JobSettings, Stack], shape: tuple[int, int], overrides: list[str], on_disk: bool
) -> None:
    stack = replace(found[1], grid=replace(found[1].grid, height=shape[0], width=shape[1]))
    words = ["source=local", f"source.url={found[0].source.url}", "reader=gdal", *overrides]
    plan = pass_over_time(compose(*words, "stages.temporal_mean.statistics=[mean,std,count,max]"), stack)
    assert (plan.spool_bytes > 0) == on_disk
    if on_disk:
        rasters = 4 * 4 * shape[0] * shape[1]
        assert plan.spool_bytes == pytest.approx(rasters * 4 / 3, rel=1e-6)
        assert plan.worker_bytes is not None
        assert plan.worker_bytes < max(rasters, 2 * 2**30)


def test_the_plan_says_how_much_of_the_disk(
    found: tuple[JobSettings, Stack], capsys: pytest.CaptureFixture[str]
) -> None:
    stack = replace(found[1], grid=replace(found[1].grid, height=WIDE[0], width=WIDE[1]))
    show_plan(make_plan(replace(found[0], reader=ReaderName.gdal), stack), stack)
    assert re.search(r"disk until written +8\.53 GB", capsys.readouterr().out)
