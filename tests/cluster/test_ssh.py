"""Hosts by ssh: a server of one's own on loopback."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import sshd
from jobs import Cli
from waiting import LONG, lives, wait_until
from worker_tasks import together

from runner.cluster.open import open_cluster
from runner.errors import ClusterError
from runner.settings import ClusterKind, ClusterSettings, SshSettings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(sshd.missing_programs()), reason=str(sshd.missing_programs()))]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Host]:
    with sshd.sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def test_a_run_on_hosts_by_ssh(cli: Cli, folder_of_scenes: Path, host: sshd.Host) -> None:
    words = [f"cluster.ssh.{name}={value}" for name, value in host._asdict().items()]
    hosts = "cluster.hosts=[127.0.0.1,127.0.0.1]"
    done = cli("source=local", f"source.url={folder_of_scenes}/*.tif", "cluster=ssh", hosts,
               "cluster.threads_per_worker=1", "cluster.memory_limit=1GiB", *words, "output.dir=out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "(ssh, 2 threads)" in done.stderr


def test_a_host_whose_key_is_not_known_is_refused(host: sshd.Host, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    ssh = SshSettings(host.username, host.port, host.key_file, str(tmp_path / "known_hosts"))
    settings = ClusterSettings(ClusterKind.ssh, hosts=["127.0.0.1"], ssh=ssh, start_timeout=LONG)
    with (
        pytest.raises(ClusterError, match=r"cluster=ssh: .* do not start \(.*Host key is not trusted.*known_hosts"),
        open_cluster(settings, {}),
    ):
        pytest.fail("there is a cluster")


def test_a_host_without_the_python_is_named(host: sshd.Host) -> None:
    ssh = SshSettings(host.username, host.port, host.key_file, host.known_hosts, "/no/such/python")
    settings = ClusterSettings(ClusterKind.ssh, hosts=["127.0.0.1"], ssh=ssh, start_timeout=LONG)
    with (
        pytest.raises(
            ClusterError, match=r"cluster=ssh: the workers on 127.0.0.1 do not start .*'ssh 127.0.0.1 /no/such/python"
        ),
        open_cluster(settings, {}),
    ):
        pytest.fail("there is a cluster")


# --- workers that are lost --------------------------------------------------------------------------------------------


def settings_of(host: sshd.Host) -> ClusterSettings:
    """Two hosts of one worker, which find the tasks of tests."""
    python = f"env PYTHONPATH={os.pathsep.join(sys.path)} {sys.executable}"
    ssh = SshSettings(host.username, host.port, host.key_file, host.known_hosts, python)
    hosts = ["127.0.0.1", "127.0.0.1"]
    return ClusterSettings(
        ClusterKind.ssh, hosts=hosts, ssh=ssh, threads_per_worker=1, memory_limit="1GiB", start_timeout=LONG,
        silent_timeout=10,  # a busy machine is slow
    )  # fmt: skip


def suspend_the_worker(pid: int) -> list[int]:
    os.kill(pid, signal.SIGSTOP)
    return [pid]


def suspend_all_of_the_host(pid: int) -> list[int]:
    """The worker, and the process beside it that would end it."""
    nanny = psutil.Process(pid).parent()
    assert nanny is not None
    for each in (nanny.pid, pid):
        os.kill(each, signal.SIGSTOP)
    return [nanny.pid, pid]


def kill_all_of_the_host(pid: int) -> list[int]:
    nanny = psutil.Process(pid).parent()
    assert nanny is not None
    for each in (nanny.pid, pid):
        os.kill(each, signal.SIGKILL)
    return [nanny.pid, pid]


@pytest.mark.parametrize("fault", [suspend_the_worker, suspend_all_of_the_host, kill_all_of_the_host])
def test_a_worker_that_is_lost_is_ended_and_another_takes_its_place(
    host: sshd.Host, tmp_path: Path, fault: Callable[[int], list[int]]
) -> None:
    lost: list[int] = []
    with open_cluster(settings_of(host), {}) as cluster:
        numbers, pids = [], set()
        for number, pid in cluster.map(together, (tmp_path, {0: 2, 30: 3}, 0.1), list(range(60)), lambda: None):
            numbers.append(number)
            pids.add(pid)
            if len(pids) == 2 and not lost:
                lost = fault(pid)
        assert sorted(numbers) == list(range(60))
        assert len(pids) == 3
        assert not any(map(lives, lost))
    wait_until(lambda: not any(map(lives, pids)))


def test_a_run_goes_on_without_a_host_that_does_not_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("server", "meeting"):
        (tmp_path / name).mkdir()
    suspended: list[int] = []
    with sshd.sshd(tmp_path / "server") as host, open_cluster(settings := settings_of(host), {}) as cluster:
        settings.start_timeout = 5.0
        numbers, pids = [], set()
        for number, pid in cluster.map(together, (tmp_path / "meeting", {0: 2}, 0.3), [*range(80)], lambda: None):
            numbers.append(number)
            pids.add(pid)
            if len(pids) == 2 and not suspended:
                listener = int((tmp_path / "server/sshd.pid").read_text())
                os.kill(listener, signal.SIGSTOP)  # connections that there are go on
                suspended = suspend_all_of_the_host(pid)
        os.kill(listener, signal.SIGCONT)
        for each in suspended:
            os.kill(each, signal.SIGKILL)
        assert sorted(numbers) == list(range(80))
    assert (
        "host 127.0.0.1 gives no workers (TimeoutError); the run goes on with the others, and tries"
        in capfd.readouterr().err
    )
