"""The processors of a process are those it may run on, and as many as its control groups let it keep busy."""

import pytest

from runner.host.cgroup import GroupLimits
from runner.host.cpus import cpu_count


@pytest.mark.parametrize(("share", "expected"), [(None, 8), (2.0, 2), (2.5, 3), (0.1, 1), (64.0, 8)])
def test_the_lower_of_both_limits_counts(monkeypatch: pytest.MonkeyPatch, share: float | None, expected: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr("runner.host.cpus.group_limits", lambda: GroupLimits(cpus=share))
    assert cpu_count() == expected


def test_without_affinity_all_processors_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setattr("runner.host.cpus.group_limits", GroupLimits)
    assert cpu_count() == 6
