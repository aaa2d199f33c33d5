"""Many small scenes: what each of them takes beyond its bytes.

`python tests/benchmarks/tiny_scenes.py` runs ours over a folder of 10,000 scenes of one tile each, links to a hundred
files. Of the whole process, what a run over ten scenes takes is left out, and what it takes to read, inflate, undo and
add the bytes in one thread. What remains is divided by the number of scenes: of processor time, and of wall time if
all processors shared the bytes evenly.
"""

import argparse
import os
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import imagecodecs
import numpy as np
import rasterio
from measure import Usage, run_measured
from rasterio.transform import Affine
from report import end_with, machine, markdown, spread

from runner.base.console import say, tell
from runner.read.header import read_header
from runner.read.predictor import undo_predictor

SIDE = 256
DISTINCT = 100
FEW = 10  # scenes of a run that shows what starting takes
PLACE = {"crs": "EPSG:32610", "transform": Affine(20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0), "nodata": 0}
COLUMNS = ("", "whole", "starting", "bytes", "beyond, ms a scene")


def main() -> int:
    """Make the scenes, run ours and the bytes alone in turn, and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--dtype", choices=("float32", "uint16"), default="float32", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_files(folder / "distinct", options.dtype)
        link(files, folder / "few", FEW)
        link(files, folder / "many", options.scenes)
        ours(folder, "few")  # compiles
        rounds = []
        for number in range(1, options.rounds + 1):
            rounds.append((ours(folder, "many"), ours(folder, "few"), bytes_alone(files, options.scenes)))
            tell(f"round {number}: {rounds[-1][0].wall_seconds:.1f} s")
    say(f"{machine()}; {options.scenes} scenes of {SIDE} x {SIDE} {options.dtype}; rounds: {options.rounds}\n")
    say(markdown(COLUMNS, [row("CPU s", rounds, options.scenes), row("wall s", rounds, options.scenes)]))
    return 0


def make_files(folder: Path, dtype: str) -> list[Path]:
    """GeoTIFFs of speckle, DEFLATE with the predictor of the type."""
    folder.mkdir()
    random, tiling = np.random.default_rng(1), {"tiled": True, "blockxsize": SIDE, "blockysize": SIDE}
    form = {**PLACE, **tiling, "compress": "deflate", "predictor": 3 if dtype == "float32" else 2}
    paths = [folder / f"{number}.tif" for number in range(DISTINCT)]
    for path in paths:
        speckle = random.gamma(4, 0.03 if dtype == "float32" else 100, (SIDE, SIDE)).astype(dtype)
        with rasterio.open(path, "w", driver="GTiff", width=SIDE, height=SIDE, count=1, dtype=dtype, **form) as raster:
            raster.write(speckle, 1)
    return paths


def link(files: list[Path], folder: Path, scenes: int) -> None:
    """Scenes with a name and a day of their own."""
    folder.mkdir()
    for number in range(scenes):
        day = date(1990, 1, 1) + timedelta(days=number)
        os.link(files[number % len(files)], folder / f"S1A_{day:%Y%m%d}.tif")


def ours(folder: Path, scenes: str) -> Usage:
    """The whole process, into a new folder."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        words = ["source=local", f"source.url={folder / scenes}/*.tif", f"output.dir={output}/run"]
        return run_measured([sys.executable, "-m", "runner", *words], Path(output))


def bytes_alone(files: list[Path], scenes: int) -> float:
    """Seconds of one thread to read, inflate, undo and add the tiles."""
    tiles = [(path, read_header(lambda _start, _stop: b"", None, str(path), path.read_bytes())) for path in files]
    dtype = np.dtype(tiles[0][1].dtype)
    inflated, pixels = np.empty(SIDE * SIDE * dtype.itemsize, np.uint8), np.empty((SIDE, SIDE, 1), dtype)
    total = np.zeros((SIDE, SIDE, 1))
    started = time.thread_time()
    for number in range(scenes):
        path, header = tiles[number % len(tiles)]
        offset, length = int(header.layout.offsets[0, 0, 0]), int(header.layout.byte_counts[0, 0, 0])
        imagecodecs.deflate_decode(path.read_bytes()[offset : offset + length], out=inflated)
        undo_predictor(inflated, pixels, header.predictor, big_endian=False)
        total += pixels
    return time.thread_time() - started


def row(what: str, rounds: list[tuple[Usage, Usage, float]], scenes: int) -> tuple[str, ...]:
    """A line of the table."""
    if what == "CPU s":
        found = [(many.cpu_seconds, few.cpu_seconds, alone) for many, few, alone in rounds]
    else:
        cores = os.cpu_count() or 1
        found = [(many.wall_seconds, few.wall_seconds, alone / cores) for many, few, alone in rounds]
    beyond = [(many - few - alone) / scenes * 1000 for many, few, alone in found]
    return what, *(spread(column, 1) for column in zip(*found, strict=True)), spread(beyond, 2)


if __name__ == "__main__":
    end_with(main)
