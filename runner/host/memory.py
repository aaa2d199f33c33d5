"""How much memory there is and how much is taken: of this machine, or of the control groups this process is in."""

import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

from runner.host.cgroup import GroupLimits, group_limits


def memory_limit_bytes(limits: GroupLimits | None = None) -> int:
    """The bytes this process and its workers may use together: the lower of the machine's and its groups' limits."""
    allowed = (group_limits() if limits is None else limits).memory_bytes
    machine = int(psutil.virtual_memory().total)
    return machine if allowed is None else min(machine, allowed)


@dataclass(slots=True)
class Usage:
    """What some processes took: the most resident bytes at one time, and user and system time."""

    peak_bytes: int = 0
    cpu_seconds: float = 0.0


@contextmanager
def measured_usage(strangers: frozenset[int], every_seconds: float = 0.25) -> Iterator[Usage]:
    """Watch this process and those it started, less the `strangers`, during the block.

    Resident bytes are looked at `every_seconds`; of a process that ends, the time since the last look is not counted.
    """
    family, done = _Family(strangers), threading.Event()

    def watch() -> None:
        while True:
            family.look()
            if done.wait(every_seconds):
                family.look()
                return

    thread = threading.Thread(target=watch, name="usage", daemon=True)
    thread.start()
    try:
        yield family.usage
    finally:
        done.set()
        thread.join()


def process_seconds() -> float:
    """Since this process began."""
    return time.time() - psutil.Process().create_time()


def child_pids() -> frozenset[int]:
    """The processes that this one has started, and those they have. Slow: it looks at every process there is."""
    return frozenset(child.pid for child in psutil.Process().children(recursive=True))


@dataclass(slots=True)
class _Family:
    """Processes, and what they used since they were first seen; those that come in the place of others are found."""

    strangers: frozenset[int]
    usage: Usage = field(default_factory=Usage)
    _members: dict[psutil.Process, float] = field(init=False)  # CPU seconds by the last look
    _size: int = field(init=False)

    def __post_init__(self) -> None:
        self._members = dict.fromkeys([psutil.Process(), *self._children()], 0.0)
        self._size = len(self._members)
        self.look()
        self.usage.cpu_seconds = 0.0  # what they used before

    def _children(self) -> list[psutil.Process]:
        return [one for one in psutil.Process().children(recursive=True) if one.pid not in self.strangers]

    def look(self) -> None:
        if len(self._members) < self._size:  # a worker has died; another may have been started
            self._members |= {one: 0.0 for one in self._children() if one not in self._members}
        resident = 0
        for one, before in list(self._members.items()):
            try:
                resident += int(one.memory_info().rss)
                now = _cpu_seconds(one)
            except psutil.Error:
                del self._members[one]
                continue
            self.usage.cpu_seconds += now - before
            self._members[one] = now
        self.usage.peak_bytes = max(self.usage.peak_bytes, resident)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def own_usage() -> Usage:
    """What this process has taken since it began."""
    return Usage(peak_bytes(), _cpu_seconds(psutil.Process()))


def peak_bytes() -> int:
    """The most resident bytes this process ever had.

    Linux hands `ru_maxrss` on from the process that started this one, so that its own high-water mark is read.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - a third of the time of Path
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
