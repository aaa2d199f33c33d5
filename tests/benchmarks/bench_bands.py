"""The cost of reading four bands of the same files, beside that of one: one core, CPU time, bytes fetched.

`python tests/benchmarks/bench_bands.py` takes a minute. Within a round the ways follow one another. Where tiles hold
all bands, these are fetched and inflated once; where bands lie apart, each band is read on its own. Ratios are those to
one band of interleaved files within a round, as median (lowest-highest).
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import rasterio
from bench_masks import texture
from rasterio.transform import from_origin
from report import machine, markdown, median, spread

from runner.base.console import say
from runner.engine.shared import Shared
from runner.engine.trace import NumberedTask
from runner.engine.traced_tasks import run_bands_traced
from runner.errors import RunnerError
from runner.planning.planner import make_plan
from runner.settings import (
    ClusterKind,
    ClusterSettings,
    Inflate,
    JobSettings,
    OnError,
    Over,
    S3Settings,
    SourceSettings,
    StageSettings,
)
from runner.source.scenes import find_inputs
from runner.source.stores import Stores

BANDS: Final = 4
COLUMNS = ("files", "bands", "MB fetched", "CPU s", "CPU of one band")


class Way(NamedTuple):
    """Bands that are read of files, each by its number."""

    interleave: str
    bands: tuple[int, ...]


WAYS: Final = [
    Way("pixel", (1,)),
    Way("pixel", (1, 2, 3, 4)),
    Way("band", (1,)),
    Way("band", (1, 2, 3, 4)),
]


def main() -> None:
    """Time every way and show the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--size", type=int, default=2048, help="pixels of a side (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    say(f"{machine()}; {options.scenes} scenes of {options.size} x {options.size}, {BANDS} bands\n")
    for dtype in ("uint16", "float32"):
        say(f"{dtype}\n\n{markdown(COLUMNS, rows(dtype, options.scenes, options.size, options.rounds))}\n")


def rows(dtype: str, scenes: int, size: int, rounds: int) -> list[list[str]]:
    """The rows of a type of pixels."""
    with tempfile.TemporaryDirectory() as name:
        for interleave in ("pixel", "band"):
            write(Path(name) / interleave, interleave, dtype, scenes, size)
        fetched = [read(Path(name), way)[0] for way in WAYS]  # loads the kernels
        seconds = [[read(Path(name), way)[1] for way in WAYS] for _ in range(rounds)]
    return [
        [
            f"interleaved by {way.interleave}",
            str(len(way.bands)),
            f"{size_ / 1e6:.1f}",
            median([of_round[number] for of_round in seconds], 2),
            spread([of_round[number] / of_round[0] for of_round in seconds], 2),
        ]
        for number, (way, size_) in enumerate(zip(WAYS, fetched, strict=True))
    ]


def read(folder: Path, way: Way) -> tuple[int, float]:
    """Bytes fetched, and CPU seconds, of all tasks; bands that lie apart are read one after the other."""
    bands = [passes_of(folder / way.interleave, band) for band in way.bands]
    groups = [bands] if way.interleave == "pixel" else [[band] for band in bands]
    before, fetched = time.process_time(), 0
    for group in groups:
        fetched += _fetched([shared for shared, _ in group], group[0][1])
    return fetched, time.process_time() - before


def _fetched(bands: Sequence[Shared], tasks: Sequence[NumberedTask]) -> int:
    fetched = 0
    for results in run_bands_traced(bands, iter(tasks)):
        for result in results:
            assert not isinstance(result, RunnerError)
            fetched += result[0].fetched.bytes
    return fetched


def passes_of(folder: Path, band: int) -> tuple[Shared, list[NumberedTask]]:
    """Both means of a band: what its tasks share, and the tasks."""
    cluster = ClusterSettings(ClusterKind.sync)
    stages = {f"{over.value}_mean": StageSettings(over, ["mean", "count"], cluster) for over in (Over.space, Over.time)}
    source = SourceSettings(name="bench", url=f"{folder}/*.tif", datetime_regex=r"(?P<date>\d{8})", band=band)
    job = JobSettings(source=source, stages=stages)
    job = replace(job, decode=replace(job.decode, inflate=Inflate.libdeflate))
    stack = find_inputs(job.source, Stores(S3Settings()), OnError.stop, lambda done, total: None).stack
    (pass_,) = make_plan(job, stack).passes
    tasks = [NumberedTask(number, task) for number, task in enumerate(pass_.tasks)]
    return Shared.of(pass_.reading, stack, pass_.stages), tasks


def write(folder: Path, interleave: str, dtype: str, scenes: int, size: int) -> None:
    """Scenes of bands with noise on smooth ground."""
    folder.mkdir()
    shape: dict[str, Any] = {"height": size, "width": size, "count": BANDS, "dtype": dtype, "nodata": 0}
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": interleave}
    packed = {"compress": "deflate", "predictor": 3 if dtype.startswith("f") else 2}
    place = {"crs": "EPSG:32610", "transform": from_origin(499980, 4200000, 10, 10)}
    for number in range(scenes):
        chance = np.random.default_rng(number)
        with rasterio.open(folder / f"202001{1 + number:02}.tif", "w", **shape, **tiles, **packed, **place) as raster:
            raster.write(np.stack([texture(chance, size, dtype) for _ in range(BANDS)]))


if __name__ == "__main__":
    main()
