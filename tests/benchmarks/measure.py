"""What a process costs, with every process it starts: wall time, CPU, peak memory."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from runner.errors import RunnerError

SAMPLE_SECONDS = 0.1
GROWTH = 1.02  # PSS is read again when RSS has grown by so much: the kernel walks all pages for it, 10 ms per GB
OURS_ALONE = ("AWS_", "CPL_", "DASK_", "GDAL_", "VSI_")  # settings that a contestant makes for itself
KEPT = ("GDAL_DATA", "GDAL_DRIVER_PATH")
ROOT = Path(__file__).parents[2]


class ContestantError(RunnerError):
    """A contestant that did not end well."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree of processes used, from the first instruction of an interpreter to its end.

    `cpu_seconds` are user and system time. `peak_pss_bytes` counts memory that processes share once, `peak_rss_bytes`
    once for each of them; both are the largest sum over the tree among samples SAMPLE_SECONDS apart.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_pss_bytes: int
    peak_rss_bytes: int
    most_processes: int


def run_measured(command: Sequence[str], folder: Path) -> Usage:
    """Run a command in `folder`, with its output in `folder`/output.log. Raises ContestantError if it fails."""
    log = folder / "output.log"
    with log.open("wb") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=clean_environment(os.environ),
            process_group=0,  # so that an interrupt can end the whole tree
        )
        with _ended_with_us(process), _sampled(process.pid) as tree:
            # Popen.wait has no rusage. It covers the children that were waited for; of others we have the samples.
            _, status, used = os.wait4(process.pid, 0)
            wall = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        said = log.read_text(errors="replace")[-4000:]
        raise ContestantError(f"exit code {process.returncode} from {' '.join(command)}\n{said}")
    cpu = max(used.ru_utime + used.ru_stime, sum(tree.cpu_seconds.values()))
    return Usage(wall, cpu, tree.peak_pss, tree.peak_rss, tree.most_processes)


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the settings that would change how one contestant reads and not the other."""
    kept = {name: text for name, text in environment.items() if name in KEPT or not name.startswith(OURS_ALONE)}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    return kept | {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def _sampled(pid: int) -> Iterator["_Tree"]:
    """Look at a tree of processes again and again while the block runs."""
    tree, stop = _Tree(psutil.Process(pid)), threading.Event()

    def watch() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            tree.sample()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield tree
    finally:
        stop.set()
        thread.join()


class _Tree:
    """The highest sums over a process and its descendants, and the last CPU time of each."""

    def __init__(self, root: psutil.Process) -> None:
        self._root = root
        self._rss_at_pss = 0
        self.peak_rss = self.peak_pss = self.most_processes = 0
        self.cpu_seconds: dict[psutil.Process, float] = {}

    def sample(self) -> None:
        try:
            members = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        rss = sum(self._rss(member) for member in members)
        self.peak_rss = max(self.peak_rss, rss)
        self.most_processes = max(self.most_processes, len(members))
        if rss > GROWTH * self._rss_at_pss:
            self._rss_at_pss = rss
            self.peak_pss = max(self.peak_pss, sum(map(_pss, members)))

    def _rss(self, member: psutil.Process) -> int:
        with contextlib.suppress(psutil.NoSuchProcess), member.oneshot():
            times = member.cpu_times()
            self.cpu_seconds[member] = times.user + times.system
            return int(member.memory_info().rss)
        return 0


def _pss(member: psutil.Process) -> int:
    """Proportional set size; RSS where the system has none (macOS)."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        memory = member.memory_full_info()
        return int(getattr(memory, "pss", memory.rss))
    return 0
