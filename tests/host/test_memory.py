"""The limits of control groups count at every level, and what processes use is measured."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from runner.host import memory
from runner.host.cgroup import GroupLimits, group_limits
from runner.host.memory import memory_limit_bytes

PROGRAM = "from runner.host.memory import process_seconds; print(process_seconds())"
V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1_MEMORY = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
V1_CPU = "36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
DOCKER = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro master:1 - cgroup cgroup rw,memory"
NO_LIMIT = "9223372036854771712"  # what version 1 says where nothing was set


def limits_of(folder: Path, mounts: list[str], memberships: list[str], files: dict[str, str]) -> GroupLimits:
    """The limits of a process that sees these mounts, is in these groups, and where these files hold these limits."""
    process = folder / "proc"
    process.mkdir()
    (process / "mountinfo").write_text("\n".join(mounts))
    (process / "cgroup").write_text("\n".join(memberships))
    for name, text in files.items():
        path = folder / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return group_limits(process, folder)


@pytest.mark.parametrize(
    ("mounts", "memberships", "files", "expected"),
    [
        ([V2], ["0::/"], {"memory.max": "1073741824"}, GroupLimits(2**30)),
        ([V2], ["0::/"], {"memory.max": "max", "cpu.max": "max 100000"}, GroupLimits()),
        ([V2], ["0::/slurm/job_7/step_0"], {"slurm/job_7/memory.max": "1073741824"}, GroupLimits(2**30)),
        (
            [V2],
            ["0::/a/b"],
            {
                "a/memory.max": "4096",
                "a/b/memory.max": "8192",
                "a/b/cpu.max": "150000 100000",
                "a/cpu.max": "max 100000",
            },
            GroupLimits(4096, 1.5),
        ),
        ([V1_MEMORY], ["4:memory:/"], {"memory/memory.limit_in_bytes": NO_LIMIT}, GroupLimits()),
        (
            [V1_MEMORY, V1_CPU],
            ["4:memory:/slurm/uid_0/job_7", "1:cpu,cpuacct:/slurm"],
            {
                "memory/slurm/uid_0/memory.limit_in_bytes": "1073741824",
                "memory/slurm/uid_0/job_7/memory.limit_in_bytes": NO_LIMIT,
                "cpu,cpuacct/slurm/cpu.cfs_quota_us": "50000",
                "cpu,cpuacct/slurm/cpu.cfs_period_us": "100000",
            },
            GroupLimits(2**30, 0.5),
        ),
        ([V1_CPU], ["1:cpu,cpuacct:/"], {"cpu,cpuacct/cpu.cfs_quota_us": "-1"}, GroupLimits()),
        ([DOCKER], ["4:memory:/docker/abc/x"], {"memory/x/memory.limit_in_bytes": "4096"}, GroupLimits(4096)),
        ([DOCKER], ["4:memory:/elsewhere"], {"memory/memory.limit_in_bytes": "4096"}, GroupLimits(4096)),
        ([], ["0::/"], {}, GroupLimits()),
    ],
    ids=[
        "v2",
        "v2 without",
        "v2 above",
        "v2 nested",
        "v1 without",
        "v1 nested",
        "v1 cpu",
        "container",
        "moved",
        "none",
    ],
)
def test_the_lowest_limit_of_all_levels_counts(
    tmp_path: Path, mounts: list[str], memberships: list[str], files: dict[str, str], expected: GroupLimits
) -> None:
    assert limits_of(tmp_path, mounts, memberships, files) == expected


def test_a_machine_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert group_limits(tmp_path, tmp_path) == GroupLimits()


def test_a_group_can_only_lower_what_the_machine_has() -> None:
    machine = psutil.virtual_memory().total
    assert memory_limit_bytes(GroupLimits(2**20)) == 2**20
    assert memory_limit_bytes(GroupLimits(2**50)) == machine
    assert memory_limit_bytes(GroupLimits()) == machine


def test_a_process_is_as_old_as_its_parent_knows() -> None:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert 0 < float(done.stdout) <= time.monotonic() - started + 0.01  # a tick of the kernel's clock


@pytest.mark.parametrize(("earlier", "expected"), [(600, 620), (620, 300)])
def test_what_a_process_held_before_does_not_count_in_its_peak_since(
    monkeypatch: pytest.MonkeyPatch, earlier: int, expected: int
) -> None:
    monkeypatch.setattr(memory, "_status_bytes", {"VmHWM:": 620, "VmRSS:": 300}.__getitem__)
    assert memory.peak_bytes_since(earlier) == expected


def test_the_peak_since_now_is_what_is_held_now() -> None:
    held = psutil.Process().memory_info().rss
    assert abs(memory.peak_bytes_since(memory.peak_bytes()) / held - 1) < 0.1
