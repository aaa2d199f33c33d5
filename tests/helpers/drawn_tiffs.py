"""Small files of every kind that GDAL writes: pixel types, nodata, masks, layouts, compressions, drawn by chance."""

import math
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.windows import Window

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
        dataset.write(pixels[:, :rows], window=Window(0, 0, width, rows))
        if case.mask == "internal":
            dataset.write_mask(np.random.default_rng(case.seed).random(case.shape) < 0.7)
