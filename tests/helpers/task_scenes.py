"""Scenes of small files on disk, as tasks of the block engine want them, and what the tasks leave."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
from jobs import compose

from runner.engine.tasks import TaskResult
from runner.model import Scene
from runner.planning.records import StagePlan
from runner.read.header import read_header
from runner.reduce.statistics import finish
from runner.settings import JobSettings, Over

MEANS = tuple(StagePlan(f"{over.value}_mean", over, ("count", "mean")) for over in (Over.space, Over.time))
MEDIAN = StagePlan("median", Over.time, ("count", "median"))


def scene(path: Path, number: int) -> Scene:
    content = path.read_bytes()
    header = read_header(lambda start, stop: content[start:stop], len(content), path.name)
    time = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=number)
    return Scene(path.name, str(path), time, {}, len(content), None, None, header)


@cache
def job_of_any_files() -> JobSettings:
    return compose("source=local", "source.url=/nowhere/*.tif")


def values(result: TaskResult) -> dict[str, np.ndarray]:
    """Counts and means over both axes, and the pixels seen."""
    assert result.over_space is not None
    return {
        f"{name} {axis}": array
        for axis, partial in (("time", result.over_time[0]), ("space", result.over_space))
        for name, array in {**finish(partial, ["count", "mean"]), "seen": partial.seen}.items()
    }


def speckle(shape: tuple[int, int], dtype: str, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).gamma(1, 0.1, shape)
    return (noise * 10_000 + 1).astype(dtype) if dtype.startswith("u") else noise.astype(dtype)
