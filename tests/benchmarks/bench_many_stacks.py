"""The costs of an archive that grow with its stacks: CPU and memory of the driver a stack, the size of record and page.

`python tests/benchmarks/bench_many_stacks.py` runs archives of 100 and of 1,000 stacks of tiny scenes on one worker
process, in some minutes; `--stacks 10000` runs a larger one. `--address 1` runs them on a worker behind a scheduler
that others have started, and shows the memory of the worker as its stacks are done. `--workers 1,2` runs the same
archive over so many worker processes, each with a core: the driver and one worker are bound to one core, the driver and
two workers to two. So half of the seconds are the ideal of two.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
import pyarrow.parquet as pq
from measure import ROOT
from report import machine, markdown

from runner.base.console import say, tell
from runner.record.run_folder import read_run
from runner.record.stacks import read_stacks

sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from dask_cluster import dask_cluster
from scenes_on_disk import speckle, write_scene

PATTERN = r"S1A_(?P<date>\d{8})_(?P<tile>T\d+)"
FIRST_DAY = date(2020, 1, 6)
MARKS = (100, 1000, 2000, 3000, 5000, 7500, 10_000)  # stacks begun, at which the memory of workers is looked at


class Cost(NamedTuple):
    """The costs of an archive."""

    stacks: int
    seconds: float  # from the first stack to the last
    cpu_seconds: float  # of the driver alone, in all
    peak_bytes: int  # of the driver alone
    record_bytes: int  # of the archive's own files but the page and the tables
    page_bytes: int
    list_seconds: float  # of `log ls`
    show_seconds: float  # of `log show`


class Workers(NamedTuple):
    """Workers by the words that choose them, with their processes if others have started them."""

    words: Sequence[str]
    processes: Sequence[psutil.Process] = ()


def main() -> None:
    """Run archives of several sizes, and show the costs of each and those of a further stack."""
    options = _options()
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if options.workers:
            show_speed_up(folder, options)
            return
        costs = []
        for stacks in options.stacks:
            make_archive(folder / "data", stacks, options)
            with workers_of(folder / f"dask{stacks}", options) as workers:
                costs.append(run(folder, stacks, workers))
            tell(f"{stacks} stacks: {costs[-1]}")
            shutil.rmtree(folder / "data")
    show_costs(costs, options)


@contextmanager
def workers_of(folder: Path, options: Namespace) -> Iterator[Workers]:
    """One worker process of the run's own, or those of a scheduler at an address."""
    if not options.address:
        yield Workers(own_workers(1))
        return
    with dask_cluster(folder, 0) as cluster:
        names = [f"w{number}" for number in range(options.address)]
        for name in names:
            cluster.start_worker(name, "--nthreads", "2", "--memory-limit", "4GiB")
        words = ["archive.cluster=address", f"archive.cluster.address={cluster.address}"]
        yield Workers(words, [psutil.Process(cluster.pid(name)) for name in names])


