"""The number of workers that the work which is left keeps busy."""

import pytest

from runner.cluster.demand import Demand
from runner.settings import AdaptSettings


@pytest.mark.parametrize(
    ("tasks", "runs", "threads", "workers"),
    [
        (0, 0, 1, 2), (4, 0, 1, 2), (5, 0, 1, 3), (5000, 0, 1, 8), (40, 0, 4, 5), (0, 7, 4, 4), (8, 4, 1, 6),
    ],
    ids=["the least", "two a thread", "one more", "the largest", "threads", "runs by worker", "both"],
)  # fmt: skip
def test_the_number_of_workers_follows_the_work(tasks: int, runs: int, threads: float, workers: int) -> None:
    demand = Demand(threads_per_worker=threads)
    demand.add(tasks=tasks + 3, runs=runs)
    demand.add(tasks=-3)
    assert demand.workers(AdaptSettings(minimum=2, maximum=8)) == workers
