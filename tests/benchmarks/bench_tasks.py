"""The processor time that a further task takes, on threads and on workers: of the driver, of dask, of all processes.

`python tests/benchmarks/bench_tasks.py` runs a stack of two scenes in few and in many tasks of one small tile each, on
threads of this process, on a scheduler and a worker that others have started, and on worker processes; a minute or two.
The difference is divided by that of the tasks. Of the driver, the event loop is dask's; with `processes` it has the
scheduler too. Rasters are encoded by threads of their own, which takes as long as they have pixels. The rest is ours:
sums, kept tasks, the record. Threads take that as well, so what workers cost is what all processes take beyond threads.
"""

import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
from measure import ROOT
from report import machine, markdown

from runner.base.console import say, tell

sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from dask_cluster import DaskCluster, dask_cluster
from scenes_on_disk import speckle, write_scene

SIDE = 64  # pixels of a tile
COLUMNS = (
    "cluster",
    "driver, ms a task",
    "of it dask's loop",
    "encoding",
    "the rest",
    "scheduler",
    "workers",
    "in all",
    "beyond threads",
)


class Cost(NamedTuple):
    """CPU seconds of a run."""

    driver: float
    loop: float  # of the driver, as is the next
    raster: float
    scheduler: float
    workers: float

    @property
    def whole(self) -> float:
        """Of all processes."""
        return self.driver + self.scheduler + self.workers

    def each(self, few: "Cost", tasks: int) -> "Cost":
        """Milliseconds of each further task."""
        return Cost(*((more - less) / tasks * 1e3 for more, less in zip(self, few, strict=True)))


def main() -> None:
    """Run few and many tasks on each cluster, and show the cost of a further task."""
    options = _options()
    with TemporaryDirectory(dir=options.folder) as name, dask_cluster(Path(name) / "dask", 0) as cluster:
        folder, threads = Path(name), str(options.threads)
        cluster.start_worker("w0", "--nthreads", threads)
        clusters = {
            "threads": ["cluster=threads", f"cluster.threads_per_worker={threads}"],
            "address": ["cluster=address", f"cluster.address={cluster.address}"],
            "processes": ["cluster=processes", "cluster.n_workers=1", f"cluster.threads_per_worker={threads}"],
        }
        make_scenes(folder, options)
        tasks = options.many**2 - options.few**2
        costs = {}
        for kind, words in clusters.items():
            few, many = (run(folder, tiles, words, cluster) for tiles in (options.few, options.many))
            costs[kind] = many.each(few, tasks)
            tell(f"{kind}: {costs[kind]}")
    show(costs, options)


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=10, help="tiles on a side of the few: 10, so a hundred tasks")
    parser.add_argument("--many", type=int, default=40, help="tiles on a side of the many: 40")
    parser.add_argument("--threads", type=int, default=8, help="of the worker")
    parser.add_argument("--folder", type=Path, help="where the scenes are made")
    return parser.parse_args()


def make_scenes(folder: Path, options: Namespace) -> None:
    """Two scenes of each size."""
    for tiles in (options.few, options.many):
        for day in (1, 2):
            pixels = speckle((SIDE * tiles, SIDE * tiles), seed=day)
            path = folder / f"{tiles}" / f"2020010{day}.tif"
            write_scene(path, pixels, predictor=3, blockxsize=SIDE, blockysize=SIDE)


def run(folder: Path, tiles: int, words: Sequence[str], cluster: DaskCluster) -> Cost:
    """Run one of the stacks; what each process took."""
    before = [_cpu_seconds(cluster, name) for name in ("scheduler", "w0")]
    command = [
        sys.executable, str(Path(__file__).with_name("own_usage.py")), "source=local",
        f"source.url={folder}/{tiles}/*.tif", r"source.datetime_regex=(?P<date>\d{8})", "chunks=block", "chunks.time=2",
        "output.dir=out", *words,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    shutil.rmtree(folder / "out")
    after = [_cpu_seconds(cluster, name) for name in ("scheduler", "w0")]
    if cluster.address not in " ".join(words):  # whose processes were idle
        after = before
    scheduler, worker = (seconds - was for seconds, was in zip(after, before, strict=True))
    driver, _ = (folder / "usage").read_text().split()
    loop, raster, children = map(float, (folder / "parts").read_text().split())
    return Cost(float(driver), loop, raster, scheduler, worker + children)


def _cpu_seconds(cluster: DaskCluster, name: str) -> float:
    times = psutil.Process(cluster.pid(name)).cpu_times()
    return times.user + times.system


def show(costs: Mapping[str, Cost], options: Namespace) -> None:
    """A row for each cluster."""
    rows = []
    for kind, cost in costs.items():
        beyond = cost.whole - costs["threads"].whole
        rest = cost.driver - cost.loop - cost.raster
        values = (cost.driver, cost.loop, cost.raster, rest, cost.scheduler, cost.workers, cost.whole, beyond)
        rows.append((kind, *(f"{value:.2f}" for value in values)))
    what = f"{options.few**2} and {options.many**2} tasks of two tiles of {SIDE} x {SIDE}, {options.threads} threads"
    say(f"{machine()}; {what}\n\n{markdown(COLUMNS, rows)}")


if __name__ == "__main__":
    main()
