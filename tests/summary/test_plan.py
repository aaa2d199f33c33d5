"""The plan shows what is known of the workers, and says what is only assumed."""

from types import SimpleNamespace
from typing import Any

import pytest

from runner.planning.records import Workers
from runner.settings import AdaptSettings, ClusterKind, ClusterSettings
from runner.summary import plan


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
