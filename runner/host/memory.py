"""The memory limit of this machine and its control groups, and the memory that this process takes."""

import os
import resource
import sys
import time

import psutil

from runner.host.cgroup import GroupLimits, group_limits


def memory_limit_bytes(limits: GroupLimits | None = None) -> int:
    """The bytes this process and its workers may use together: the lower of the machine's and its groups' limits."""
    allowed = (group_limits() if limits is None else limits).memory_bytes
    machine = int(psutil.virtual_memory().total)
    return machine if allowed is None else min(machine, allowed)


def process_seconds() -> float:
    """Seconds since this process started.

    Linux counts its start from the machine's, in hundredths. psutil adds the time of that, which is in whole seconds.
    """
    try:
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123 - as in `peak_bytes`
            started = int(stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError):
        return time.time() - psutil.Process().create_time()


def peak_bytes() -> int:
    """The most resident bytes this process ever had.

    Linux hands `ru_maxrss` on from the process that started this one, so that its own high-water mark is read.
    """
    try:
        return _status_bytes("VmHWM:")
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_bytes_since(earlier: int) -> int:
    """The most resident bytes of this process since its `peak_bytes` were these; if no more than then, those of now.

    What it held before, for something else, does not count.
    """
    peak = peak_bytes()
    if peak > earlier:
        return peak
    try:
        return _status_bytes("VmRSS:")
    except (OSError, StopIteration):
        return int(psutil.Process().memory_info().rss)


def _status_bytes(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - a third of the time of Path
        line = next(line for line in status if line.startswith(name))
    return int(line.split()[1]) * 1024
