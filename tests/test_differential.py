"""Hundreds of small files, drawn from every axis of the format: count and mean are those of rasterio's pixels."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from drawn_tiffs import CASES, Case, write
from jobs import compose
from obstore.store import LocalStore
from tiff_files import CODES, COUNTS, IMAGE, OFFSETS, header_of, strips, tags_of, tiff

from runner.engine.shared import Shared
from runner.engine.tasks import run_tasks
from runner.model import Scene, Stack
from runner.planning.masking import PixelRule, make_rule
from runner.planning.reading import make_reading
from runner.planning.records import StagePlan, Task
from runner.read import fast_reader, gdal_reader
from runner.read.fetch import FetchCounts, FetchOptions
from runner.read.header import SceneFile, ScenePixels, Window
from runner.reduce.statistics import finish
from runner.settings import JobSettings, Over, ReaderName
from runner.source.scenes import make_stack

COMPILED_ANYWAY = ("uint8", "float32")  # of the pixel types; to compile the others takes longer than all else here


def expected(path: Path, band: int) -> tuple[int, float]:
    """Count and mean of a band, by rasterio's pixels and mask."""
    with rasterio.open(path) as dataset:
        pixels, visible = dataset.read(band), dataset.read_masks(band) != 0
    return count_and_mean(pixels[visible & ~np.isnan(pixels)])


def count_and_mean(values: np.ndarray) -> tuple[int, float]:
    return values.size, math.fsum(values.tolist()) / values.size if values.size else math.nan


@cache
def job_of(reader: str, band: int) -> JobSettings:
    job = _job()
    return replace(job, reader=ReaderName(reader), source=replace(job.source, band=band))


@cache
def _job() -> JobSettings:
    return compose("source=local", "source.url=/nowhere/*.tif")


def stack_of(job: JobSettings, path: Path, content: bytes) -> Stack:
    now = datetime(2020, 1, 1, tzinfo=UTC)
    scene = Scene("a", str(path), now, {}, len(content), None, None, header_of(content))
    return make_stack(job.source, [scene])


def by_readers(job: JobSettings, stack: Stack, rule: PixelRule) -> tuple[int, float]:
    """Count and mean by the reader that takes the file, and the rule of the job."""
    scene = stack.scenes[0]
    path = Path(scene.href)
    file = SceneFile(scene.href, LocalStore(path.parent), path.name, None, scene.header)
    window = Window(0, 0, *scene.header.shape)
    if make_reading(job, stack).by_gdal(scene):
        parts = gdal_reader.read_scenes([file], window, scene.band, lambda one: one.href)
    else:
        parts = fast_reader.read_scenes([file], window, scene.band, FetchOptions(), FetchCounts())
    with closing(parts):
        return count_and_mean(np.concatenate([*_valid(parts, rule, scene)]))


def _valid(parts: Iterator[ScenePixels], rule: PixelRule, scene: Scene) -> Iterator[np.ndarray]:
    for part in parts:
        values = rule.values(part.pixels, part.valid, scene)
        yield values[rule.pixels.valid(values)]


def by_engine(job: JobSettings, stack: Stack, rule: PixelRule) -> tuple[int, float]:
    """Count and mean by the block engine."""
    stage = StagePlan("spatial_mean", Over.space, ("count", "mean"))
    shared = Shared.of(replace(make_reading(job, stack), rule=rule), stack, (stage,))
    task = Task(Window(0, 0, stack.grid.height, stack.grid.width), 0, 1)
    (result,) = run_tasks(shared, iter([task]))
    assert result.over_space is not None
    values = finish(result.over_space, ["count", "mean"])
    return int(values["count"][0]), float(values["mean"][0])


def check(path: Path, bands: int) -> None:
    """Every band, by either reader, and of some types by the engine."""
    content = path.read_bytes()
    for band in range(1, bands + 1):
        wanted = expected(path, band)
        for reader in ("auto", "gdal"):
            job = job_of(reader, band)
            stack = stack_of(job, path, content)
            rule = make_rule(job, stack)
            assert same(by_readers(job, stack, rule), wanted), reader
            if stack.dtype.name in COMPILED_ANYWAY:
                assert same(by_engine(job, stack, rule), wanted), reader


def same(got: tuple[int, float], wanted: tuple[int, float]) -> bool:
    return got[0] == wanted[0] and got[1] == pytest.approx(wanted[1], rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_count_and_mean_are_rasterios(tmp_path: Path, case: Case) -> None:
    write(tmp_path / "a.tif", case)
    check(tmp_path / "a.tif", case.count - (case.mask == "alpha"))


def reversed_bits(tile: bytes) -> bytes:
    return np.packbits(np.unpackbits(np.frombuffer(tile, "uint8")), bitorder="little").tobytes()


FILL_ORDER, ORIENTATION, BITS, FORMAT = 266, 274, 258, 339
PADDED = np.pad(IMAGE, ((0, 10), (0, 0)))
ODD: dict[str, bytes] = {
    **{f"padded strip, {codec}": tiff(tags_of(codec, 8), strips(codec, image=PADDED[:24])) for codec in CODES},
    **{f"short tile, {codec}": tiff(tags_of(codec), strips(codec, 16)) for codec in CODES},
    **{f"bytes behind, {codec}": tiff(tags_of(codec, 8), [one + bytes(5) for one in strips(codec)]) for codec in CODES},
    **{f"no byte count, {codec}": tiff({**tags_of(codec, 22), COUNTS: (4, [0])}, strips(codec, 22)) for codec in CODES},
    **{
        f"bits in reverse, {codec}": tiff(
            {**tags_of(codec, 8), FILL_ORDER: (3, [2])}, [reversed_bits(one) for one in strips(codec)]
        )
        for codec in CODES
    },
    **{f"orientation {one}": tiff({**tags_of("none", 8), ORIENTATION: (3, [one])}, strips("none")) for one in (3, 6)},
    **{
        f"{bits} bits in format {kind}": tiff(
            {**tags_of("none", 8), BITS: (3, [bits]), FORMAT: (3, [kind])}, [data] * 3
        )
        for bits, kind, data in ((1, 1, bytes(range(16))), (4, 1, bytes(range(64))), (12, 1, bytes(range(192))))
    },
    "signed offsets": tiff({**tags_of("none", 8), OFFSETS: (9, [8, 136, 264])}, strips("none")),
    "a bad link": tiff(tags_of("none", 8), strips("none"), following=99_999),
    "two predictors": tiff({**tags_of("deflate", 8), 317: (3, [2, 2])}, strips("deflate")),
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
def test_count_and_mean_of_odd_files_are_rasterios(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    check(tmp_path / "a.tif", 1)
