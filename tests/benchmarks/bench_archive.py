"""Many small stacks in one run, beside one stack of the same bytes: the ratio of their throughputs.

`python tests/benchmarks/bench_archive.py` runs in turn, as whole processes from start to exit:

- many stacks: 200 stacks of 50 scenes of 1024 x 1024, parted by `source.stack_by`;
- one stack: as many scenes, each a mosaic of one scene of every stack. The tiles are the same bytes, and so are the
  pixels of the results. What differs is the number of files that are opened and written;
- with `--long`, the files of all stacks as one stack in one place: as many headers, and one small result.

Files of equal content share their bytes on the disk. It takes ten minutes; `--stacks 16 --rounds 1` takes one. The
processor time tells more than the wall where others use the machine too.
"""

import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from measure import ROOT, Usage, run_measured
from report import machine, markdown

from runner.base.console import say, tell

sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from scenes_on_disk import speckle, write_scene

PATTERN = r"S1A_(?P<date>\d{8})_(?P<tile>T\d+)"
FIRST_DAY = date(2018, 1, 1)
ONE, MANY, LONG = "one stack", "many stacks", "one long stack of the same files"


def main() -> None:
    """Run the ways in turn, and show the medians and the ratio."""
    options = _options()
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        stored = make_archive(folder, options)
        usages: dict[str, list[Usage]] = {way: [] for way in _ways(options)}
        for number in range(options.rounds + 1):
            for way, overrides in _ways(options).items():
                usage = run(folder, overrides)
                if number:  # the first round compiles, and fills the cache of files
                    usages[way].append(usage)
                    tell(f"{way}: {usage.wall_seconds:.2f} s, {usage.cpu_seconds:.2f} s of CPU")
    show(options, stored, usages)


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--stacks", type=int, default=200)
    parser.add_argument("--scenes", type=int, default=50, help="of each stack")
    parser.add_argument("--distinct", type=int, default=10, help="scenes of different pixels")
    parser.add_argument("--side", type=int, default=1024, help="pixels of a scene's side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="also run all files as one long stack")
    parser.add_argument("--folder", type=Path, help="where the archive is made")
    return parser.parse_args()


def _ways(options: Namespace) -> Mapping[str, Sequence[str]]:
    ways = {ONE: ["source.url=mosaics/*.tif"], MANY: ["source.url=tiles/**/*.tif", "source.stack_by=[tile]"]}
    return ways | ({LONG: ["source.url=tiles/**/*.tif", "source.duplicates=keep"]} if options.long else {})


def make_archive(folder: Path, options: Namespace) -> int:
    """Write scenes and mosaics of distinct pixels, and link the others to them; the bytes of all scenes."""
    shape, stored = mosaic_shape(options.stacks), 0
    for number in range(options.scenes):
        places = [folder / "tiles" / f"T{stack}" / scene_name(number, f"T{stack}") for stack in range(options.stacks)]
        mosaic = folder / "mosaics" / scene_name(number, "T0")
        if number < options.distinct:
            pixels = speckle((options.side, options.side), seed=number)
            profile = {"predictor": 3, "blockxsize": 512, "blockysize": 512, "num_threads": "all_cpus"}
            write_scene(places[0], pixels, **profile)
            write_scene(mosaic, np.tile(pixels, shape), **profile)
        else:
            same = number % options.distinct
            os.link(folder / "tiles" / "T0" / scene_name(same, "T0"), places[0])
            os.link(folder / "mosaics" / scene_name(same, "T0"), mosaic)
        for place in places[1:]:
            place.parent.mkdir(exist_ok=True)
            os.link(places[0], place)
        stored += places[0].stat().st_size * options.stacks
    return stored


def mosaic_shape(stacks: int) -> tuple[int, int]:
    """Rows and columns of a mosaic of so many scenes, as near to a square as it can be."""
    rows = max(rows for rows in range(1, stacks + 1) if stacks % rows == 0 and rows**2 <= stacks)
    return rows, stacks // rows


def scene_name(number: int, tile: str) -> str:
    """The name of a scene by its number."""
    return f"S1A_{FIRST_DAY + timedelta(6 * number):%Y%m%d}_{tile}.tif"


def run(folder: Path, overrides: Sequence[str]) -> Usage:
    """One run, whose results are deleted."""
    source = ["source=local", f"source.datetime_regex={PATTERN}", *overrides]
    usage = run_measured([sys.executable, "-m", "runner", *source, "output.dir=out"], folder)
    shutil.rmtree(folder / "out")
    return usage


def show(options: Namespace, stored: int, usages: Mapping[str, Sequence[Usage]]) -> None:
    """The table, and the ratio of throughputs within each round."""
    rows = []
    for way, ofs in usages.items():
        seconds, cpu = median(one.wall_seconds for one in ofs), median(one.cpu_seconds for one in ofs)
        peak = max(one.peak_pss_bytes for one in ofs)
        rows.append((way, f"{seconds:.1f}", f"{cpu:.1f}", f"{stored / seconds / 1e6:.0f}", f"{peak / 1e6:.0f}"))
    pairs = list(zip(usages[ONE], usages[MANY], strict=True))
    wall = median(one.wall_seconds / many.wall_seconds for one, many in pairs)
    cpu = median(one.cpu_seconds / many.cpu_seconds for one, many in pairs)
    table = markdown(("way", "wall s", "CPU s", "MB/s stored", "peak MB"), rows)
    what = (
        f"{options.stacks} stacks of {options.scenes} scenes of {options.side} x {options.side}, {stored / 1e9:.1f} GB"
    )
    say(
        f"{machine()}; {what}; medians of {options.rounds}\n\n{table}\n\n"
        f"throughput of {MANY} / {ONE}: {wall:.2f}, by processor time {cpu:.2f}"
    )


if __name__ == "__main__":
    main()
