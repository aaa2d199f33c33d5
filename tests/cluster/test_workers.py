"""Clusters start, tell what they are, listen on loopback only, and are gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import DEFAULT, Mock

import psutil
import pytest
from dask_cluster import dask_cluster
from distributed import Client, LocalCluster, get_worker
from distributed.utils import _CollectErrorThread
from jobs import ROOT
from waiting import LONG, lives, wait_until
from worker_tasks import times, together

from runner.cluster.dask_workers import _return_seconds
from runner.cluster.open import open_cluster
from runner.cluster.workers import Cluster, KillingTaskError
from runner.engine.block_engine import _killer_named
from runner.engine.trace import NumberedTask
from runner.errors import ClusterError
from runner.planning.records import Task
from runner.read.gdal_environment import options_in_force
from runner.read.header import Window
from runner.record.failure import failure
from runner.record.run import TaskExtent
from runner.settings import ClusterKind, ClusterSettings

# A scheduler elsewhere imports this file, and what it imports, by the same names.
SAME_PATH = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A dask scheduler that somebody else runs."""
    with LocalCluster(1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


def process_of(_: None, numbers: Iterator[int]) -> Iterator[int]:
    return (os.getpid() for _ in numbers)


def divided(number: int, divisors: Iterator[int]) -> Iterator[int]:
    return (number // divisor for divisor in divisors)


EVERY_KIND = pytest.mark.parametrize(
    "kind", ["sync", "threads", pytest.param("processes", marks=pytest.mark.slow), "address"]
)


@EVERY_KIND
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
    wait_until(lambda: not any(map(lives, pids)))


def test_nothing_listens_beyond_loopback() -> None:
    with open_cluster(ClusterSettings(ClusterKind.processes, n_workers=1), {}):
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        listening = [one for process in family for one in process.net_connections() if one.status == "LISTEN"]
    assert listening
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}


@EVERY_KIND
def test_workers_have_the_options_before_they_work(kind: str, scheduler: str) -> None:
    settings = ClusterSettings(ClusterKind[kind], address=scheduler if kind == "address" else None)
    with open_cluster(settings, {"GDAL_HTTP_MAX_RETRY": "7"}) as cluster:
        seen = cluster.everywhere(options_in_force, ["GDAL_HTTP_MAX_RETRY"])
    assert {options["GDAL_HTTP_MAX_RETRY"] for options in seen.values()} == {"7"}


def test_a_borrowed_worker_gets_its_own_options_back(scheduler: str) -> None:
    settings = ClusterSettings(ClusterKind.address, address=scheduler)
    with open_cluster(settings, {"GDAL_HTTP_MAX_RETRY": "7"}):
        pass
    with open_cluster(settings, {}) as cluster:
        seen = cluster.everywhere(options_in_force, ["GDAL_HTTP_MAX_RETRY"])
    assert {options["GDAL_HTTP_MAX_RETRY"] for options in seen.values()} == {None}


@pytest.mark.parametrize(("seconds", "said"), [(0.5, ["setting up 1 worker, "]), (0.0, [])])
def test_workers_that_take_long_to_be_set_up_are_spoken_of(
    scheduler: str, monkeypatch: pytest.MonkeyPatch, seconds: float, said: list[str]
) -> None:
    told: list[str] = []
    monkeypatch.setattr("runner.cluster.worker_setup.tell", told.append)
    monkeypatch.setattr("runner.cluster.worker_setup.SILENCE_SECONDS", seconds / 4 or LONG)
    settings = ClusterSettings(ClusterKind.address, address=scheduler)
    with open_cluster(settings, {}, partial(time.sleep, seconds)):
        pass
    assert [line[:21] for line in told] == said


def profiled(_: None, numbers: Iterator[int]) -> Iterator[bool]:
    """Whether dask's profiler looks at the thread of each number's task."""
    return (threading.get_ident() in get_worker().active_threads for _ in numbers)


def test_the_profiler_of_a_worker_which_keeps_calls_for_long_leaves_tasks_alone(scheduler: str) -> None:
    settings = ClusterSettings(ClusterKind.address, address=scheduler)
    with open_cluster(settings, {}) as cluster:
        assert list(cluster.map(profiled, None, [1, 2, 3], lambda: None)) == [False] * 3
    with Client(scheduler) as client:
        assert client.submit(lambda: next(profiled(None, iter([1])))).result(LONG)  # that of somebody else
        wait_until(lambda: not any(client.run(lambda dask_worker: list(dask_worker.active_threads)).values()))


def test_a_scheduler_that_is_not_there_is_named() -> None:
    settings = ClusterSettings(ClusterKind.address, address="tcp://127.0.0.1:1", start_timeout=1)
    with (
        pytest.raises(ClusterError, match="no dask scheduler answers at tcp://127.0.0.1:1"),
        open_cluster(settings, {}),
    ):
        pytest.fail("there is a cluster")


@pytest.mark.slow
def test_workers_that_do_not_all_come_are_counted(scheduler: str) -> None:
    settings = ClusterSettings(ClusterKind.address, address=scheduler, n_workers=3, start_timeout=1)
    with (
        pytest.raises(ClusterError, match=r"1 of 3 workers came within cluster\.start_timeout=1 s"),
        open_cluster(settings, {}),
    ):
        pytest.fail("there is a cluster")


def test_a_server_that_is_no_scheduler_is_not_waited_for_beyond_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        settings = ClusterSettings(ClusterKind.address, address=address, start_timeout=0.2)
        with pytest.raises(ClusterError, match=f"no dask scheduler answers at {address}"), open_cluster(settings, {}):
            pytest.fail("there is a cluster")


def test_a_scheduler_of_tls_asks_for_certificates() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tls://127.0.0.1:{silent.getsockname()[1]}"
        settings = ClusterSettings(ClusterKind.address, address=address, start_timeout=5)
        with pytest.raises(ClusterError, match="dask has no certificates for TLS here"), open_cluster(settings, {}):
            pytest.fail("there is a cluster")


def test_workers_that_could_not_be_connected_to_are_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (24, 4096))
    settings = ClusterSettings(ClusterKind.processes, n_workers=2)
    with pytest.raises(ClusterError, match="2 worker processes need .* may have 24; raise that"):
        open_cluster(settings, {}).__enter__()


