"""A run that reuses another: the same bits as without it, whatever scenes are new, gone or changed, run after run."""

import os
import tempfile
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import compose, found_stack, local_source
from passes import computed
from scenes_on_disk import speckle, write_boxes, write_scene

from runner.checkpoint.pass_tasks import PassTasks
from runner.checkpoint.store import Partials
from runner.engine.compute import compute_pass
from runner.errors import OutputError
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.planning.reading import fetch_options
from runner.settings import ChunkSettings, JobSettings
from runner.source.stores import Stores

SHAPE, BLOCK = (48, 40), 16
Scenes = dict[int, int]  # the seed of the pixels of each day's scene


@pytest.fixture(scope="module")
def job() -> JobSettings:
    return compose(
        "engine=block",
        "output.keep_partials=true",
        "stages.temporal_mean.statistics=[mean,std,max,count]",
        "stages.spatial_mean.statistics=[mean,min,std]",
    )


def chunked(job: JobSettings, time: int | str, y: int, kept: int) -> JobSettings:
    chunks = ChunkSettings(time=time, y=y, x="all", snap=False)
    stages = {name: replace(stage, chunks=chunks) for name, stage in job.stages.items()}
    return replace(job, chunks=chunks, stages=stages, output=replace(job.output, kept_scenes=kept))


def bring_to(folder: Path, before: Scenes, after: Scenes) -> Stack:
    """The folder's scenes as they are to be; those that stay the same are not touched."""
    for day in before.keys() - after.keys():
        scene(folder, day).unlink()
    for day, seed in after.items():
        if before.get(day) != seed:
            write_scene(scene(folder, day), speckle(SHAPE, seed), blockxsize=BLOCK, blockysize=BLOCK)
            os.utime(scene(folder, day), ns=(0, 10**9 * seed))  # however fast the test is
    source = local_source(folder)
    stores = Stores.of_source(source, fetch_options(JobSettings().fetch))
    return found_stack(source, stores)


def ignored(*_: int) -> None:
    """Progress is not shown."""


def scene(folder: Path, day: int) -> Path:
    return folder / f"S_{date(2020, 1, 1) + timedelta(days=day):%Y%m%d}.tif"


