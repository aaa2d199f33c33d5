"""The plan says what is read, and what odd chunks cost."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import compose, local_source, speckle, write_scene
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import ConfigError, PlanError
from runner.model import Stack
from runner.plan.cut import cut
from runner.plan.make import make_plan
from runner.plan.records import Chunks, Plan
from runner.settings import OnError, S3Settings
from runner.source.scenes import find_inputs
from runner.source.stores import Stores


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    for day in (1, 2, 3):
        write_scene(tmp_path / f"2020010{day}.tif", speckle((600, 500)))
    return find_inputs(local_source(tmp_path), Stores(S3Settings()), OnError.stop, lambda done, total: None).stack


def plan_of(stack: Stack, *overrides: str) -> Plan:
    return make_plan(compose(*overrides), stack)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["engine=xarray"], (1, 600, 500)),
        (["chunks=block"], (1, 256, 256)),
        (["chunks=row"], (1, 256, 500)),
        (["chunks=scene"], (1, 600, 500)),
        (["chunks.time=2", "chunks.y=100", "chunks.x=70"], (2, 256, 256)),
        (["chunks.time=2", "chunks.y=100", "chunks.x=70", "chunks.snap=false"], (2, 100, 70)),
        (["chunks.time=99", "chunks.y=9999", "chunks.x=9999"], (3, 600, 500)),
    ],
)
def test_chunks_become_whole_blocks_within_the_stack(
    stack: Stack, overrides: list[str], expected: tuple[int, int, int]
) -> None:
    assert plan_of(stack, *overrides).passes[0].chunks == expected


@pytest.mark.parametrize(
    ("overrides", "times"),
    [
        (["chunks=block"], 1.0),
        (["chunks=row"], 1.0),
        (["chunks=scene"], 1.0),
        (["chunks.y=300", "chunks.x=500"], 1.0),
        (["chunks.y=300", "chunks.x=500", "chunks.snap=false"], 4 / 3),
    ],
)
@pytest.mark.parametrize("engine", ["block", "xarray"])
def test_chunks_that_cut_blocks_read_them_more_than_once(
    stack: Stack, engine: str, overrides: list[str], times: float
) -> None:
    cost = plan_of(stack, f"engine={engine}", *overrides).passes[0].cost
    assert cost.over_read == pytest.approx(times)
    stored = sum(int(scene.header.layout.byte_counts.sum()) for scene in stack.scenes)
    assert cost.stored_bytes == round(stored * times)


@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300), st.integers(1, 8)),
    chunks=st.tuples(st.integers(1, 400), st.integers(1, 400), st.integers(1, 12)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_cover_every_pixel_of_every_scene_once(
    stack: Stack, size: tuple[int, int, int], chunks: tuple[int, int, int]
) -> None:
    height, width, scenes = size
    grid = replace(stack.grid, height=height, width=width)
    some = replace(stack, grid=grid, scenes=stack.scenes[:1] * scenes)
    seen = np.zeros((scenes, height, width), np.int8)
    for window, start, stop in cut(some, Chunks(chunks[2], chunks[0], chunks[1])):
        seen[start:stop, window.row : window.row + window.height, window.column : window.column + window.width] += 1
    assert (seen == 1).all()


def test_equal_stages_are_one_pass_and_others_are_not(stack: Stack) -> None:
    own = "cluster@stages.temporal_mean.cluster=processes"
    assert [one.name for one in plan_of(stack).passes] == ["spatial_mean+temporal_mean"]
    assert [one.name for one in plan_of(stack, "fuse=false").passes] == ["spatial_mean", "temporal_mean"]
    assert [one.name for one in plan_of(stack, own).passes] == ["spatial_mean", "temporal_mean"]
    assert [one.name for one in plan_of(stack, "engine=xarray").passes] == ["spatial_mean", "temporal_mean"]
    with pytest.raises(ConfigError, match="fuse=true: spatial_mean and temporal_mean differ in cluster"):
        plan_of(stack, own, "fuse=true")


@pytest.mark.parametrize(("threads", "tasks"), [(1, 2), (2, 4), (3, 6)])
def test_scenes_are_shared_out_where_windows_leave_threads_idle(stack: Stack, threads: int, tasks: int) -> None:
    twelve = replace(stack, scenes=stack.scenes * 4)
    words = [f"stages.{name}.cluster.threads_per_worker={threads}" for name in ("spatial_mean", "temporal_mean")]
    assert len(plan_of(twelve, *words).passes[0].blocks) == tasks


def test_a_block_row_is_one_request(stack: Stack) -> None:
    wide = plan_of(stack, "chunks=row").passes[0].cost.requests
    assert wide is not None
    assert wide <= 3 * 3


def test_what_gdal_reads_has_no_count_of_requests(stack: Stack) -> None:
    assert plan_of(stack, "reader=gdal").passes[0].cost.requests is None


def test_a_job_that_cannot_fit_is_refused_with_the_setting_that_helps(stack: Stack) -> None:
    words = [
        "chunks=scene",
        *(f"stages.{name}.cluster.memory_limit=300MiB" for name in ("spatial_mean", "temporal_mean")),
    ]
    with pytest.raises(PlanError, match=r"would need \d+ MiB, it may have 300 MiB; set chunks.y=256 chunks.x=256"):
        plan_of(stack, *words)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            ["chunks.time=1", "stages.temporal_mean.statistics=[median]"],
            "chunks.time=1: median over time needs all values",
        ),
        (["chunks.y=256", "stages.spatial_mean.statistics=[q95]"], "chunks.y=256: q95 over space needs all values"),
    ],
)
def test_ordered_statistics_refuse_chunks_that_part_their_values(
    stack: Stack, overrides: list[str], problem: str
) -> None:
    with pytest.raises(PlanError, match=problem):
        plan_of(stack, *overrides)


def test_a_median_over_space_takes_whole_scenes_and_one_over_time_all_of_them(stack: Stack) -> None:
    plan = plan_of(stack, "stages.spatial_mean.statistics=[median]", "stages.temporal_mean.statistics=[median]")
    assert [one.chunks for one in plan.passes] == [(1, 600, 500), (3, 512, 500)]


def test_the_notebooks_chunks_decode_19_percent_more(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "20200101.tif", speckle((5490, 5490)), blockxsize=512, blockysize=512, compress=None)
    source = local_source(path.parent)
    stack = find_inputs(source, Stores(S3Settings()), OnError.stop, lambda done, total: None).stack
    assert plan_of(stack, "chunks=notebook").passes[0].cost.over_read == pytest.approx((12 / 11) ** 2)


def test_a_band_that_is_not_there_is_refused(stack: Stack) -> None:
    with pytest.raises(PlanError, match=r"source.band=2: the scenes have 1 band"):
        plan_of(stack, "source.band=2")