@pytest.mark.parametrize("kind", ["sync", "threads", pytest.param("processes", marks=pytest.mark.slow)])
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
        wait_until(lambda: len(taken) == 1 + 2 * 2)  # one is taken, two wait, and each thread has another
        next(results)
        wait_until(lambda: len(taken) == 2 + 2 * 2)
        results.close()
    assert len(taken) == 2 + 2 * 2


def busy_for(seconds: float, tasks: Iterator[int]) -> Iterator[None]:
    for _ in tasks:
        stop = time.thread_time() + seconds
        while time.thread_time() < stop:
            pass
        yield


@pytest.mark.parametrize("kind", ["threads", pytest.param("processes", marks=pytest.mark.slow), "address"])
def test_only_what_workers_of_others_took_is_elsewhere(kind: str, scheduler: str) -> None:
    settings = ClusterSettings(ClusterKind[kind], address=scheduler if kind == "address" else None)
    with open_cluster(settings, {}) as cluster:
        list(cluster.map(busy_for, 0.2, [1, 2], lambda: None))  # in all 0.4 s, which are read in hundredths
        usage = cluster.watch.elsewhere()
    assert (usage.cpu_seconds > 0.3) is (kind == "address")
    assert (usage.peak_bytes > 2**20) is (kind == "address")


# --- workers and schedulers that fall silent --------------------------------------------------------------------------


