"""How much memory there is: of this machine, or of the control group this process may not leave."""

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


def tree_rss_bytes() -> int:
    """Resident bytes of this process and its children, shared pages counted each time."""
    total = 0
    process = psutil.Process()
    for one in (process, *process.children(recursive=True)):
        try:
            total += int(one.memory_info().rss)
        except psutil.Error:  # it ended meanwhile
            continue
    return total