class Runs:
    """Runs one after another, each of which reuses the last."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.latest = folder, None
        self.count = 0

    def run(self, job: JobSettings, stack: Stack) -> tuple[dict[str, dict[str, np.ndarray]], list[PassTasks]]:
        """The values of a run and its tasks, with all that it used kept in its folder."""
        folder = self.folder / f"run{self.count}"
        folder.mkdir()
        partials, values, passes = Partials(folder, keeps=True, reused=self.latest), {}, []
        for pass_ in make_plan(job, stack).passes:
            passes.append(partials.of_pass(pass_, stack))
            remaining = replace(pass_, tasks=passes[-1].remaining.tasks)
            values |= compute_pass(remaining, stack, checkpoint=passes[-1])[0].values
        partials.complete()
        self.latest, self.count = folder, self.count + 1
        return values, passes


def read_scenes(passes: list[PassTasks], stack: Stack) -> set[str]:
    numbers = {n for of_pass in passes for task in of_pass.remaining.tasks for n in range(task.start, task.stop)}
    return {stack.scenes[number].name for number in numbers}


def assert_same(ours: dict[str, dict[str, np.ndarray]], theirs: dict[str, dict[str, np.ndarray]]) -> None:
    for stage, statistics in theirs.items():
        for name, values in statistics.items():
            assert values.tobytes() == ours[stage][name].tobytes(), (stage, name)


ARCHIVES = st.dictionaries(st.integers(0, 11), st.integers(1, 3), min_size=1, max_size=9)
CHUNKS = st.tuples(st.sampled_from(["auto", 1, 3]), st.sampled_from([16, 20, 48]), st.sampled_from([1, 3, 32]))


@settings(max_examples=4, deadline=None)
@given(st.lists(st.tuples(ARCHIVES, CHUNKS), min_size=2, max_size=4))
def test_runs_that_reuse_one_another_are_the_same_bits(job: JobSettings, story: list[tuple[Scenes, tuple]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        runs, before = Runs(Path(root)), {}
        for scenes, (time, y, kept) in story:
            stack = bring_to(Path(root) / "data", before, scenes)
            chunks = chunked(job, time, y, kept)
            values, _ = runs.run(chunks, stack)
            assert_same(values, computed(chunks, stack))
            assert runs.latest
            pass_ = make_plan(chunks, stack).passes[0]
            before = scenes
            if {chunk[1] for _, chunk in story} == {y}:  # windows that differ are not put together
                assert not Partials(runs.latest).of_pass(pass_, stack).remaining.tasks


OTHERS = {
    "groups": ["stages.temporal_mean.group_by=week"],
    "groups of ordered values": ["stages.temporal_mean.group_by=week", "stages.temporal_mean.statistics=[median,mean]"],
    "trends": ["stages.temporal_mean.statistics=[mean,slope,slope_stderr,first,last]"],
    "trends of groups": ["stages.temporal_mean.group_by=month", "stages.temporal_mean.statistics=[slope,last]"],
    "zones": ["stage@stages.zones=zonal", "stages.zones.statistics=[mean,std,max,count]"],
}


@pytest.mark.slow
@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
@settings(max_examples=4, deadline=None)
@given(story=st.lists(st.tuples(ARCHIVES, CHUNKS), min_size=2, max_size=4))
def test_so_are_those_of_other_stages(words: list[str], story: list[tuple[Scenes, tuple]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        zones = write_boxes(Path(root) / "zones.geojson", [(0, 3, 30, 20), (10, 10, 48, 40)])
        of_zones = [f"zones.file={zones}"] if "zonal" in words[0] else []
        job = compose("engine=block", "output.keep_partials=true", *words, *of_zones)
        runs, before = Runs(Path(root)), {}
        for scenes, (time, y, kept) in story:
            stack = bring_to(Path(root) / "data", before, scenes)
            chunks = chunked(job, "all" if "median" in words[-1] else time, y, kept)  # all scenes for ordered values
            values, _ = runs.run(chunks, stack)
            assert_same(values, computed(chunks, stack))
            before = scenes


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


FIRST: Scenes = dict.fromkeys(range(0, 20, 2), 1)


@pytest.mark.parametrize(
    ("after", "kept", "read"),
    [
        (FIRST | {20: 1, 22: 1}, 32, {20, 22}),
        (FIRST | {3: 1, 9: 1}, 32, {3, 9}),
        ({day: seed for day, seed in FIRST.items() if day != 4}, 1, set()),
        ({day: seed for day, seed in FIRST.items() if day != 4}, 5, {0, 2, 6, 8}),
        (FIRST | {4: 2}, 1, {4}),
        (FIRST | {4: 2}, 5, {0, 2, 4, 6, 8}),
    ],
    ids=["new at the end", "new within", "gone", "gone of five", "changed", "changed of five"],
)
def test_only_what_is_new_or_kept_with_what_changed_is_read(
    job: JobSettings, runs: Runs, after: Scenes, kept: int, read: set[int]
) -> None:
    chunks = chunked(job, "auto", 16, kept)
    runs.run(chunks, bring_to(runs.folder / "data", {}, FIRST))
    stack = bring_to(runs.folder / "data", FIRST, after)
    values, passes = runs.run(chunks, stack)
    assert read_scenes(passes, stack) == {scene(Path(), day).stem for day in read}
    assert_same(values, computed(chunks, stack))


@pytest.mark.parametrize("words", [[], ["chunks.time=2"]])
def test_what_another_pass_has_kept_is_not_said_to_be_computed_again(runs: Runs, words: list[str]) -> None:
    zones = write_boxes(runs.folder / "zones.geojson", [(0, 3, 30, 20), (10, 10, 48, 40)])
    zonal = ["stage@stages.zones=zonal", "+stage@stages.medians=zonal", "stages.medians.statistics=[median]"]
    job = compose("engine=block", "output.keep_partials=true", *zonal, f"zones.file={zones}", *words)
    stack = bring_to(runs.folder / "data", {}, {0: 1, 1: 1})
    _, fresh = runs.run(job, stack)
    assert len(fresh) == 2
    assert [line for of_pass in fresh for line in of_pass.describe()] == []
    assert runs.latest
    partials = Partials(runs.folder / "later", reused=runs.latest)
    later = [partials.of_pass(pass_, stack) for pass_ in make_plan(job, stack).passes]
    lines = [line for of_pass in later for line in of_pass.describe()]
    assert len(lines) == 2
    assert all(" kept, 0 are to be read" in line for line in lines)


def test_sums_of_few_scenes_are_put_together_run_after_run(job: JobSettings, runs: Runs) -> None:
    chunks, before = chunked(job, "auto", 48, 4), {}
    for days in range(1, 10):
        stack = bring_to(runs.folder / "data", before, before | {days: 1})
        before[days] = 1
        runs.run(chunks, stack)
    assert runs.latest
    assert len(list((runs.latest / "partials").glob("*.task"))) == 3


def test_what_was_taken_over_stays_when_the_earlier_run_is_deleted(job: JobSettings, runs: Runs) -> None:
    chunks = chunked(job, "auto", 16, 4)
    runs.run(chunks, bring_to(runs.folder / "data", {}, FIRST))
    earlier = runs.latest
    assert earlier
    stack = bring_to(runs.folder / "data", FIRST, FIRST | {20: 1})
    runs.run(chunks, stack)
    for file in (earlier / "partials").iterdir():
        file.unlink()
    _, passes = runs.run(chunks, stack)
    assert not read_scenes(passes, stack)


@pytest.mark.slow
def test_another_rule_is_said_and_all_is_read(job: JobSettings, runs: Runs) -> None:
    stack = bring_to(runs.folder / "data", {}, FIRST)
    runs.run(job, stack)
    masked = replace(job, source=replace(job.source, valid_range=[0.0, 0.1]))
    values, (tasks,) = runs.run(masked, stack)
    assert len(read_scenes([tasks], stack)) == len(FIRST)
    assert "source.valid_range was None and is (0.0, 0.1)" in "\n".join(tasks.describe())
    assert_same(values, computed(masked, stack))


def test_a_full_disk_ends_a_run_that_is_to_keep_all(
    job: JobSettings, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runner.checkpoint.store.write_task", full)
    with pytest.raises(OutputError, match=r"No space left on device, so that output.keep_partials=true cannot keep"):
        runs.run(job, bring_to(runs.folder / "data", {}, FIRST))
