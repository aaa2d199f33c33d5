"""The compiled kernels, tile in the cache, one core: decoded bytes a second, best of several runs.

`python tests/benchmarks/bench_kernels.py` takes a minute, the first time two more for compiling. For scale: inflating
and plain numpy stand in the same table.
"""

import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial as bind
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt
from report import machine, markdown

from runner.base.console import say
from runner.read.predictor import undo_predictor
from runner.reduce.fused import Encoded, FusedSums
from runner.reduce.partial import Needs
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish, finish_ordered, needs
from runner.reduce.temporal import TemporalSums
from runner.reduce.time_sums import TaskTimes

Tile = npt.NDArray[Any]

SIDE = 512
SCENES = 100
WHOLE = Place(0, 0, 0, 0, SIDE, SIDE)
TIMES = [631_152_000_000 + 86_400_000 * 6 * scene for scene in range(SCENES)]  # every six days from 2020 on
NEEDS = {
    "count": Needs(),
    "mean": Needs(sums=True),
    "var": Needs(sums=True, squares=True),
    "min, max": Needs(extremes=True),
}


class Case(NamedTuple):
    """Something to time: `run` goes over `size` decoded bytes."""

    what: str
    dtype: str
    size: int
    run: Callable[[], object]


def main() -> None:
    """Time every case and show the table."""
    rows = []
    for case in cases():
        first, best = timed(case.run)
        rows.append((case.what, case.dtype, f"{case.size / best / 1e9:.2f}", f"{best * 1e6:.0f}", f"{first:.2f}"))
    table = markdown(("what", "pixels", "GB/s", "us a run", "first s"), rows)
    say(f"{machine()}; tiles of {SIDE} x {SIDE}\n\n{table}")


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the first call, which loads or compiles, and of the best of the following ones."""
    first = seconds(run)
    repeats = max(1, round(0.01 / seconds(run)))
    return first, min(seconds(run, repeats) for _ in range(20 if repeats > 1 else 3)) / repeats


def seconds(run: Callable[[], object], repeats: int = 1) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    return time.perf_counter() - started


def cases() -> Iterator[Case]:
    """All of them, the order being that of a tile's way."""
    yield from decoding()
    for dtype in ("float32", "uint16", "uint8", "int32", "float64", "int64"):
        yield from accumulating(tile_of(dtype))
    yield fused()
    tile = tile_of("float32")
    yield Case("numpy: where(valid).sum, count", "float32", tile.nbytes, bind(plain_sums, tile))
    yield from finishing()


def tile_of(dtype: str, scene: int = 0) -> Tile:
    """Speckle; a third is nodata, 0."""
    rng = np.random.default_rng(scene)
    values = rng.gamma(4, 0.02, (SIDE, SIDE)) * (1 if dtype.startswith("float") else 1000)
    values[rng.random((SIDE, SIDE)) < 0.3] = 0
    return values.astype(dtype)


def decoding() -> Iterator[Case]:
    for dtype in ("float32", "float64"):
        tile = tile_of(dtype)
        encoded = imagecodecs.floatpred_encode(tile, axis=-1).tobytes()
        stored, out = zlib.compress(encoded, 6), bytearray(len(encoded))
        yield Case("inflate (libdeflate)", dtype, tile.nbytes, bind(imagecodecs.deflate_decode, stored, out=out))
        yield predicted(tile, 3)
    for dtype in ("uint8", "uint16", "int32", "int64"):
        yield predicted(tile_of(dtype), 2)


def predicted(tile: Tile, predictor: int) -> Case:
    """Undoing the predictor of any bytes: the time does not depend on them."""
    encoded, out = tile.view(np.uint8).copy(), np.empty((SIDE, SIDE, 1), tile.dtype)
    run = bind(undo_predictor, encoded, out, predictor, big_endian=False)
    return Case(f"undo predictor {predictor}", str(tile.dtype), tile.nbytes, run)


def fused() -> Case:
    """What a run of means does with the inflated blocks of some scenes."""
    pixels, needed, together = Pixels(np.dtype(np.float32), 0), NEEDS["mean"], 8
    tiles = [imagecodecs.floatpred_encode(tile_of("float32", scene), axis=-1).tobytes() for scene in range(together)]
    encoded = np.frombuffer(b"".join(tiles), np.uint8).reshape(together, SIDE, -1)
    sums = FusedSums(TemporalSums((SIDE, SIDE), pixels, needed), SpatialSums(together, pixels, needed), pixels)
    run = bind(sums.add, range(together), Encoded(encoded, 3), WHOLE)
    return Case(f"undo predictor 3, mean over time and over space, {together} scenes", "float32", encoded.nbytes, run)


def accumulating(tile: Tile) -> Iterator[Case]:
    pixels = Pixels(tile.dtype, 0)
    for name, needed in NEEDS.items():
        over_time, over_space = TemporalSums(tile.shape, pixels, needed), SpatialSums(1, pixels, needed)
        dtype = str(tile.dtype)
        yield Case(f"{name} over time", dtype, tile.nbytes, bind(over_time.add_tile, tile, WHOLE))
        yield Case(f"{name} over space", dtype, tile.nbytes, bind(over_space.add_tile, 0, tile, WHOLE))
    for name in ("slope", "slope_stderr", "first"):
        trend = TemporalSums(tile.shape, pixels, needs([name]), TaskTimes.of(TIMES[-1:]))
        yield Case(f"{name} over time", str(tile.dtype), tile.nbytes, bind(trend.add_tile, tile, WHOLE))


def plain_sums(tile: Tile) -> tuple[float, int]:
    valid = tile != 0
    return float(np.where(valid, tile, 0).sum(dtype=np.float64)), int(np.count_nonzero(valid))


def finishing() -> Iterator[Case]:
    pixels = Pixels(np.dtype("float32"), 0)
    stack = np.stack([tile_of("float32", scene) for scene in range(SCENES)])
    sums = TemporalSums((SIDE, SIDE), pixels, NEEDS["var"])
    for tile in stack:
        sums.add_tile(tile, WHOLE)
    partial = sums.partial()
    for name in ("mean", "var"):
        yield Case(f"finish {name}", "float32", stack[0].nbytes, bind(finish, partial, [name]))
    trend = TemporalSums((SIDE, SIDE), pixels, needs(["slope_stderr"]), TaskTimes.of(TIMES))
    for scene, tile in enumerate(stack):
        trend.add_tile(tile, WHOLE, scene)
    partial = trend.partial()
    for name in ("slope", "slope_stderr"):
        yield Case(f"finish {name}", "float32", stack[0].nbytes, bind(finish, partial, [name]))
    few = np.ascontiguousarray(stack[:, :64])
    yield Case(f"median of {SCENES}", "float32", few.nbytes, bind(finish_ordered, few, pixels, ["median"]))
    times = np.array(TIMES, np.float64)
    for name in ("theil_sen", "mann_kendall"):
        run = bind(finish_ordered, few[:, :8], pixels, [name], times)
        yield Case(f"{name} of {SCENES}", "float32", few[:, :8].nbytes, run)
    yield Case(f"numpy: nanmedian of {SCENES}", "float32", few.nbytes, bind(np.nanmedian, few, axis=0))
    scene = stack.ravel()
    yield Case("median of a scene", "float32", scene.nbytes, bind(finish_ordered, scene, pixels, ["median"]))


if __name__ == "__main__":
    main()
