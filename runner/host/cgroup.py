"""Limits of this process by Linux control groups: memory and CPUs, at any level of the hierarchy.

Sources: https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max, cpu.max),
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, https://docs.kernel.org/scheduler/sched-bwc.html,
proc_pid_mountinfo(5), cgroups(7).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

_PLACES = 8  # that limits are remembered of
_NO_LIMIT = 2**60  # bytes; version 1 says "none" by the largest number of whole pages


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """The lowest limits of all groups around this process; None without a limit."""

    memory_bytes: int | None = None
    cpus: float | None = None


@lru_cache(_PLACES)
def group_limits(process: Path = Path("/proc/self"), root: Path = Path("/")) -> GroupLimits:
    """Read the limits of a process, once; both None without control groups.

    Groups are nested, and each level may limit: Slurm and systemd set theirs far below the root of the hierarchy.
    """
    try:
        mounts = (process / "mountinfo").read_text("utf-8").splitlines()
        memberships = (process / "cgroup").read_text("utf-8").splitlines()
    except OSError:
        return GroupLimits()
    folders = list(_folders(mounts, memberships, root))
    memory = [bytes_ for folder in folders if (bytes_ := _memory_bytes(folder)) is not None]
    cpus = [share for folder in folders if (share := _cpus(folder)) is not None]
    return GroupLimits(min(memory, default=None), min(cpus, default=None))


def _folders(mounts: list[str], memberships: list[str], root: Path) -> Iterator[Path]:
    """The folders of the groups this process is in, from its own up to the mount, of every hierarchy."""
    groups = dict(_groups(memberships))
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        top, mounted_at = (_unescaped(field) for field in before.split()[3:5])
        controllers = [""] if kind == "cgroup2" else [name for name in options.split(",") if name in groups]
        for group in {groups[name] for name in controllers if name in groups}:
            place = root / mounted_at.lstrip("/")
            yield from _levels(place, _below(group, top))


def _groups(memberships: list[str]) -> Iterator[tuple[str, str]]:
    """Controller and group. Version 2 has one group, with an empty controller."""
    for line in memberships:
        _, controllers, group = line.split(":", 2)
        yield from ((name, group) for name in controllers.split(","))


def _below(group: str, top: str) -> PurePosixPath:
    """The group as seen from the mount, which shows groups below `top`; the mount itself for any other."""
    path = PurePosixPath(group)
    return path.relative_to(top) if path.is_relative_to(top) else PurePosixPath()


def _levels(mount: Path, group: PurePosixPath) -> Iterator[Path]:
    yield mount / group
    yield from (mount / level for level in group.parents)


def _unescaped(text: str) -> str:
    """Blanks in a mount's path are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda escape: chr(int(escape[1], 8)), text)


def _memory_bytes(folder: Path) -> int | None:
    text = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    limit = int(text) if text.isdigit() else 0
    return limit if 0 < limit < _NO_LIMIT else None


def _cpus(folder: Path) -> float | None:
    """Quota over period: the processors this group may keep busy."""
    text = _read(folder / "cpu.max") or f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}"
    quota, _, period = text.partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except OSError:
        return ""
