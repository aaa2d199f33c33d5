"""An observer hears of each window over time when its values are final, and of each pixel once."""

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import compose, found_stack, local_source
from scenes_on_disk import write_scene

from runner.checkpoint.store import Partials
from runner.cluster.monitor import Watch
from runner.cluster.workers import ClusterSize, this_process
from runner.engine.block_engine import run_pass
from runner.engine.compute import compute_pass
from runner.engine.observer import Observer
from runner.engine.results import Values
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.planning.records import Pass
from runner.read.header import Window
from runner.settings import ChunkSettings, ClusterKind, ClusterSettings, JobSettings, RasterDtype


class Copies(Observer):
    """Copies each window as soon as it is finished."""

    def __init__(self) -> None:
        self.rasters: dict[str, np.ndarray] = {}
        self.times = np.zeros((300, 500), np.int64)

    def finished(self, window: Window, rasters: Mapping[str, Values]) -> None:
        place = np.s_[window.row : window.row + window.height, window.column : window.column + window.width]
        self.times[place] += 1
        for name, values in rasters.items():
            self.rasters.setdefault(name, np.zeros_like(values))[place] = values[place]


@pytest.mark.parametrize("statistics", ["[mean,count]", "[median,mean]"])
@pytest.mark.parametrize("kind", ["sync", "threads"])
def test_finished_windows_hold_the_values_of_the_result(folder_of_scenes: Path, kind: str, statistics: str) -> None:
    words = [f"stages.temporal_mean.cluster.kind={kind}", f"stages.temporal_mean.statistics={statistics}"]
    job = compose("source=local", f"source.url={folder_of_scenes}/*.tif", "chunks.y=100", "chunks.x=200", *words)
    stack = found_stack(job.source, on_error=job.on_error)
    one = next(one for one in make_plan(job, stack).passes if "temporal_mean" in [stage.name for stage in one.stages])
    copies = Copies()
    result, _ = compute_pass(one, stack, copies)
    assert (copies.times == 1).all()
    for name, values in result.values["temporal_mean"].items():
        assert copies.rasters[name].tobytes() == values.tobytes()


class Elsewhere:
    """This thread in place of a worker elsewhere: what goes there and comes back is pickled."""

    size = ClusterSize("processes", 1, 1, "tcp://elsewhere:1")
    watch = Watch()

    def __init__(self) -> None:
        self.bytes_back = 0

    def map(self, function: Any, shared: Any, tasks: Any, stop: Any) -> Iterator[Any]:
        del stop
        shared = pickle.loads(pickle.dumps(shared))
        for task in tasks:
            for result in function(shared, iter([task])):
                back = pickle.dumps(result, protocol=5)
                self.bytes_back += len(back)
                yield pickle.loads(back)


@pytest.fixture
def stack(folder_of_scenes: Path) -> Stack:
    source = local_source(folder_of_scenes)
    return found_stack(source)


@cache
def job() -> JobSettings:
    return compose("source=local", "source.url=/data", "chunks.y=100", "chunks.x=200", "chunks.time=all")


def passes(stack: Stack, raster: str = "auto", chunks: ChunkSettings | None = None, **stage: Any) -> tuple[Pass, ...]:
    """The passes of a job that differs in these."""
    stages = {**job().stages, "temporal_mean": replace(job().stages["temporal_mean"], **stage)}
    output = replace(job().output, raster_dtype=RasterDtype[raster])
    return make_plan(replace(job(), stages=stages, output=output, chunks=chunks or job().chunks), stack).passes


def values_of(pass_: Pass, stack: Stack, cluster: Any, checkpoint: Any = None) -> dict[str, dict[str, bytes]]:
    values = run_pass(pass_, stack, cluster, Observer(), checkpoint).values
    return {stage: {name: array.tobytes() for name, array in names.items()} for stage, names in values.items()}


HERE = this_process(ClusterSettings(ClusterKind.sync))


@pytest.mark.parametrize(
    ("statistics", "raster", "scenes", "min_count"),
    [
        (["mean", "count"], "float32", "all", 1),
        (["std", "max", "valid_fraction"], "float64", "all", 3),
        (["median", "mean", "sum"], "float32", "all", 2),
        (["mean", "min"], "float32", 2, 4),
        (["slope", "slope_stderr", "first", "last", "theil_sen"], "float64", "all", 2),
    ],
)
def test_windows_finished_elsewhere_have_the_same_bits(
    stack: Stack, statistics: list[str], raster: str, scenes: Any, min_count: int
) -> None:
    chunks = replace(job().chunks, time=scenes)
    for pass_ in passes(stack, raster, chunks, statistics=statistics, min_count=min_count):
        assert values_of(pass_, stack, Elsewhere()) == values_of(pass_, stack, HERE)


def test_what_comes_back_of_a_window_is_its_mean_and_its_count(stack: Stack) -> None:
    (pass_,) = passes(stack)
    elsewhere = Elsewhere()
    values_of(pass_, stack, elsewhere)
    assert elsewhere.bytes_back / stack.grid.pixels < 6  # float32 and int8, and what each task says besides


@pytest.mark.slow
def test_a_value_beyond_the_rasters_type_is_noted_as_it_is_here(tmp_path: Path) -> None:
    for day in (6, 12):
        write_scene(tmp_path / f"S1A_202001{day:02}_ASC.tif", np.full((64, 64), 1e300))
    source = local_source(tmp_path)
    stack = found_stack(source)
    (pass_,) = passes(stack, "float32")
    assert run_pass(pass_, stack, Elsewhere(), Observer()).beyond == {("temporal_mean", "mean")}  # type: ignore[arg-type]


BY_ROWS = ChunkSettings(time=1, y=150, x=100, snap=False)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({}, None),
        ({"chunks": BY_ROWS}, None),
        ({"statistics": ["mean"]}, None),
        ({"statistics": ["mean", "std"]}, "windows were finished without all statistics"),
        ({"min_count": 2}, "was finished with min_count=1 as float32, and is with min_count=2"),
        ({"raster": "float64"}, "was finished with min_count=1 as float32, and is with min"),
    ],
    ids=str,
)
def test_finished_windows_that_were_kept_serve_a_later_attempt_that_asks_for_the_same(
    stack: Stack, tmp_path: Path, changes: dict[str, Any], refusal: str | None
) -> None:
    (first,) = passes(stack)
    partials = Partials(tmp_path)
    checkpoint = partials.of_pass(first, stack)
    values_of(replace(first, tasks=checkpoint.remaining.tasks), stack, Elsewhere(), checkpoint)
    (second,) = passes(stack, **changes)
    later = Partials(tmp_path).of_pass(second, stack)
    assert [reason for _, reason in later.refused if refusal is None or refusal not in reason] == []
    assert bool(later.refused) == (refusal is not None)
    assert len(later.remaining.tasks) == (0 if refusal is None else len(second.tasks))
    remaining = replace(second, tasks=later.remaining.tasks)
    assert values_of(remaining, stack, HERE, later) == values_of(second, stack, HERE)


def test_finished_windows_do_not_serve_a_stack_of_other_scenes(stack: Stack, tmp_path: Path) -> None:
    (first,) = passes(stack)
    partials = Partials(tmp_path)
    checkpoint = partials.of_pass(first, stack)
    fewer = replace(stack, scenes=stack.scenes[:-1])
    values_of(replace(first, tasks=checkpoint.remaining.tasks), stack, Elsewhere(), checkpoint)
    (later_pass,) = passes(fewer)
    later = Partials(tmp_path).of_pass(later_pass, fewer)
    assert not later.taken
    assert all("is left out now" in reason for _, reason in later.refused)
