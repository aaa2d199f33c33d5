"""Scenes that a filter leaves out are taken out of kept sums: the same bits as if they had never been read."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import compose, found_stack, local_source
from passes import computed
from scenes_on_disk import speckle, write_scene

from runner.checkpoint.split import SplitTasks
from runner.checkpoint.store import Partials
from runner.engine.compute import compute_pass
from runner.few_valid import FewValid
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.planning.reading import fetch_options
from runner.reduce.partial import Needs, subtract
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.statistics import finish
from runner.reduce.temporal import TemporalSums
from runner.settings import ChunkSettings, JobSettings, SourceSettings
from runner.source.stores import Stores

SHAPE, BLOCK = (48, 40), 16


@pytest.fixture(scope="module")
def job() -> JobSettings:
    return compose(
        "engine=block",
        "source.min_valid_fraction=0.5",
        "stages.temporal_mean.statistics=[mean,std,count]",
        "stages.spatial_mean.statistics=[mean,min]",
    )


def chunked(job: JobSettings, time: int | str, y: int) -> JobSettings:
    return replace(job, chunks=ChunkSettings(time=time, y=y, x="all", snap=False))


def stack_of(folder: Path, holes: list[float], **changes: object) -> Stack:
    """Scenes of which these shares of pixels are missing."""
    for day, share in enumerate(holes, start=1):
        pixels = speckle(SHAPE, day, share)
        write_scene(folder / f"S_202001{day:02}.tif", pixels, blockxsize=BLOCK, blockysize=BLOCK)
    return found(local_source(folder, **changes))


def found(source: SourceSettings) -> Stack:
    stores = Stores.of_source(source, fetch_options(JobSettings().fetch))
    return found_stack(source, stores)


def without(stack: Stack, few: set[int]) -> Stack:
    return replace(stack, scenes=tuple(scene for number, scene in enumerate(stack.scenes) if number not in few))


def assert_split(job: JobSettings, stack: Stack, folder: Path) -> set[int]:
    """Compute, take out what has too few pixels, reading it alone, and compare; the numbers of those scenes."""
    (pass_,) = make_plan(job, stack).passes
    folder.mkdir()
    partials = Partials(folder, all_kept=True)
    result, _ = compute_pass(pass_, stack, checkpoint=partials.of_pass(pass_, stack))
    few = FewValid.of(pass_, result)
    if few is None or len(few.shares) == len(stack.scenes):
        return set()
    split = SplitTasks.of(partials, pass_, stack, few.shares)
    assert split is not None
    if split.pass_.tasks:
        compute_pass(split.pass_, split.stack, checkpoint=split)
    rest = without(stack, set(few.shares))
    kept = Partials(folder).of_pass(make_plan(job, rest).passes[0], rest)
    assert not kept.remaining.tasks  # nothing else is read again
    values = compute_pass(replace(pass_, tasks=()), rest, checkpoint=kept)[0].values
    expected = computed(replace(job, source=replace(job.source, min_valid_fraction=None)), rest)
    for stage, statistics in expected.items():
        for name, array in statistics.items():
            assert array.tobytes() == values[stage][name].tobytes(), (stage, name)
    return set(few.shares)


@settings(max_examples=5, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.2, 0.7, 1.0]), min_size=1, max_size=7),
    st.sampled_from(["auto", 1, 2, 3]),
    st.sampled_from([16, 20, 48]),
)
def test_what_remains_is_the_same_bits(job: JobSettings, holes: list[float], time: int | str, y: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        few = assert_split(chunked(job, time, y), stack_of(Path(root) / "data", holes), Path(root) / "run")
        failing = {number for number, share in enumerate(holes) if share > 0.5}
        assert few == (failing if len(failing) < len(holes) else set())


def test_a_pass_over_time_alone_counts_its_scenes_too(job: JobSettings, tmp_path: Path) -> None:
    over_time = replace(job, stages={"temporal_mean": job.stages["temporal_mean"]})
    assert assert_split(over_time, stack_of(tmp_path / "data", [0.1, 0.8, 0.1]), tmp_path / "run") == {1}


def test_extremes_cannot_be_split_and_are_computed_again(job: JobSettings, tmp_path: Path) -> None:
    extremes = replace(job.stages["temporal_mean"], statistics=["max"])
    job, stack = replace(job, stages={"temporal_mean": extremes}), stack_of(tmp_path / "data", [0.1, 0.8])
    (pass_,) = make_plan(job, stack).passes
    partials = Partials(tmp_path / "run", all_kept=True)
    compute_pass(pass_, stack, checkpoint=partials.of_pass(pass_, stack))
    assert SplitTasks.of(partials, pass_, stack, [1]) is None
    rest = without(stack, {1})
    assert partials.of_pass(pass_, rest).remaining.tasks


VALUES = st.lists(
    st.floats(width=32, allow_nan=False) | st.sampled_from([-0.0, 1e30, -1e30, 2.0**-140, np.inf, -np.inf]),
    min_size=1, max_size=6,
)  # fmt: skip


@given(VALUES, VALUES, st.booleans())
def test_sums_less_some_pixels_are_those_of_the_others(left: list[float], right: list[float], squares: bool) -> None:
    names = ["sum", "mean", "count"] + (["var"] if squares else [])

    def summed(values: list[float]) -> TemporalSums:
        sums = TemporalSums((1, 1), Pixels(np.dtype("f4"), None), Needs(sums=True, squares=squares))
        for value in values:
            sums.add_tile(np.array([[value]], np.float32), Place(0, 0, 0, 0, 1, 1))
        return sums

    rest = subtract(summed([*left, *right]).partial(), summed(right).partial())
    expected = finish(summed(left).partial(), names)
    for name, values in finish(rest, names).items():
        assert values.tobytes() == expected[name].tobytes(), name