def results_after_a_fault(cluster: Cluster, folder: Path, fault: Callable[[set[int]], object]) -> list[int]:
    """The numbers that come back of forty; once all workers have worked, something befalls them, by their pids."""
    found, pids, workers = [], set(), cluster.size.n_workers
    for number, pid in cluster.map(together, (folder, {0: workers}, 0.1), list(range(40)), lambda: None):
        found.append(number)
        if len(pids) < workers:
            pids.add(pid)
            if len(pids) == workers:
                fault(pids)
    return sorted(found)


def suspend(pids: Iterable[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


@pytest.mark.parametrize(("kind", "seconds"), [("processes", 90.0), ("ssh", 90.0), ("slurm", 5.0)])
def test_a_lost_worker_that_is_started_again_may_take_as_long_as_the_first(kind: str, seconds: float) -> None:
    assert _return_seconds(ClusterSettings(ClusterKind[kind], start_timeout=90.0)) == seconds


@pytest.mark.slow
@pytest.mark.parametrize("suspended", [1, 2])
def test_worker_processes_that_fall_silent_are_ended_and_others_take_their_place(
    tmp_path: Path, suspended: int
) -> None:
    pids: set[int] = set()

    def fault(found: set[int]) -> None:
        pids.update(sorted(found)[:suspended])
        suspend(pids)

    settings = ClusterSettings(ClusterKind.processes, n_workers=2, silent_timeout=10)  # a busy machine is slow
    with open_cluster(settings, {}) as cluster:
        assert results_after_a_fault(cluster, tmp_path, fault) == list(range(40))
        wait_until(lambda: not any(map(psutil.pid_exists, pids)))
        assert len(cluster.watch.losses()) == suspended
        wait_until(lambda: len(cluster.everywhere(options_in_force, ["GDAL_HTTP_TIMEOUT"])) == 2)
        (tmp_path / "again").mkdir()
        after = {pid for _, pid in cluster.map(together, (tmp_path / "again", {0: 2}, 0.1), [*range(4)], lambda: None)}
        assert len(after) == 2
        assert not after & pids
    assert not any(map(psutil.pid_exists, after))


@pytest.mark.slow
def test_workers_of_others_that_all_fall_silent_end_the_run_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "met").mkdir()
    with dask_cluster(tmp_path / "dask", workers=2) as others:
        settings = ClusterSettings(ClusterKind.address, address=others.address, n_workers=2, silent_timeout=10)
        with (
            open_cluster(settings, {}) as cluster,
            pytest.raises(ClusterError, match="no worker is left.*silent or gone for 10 s.*silent_timeout says"),
        ):
            results_after_a_fault(cluster, tmp_path / "met", suspend)


_SCHEDULER = """
import sys
from distributed import Client, LocalCluster, get_worker
from distributed.utils import _CollectErrorThread
from jobs import ROOT
if __name__ == "__main__":
    with LocalCluster(1, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1",
                      dashboard_address="127.0.0.1:0") as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGKILL, id="dies"), pytest.param(signal.SIGSTOP, id="falls silent", marks=pytest.mark.slow)],
)
def test_a_scheduler_that_is_gone_ends_the_run_as_a_fault_of_the_cluster(tmp_path: Path, number: int) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT, "env": SAME_PATH}
    with subprocess.Popen([sys.executable, "-c", _SCHEDULER], **pipes) as process:  # type: ignore[call-overload]
        address = process.stdout.readline().strip()
        settings = ClusterSettings(ClusterKind.address, address=address, silent_timeout=10, start_timeout=LONG)
        try:
            with (
                pytest.raises(ClusterError, match=f"the dask scheduler at {address} is gone or does not answer"),
                open_cluster(settings, {}) as cluster,
            ):
                results_after_a_fault(cluster, tmp_path, lambda _: process.send_signal(number))
        finally:
            process.kill()


def die(killer: int, tasks: Iterator[NumberedTask]) -> Iterator[None]:
    for task in tasks:
        if task.number == killer:
            os.kill(os.getpid(), signal.SIGKILL)
        yield


@pytest.mark.slow
@pytest.mark.parametrize("killer", [1, 105])  # beside another, and among the tasks of a bundle
def test_of_all_tasks_whose_workers_died_the_one_that_killed_them_is_handed_back(killer: int) -> None:
    tasks = [NumberedTask(number, Task(Window(64 * number, 0, 64, 100), 0, 2)) for number in range(200)]
    settings = ClusterSettings(ClusterKind.processes, n_workers=1, threads_per_worker=1)
    with (
        open_cluster(settings, {}) as cluster,
        pytest.raises(KillingTaskError, match="workers died over and over") as caught,
    ):
        list(cluster.map(die, killer, tasks, lambda: None))
    assert caught.value.work == tasks[killer]


def die_thrice(folder: Path, numbers: Iterator[int]) -> Iterator[int]:
    for number in numbers:
        if number == 1 and len(list(folder.iterdir())) < 3:
            (folder / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield number


@pytest.mark.slow
def test_a_task_that_killed_its_workers_beside_others_is_tried_alone(tmp_path: Path) -> None:
    settings = ClusterSettings(ClusterKind.processes, n_workers=1, threads_per_worker=1)
    with open_cluster(settings, {}) as cluster:
        assert sorted(cluster.map(die_thrice, tmp_path, list(range(100)), lambda: None)) == list(range(100))
    assert len(list(tmp_path.iterdir())) == 3


def test_the_task_that_killed_its_workers_is_named_with_its_scenes() -> None:
    scenes = tuple(SimpleNamespace(name=f"S1A_2020010{day}", href=f"s3://b/{day}.tif") for day in (1, 2))
    stack: Any = SimpleNamespace(scenes=scenes)
    for start, words, scene in (
        (0, "2 scenes from S1A_20200101 to S1A_20200102", None),
        (1, "scene S1A_20200102", "2"),
    ):
        task = NumberedTask(7, Task(Window(64, 0, 64, 100), start, 2))
        with pytest.raises(KillingTaskError) as caught, _killer_named(stack):
            raise KillingTaskError(task)
        assert f"over and over at the task of {words}, rows 64 to 128, columns 0 to 100: mostly for" in str(
            caught.value
        )
        recorded = failure(caught.value, None, ())
        assert recorded.task == TaskExtent(row=64, column=0, height=64, width=100, start=start, stop=2)
        assert recorded.scene == (scene and f"s3://b/{scene}.tif")


@pytest.mark.parametrize("kind", [pytest.param("processes", marks=pytest.mark.slow), "address"])
def test_an_event_loop_that_is_slow_to_start_is_started_again(
    kind: str, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Mock(wraps=_CollectErrorThread, side_effect=[AssertionError, AssertionError, DEFAULT])
    monkeypatch.setattr("distributed.utils._CollectErrorThread", start)
    settings = ClusterSettings(ClusterKind[kind], address=scheduler if kind == "address" else None, n_workers=1)
    with open_cluster(settings, {}) as cluster:
        assert list(cluster.map(divided, 1, [1], lambda: None)) == [1]
    assert start.call_count == 3


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(AssertionError, "dask's event loop did not start in 4 attempts"), (OSError(24, "No files"), "No files")],
)
def test_an_event_loop_that_does_not_start_is_no_fault_of_the_runner(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, reason: str
) -> None:
    monkeypatch.setattr("distributed.utils._CollectErrorThread", Mock(side_effect=fault))
    with pytest.raises(ClusterError, match=rf"do not start \(.*{reason}\)"):
        open_cluster(ClusterSettings(ClusterKind.processes), {}).__enter__()


@pytest.mark.parametrize("fault", [RuntimeError("Nanny failed to start."), OSError(11, "Resource unavailable")])
def test_workers_that_do_not_start_are_no_fault_of_the_runner(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr("runner.cluster.local_processes.LocalCluster", Mock(side_effect=fault))
    with (
        pytest.raises(ClusterError, match=r"do not start \(.*ask for fewer by cluster.n_workers, raise"),
        open_cluster(ClusterSettings(ClusterKind.processes, start_timeout=5), {}),
    ):
        pass
