"""Short tasks go out to dask's workers in bundles, and what befalls one of them does not cost the others."""

from collections.abc import Iterator

import pytest
from distributed import LocalCluster

from runner.cluster.bundles import Done, Pace, done_together
from runner.cluster.open import open_cluster
from runner.settings import ClusterKind, ClusterSettings


@pytest.mark.parametrize(
    ("done", "left", "threads", "tasks"),
    [
        pytest.param(Done([]), 1000, 8, 1, id="nothing is known yet"),
        pytest.param(Done([0], 0.01, 100), 1000, 8, 16, id="short ones"),
        pytest.param(Done([0, 1], 0.2, 100), 1000, 8, 5, id="half a second in all"),
        pytest.param(Done([0], 0.6, 100), 1000, 8, 1, id="long ones"),
        pytest.param(Done([0], 0.6, 100), 100_000, 400, 6, id="long ones for many threads"),
        pytest.param(Done([0], 0.01, 2**20), 1000, 8, 4, id="large results"),
        pytest.param(Done([0], 0.01, 2**30), 1000, 8, 1, id="a result that is larger than any bundle"),
        pytest.param(Done([0], 0.01, 100), 65, 8, 3, id="a quarter of a thread's share of the last ones"),
        pytest.param(Done([0], 0.01, 100), 1, 8, 1, id="the last one"),
        pytest.param(Done([0], 0.01, 100), 3, 0, 1, id="no worker is there"),
    ],
)
def test_a_bundle_has_tasks_for_half_a_second_while_enough_are_left(
    done: Done[int], left: int, threads: int, tasks: int
) -> None:
    pace = Pace()
    pace.take(done)
    assert pace.tasks(left, threads) == tasks


def test_a_pace_follows_the_last_bundles_and_the_largest_result() -> None:
    pace = Pace()
    for done in (Done([0], 1.0, 2**21), Done([0, 0], 0.0, 10), Done([]), Done([0], 0.1, 10)):
        pace.take(done)
    assert pace.tasks(10_000, 1) == 1
    assert Pace(0.3, 10).tasks(10_000, 100) == 3


def quotients(number: int, divisors: Iterator[int]) -> Iterator[int]:
    return (number // divisor for divisor in divisors)


@pytest.fixture(scope="module")
def at_scheduler() -> Iterator[ClusterSettings]:
    """Two threads of a worker that somebody else runs."""
    with LocalCluster(1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield ClusterSettings(ClusterKind.address, address=cluster.scheduler_address)


def test_tasks_before_one_that_fails_are_not_lost_by_it(at_scheduler: ClusterSettings) -> None:
    with open_cluster(at_scheduler, {}) as cluster:
        done = cluster.client.submit(done_together, (1, 2, 0, 3), quotients, 6).result()
        assert done.results == [6, 3]
        with pytest.raises(ZeroDivisionError):
            cluster.client.submit(done_together, (0, 3), quotients, 6).result()


def test_an_error_of_one_of_many_short_tasks_comes_out_after_results_before_it(at_scheduler: ClusterSettings) -> None:
    taken, divisors = [], [*range(1, 301), 0, *range(301, 600)]
    with open_cluster(at_scheduler, {}) as cluster, pytest.raises(ZeroDivisionError):
        taken.extend(cluster.map(quotients, 10**6, divisors, lambda: None))
    assert set(taken) >= {10**6 // divisor for divisor in range(1, 201)}  # the last bundles may be under way


def test_a_cluster_remembers_tasks_only_until_they_are_done(at_scheduler: ClusterSettings) -> None:
    with open_cluster(at_scheduler, {}) as cluster:
        for _ in range(2):  # passes, of which a cluster may have thousands
            assert len(list(cluster.map(quotients, 6, [1, 2, 3] * 20, lambda: None))) == 60
        assert cluster.watch.handed_out == {}