def own_workers(number: int) -> list[str]:
    """The words for so many worker processes."""
    return ["archive.cluster=processes", f"archive.cluster.n_workers={number}"]


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--stacks", type=_numbers, default=[100, 1000], help="of each archive: 100,1000")
    parser.add_argument("--scenes", type=int, default=2, help="of each stack")
    parser.add_argument("--side", type=int, default=32, help="pixels of a scene's side")
    parser.add_argument("--address", type=int, default=0, help="workers behind a scheduler at an address")
    parser.add_argument("--workers", type=_numbers, help="worker processes to compare: 1,2")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison of workers")
    parser.add_argument("--folder", type=Path, help="where the archives are made")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def make_archive(root: Path, stacks: int, options: Namespace) -> None:
    """Write the scenes of one stack, and link them into the others."""
    for number in range(options.scenes):
        day = FIRST_DAY + timedelta(6 * number)
        block = min(options.side // 16 * 16, 512)
        pixels = speckle((options.side, options.side), seed=number)
        first = write_scene(_place(root, 0, day), pixels, predictor=3, blockxsize=block, blockysize=block)
        for stack in range(1, stacks):
            link = _place(root, stack, day)
            link.parent.mkdir(exist_ok=True, parents=True)
            os.link(first, link)


def _place(root: Path, stack: int, day: date) -> Path:
    return root / f"T{stack}" / f"S1A_{day:%Y%m%d}_T{stack}.tif"


def run(folder: Path, stacks: int, workers: Workers) -> Cost:
    """Run an archive on workers; the costs of the driver, which its own process counts."""
    words = [
        "source=local", f"source.url={folder}/data/**/*.tif", f"source.datetime_regex={PATTERN}",
        "source.stack_by=[tile]", *workers.words, "output.dir=out",
    ]  # fmt: skip
    out = folder / "out"
    with memory_told(out / "stacks", workers):
        usage = _own_usage(words, folder)
    assert read_run(out).status == "COMPLETED"
    rows = read_stacks(out)
    assert len(rows) == stacks
    assert pq.read_metadata(out / "spatial_mean.parquet").num_rows == sum(row.scenes or 0 for row in rows)
    first = min(row.started.timestamp() for row in rows if row.started)
    last = max(row.started.timestamp() + (row.seconds or 0) for row in rows if row.started)
    names = ("run.json", "run.log", "events.jsonl", "stacks.parquet", "inputs.parquet")
    record = sum((out / name).stat().st_size for name in names)
    page = (out / "report.html").stat().st_size
    seconds = [_seconds_of(folder, "log", verb, where) for verb, where in (("ls", "."), ("show", "out"))]
    shutil.rmtree(out)
    return Cost(stacks, last - first, *usage, record, page, *seconds)


@contextmanager
def memory_told(stacks: Path, workers: Workers) -> Iterator[None]:
    """Tell the resident memory of workers as stacks are done."""
    ended, marks = threading.Event(), list(MARKS)

    def watch() -> None:
        while marks and workers.processes and not ended.wait(1):
            begun = len([*stacks.iterdir()]) if stacks.is_dir() else 0
            while marks and begun >= marks[0]:
                sizes = (f"{process.memory_info().rss / 1e6:.0f} MB" for process in workers.processes)
                tell(f"{marks.pop(0):,} stacks: workers have {', '.join(sizes)}")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _seconds_of(folder: Path, *words: str) -> float:
    """Seconds of a command of the runner."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "runner", *words], cwd=folder, capture_output=True, check=True)
    return time.monotonic() - start


def _own_usage(words: Sequence[str], folder: Path) -> tuple[float, int]:
    """CPU seconds and peak bytes of the driver without its workers, which are processes of their own."""
    command = [sys.executable, Path(__file__).with_name("own_usage.py"), *words]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(run.stdout + run.stderr)
    cpu, peak = (folder / "usage").read_text().split()
    return float(cpu), int(peak)


def show_costs(costs: Sequence[Cost], options: Namespace) -> None:
    """A row for each archive, and the cost of each further stack between two sizes."""
    heads = ("stacks", "wall s", "driver CPU s", "ms a further stack", "driver peak MB", "kB a further stack",
             "record kB", "page kB", "log ls s", "log show s")  # fmt: skip
    rows = []
    for before, cost in zip([None, *costs], costs, strict=False):
        more = cost.stacks - before.stacks if before else 0
        cpu = f"{(cost.cpu_seconds - before.cpu_seconds) / more * 1e3:.1f}" if before else ""
        memory = f"{(cost.peak_bytes - before.peak_bytes) / more / 1e3:.1f}" if before else ""
        sizes = f"{cost.record_bytes / 1e3:.0f}", f"{cost.page_bytes / 1e3:.0f}"
        seconds = f"{cost.list_seconds:.1f}", f"{cost.show_seconds:.1f}"
        peak = f"{cost.peak_bytes / 1e6:.0f}"
        rows.append(
            (
                f"{cost.stacks:,}",
                f"{cost.seconds:.0f}",
                f"{cost.cpu_seconds:.1f}",
                cpu,
                peak,
                memory,
                *sizes,
                *seconds,
            )
        )
    on = f"{options.address} workers at an address" if options.address else "one worker process"
    what = f"stacks of {options.scenes} scenes of {options.side} x {options.side}, on {on}"
    say(f"{machine()}; {what}\n\n{markdown(heads, rows)}")


def show_speed_up(folder: Path, options: Namespace) -> None:
    """The seconds from the first stack to the last over these workers in turn: the median of each."""
    (stacks,) = options.stacks if len(options.stacks) == 1 else [60]
    make_archive(folder / "data", stacks, options)
    seconds: dict[int, list[float]] = {workers: [] for workers in options.workers}
    for _ in range(options.rounds):
        for workers, of_rounds in seconds.items():
            with on_cores(workers):
                of_rounds.append(run(folder, stacks, Workers(own_workers(workers))).seconds)
            tell(f"{workers} workers: {of_rounds[-1]:.2f} s")
    medians = {workers: median(of_rounds) for workers, of_rounds in seconds.items()}
    alone = medians[options.workers[0]] * options.workers[0]
    rows = [(f"{workers}", f"{wall:.2f}", f"{alone / workers / wall:.2f}") for workers, wall in medians.items()]
    what = f"{stacks} stacks of {options.scenes} scenes of {options.side} x {options.side}"
    head = f"{machine()}; {what}; medians of {options.rounds}"
    say(f"{head}\n\n{markdown(('workers, each with a core', 'wall s', 'of the ideal'), rows)}")


@contextmanager
def on_cores(number: int) -> Iterator[None]:
    """Bind what is started to so many cores."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < number:
        raise SystemExit(f"{number} workers, each with a core, need {number} cores; there are {len(allowed)}")
    os.sched_setaffinity(0, sorted(allowed)[:number])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


if __name__ == "__main__":
    main()
