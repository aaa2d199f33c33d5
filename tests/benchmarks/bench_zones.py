"""The cost of statistics of zones beside that of the spatial mean: one core, CPU time, the same files.

`python tests/benchmarks/bench_zones.py` takes some minutes. Within a round the ways follow one another; the ratio is
`zones / spatial mean` within a round, as median (lowest-highest). Reading the zones and laying them onto the grid is
done once for all scenes; it is in the seconds of zones, and in a column of its own. `--scaled` takes scenes of uint16
with scale and offset. exactextract and rasterstats read one of the scenes; what they take for it is multiplied by the
number of scenes.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from bench_masks import cpu_seconds, save, stack_of
from report import machine, markdown, median, spread

from runner.base.console import say
from runner.engine.compute import compute_pass
from runner.planning.planner import make_plan
from runner.settings import (
    ClusterKind,
    ClusterSettings,
    Inflate,
    JobSettings,
    Over,
    SourceSettings,
    StageSettings,
    ZonePixels,
    ZoneSettings,
)
from runner.source import polygon_files, zone_files, zones

COLUMNS = ("way", "laying s", "CPU s", "ratio")
LEFT, TOP, PIXEL = 499980, 4200000, 10
_CORNERS = 24


def main() -> None:
    """Time every way and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--distinct", type=int, default=4, help="files that are named again and again (%(default)s)")
    parser.add_argument("--size", type=int, default=5490, help="pixels of a side (default: %(default)s)")
    parser.add_argument("--zones", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--pixels", default="center,fraction", help="of zones.pixels (default: %(default)s)")
    parser.add_argument("--scaled", action="store_true", help="uint16 with scale and offset, in place of float32")
    parser.add_argument("--peers", action="store_true", help="exactextract and rasterstats too, where installed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scenes(folder, options.scenes, options.distinct, options.size, scaled=options.scaled)
        write_zones(folder / "zones.geojson", options.zones, options.size)
        rows = our_rows(folder, options.pixels.split(","), options.rounds)
        rows += peer_rows(folder, options.scenes) if options.peers else []
    kind = "scaled uint16" if options.scaled else "float32"
    about = f"{options.scenes} scenes of {options.size} x {options.size} {kind}, {options.zones} zones"
    say(f"{machine()}; {about}\n\n{markdown(COLUMNS, rows)}")


def our_rows(folder: Path, pixels: list[str], rounds: int) -> list[list[str]]:
    """The spatial mean, zones alone, and both in one reading."""
    space, time_, zonal = (stage(over) for over in (Over.space, Over.time, Over.zones))
    ways = {"spatial mean": computing(folder, {"space": space})}
    for choice in pixels:
        ways[f"zones, {choice}"] = computing(folder, {"zones": zonal}, choice)
    ways["spatial and temporal mean"] = computing(folder, {"space": space, "time": time_})
    ways[f"both and zones, {pixels[0]}"] = computing(folder, {"space": space, "time": time_, "zones": zonal}, pixels[0])
    laying = {choice: lay(folder, choice) for choice in pixels}
    for run in ways.values():
        run()
    seconds = {name: list[float]() for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            zones.laid.cache_clear()
            forget_zones()
            seconds[name].append(cpu_seconds(run))
    rows = []
    for name, taken in seconds.items():
        base = seconds["spatial and temporal mean" if "both" in name else "spatial mean"]
        ratio = spread([ours / theirs for ours, theirs in zip(taken, base, strict=True)], 2)
        choice = name.partition(", ")[2]
        rows.append([name, f"{laying[choice]:.1f}" if choice else "", median(taken, 2), ratio])
    return rows


def stage(over: Over) -> StageSettings:
    """A stage with a mean and a count, in this thread."""
    return StageSettings(over, ["mean", "count"], ClusterSettings(ClusterKind.sync))


def computing(folder: Path, stages: dict[str, StageSettings], pixels: str = "center") -> Callable[[], object]:
    """The plan and the pass of a job, which writes nothing."""
    source = SourceSettings(name="bench", url=f"{folder}/*_B.tif", datetime_regex=r"(?P<date>\d{8})")
    file = ZoneSettings(str(folder / "zones.geojson"), pixels=ZonePixels(pixels))
    job = JobSettings(source=source, stages=stages, zones=file)
    job = replace(job, decode=replace(job.decode, inflate=Inflate.libdeflate))
    stack = stack_of(job)

    def run() -> object:
        (pass_,) = make_plan(job, stack).passes
        return compute_pass(pass_, stack)

    return run


def forget_zones() -> None:
    """Let the file of zones be read anew."""
    for kept in (polygon_files._of_file, zone_files._checked):
        kept.cache_clear()


def lay(folder: Path, pixels: str) -> float:
    """CPU seconds to read the zones and to lay them onto the grid."""
    source = SourceSettings(name="bench", url=f"{folder}/*_B.tif", datetime_regex=r"(?P<date>\d{8})")
    stack = stack_of(JobSettings(source=source))
    file = ZoneSettings(str(folder / "zones.geojson"), pixels=ZonePixels(pixels))

    def run() -> object:
        forget_zones()
        return zones.laid(zone_files.read_features(file, None), file.pixels, stack.grid)

    return cpu_seconds(run)


def peer_rows(folder: Path, scenes: int) -> list[list[str]]:
    """What others take for the first scene, times the number of scenes."""
    scene, features = str(min(folder.glob("*_B.tif"))), str(folder / "zones.geojson")
    rows = []
    for name, run in (("exactextract", by_exactextract), ("rasterstats", by_rasterstats)):
        before = time.process_time()
        try:
            run(scene, features)
        except ImportError:
            rows.append([f"{name}, which is not installed", "", "", ""])
            continue
        rows.append([f"{name}, of one scene", "", f"{(time.process_time() - before) * scenes:.0f}", ""])
    return rows


def by_exactextract(scene: str, features: str) -> None:
    """The mean and the count of a scene in each zone."""
    from exactextract import exact_extract

    exact_extract(scene, json.loads(Path(features).read_text())["features"], ["mean", "count"])


def by_rasterstats(scene: str, features: str) -> None:
    """As above."""
    from rasterstats import zonal_stats

    zonal_stats(features, scene, stats=["mean", "count"])


def write_scenes(folder: Path, scenes: int, distinct: int, size: int, *, scaled: bool = False) -> None:
    """Scenes of speckle, the fifth part of which is nodata, some of them again under other names."""
    for number in range(scenes):
        path = folder / f"{np.datetime64('2020-01-01') + number}".replace("-", "")
        path = path.with_name(f"{path.name}_B.tif")
        if number >= distinct:
            first = sorted(folder.glob("*_B.tif"))[number % distinct]
            path.hardlink_to(first)
            continue
        chance = np.random.default_rng(number)
        pixels = chance.gamma(4.4, 0.02, (size, size)).astype(np.float32)
        pixels[: size // 5] = 0
        save(path, (pixels * 10_000).astype(np.uint16) if scaled else pixels, PIXEL)
        if scaled:
            with rasterio.open(path, "r+") as raster:
                raster.scales, raster.offsets = [1e-4], [-0.1]


def write_zones(path: Path, count: int, size: int) -> None:
    """Polygons of many corners, side by side, that overlap at their edges."""
    chance, side = np.random.default_rng(1), int(np.ceil(count**0.5))
    step, features = size / side, []
    for number in range(count):
        row, column = divmod(number, side)
        angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
        radii = step * chance.uniform(0.45, 0.65, _CORNERS)
        xs, ys = (column + 0.5) * step + radii * np.cos(angles), (row + 0.5) * step + radii * np.sin(angles)
        ring = [[LEFT + PIXEL * x, TOP - PIXEL * y] for x, y in zip([*xs, xs[0]], [*ys, ys[0]], strict=True)]
        features.append({"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}})
    named = {"type": "name", "properties": {"name": "EPSG:32610"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": named, "features": features}))


if __name__ == "__main__":
    main()
