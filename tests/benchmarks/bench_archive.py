"""Many small stacks in one run, beside one stack of the same objects: the ratio of their throughputs.

`python tests/benchmarks/bench_archive.py` makes 200 stacks of 50 scenes, which share their bytes on the disk, and runs
both ways in turn. It takes some minutes; `--stacks 20 --side 256` takes one.
"""

import os
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from measure import ROOT, Usage, run_measured
from report import machine, markdown

from runner.base.console import say, tell

sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from scenes_on_disk import speckle, write_scene

PATTERN = r"S1A_(?P<date>\d{8})_(?P<tile>T\d+)"
FIRST_DAY = date(2018, 1, 1)


def main() -> None:
    """Run both ways in turn, and show the medians and the ratio."""
    options = _options()
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        stored = make_archive(folder / "data", options)
        ways = {"one stack": ["source.duplicates=keep"], "many stacks": ["source.stack_by=[tile]"]}
        usages: dict[str, list[Usage]] = {way: [] for way in ways}
        for number in range(options.rounds + 1):
            for way, overrides in ways.items():
                usage = run(folder, overrides)
                if number:  # the first round compiles, and fills the cache of files
                    usages[way].append(usage)
                    tell(f"{way}: {usage.wall_seconds:.2f} s, {usage.cpu_seconds:.2f} s of CPU")
    show(options, stored, usages)


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--stacks", type=int, default=200)
    parser.add_argument("--scenes", type=int, default=50, help="of each stack")
    parser.add_argument("--side", type=int, default=1024, help="pixels of a scene's side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the archive is made")
    return parser.parse_args()


def make_archive(root: Path, options: Namespace) -> int:
    """Write the scenes of one stack, and link them into the others; the bytes of all."""
    stored = 0
    for number in range(options.scenes):
        day = FIRST_DAY + timedelta(6 * number)
        pixels = speckle((options.side, options.side), seed=number)
        first = write_scene(place(root, 0, day), pixels, predictor=3, blockxsize=512, blockysize=512)
        stored += first.stat().st_size * options.stacks
        for stack in range(1, options.stacks):
            link = place(root, stack, day)
            link.parent.mkdir(exist_ok=True)
            os.link(first, link)
    return stored


def place(root: Path, stack: int, day: date) -> Path:
    """The path of a scene."""
    return root / f"T{stack}" / f"S1A_{day:%Y%m%d}_T{stack}.tif"


def run(folder: Path, overrides: Sequence[str]) -> Usage:
    """One run, whose results are deleted."""
    source = ["source=local", f"source.url={folder}/data/**/*.tif", f"source.datetime_regex={PATTERN}"]
    usage = run_measured([sys.executable, "-m", "runner", *source, *overrides, "output.dir=out"], folder)
    shutil.rmtree(folder / "out")
    return usage


def show(options: Namespace, stored: int, usages: dict[str, list[Usage]]) -> None:
    """The table, and the ratio of throughputs within each round."""
    rows = []
    for way, ofs in usages.items():
        wall, cpu = median(one.wall_seconds for one in ofs), median(one.cpu_seconds for one in ofs)
        peak = max(one.peak_pss_bytes for one in ofs)
        rows.append((way, f"{wall:.1f}", f"{cpu:.1f}", f"{stored / wall / 1e6:.0f}", f"{peak / 1e6:.0f}"))
    ratios = [one.wall_seconds / many.wall_seconds for one, many in zip(*usages.values(), strict=True)]
    table = markdown(("way", "wall s", "CPU s", "MB/s stored", "peak MB"), rows)
    what = (
        f"{options.stacks} stacks of {options.scenes} scenes of {options.side} x {options.side}, {stored / 1e9:.1f} GB"
    )
    say(
        f"{machine()}; {what}; medians of {options.rounds}\n\n{table}\n\nthroughput of many / one: {median(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
