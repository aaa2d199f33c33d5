"""Tiles of several kinds inflated by libdeflate, in lanes, and as a pass chooses: one core, thread CPU time.

`python tests/benchmarks/bench_inflate.py` takes a minute. Within a round the ways follow one another; the ratios are
those of a round, as median (lowest-highest). A pass is `--tiles` tiles, and pays for its look at them and its race.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt
from report import machine, markdown, median, spread

from runner.base.console import say
from runner.read.inflate_lanes import Lanes
from runner.read.inflate_sample import literal_share
from runner.read.inflation import InflateCounts, Inflation, Packed
from runner.settings import Inflate

SIDE, TURN, DISTINCT = 512, 8, 16
COLUMNS = ("pixels", "stored / raw", "literals", "libdeflate MB/s", "lanes / libdeflate", "chosen / libdeflate")

Streams = list[memoryview]
Image = npt.NDArray[Any]


class Kind(NamedTuple):
    """Tiles of one kind, and the bytes of each when inflated."""

    name: str
    streams: Streams
    size: int


def main() -> None:
    """Time every kind and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=400, help="of a pass (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    Inflation(Inflate.lanes).inflate(packed(next(kinds())), InflateCounts())  # loads the kernels
    rows = [row(kind, options.tiles, options.rounds) for kind in kinds()]
    say(f"{machine()}; passes of {options.tiles} tiles of {SIDE} x {SIDE}\n\n{markdown(COLUMNS, rows)}")


def row(kind: Kind, tiles: int, rounds: int) -> list[str]:
    """The row of a kind. Speeds above 1 are faster than libdeflate."""
    turn, lanes = packed(kind), Lanes()
    ways: dict[str, Callable[[], object]] = {
        "libdeflate": lambda: [tile.alone() for tile in turn],
        "lanes": lambda: lanes.inflate([tile.data for tile in turn], [tile.tile for tile in turn]),
    }
    seconds: dict[str, list[float]] = {"libdeflate": [], "lanes": [], "chosen": []}
    for _ in range(rounds):
        way = Inflation()
        chosen = partial(way.inflate, turn, InflateCounts())
        for name, run in {**ways, "chosen": chosen}.items():
            seconds[name].append(computing(run, tiles // len(turn)))
    ratios = {
        name: [alone / own for alone, own in zip(seconds["libdeflate"], seconds[name], strict=True)] for name in seconds
    }
    speeds = [tiles // len(turn) * len(turn) * kind.size / own / 1e6 for own in seconds["libdeflate"]]
    stored = sum(map(len, kind.streams)) / len(kind.streams) / kind.size
    literals = [literal_share(stream) for stream in kind.streams]
    return [
        kind.name, f"{stored:.2f}", median(literals, 2), median(speeds),
        spread(ratios["lanes"], 2), spread(ratios["chosen"], 2),
    ]  # fmt: skip


def computing(run: Callable[[], object], times: int) -> float:
    """CPU seconds of this thread."""
    before = time.thread_time()
    for _ in range(times):
        run()
    return time.thread_time() - before


def packed(kind: Kind) -> list[Packed]:
    """A turn of tiles of a kind, as the reader has them."""
    tiles = np.empty((TURN, kind.size), np.uint8)
    return [
        Packed(stream, tile, partial(alone, stream, tile), deflated=True)
        for stream, tile in zip(kind.streams, tiles, strict=False)
    ]


def alone(stream: memoryview, tile: npt.NDArray[np.uint8]) -> int:
    """Inflate by libdeflate, as `runner.read.decode` does."""
    return len(imagecodecs.deflate_decode(stream, out=tile))


# --- the kinds ----------------------------------------------------------------------------------------------------


def kinds() -> Iterator[Kind]:
    """Tiles as archives have them, each made of noise and of what is smooth."""
    generator = np.random.default_rng(1)
    noise = partial(generator.normal, 0, 1, (SIDE, SIDE))
    smooth = partial(waves, generator)
    yield kind("radar, float32, predictor 3", 3, (generator.gamma(4, 0.03, (SIDE, SIDE)).astype("f4") for _ in tiles()))
    yield kind("noise, float32", 1, (noise().astype("f4") for _ in tiles()))
    yield kind("decibels to 0.01, float32, predictor 3", 3, (decibels(smooth, noise) for _ in tiles()))
    yield kind("smooth, float32, predictor 3", 3, ((280 + 5 * smooth()).astype("f4") for _ in tiles()))
    yield kind("optical, uint16, predictor 2", 2, (optical(smooth, noise) for _ in tiles()))
    yield kind("optical, uint16", 1, (optical(smooth, noise) for _ in tiles()))
    yield kind("classes, uint8", 1, (np.clip(2 * smooth() + 5, 0, 10).astype("u1") for _ in tiles()))
    yield kind("nodata alone, float32", 3, (np.zeros((SIDE, SIDE), "f4") for _ in tiles()))


def tiles() -> range:
    """The numbers of the distinct tiles."""
    return range(DISTINCT)


def waves(generator: np.random.Generator) -> Image:
    """A smooth field of a few units."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    lengths = generator.uniform(10, 90, (4, 2))
    return np.sum([np.sin(columns / length) * np.cos(rows / other) for length, other in lengths], axis=0)


def decibels(smooth: Callable[[], Image], noise: Callable[[], Image]) -> Image:
    """Radar in decibels, as it is often stored."""
    return np.round(-12 + 3 * smooth() + 1.5 * noise(), 2).astype("f4")


def optical(smooth: Callable[[], Image], noise: Callable[[], Image]) -> Image:
    """Reflectance times 10,000."""
    return (2000 + 500 * smooth() + 60 * noise()).astype("u2")


def kind(name: str, predictor: int, images: Iterator[Image]) -> Kind:
    """Tiles as GDAL writes them at its default level."""
    encoders: Sequence[Callable[[Image], Any]] = (
        lambda image: image,
        partial(imagecodecs.delta_encode, axis=-1),
        partial(imagecodecs.floatpred_encode, axis=-1),
    )
    raw = [np.ascontiguousarray(encoders[predictor - 1](image)) for image in images]
    return Kind(name, [memoryview(imagecodecs.deflate_encode(tile.tobytes(), level=6)) for tile in raw], raw[0].nbytes)


if __name__ == "__main__":
    main()
