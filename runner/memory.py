"""How much memory there is: of this machine, or of the control group this process may not leave."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # version 2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # version 1
)


def memory_limit_bytes(files: tuple[Path, ...] = _CGROUP_LIMITS) -> int:
    """The bytes this process and its workers may use together: the lowest of the machine's and its groups' limits.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.max; "max" and huge numbers mean no limit.
    """
    return min([int(psutil.virtual_memory().total), *(limit for file in files if (limit := _limit(file)) is not None)])


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) > 0 else None


@dataclass(slots=True)
class Memory:
    """The most that was seen."""

    peak_bytes: int = 0


@contextmanager
def measured_memory(strangers: frozenset[int], every_seconds: float = 0.25) -> Iterator[Memory]:
    """Watch the resident bytes of this process and the children it has now, less the `strangers`, during the block."""
    processes = [psutil.Process(), *(psutil.Process(pid) for pid in child_pids() - strangers)]
    memory, done = Memory(), threading.Event()

    def watch() -> None:
        while True:
            memory.peak_bytes = max(memory.peak_bytes, sum(map(_rss_bytes, processes)))
            if done.wait(every_seconds):
                return

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        done.set()
        thread.join()


def child_pids() -> frozenset[int]:
    """The processes that this one has started, and those they have. Slow: it looks at every process there is."""
    return frozenset(child.pid for child in psutil.Process().children(recursive=True))


def _rss_bytes(process: psutil.Process) -> int:
    """Resident bytes, shared pages included; 0 of a process that has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def release_free_memory() -> None:
    """Give freed memory back to the system, where the C library can be told to: it keeps a quarter of a run's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)
