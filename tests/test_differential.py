"""Hundreds of small files, drawn from every axis of the format: count and mean are those of rasterio's pixels."""

import math
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from jobs import compose
from obstore.store import LocalStore
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterioWindow
from tiff_files import CODES, COUNTS, IMAGE, OFFSETS, header_of, strips, tags_of, tiff

from runner.engine.shared import Shared
from runner.engine.tasks import run_tasks
from runner.model import Scene, Stack
from runner.plan.masking import PixelRule, make_rule
from runner.plan.reading import make_reading
from runner.plan.records import StagePlan, Task
from runner.read import fast_reader, gdal_reader
from runner.read.fetch import FetchCounts, FetchOptions
from runner.read.header import SceneFile, ScenePixels, Window
from runner.reduce.statistics import finish
from runner.settings import JobSettings, Over, ReaderName
from runner.source.scenes import make_stack

GRID: dict[str, Any] = {"driver": "GTiff", "crs": "EPSG:32610", "transform": Affine(20, 0, 499980, 0, -20, 4200000)}
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
FLOATS = ("float32", "float64")
NARROW = (("uint8", 1), ("uint8", 2), ("uint8", 4), ("uint16", 12), ("uint32", 24), ("float32", 16))  # type, bits
WITH_PREDICTOR = ("deflate", "lzw", "zstd")
LAYOUTS: dict[str, dict[str, Any]] = {
    "rows": {"blockysize": 1},
    "strips": {"blockysize": 7},
    "one strip": {"blockysize": 10_000},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 32},
    "one tile": {"tiled": True, "blockxsize": 64, "blockysize": 64},
}
COMPILED_ANYWAY = ("uint8", "float32")  # of the pixel types; to compile the others takes longer than all else here


@dataclass(frozen=True)
class Case:
    """A file to be written: `nodata` is its tag, `mask` its mask or alpha band, `part` whether tiles are sparse."""

    dtype: str = "float32"
    shape: tuple[int, int] = (45, 37)
    count: int = 1
    nodata: float | int | None = None
    mask: str = "none"
    sparse: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __str__(self) -> str:
        words = " ".join(f"{key}={value}" for key, value in self.options.items() if value not in ("no", 1, None))
        sparse = " sparse" if self.sparse else ""
        return f"{self.dtype}x{self.count} nodata={self.nodata} mask={self.mask}{sparse} {words}"


def draw(number: int) -> Case:
    """A file, by chance from a seed of its own."""
    chance = random.Random(number)
    dtype, bits = chance.choice([*((dtype, None) for dtype in (*INTEGERS, *FLOATS) * 2), *((*one,) for one in NARROW)])
    count = chance.choice([1, 1, 2, 3])
    options = dict(LAYOUTS[chance.choice([*LAYOUTS])])
    options |= {"endianness": chance.choice(["little", "little", "big"]), "bigtiff": chance.choice(["no", "no", "yes"])}
    options |= {"interleave": chance.choice(["band", "pixel"])}
    options |= {"nbits": bits} if bits else {"compress": _compression(chance, dtype)}
    if options.get("compress") in WITH_PREDICTOR:
        options["predictor"] = chance.choice([1, 2, 3] if dtype in FLOATS else [1, 2])
    if options.get("compress") in ("jpeg", "webp"):  # which have blocks of 8 x 8
        options |= LAYOUTS["tiles"] | {"interleave": "pixel"}
        count = 3
    mask = chance.choice(["none"] * 4 + ["internal", *(["alpha"] if count > 1 else [])])
    nodata = None if mask != "none" or chance.random() < 0.4 else _nodata(chance, dtype, bits)
    sparse, shape = chance.random() < 0.25, (chance.randint(1, 70), chance.randint(1, 50))
    return Case(dtype, shape, count, nodata, mask, sparse, options, number)


def _compression(chance: random.Random, dtype: str) -> str:
    names = ["none", "deflate", "deflate", "lzw", "zstd", "packbits", "lzma"]
    names += ["lerc", "lerc_deflate", "lerc_zstd"] if dtype not in ("int64", "uint64") else []
    return chance.choice([*names, *(["jpeg", "webp"] if dtype == "uint8" else [])])


def _nodata(chance: random.Random, dtype: str, bits: int | None) -> float | int:
    if (dtype, bits) == ("float32", 16):  # whose other nodata is refused
        return chance.choice([0, 7, -10000, math.nan, float(np.finfo("float16").min)])
    if dtype in FLOATS:
        return chance.choice([0, 7, -9999, math.nan, float(np.finfo(dtype).min)])
    info = np.iinfo(dtype)
    return chance.choice([0, 7, *([info.min, info.max] if info.bits < 64 else [])])


CASES = [
    *(draw(number) for number in range(300)),
    *(Case(dtype, count=2, nodata=7, mask="alpha") for dtype in ("uint8", "uint16", "float32")),
    *(Case("int64", nodata=one) for one in (-(2**63), 2**53 + 1)),
    *(Case("float32", nodata=one) for one in (0.1, 1e38)),
    Case("uint64", nodata=2**63),
    # Nodata that GDAL compares with a tolerance, and masks that win over nodata.
    *(Case(dtype, nodata=7, mask="internal") for dtype in ("uint8", "int16", "float32", "float64")),
    *(Case(dtype, nodata=0, mask="internal", options=LAYOUTS["tiles"], seed=1) for dtype in ("uint8", "float32")),
    *(Case("float32", nodata=one) for one in (-3.40282e38, -3.39999999999999996e38)),
]


def pixels_of(case: Case) -> np.ndarray:
    """Pixels of small whole numbers, and some that are special."""
    chance = np.random.default_rng(case.seed)
    shape = (case.count, *case.shape)
    pixels = chance.integers(0, min(2 ** case.options.get("nbits", 8), 200), shape).astype(case.dtype)
    for value in _special(case):
        pixels[chance.random(shape) < 0.1] = value
    return pixels


def _special(case: Case) -> list[float | int]:
    """What a file should hold: nodata, and the least and greatest of the type, or NaN."""
    if case.options.get("nbits"):
        return [] if case.options["nbits"] < 4 else [7]
    nodata = [] if case.nodata is None else [case.nodata]
    if case.dtype in FLOATS:
        return [7, 0.1, math.nan, float(np.finfo(np.float32).min), *nodata]
    info = np.iinfo(case.dtype)
    marks = {np.iinfo("int64").min, np.iinfo("uint64").max} if case.mask == "internal" else set()
    return [7, *({info.min, info.max} - marks), *nodata]  # of masked files, a pixel like the mark is refused by name


def write(path: Path, case: Case) -> None:
    """The file of a case."""
    pixels, (height, width) = pixels_of(case), case.shape
    options = {**GRID, "height": height, "width": width, "count": case.count, "dtype": case.dtype, **case.options}
    options |= {"nodata": case.nodata, "sparse_ok": case.sparse}
    if not options.get("tiled"):
        options["blockysize"] = min(options.get("blockysize", 8), height)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **options) as dataset:
        if case.mask == "alpha":
            dataset.colorinterp = [ColorInterp.gray] * (case.count - 1) + [ColorInterp.alpha]
        rows = max(1, height // 3) if case.sparse else height
        dataset.write(pixels[:, :rows], window=RasterioWindow(0, 0, width, rows))
        if case.mask == "internal":
            dataset.write_mask(np.random.default_rng(case.seed).random(case.shape) < 0.7)


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
