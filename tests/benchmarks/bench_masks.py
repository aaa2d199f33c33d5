"""The cost of masks in files of their own, beside that of reading these files alone, and of scales: one core, CPU time.

`python tests/benchmarks/bench_masks.py` takes two minutes. Within a round the ways follow one another. The files of
masks alone are fetched, inflated, and their predictor is undone, nothing else. The ratio is `masked / (unmasked + files
of masks)` within a round, as median (lowest-highest): at 1.00 a mask costs its bytes. Scaled integers are the same
files with `source.scale` and `source.offset`; their ratio is `scaled / unscaled`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import from_origin
from report import machine, markdown, median, spread

from runner.base.console import say
from runner.engine.compute import compute_pass
from runner.model import Stack, locate
from runner.planning.planner import make_plan
from runner.read.decode import Buffers, TileDecoder
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions
from runner.read.fetch_ahead import fetch_ahead
from runner.read.spans import plan_spans
from runner.settings import (
    ClusterKind,
    ClusterSettings,
    Inflate,
    JobSettings,
    MaskHrefSettings,
    MaskSettings,
    OnError,
    Over,
    S3Settings,
    SourceSettings,
    StageSettings,
)
from runner.source.scenes import find_inputs
from runner.source.stores import Stores

COLUMNS = ("archive", "clouds", "unmasked s", "files of masks s", "masked s", "ratio")
SCALED_COLUMNS = ("archive", "unscaled s", "scaled s", "ratio")
SCALES = {"uint16": (0.0000275, -0.2), "uint8": (0.005, 0.0)}
TILE = 512

Image = npt.NDArray[Any]


class Kind(NamedTuple):
    """An archive: the type of its pixels, the factor by which masks are coarser, the hidden share, the test."""

    name: str
    dtype: str
    factor: int
    clouds: float
    test: dict[str, list[int]]


KINDS = [
    Kind("Landsat, QA_PIXEL of 30 m", "uint16", 1, 0.3, {"bits": [0, 1, 2, 3, 4]}),
    Kind("Landsat, QA_PIXEL of 30 m", "uint16", 1, 0.7, {"bits": [0, 1, 2, 3, 4]}),
    Kind("Sentinel-2, SCL of 20 m on 10 m", "uint16", 2, 0.3, {"values": [0, 1, 3, 8, 9, 10]}),
    Kind("float32, mask of the same size", "float32", 1, 0.3, {"values": [0, 1, 3, 8, 9, 10]}),
]


def main() -> None:
    """Time every kind and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--size", type=int, default=2048, help="pixels of a side (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    rows = [row(kind, options.scenes, options.size, options.rounds) for kind in KINDS]
    say(f"{machine()}; {options.scenes} scenes of {options.size} x {options.size}\n\n{markdown(COLUMNS, rows)}\n")
    scaled = [scaled_row(dtype, options.scenes, options.size, options.rounds) for dtype in SCALES]
    say(markdown(SCALED_COLUMNS, scaled))


def row(kind: Kind, scenes: int, size: int, rounds: int) -> list[str]:
    """The row of a kind."""
    with tempfile.TemporaryDirectory() as name:
        write(kind, Path(name), scenes, size)
        plain, masked = job_of(Path(name), MaskSettings()), job_of(Path(name), mask_of(kind))
        seconds = timed([computing(plain), partial(read_masks, stack_of(masked)), computing(masked)], rounds)
    ratios = [both / (one + other) for one, other, both in zip(*seconds, strict=True)]
    return [kind.name, f"{kind.clouds:.0%}", *(median(values, 2) for values in seconds), spread(ratios, 2)]


def scaled_row(dtype: str, scenes: int, size: int, rounds: int) -> list[str]:
    """The row of scaled integers of a type."""
    with tempfile.TemporaryDirectory() as name:
        write(Kind("", dtype, 1, 0.3, {"values": [9]}), Path(name), scenes, size)
        plain = job_of(Path(name), MaskSettings())
        scale, offset = SCALES[dtype]
        scaled = replace(plain, source=replace(plain.source, scale=scale, offset=offset))
        seconds = timed([computing(plain), computing(scaled)], rounds)
    ratios = [ours / theirs for theirs, ours in zip(*seconds, strict=True)]
    return [
        f"{dtype}, scale {scale:g}, offset {offset:g}",
        *(median(values, 2) for values in seconds),
        spread(ratios, 2),
    ]


def timed(ways: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """CPU seconds of each way in each round, once each has loaded its kernels."""
    for run in ways:
        run()
    return [list(way) for way in zip(*([cpu_seconds(run) for run in ways] for _ in range(rounds)), strict=True)]


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    before = time.process_time()
    run()
    return time.process_time() - before


def computing(job: JobSettings) -> Callable[[], object]:
    """The pass of a job, which writes nothing."""
    stack = stack_of(job)
    (pass_,) = make_plan(job, stack).passes
    return lambda: compute_pass(pass_, stack)


def stack_of(job: JobSettings) -> Stack:
    """The stack of a job."""
    return find_inputs(job.source, Stores(S3Settings()), OnError.stop, lambda done, total: None, job.mask).stack


def job_of(folder: Path, mask: MaskSettings) -> JobSettings:
    """Both means of the scenes of a folder."""
    source = SourceSettings(name="bench", url=f"{folder}/*_B.tif", datetime_regex=r"(?P<date>\d{8})")
    return both_means(source, mask)


def both_means(source: SourceSettings, mask: MaskSettings | None = None) -> JobSettings:
    """Both means, in this thread."""
    cluster = ClusterSettings(ClusterKind.sync)
    stages = {f"{over.value}_mean": StageSettings(over, ["mean", "count"], cluster) for over in (Over.space, Over.time)}
    job = JobSettings(source=source, mask=mask or MaskSettings(), stages=stages)
    return replace(job, decode=replace(job.decode, inflate=Inflate.libdeflate))


def mask_of(kind: Kind) -> MaskSettings:
    """The settings of the masks of a kind."""
    return MaskSettings(href=MaskHrefSettings([r"_B\.tif$", "_QA.tif"]), **kind.test)  # type: ignore[arg-type]


def read_masks(stack: Stack) -> None:
    """Fetch and decode the tiles of all masks."""
    stores, options = Stores(S3Settings()), FetchOptions()
    for mask in stack.masks:
        layout, buffers = mask.header.layout, Buffers(1)
        decoder = TileDecoder(mask.href, mask.header, 1, buffers)
        whole = mask.part(stack.grid.window)
        location = locate(mask.href)
        version = mask.etag, 0, 0, FetchCounts(), mask.size
        requested = ByteRange(mask.href, stores.of(location), location.key, *version)
        spans = plan_spans(layout, whole, 1, options)
        ranges = ((span, requested._replace(start=span.start, stop=span.stop)) for span in spans)
        with closing(fetch_ahead(ranges, options)) as fetched:
            for span, data in fetched:
                view = memoryview(data)
                for tile in span.tiles:
                    rows = slice(0, decoder.needed_rows(tile.row))
                    decoder.decode(view[tile.start - span.start : tile.stop - span.start], tile.row, rows, slice(None))


# --- archives -------------------------------------------------------------------------------------------------------


def write(kind: Kind, folder: Path, scenes: int, size: int) -> None:
    """Scenes of noise with masks of clouds."""
    for number in range(scenes):
        chance = np.random.default_rng(number)
        pixels = texture(chance, size, kind.dtype)
        clouds = blobs(chance, size // kind.factor, kind.clouds)
        codes = np.where(clouds, 22280, 21824).astype(np.uint16) if "bits" in kind.test else _classes(chance, clouds)
        day = f"2020{1 + number // 28:02}{1 + number % 28:02}"
        save(folder / f"{day}_B.tif", pixels, 10)
        save(folder / f"{day}_QA.tif", codes, 10 * kind.factor)


def texture(chance: np.random.Generator, size: int, dtype: str) -> Image:
    """Reflectance: smooth ground with noise on it."""
    ground = np.kron(chance.normal(9000, 1500, (size // 32, size // 32)), np.ones((32, 32)))
    pixels = (ground + chance.normal(0, 120, (size, size))).clip(1, 60000)
    return np.asarray(pixels / 256 if dtype == "uint8" else pixels).astype(dtype)


def blobs(chance: np.random.Generator, size: int, share: float) -> npt.NDArray[np.bool_]:
    """Clouds of many sizes with ragged edges on a share of the pixels."""
    height = chance.normal(0, 0.1, (size, size))
    for side in (1024, 256, 64, 16):
        coarse = chance.normal(0, side**0.5 / 32, (size // side + 1, size // side + 1))
        height += np.kron(coarse, np.ones((side, side)))[:size, :size]
    return np.asarray(height > np.quantile(height, 1 - share))


def _classes(chance: np.random.Generator, clouds: npt.NDArray[np.bool_]) -> Image:
    ground = np.kron(chance.choice([4, 5, 6], (clouds.shape[0] // 8 + 1,) * 2), np.ones((8, 8), int))
    return np.where(clouds, 9, ground[: clouds.shape[0], : clouds.shape[1]]).astype(np.uint8)


def save(path: Path, pixels: Image, pixel_size: float) -> None:
    """A COG's tiles, with the predictor that the providers use."""
    predictor = 3 if pixels.dtype.kind == "f" else 2 if pixels.dtype.itemsize > 1 else 1
    shape = {"height": pixels.shape[0], "width": pixels.shape[1], "count": 1, "dtype": pixels.dtype.name}
    tiles = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "predictor": predictor}
    place = {"crs": "EPSG:32610", "transform": from_origin(499980, 4200000, pixel_size, pixel_size), "nodata": 0}
    with rasterio.open(path, "w", driver="GTiff", **shape, **tiles, **place) as raster:
        raster.write(pixels, 1)


if __name__ == "__main__":
    main()
