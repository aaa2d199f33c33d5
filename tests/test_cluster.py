"""Clusters start, tell what they are, listen on loopback only, and are gone afterwards."""

import os
import time
from collections.abc import Iterator

import psutil
import pytest
from distributed import LocalCluster

from runner.cluster import open_cluster
from runner.errors import ClusterError
from runner.settings import ClusterKind, ClusterSettings


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A dask scheduler that somebody else runs."""
    with LocalCluster(1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


def times(factor: int, numbers: Iterator[int]) -> Iterator[int]:
    return (factor * number for number in numbers)


def process_of(_: None, numbers: Iterator[int]) -> Iterator[int]:
    return (os.getpid() for _ in numbers)


def divided(number: int, divisors: Iterator[int]) -> Iterator[int]:
    return (number // divisor for divisor in divisors)


@pytest.mark.parametrize("kind", ["sync", "threads", "processes", "address"])
def test_every_task_is_done_once(kind: str, scheduler: str) -> None:
    settings = ClusterSettings(ClusterKind[kind], address=scheduler if kind == "address" else None)
    with open_cluster(settings, {}) as cluster:
        results = list(cluster.map(times, 3, list(range(40)), lambda: None))
        assert cluster.size.kind == kind
        assert cluster.size.threads >= 1
    assert sorted(results) == [3 * number for number in range(40)]


def test_processes_are_others_than_this_one_and_gone_afterwards() -> None:
    with open_cluster(ClusterSettings(ClusterKind.processes, n_workers=2), {}) as cluster:
        pids = set(cluster.map(process_of, None, list(range(20)), lambda: None))
        assert cluster.size.n_workers == 2
    assert os.getpid() not in pids
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_nothing_listens_beyond_loopback() -> None:
    with open_cluster(ClusterSettings(ClusterKind.processes, n_workers=1), {}):
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        listening = [one for process in family for one in process.net_connections() if one.status == "LISTEN"]
    assert listening
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}


@pytest.mark.parametrize("kind", ["sync", "threads", "processes", "address"])
def test_workers_have_the_options_before_they_work(kind: str, scheduler: str) -> None:
    settings = ClusterSettings(ClusterKind[kind], address=scheduler if kind == "address" else None)
    with open_cluster(settings, {"GDAL_HTTP_MAX_RETRY": "7"}) as cluster:
        seen = cluster.gdal_options(["GDAL_HTTP_MAX_RETRY"])
    assert {options["GDAL_HTTP_MAX_RETRY"] for options in seen.values()} == {"7"}


def test_a_borrowed_worker_gets_its_own_options_back(scheduler: str) -> None:
    settings = ClusterSettings(ClusterKind.address, address=scheduler)
    with open_cluster(settings, {"GDAL_HTTP_MAX_RETRY": "7"}):
        pass
    with open_cluster(settings, {}) as cluster:
        seen = cluster.gdal_options(["GDAL_HTTP_MAX_RETRY"])
    assert {options["GDAL_HTTP_MAX_RETRY"] for options in seen.values()} == {None}


def test_a_scheduler_that_is_not_there_is_named() -> None:
    settings = ClusterSettings(ClusterKind.address, address="tcp://127.0.0.1:1", start_timeout=1)
    with (
        pytest.raises(ClusterError, match="no dask scheduler answers at tcp://127.0.0.1:1"),
        open_cluster(settings, {}),
    ):
        pytest.fail("there is a cluster")


@pytest.mark.parametrize("kind", ["sync", "threads", "processes"])
def test_an_error_of_a_task_ends_the_others_and_comes_out(kind: str) -> None:
    stopped = []
    with open_cluster(ClusterSettings(ClusterKind[kind]), {}) as cluster, pytest.raises(ZeroDivisionError):
        list(cluster.map(divided, 1, [1, 0, *[1] * 1000], lambda: stopped.append(True)))
    assert bool(stopped) == (kind == "threads")


def test_no_more_results_wait_than_there_are_threads_to_make_them() -> None:
    taken: list[int] = []

    def tell(_: None, numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            taken.append(number)
            yield number

    with open_cluster(ClusterSettings(ClusterKind.threads, threads_per_worker=2), {}) as cluster:
        results = cluster.map(tell, None, list(range(100)), lambda: None)
        next(results)
        time.sleep(0.2)
        assert len(taken) <= 1 + 2 * 2
        results.close()


def busy_for(seconds: float, tasks: Iterator[int]) -> Iterator[None]:
    for _ in tasks:
        stop = time.process_time() + seconds
        while time.process_time() < stop:
            pass
        yield


@pytest.mark.parametrize("kind", ["threads", "processes", "address"])
def test_only_what_workers_of_others_took_is_elsewhere(kind: str, scheduler: str) -> None:
    settings = ClusterSettings(ClusterKind[kind], address=scheduler if kind == "address" else None)
    with open_cluster(settings, {}) as cluster:
        list(cluster.map(busy_for, 0.2, [1, 2], lambda: None))
        usage = cluster.watch.elsewhere()
    assert (usage.cpu_seconds >= 0.2) is (kind == "address")
    assert (usage.peak_bytes > 2**20) is (kind == "address")
