"""The plan says what is read, and what odd chunks cost."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import compose, found_stack, local_source
from marks import few_quick
from scenes_on_disk import speckle, write_scene

from runner.config.overrides import as_hydra_reads
from runner.errors import ConfigError, PlanError
from runner.model import Stack
from runner.planning.chunking import balanced_tasks, cut
from runner.planning.planner import make_plan
from runner.planning.reading import left_to_gdal
from runner.planning.records import Chunks, Plan
from runner.planning.whole import OPTIONS
from runner.settings import S3Settings
from runner.source.stores import Stores
from runner.summary import describe_left_to_gdal, describe_too_few


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return found_stack(local_source(write_three(tmp_path_factory.mktemp("scenes"))))


def write_three(folder: Path) -> Path:
    for day in (1, 2, 3):
        write_scene(folder / f"2020010{day}.tif", speckle((600, 500)))
    return folder


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
        (["chunks=block"], [1, 1, 1]),
        (["chunks=row"], [1, 1, 1]),
        (["chunks=scene"], [1, 1, 1]),
        (["chunks.y=300", "chunks.x=500"], [1, 1, 1]),
        (["chunks.y=300", "chunks.x=500", "chunks.snap=false"], [1, 2, 1]),
    ],
)
@pytest.mark.parametrize("engine", few_quick(["block", "xarray"]))
def test_chunks_that_cut_blocks_read_them_more_than_once(
    stack: Stack, engine: str, overrides: list[str], times: list[int]
) -> None:
    cost = plan_of(stack, f"engine={engine}", *overrides).passes[0].cost
    assert cost.over_read == pytest.approx(np.mean(times))
    rows_of_tiles = [scene.header.layout.byte_counts.sum(axis=(0, 2)) for scene in stack.scenes]
    assert cost.stored_bytes == sum(int(np.dot(row_bytes, times)) for row_bytes in rows_of_tiles)


@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300), st.integers(1, 8)),
    chunks=st.tuples(st.integers(1, 400), st.integers(1, 400), st.integers(1, 12)),
)
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


@pytest.mark.parametrize(("threads", "tasks"), [(1, 1), (2, 4), (3, 6)])
def test_scenes_are_shared_out_where_windows_leave_threads_idle(stack: Stack, threads: int, tasks: int) -> None:
    twelve = replace(stack, scenes=stack.scenes * 4)
    words = [f"stages.{name}.cluster.threads_per_worker={threads}" for name in ("spatial_mean", "temporal_mean")]
    assert len(plan_of(twelve, *words).passes[0].tasks) == tasks


@pytest.mark.parametrize(
    ("shape", "scenes", "at_once", "tasks"),
    [
        ((1024, 1024), 40, 2, [(1024, 40)]),  # another stack has the second thread
        ((1024, 1024), 40, 1, [(512, 40), (512, 40)]),
        ((1024, 1024), 400, 2, [(512, 400), (512, 400)]),  # 1.6 GB of pixels keep a thread busy for too long
        ((512, 3000), 40, 2, [(512, 40)]),
        ((2048, 512), 40, 2, [(2048, 40)]),
        ((3000, 512), 40, 2, [(2048, 40), (952, 40)]),
    ],
)
def test_a_small_stack_of_an_archive_is_cut_for_its_share_of_the_threads(
    stack: Stack, shape: tuple[int, int], scenes: int, at_once: int, tasks: list[tuple[int, int]]
) -> None:
    grid = replace(stack.grid, height=shape[0], width=shape[1])
    many = replace(stack, grid=grid, scenes=stack.scenes[:1] * scenes)
    words = [f"stages.{name}.cluster.threads_per_worker=2" for name in ("spatial_mean", "temporal_mean")]
    (pass_,) = make_plan(compose(*words), many, at_once=at_once).passes
    assert [(task.window.height, task.stop - task.start) for task in pass_.tasks] == tasks


@pytest.mark.parametrize(
    ("scenes", "height", "width", "longest"),
    [(256, 200, 300, 256), (2000, 200, 300, 2000), (10_000, 200, 300, 2000), (10_000, 512, 500, 1000),
     (3000, 1024, 1024, 250), (3000, 1100, 1024, 3000)],
)  # fmt: skip
def test_small_windows_of_many_scenes_are_cut_so_that_an_interrupt_costs_little(
    stack: Stack, scenes: int, height: int, width: int, longest: int
) -> None:
    grid = replace(stack.grid, height=height, width=width)
    many = replace(stack, grid=grid, scenes=stack.scenes[:1] * scenes)
    tasks = balanced_tasks(many, Chunks(scenes, height, width), 1)
    assert max(task.stop - task.start for task in tasks) == longest
    assert [task.start for task in tasks] == [0, *(task.stop for task in tasks[:-1])]
    assert tasks[-1].stop == scenes
    assert {task.window for task in tasks} == {(0, 0, height, width)}


def test_a_block_row_is_one_request(stack: Stack) -> None:
    wide = plan_of(stack, "chunks=row").passes[0].cost.requests
    assert wide is not None
    assert wide <= 3 * 3


def test_what_gdal_reads_has_no_count_of_requests(stack: Stack) -> None:
    assert plan_of(stack, "reader=gdal").passes[0].cost.requests is None


BOTH = ("spatial_mean", "temporal_mean")


def limited(limit: int, *names: str) -> list[str]:
    return [f"stages.{name}.cluster.memory_limit={limit}MiB" for name in names]


@pytest.mark.parametrize(
    ("overrides", "helps"),
    few_quick(
        [
            (limited(640, *BOTH), "set chunks.y=512 chunks.x=512$"),
            (
                limited(595, *BOTH),
                "set chunks.y=256 chunks.x=256 stages.spatial_mean.cluster.threads_per_worker=1 stages.t",
            ),
            (
                ["stages.spatial_mean.statistics=[median]", *limited(685, "spatial_mean")],
                "set stages.spatial_mean.cluster.threads_per_worker=1$",
            ),
            (limited(10, *BOTH), r"set stages.spatial_mean.cluster.memory_limit=\d+MiB"),
            (["engine=xarray", *limited(535, *BOTH)], "set chunks.y=512 chunks.x=2048$"),
            (["engine=xarray", *limited(1, "spatial_mean")], r"set stages.spatial_mean.cluster.memory_limit=\d+MiB"),
            (
                ["stages.spatial_mean.statistics=[median]", *limited(640, "temporal_mean")],
                "set chunks@stages.temporal_mean.chunks=auto stages.temporal_mean.chunks.y=512",
            ),
            (
                ["chunks@stages.temporal_mean.chunks=scene", *limited(785, "temporal_mean")],
                "set stages.temporal_mean.chunks.y=512 stages.temporal_mean.chunks.x=",
            ),
            (
                [
                    *(f"cluster@stages.{name}.cluster=processes" for name in BOTH),
                    *(f"stages.{name}.cluster.n_workers=1000" for name in BOTH),
                ],
                r"set stages.spatial_mean.cluster.n_workers=\d+ stages.temporal_mean.cluster.n_workers=\d+$",
            ),
        ],
        3,
    ),
)
def test_a_job_that_cannot_fit_is_refused_with_what_makes_it_fit(
    stack: Stack, overrides: list[str], helps: str
) -> None:
    grid = replace(stack.grid, height=2048, width=2048)
    large = replace(stack, grid=grid, scenes=stack.scenes * 3)
    words = ["reader=gdal", *overrides]
    if "processes" not in str(words):
        words += [f"stages.{name}.cluster.threads_per_worker=2" for name in BOTH]
    with pytest.raises(PlanError, match="would need .* MiB, it may have .* MiB; set") as caught:
        plan_of(large, *words)
    remedy = str(caught.value).rpartition("; ")[2]
    assert re.match(helps, remedy), remedy
    plan_of(large, *words, *remedy.removeprefix("set ").partition(",")[0].split())


def test_what_becomes_float64_is_planned_as_float64(stack: Stack) -> None:
    grid = replace(stack.grid, height=2048, width=2048)
    few = replace(stack, grid=grid, dtype=np.dtype(np.uint8))
    header = replace(few.scenes[0].header, scales=(0.1,), offsets=(0.0,))
    scaled = replace(few, scenes=tuple(replace(scene, header=header) for scene in few.scenes))
    for stage, pixels in (("temporal_mean", 512 * 2048 * 3), ("spatial_mean", 4 * 2048 * 2048)):
        words = [f"stages.{stage}.statistics=[median]", f"~stage@stages.{BOTH[stage == BOTH[0]]}", "reader=gdal"]
        words += ["chunks.y=512", "chunks.x=all"] if stage == BOTH[1] else []
        words += [f"stages.{stage}.cluster.threads_per_worker=1"]
        as_stored, as_floats = (plan_of(one, *words).passes[0].worker_bytes for one in (few, scaled))
        assert as_stored is not None
        assert as_floats is not None
        assert as_floats - as_stored >= 7 * pixels


def test_the_largest_tiles_of_all_scenes_are_planned(stack: Stack, tmp_path: Path) -> None:
    write_scene(write_three(tmp_path) / "20200104.tif", speckle((600, 500)), blockxsize=512, blockysize=512)
    source, stores = local_source(tmp_path), Stores(S3Settings())
    larger = found_stack(source, stores)
    assert (stack.tile_bytes, larger.tile_bytes) == (256 * 256 * 4, 512 * 512 * 4)


@pytest.mark.slow
def test_sums_that_two_floats_do_not_hold_are_planned(stack: Stack) -> None:
    words = ["chunks=scene", "reader=gdal", "stages.temporal_mean.cluster.threads_per_worker=1", "fuse=false"]
    words += ["output.raster_dtype=float32"]
    variances = [*words, "stages.temporal_mean.statistics=[var]"]
    planned = {
        (dtype, len(more)): plan_of(replace(stack, dtype=np.dtype(dtype)), *more).passes[1].worker_bytes or 0
        for dtype in ("float32", "float64", "int64", "int32")
        for more in (words, variances)
    }
    pixels = stack.grid.pixels
    for more, dtype, limbs in ((words, "float64", 160), (variances, "float64", 320), (variances, "int64", 240)):
        assert planned[dtype, len(more)] - planned["float32", len(more)] >= limbs * pixels
    assert planned["int32", len(variances)] == planned["float32", len(variances)]


def test_equal_stages_are_one_pass_wherever_they_stand(stack: Stack) -> None:
    words = ["+stage@stages.extra=temporal_mean", "cluster@stages.temporal_mean.cluster=sync"]
    assert [one.name for one in plan_of(stack, *words).passes] == ["spatial_mean+extra", "temporal_mean"]


def test_why_scenes_are_left_to_gdal_is_told(stack: Stack, tmp_path: Path) -> None:
    write_scene(write_three(tmp_path) / "lzma/20200104.tif", speckle((600, 500)), compress="lzma")
    stores = Stores(S3Settings())
    found = found_stack(local_source(tmp_path), stores)
    reasons = left_to_gdal(compose(), found)
    assert describe_left_to_gdal(reasons, 4) == ["1 of 4 scenes are read by GDAL: compression lzma"]
    assert not left_to_gdal(compose(), stack)
    assert not left_to_gdal(compose("reader=gdal"), found)
    assert not left_to_gdal(compose("engine=xarray"), found)


_OF_SPACE, _OF_TIME = "stages.spatial_mean.statistics", "stages.temporal_mean.statistics"


@pytest.mark.parametrize(
    ("overrides", "problem", "remedy"),
    [
        (
            ["chunks.time=1", f"{_OF_TIME}=[median]"],
            "chunks.time=1: median of stages.temporal_mean needs all scenes at once",
            ["chunks.time=all"],
        ),
        (
            ["chunks.y=256", f"{_OF_SPACE}=[q95]"],
            "chunks.y=256: q95 of stages.spatial_mean needs whole scenes",
            ["stages.spatial_mean.chunks=scene"],
        ),
        (
            ["chunks=block", f"{_OF_SPACE}=[median,mean,q05]", f"{_OF_TIME}=[median,mean,q05]"],
            "chunks=block: median, q05 of stages.spatial_mean need whole scenes and median, q05 of "
            "stages.temporal_mean need all scenes at once",
            ["stages.spatial_mean.chunks=scene", "chunks.time=all"],
        ),
        (
            ["chunks@stages.spatial_mean.chunks=row", f"{_OF_SPACE}=[min,median]"],
            "stages.spatial_mean.chunks=row: median of stages.spatial_mean needs whole scenes",
            ["stages.spatial_mean.chunks.y=all", "stages.spatial_mean.chunks.x=all"],
        ),
        (
            ["chunks@stages.temporal_mean.chunks=scene", f"{_OF_TIME}=[median]"],
            "stages.temporal_mean.chunks=scene: median of stages.temporal_mean needs all scenes at once",
            ["stages.temporal_mean.chunks.time=all"],
        ),
    ],
)
def test_ordered_statistics_refuse_chunks_that_part_their_values_with_a_remedy_that_works(
    stack: Stack, overrides: list[str], problem: str, remedy: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        plan_of(stack, *overrides)
    assert str(refused.value) == f"{problem}; add {' '.join(remedy)}"
    assert plan_of(stack, *overrides, *as_hydra_reads(remedy)).passes


def test_the_options_of_chunks_are_named_as_they_are_typed() -> None:
    for values, option in OPTIONS.items():
        chunks = compose(f"chunks={option}").chunks
        assert (chunks.time, chunks.y, chunks.x) == values


def test_a_median_over_space_takes_whole_scenes_and_one_over_time_all_of_them(stack: Stack) -> None:
    plan = plan_of(stack, "stages.spatial_mean.statistics=[median]", "stages.temporal_mean.statistics=[median]")
    assert [one.chunks for one in plan.passes] == [(1, 600, 500), (3, 512, 500)]


@pytest.mark.slow
def test_the_notebooks_chunks_decode_19_percent_more(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "20200101.tif", speckle((5490, 5490)), blockxsize=512, blockysize=512, compress=None)
    source = local_source(path.parent)
    stack = found_stack(source)
    assert plan_of(stack, "chunks=notebook").passes[0].cost.over_read == pytest.approx((12 / 11) ** 2)


@pytest.mark.parametrize(
    ("stage", "count", "most"),
    few_quick(
        [("temporal_mean", 4, "there are 3 scenes"), ("spatial_mean", 300001, "there are 300000 pixels in a scene")]
    ),
)
@pytest.mark.parametrize("engine", few_quick(["block", "xarray"]))
def test_a_min_count_that_no_value_reaches_is_refused(
    stack: Stack, engine: str, stage: str, count: int, most: str
) -> None:
    with pytest.raises(PlanError, match=rf"stages\.{stage}\.min_count={count}: {most}.*; wanted at most"):
        plan_of(stack, f"engine={engine}", f"stages.{stage}.min_count={count}")
    plan_of(stack, f"engine={engine}", f"stages.{stage}.min_count={count - 1}")


def test_a_min_count_that_skipped_scenes_make_too_high_is_told_and_not_refused(stack: Stack) -> None:
    job = compose("stages.temporal_mean.min_count=4")
    assert describe_too_few(make_plan(job, stack, skipped=1), stack) == [
        "temporal_mean: all values but counts are missing, since 3 scenes are left, fewer than "
        "stages.temporal_mean.min_count=4"
    ]
    assert describe_too_few(plan_of(stack), stack) == []
