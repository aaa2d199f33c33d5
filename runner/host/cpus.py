"""Processors that this process may use."""

import math
import os

from runner.host.cgroup import group_limits


def cpu_count() -> int:
    """The number of processors: those it may run on, or as many as its control groups let it keep busy."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = group_limits().cpus
    return allowed if share is None else max(1, min(allowed, math.ceil(share)))
