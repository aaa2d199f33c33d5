"""The order of a sweep's attempts, their names, and the overrides in which jobs differ."""

import pytest

from runner.leaderboard.records import FEW
from runner.sweep.jobs import Attempt, Job, fair_order, varied_overrides

JOBS = [Job(number, (f"chunks.y={number}", "mask=none")) for number in range(12)]


def test_every_repeat_is_a_round_of_all_jobs_in_an_order_of_its_own() -> None:
    order = fair_order(JOBS, repeats=3, rung="all", seed=0)
    rounds = [[attempt.job.number for attempt in order[start : start + 12]] for start in (0, 12, 24)]
    assert [attempt.repeat for attempt in order] == [1] * 12 + [2] * 12 + [3] * 12
    assert all(sorted(numbers) == list(range(12)) for numbers in rounds)
    assert len(set(map(tuple, rounds))) == 3


def test_the_seed_makes_the_order() -> None:
    orders = [[attempt.name for attempt in fair_order(JOBS, 2, "all", seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("attempt", "name"),
    [
        (Attempt(Job(7, ())), "007"),
        (Attempt(Job(1234, ()), 2), "1234-2"),
        (Attempt(Job(7, ()), 1, FEW), "007-few"),
        (Attempt(Job(7, ()), 3, FEW), "007-few-3"),
    ],
)
def test_an_attempt_is_named_by_its_job_rung_and_repeat(attempt: Attempt, name: str) -> None:
    assert attempt.name == name


def test_only_overrides_that_not_all_jobs_share_vary() -> None:
    jobs = [
        Job(0, ("mask=none", "chunks=row")),
        Job(1, ("mask=none", "chunks=block", "+gdal.options.X=a=b")),
        Job(2, ("mask=none", "chunks=row", "~stage@stages.temporal_mean=null")),
    ]
    assert varied_overrides(jobs) == {
        0: {"chunks": "row"},
        1: {"chunks": "block", "gdal.options.X": "a=b"},
        2: {"chunks": "row", "stage@stages.temporal_mean": "dropped"},
    }
