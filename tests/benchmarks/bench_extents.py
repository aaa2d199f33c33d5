"""Scenes of unequal extents: the processor time that `source.grid=union` takes for each pixel read, on one core.

`python tests/benchmarks/bench_extents.py` computes the same scenes twice in turn: each in the same place, and shifted
by up to three tiles. Both read the same bytes. Nothing is written, since the raster of a union is larger, and a run
encodes it while it computes.
"""

import argparse
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import rasterio
from bench_masks import both_means, computing, cpu_seconds
from rasterio.transform import Affine
from report import end_with, machine, markdown, spread

from runner.base.console import say, tell
from runner.settings import SourceSettings, StackGrid

TILE = 512
DISTINCT = 4
SHIFTS = ((0, 0), (1, 2), (3, 1), (2, 3))  # tiles south and east, of the scenes in turn
FOLDERS = ("equal", "shifted")
COLUMNS = ("", "equal extents", "shifted, union", "ratio")


def main() -> int:
    """Make the scenes, compute both folders in turn, and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=24, help="how many (default: %(default)s)")
    parser.add_argument("--tiles", type=int, default=8, help="along each side of a scene (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_scenes(folder, options.scenes, options.tiles * TILE)
        ways = [computing(both_means(source_of(folder / name))) for name in FOLDERS]
        for way in ways:
            way()  # loads the kernels
        rounds = []
        for number in range(1, options.rounds + 1):
            rounds.append([cpu_seconds(way) for way in ways])
            tell(f"round {number}: {rounds[-1][0]:.2f} s and {rounds[-1][1]:.2f} s")
    say(f"{machine()}; {options.scenes} scenes of {options.tiles * TILE}²; rounds: {options.rounds}\n")
    columns = list(zip(*rounds, strict=True))
    ratios = [shifted / equal for equal, shifted in rounds]
    say(markdown(COLUMNS, [("CPU s", *(spread(column, 2) for column in (*columns, ratios)))]))
    return 0


def make_scenes(folder: Path, scenes: int, side: int) -> None:
    """A folder of scenes in one place and one of shifted ones, of the same speckle."""
    random = np.random.default_rng(1)
    speckle = [random.gamma(4, 0.03, (side, side)).astype(np.float32) for _ in range(DISTINCT)]
    for name in FOLDERS:
        (folder / name).mkdir()
        for number in range(scenes):
            shift = SHIFTS[number % len(SHIFTS)] if name == "shifted" else (0, 0)
            day = date(2020, 1, 1) + timedelta(days=number)
            write(folder / name / f"S1A_{day:%Y%m%d}.tif", speckle[number % DISTINCT], shift)


def write(path: Path, pixels: np.ndarray, shift: tuple[int, int]) -> None:
    """A tiled GeoTIFF, shifted by so many tiles to the south and to the east."""
    place = Affine(20.0, 0.0, 499980.0 + 20 * TILE * shift[1], 0.0, -20.0, 5300040.0 - 20 * TILE * shift[0])
    tiling = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "predictor": 3}
    shape = {"height": pixels.shape[0], "width": pixels.shape[1], "count": 1, "dtype": "float32"}
    with rasterio.open(
        path, "w", driver="GTiff", crs="EPSG:32610", transform=place, nodata=0, zlevel=1, **shape, **tiling
    ) as raster:
        raster.write(pixels, 1)


def source_of(folder: Path) -> SourceSettings:
    """The scenes of a folder."""
    return SourceSettings(name="bench", url=f"{folder}/*.tif", datetime_regex=r"(?P<date>\d{8})", grid=StackGrid.union)


if __name__ == "__main__":
    end_with(main)
