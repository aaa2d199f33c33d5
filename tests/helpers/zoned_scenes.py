"""Scenes with holes, zones on them that overlap or reach beyond them, and the statistics of a stage over zones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jobs import found_stack
from passes import computed
from scenes_on_disk import speckle, write_scene
from zone_files import feature, star

from runner.model import Stack
from runner.settings import JobSettings, SourceSettings

SHAPE, SCENES = (90, 120), 3
THIN = ((50.6, 50.6), (50.9, 50.6), (50.9, 50.9))  # a zone without the centre of a pixel
ONLY_ZONES = ("~stage@stages.spatial_mean", "~stage@stages.temporal_mean")
_MIDDLES = ((30, 30), (40, 35), (100, 70), (118, 2), (60, 89), (-1, 50), (70, 20))


def write_scenes(folder: Path) -> None:
    """Write the scenes into `data`."""
    for day in range(1, SCENES + 1):
        write_scene(folder / f"data/2020010{day}.tif", speckle(SHAPE, seed=day), blockxsize=48, blockysize=32)


def scenes(folder: Path) -> list[Path]:
    """The files of the scenes, in their order."""
    return sorted((folder / "data").glob("*.tif"))


def stars() -> Iterator[dict[str, Any]]:
    """Seven zones as features."""
    random = np.random.default_rng(8)
    return (feature(star(random, middle, 22), name=f"zone {number}") for number, middle in enumerate(_MIDDLES))


def stack_of(source: SourceSettings) -> Stack:
    """The stack of a source."""
    return found_stack(source)


def zone_table(job: JobSettings, stack: Stack) -> dict[str, np.ndarray]:
    """The statistics, (scenes, zones)."""
    return {name: values.reshape(len(stack.scenes), -1) for name, values in computed(job, stack)["zones"].items()}
