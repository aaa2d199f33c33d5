"""What the plan tells of requests and bytes, of the workers that are known, and of those only assumed."""

from types import SimpleNamespace
from typing import Any

import pytest

from runner.planning.records import Cost, Workers
from runner.settings import AdaptSettings, ClusterKind, ClusterSettings
from runner.summary import bytes_for_masks, plan, requests_for_masks


def cost(requests: int | None, mask_requests: int | None, mask_bytes: int = 0) -> Cost:
    return Cost(requests, 10_000, 20_000, 1.0, mask_bytes, mask_requests)


@pytest.mark.parametrize(
    ("costs", "requests", "stored"),
    [
        ([cost(16, 0)], "", ""),
        ([cost(16, 8, 3240)], " (8 for masks)", " (3.24 kB for masks)"),
        ([cost(16, 8, 3240), cost(4, 0), cost(2, 1, 760)], " (9 for masks)", " (4 kB for masks)"),
        ([cost(None, None, 3240)], "", " (3.24 kB for masks)"),
        ([cost(16, 8, 3240), cost(None, None)], "", " (3.24 kB for masks)"),
        ([], "", ""),
    ],
)
def test_what_is_for_masks_is_told_as_far_as_it_is_known(costs: list[Cost], requests: str, stored: str) -> None:
    assert (requests_for_masks(costs), bytes_for_masks(costs)) == (requests, stored)


@pytest.mark.parametrize(
    ("cluster", "workers", "shown", "tasks"),
    [
        (ClusterSettings(ClusterKind.slurm), Workers(2, 4, None), "2 x 4 threads", "8, 1.0 a thread"),
        (ClusterSettings(ClusterKind.address), Workers(1, 1, None, "none yet"), "no workers yet", "8"),
        (ClusterSettings(ClusterKind.ssh), Workers(2, 4, None, "not known"), "2 x unknown threads", "8"),
        (
            ClusterSettings(ClusterKind.gateway, adapt=AdaptSettings(maximum=9)),
            Workers(9, 1, None, "not known"),
            "1 to 9 x unknown threads",
            "8",
        ),
    ],
    ids=["known", "no worker", "hosts", "a range"],
)
def test_the_plan_shows_no_number_that_is_only_assumed(
    cluster: ClusterSettings, workers: Workers, shown: str, tasks: str
) -> None:
    pass_: Any = SimpleNamespace(cluster=cluster, workers=workers, tasks=range(8))
    assert (plan._workers(pass_), plan._tasks(pass_)) == (shown, tasks)
    both: Any = SimpleNamespace(passes=[pass_, pass_])
    assert plan.describe_guesses([both, both]) == ([workers.guess] if workers.guess else [])
