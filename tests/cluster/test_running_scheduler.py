"""A scheduler of others that does not answer yet, or that has no workers yet: what is said, and when."""

import socket
from collections.abc import Iterator

import pytest
from distributed import Scheduler, SpecCluster

from runner.cluster import monitor
from runner.cluster.dask_workers import _missing
from runner.cluster.kinds import expected_workers
from runner.cluster.open import open_cluster
from runner.cluster.running_scheduler import running_scheduler
from runner.errors import ClusterError
from runner.settings import ClusterKind, ClusterSettings


@pytest.fixture(scope="module")
def idle() -> Iterator[str]:
    """A scheduler without workers."""
    of_dask = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
    with SpecCluster(scheduler=of_dask, silence_logs=False) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "SILENCE_SECONDS", 0.05)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("seconds", "told"), [(0.2, True), (0.04, False)])
@pytest.mark.parametrize("listens", [True, False], ids=["silent", "refused"])
def test_a_scheduler_that_is_waited_for_is_told_with_the_setting(
    seconds: float, told: bool, listens: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        if not listens:
            server.close()
        settings = ClusterSettings(ClusterKind.address, address=address, start_timeout=seconds)
        with pytest.raises(ClusterError, match="no dask scheduler answers"), running_scheduler(settings, None):
            pytest.fail("there is a scheduler")
    expected = f"no dask scheduler answers at {address} yet; it is tried for 0.2 s in all, by cluster.start_timeout\n"
    assert capfd.readouterr().err == (expected if told else "")


@pytest.mark.usefixtures("soon")
def test_a_scheduler_that_answers_at_once_is_not_waited_for(idle: str, capfd: pytest.CaptureFixture[str]) -> None:
    with running_scheduler(ClusterSettings(ClusterKind.address, address=idle), None):
        assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("n_workers", "processes"), [(None, 1), (3, 3)])
def test_the_plan_says_that_a_scheduler_has_no_workers_yet_and_what_to_do(
    idle: str, n_workers: int | None, processes: int
) -> None:
    expected = expected_workers(ClusterSettings(ClusterKind.address, address=idle, n_workers=n_workers))
    assert expected[:3] == (processes, 1, None)
    assert f"the scheduler at {idle} has no workers yet" in expected.guess
    assert f"'dask worker {idle}'" in expected.guess


def test_a_run_to_which_no_worker_comes_names_the_command_that_starts_one(idle: str) -> None:
    settings = ClusterSettings(ClusterKind.address, address=idle, start_timeout=0.2)
    remedy = rf"no worker came within cluster\.start_timeout=0\.2 s: start workers by 'dask worker {idle}'$"
    with pytest.raises(ClusterError, match=remedy), open_cluster(settings, {}):
        pytest.fail("there is a worker")


def test_workers_that_do_not_come_are_always_told_with_a_remedy() -> None:
    settings = ClusterSettings(ClusterKind.plugin, start_timeout=5)
    assert _missing(2, 1, settings, "").startswith("1 of 2 workers came within cluster.start_timeout=5 s: raise it if")
    assert _missing(1, 0, settings, "ask").endswith("s: ask")


@pytest.mark.parametrize(
    ("settings", "guess"),
    [
        (ClusterSettings(ClusterKind.gateway), "cluster=gateway: the threads of a worker are not known"),
        (ClusterSettings(ClusterKind.ssh, hosts=["a"]), "cluster=ssh: the threads of a worker are not known"),
        (ClusterSettings(ClusterKind.plugin, threads_per_worker=2), ""),
        (ClusterSettings(ClusterKind.processes), ""),
        (ClusterSettings(ClusterKind.threads), ""),
    ],
    ids=lambda value: value.kind.value if isinstance(value, ClusterSettings) else "",
)
def test_threads_that_only_the_workers_know_are_said_to_be_assumed(settings: ClusterSettings, guess: str) -> None:
    assert expected_workers(settings).guess.startswith(guess)
    assert bool(expected_workers(settings).guess) is bool(guess)
