"""Tasks placed on workers: each is done once, several at a time, and again elsewhere if its worker is lost."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
from distributed import secede
from waiting import LONG

from runner.cluster.open import open_cluster
from runner.cluster.placed_tasks import Outcome, PlacedTasks, ScheduledWorkers
from runner.errors import ClusterError
from runner.settings import ClusterKind, ClusterSettings


@pytest.fixture(scope="module")
def workers() -> Iterator[ScheduledWorkers]:
    """Two processes of one thread, which dask starts again if they die."""
    settings = ClusterSettings(ClusterKind.processes, n_workers=2, threads_per_worker=1, start_timeout=LONG)
    with open_cluster(settings, {}) as cluster:
        yield cluster  # type: ignore[misc]  # which is of processes


def outcomes(placed: "PlacedTasks[int, int, int]") -> list[Outcome]:
    return list(iter(placed.next, None))


def at_once(shared: int, task: int) -> tuple[int, int, float, float]:
    """The process, the product, and the span of time of a task that leaves its thread to others."""
    secede()
    started = time.time()
    time.sleep(0.3)
    return os.getpid(), shared * task, started, time.time()


def test_each_worker_has_as_many_tasks_at_a_time_as_it_may(workers: ScheduledWorkers) -> None:
    ended = outcomes(PlacedTasks(workers, at_once, 3, list(range(20)), lambda *_: 4))  # type: ignore[arg-type]
    assert sorted(outcome.result[1] for outcome in ended) == [3 * task for task in range(20)]
    spans = {pid: [(start, stop) for at, _, start, stop in (one.result for one in ended) if at == pid]
             for pid in {one.result[0] for one in ended}}  # fmt: skip
    assert len(spans) == 2
    for times in spans.values():
        together = [sum(start <= moment < stop for start, stop in times) for moment, _ in times]
        assert max(together) in (3, 4)  # one thread a worker, and yet several tasks


def fatal(_: int, task: int) -> int:
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_given_up_after_three_and_the_others_are_done(
    workers: ScheduledWorkers,
) -> None:
    ended = outcomes(PlacedTasks(workers, fatal, 0, list(range(8)), lambda *_: 1))
    assert sorted(one.task for one in ended) == list(range(8))
    by_task = {one.task: one for one in ended}
    assert by_task[3].result is None
    assert len(by_task[3].lost) == 3
    assert {task: one.result for task, one in by_task.items() if task != 3} == {n: n for n in range(8) if n != 3}


def unable(_: int, task: int) -> int:
    raise ImportError(f"no module {task}")


def test_a_function_that_fails_is_a_fault_of_the_worker(workers: ScheduledWorkers) -> None:
    with pytest.raises(ClusterError, match=r"cannot take a task \(ImportError: no module 1\); install there the same"):
        outcomes(PlacedTasks(workers, unable, 0, [1], lambda *_: 1))


def test_nothing_is_placed_any_more_once_that_is_asked_for(workers: ScheduledWorkers) -> None:
    placed = PlacedTasks(workers, fatal, 0, [0, 1, 2, 4, 5, 6], lambda *_: 1)
    first = placed.next()
    assert first is not None
    placed.place_no_more()
    assert len(outcomes(placed)) <= 2
    assert placed.under_way == []
