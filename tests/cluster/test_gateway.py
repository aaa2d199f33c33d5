"""A dask-gateway server with its local backend."""

import os
import signal
import sys
from pathlib import Path

import gateway_server
import pytest
from jobs import Cli
from waiting import LONG, lives, wait_until
from worker_tasks import together

from runner.cluster.open import open_cluster
from runner.errors import ClusterError
from runner.settings import AdaptSettings, ClusterKind, ClusterSettings

MISSING = gateway_server.missing_packages()


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=str(MISSING))
def test_a_run_behind_a_gateway(cli: Cli, folder_of_scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with gateway_server.gateway_server(tmp_path / "server") as address:
        words = ["cluster=gateway", f"cluster.address={address}", "cluster.auth=basic", "cluster.n_workers=2"]
        done = cli("source=local", f"source.url={folder_of_scenes}/*.tif", *words, "output.dir=out")
        assert done.returncode == 0, done.stderr
        assert "(gateway, " in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=str(MISSING))
def test_the_workers_of_a_gateway_follow_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers find the tasks of tests
    for name in ("server", "meeting"):
        (tmp_path / name).mkdir()
    with gateway_server.gateway_server(tmp_path / "server") as address:
        settings = ClusterSettings(ClusterKind.gateway, address=address, auth="basic", start_timeout=LONG)
        settings.adapt = AdaptSettings(minimum=1, maximum=2)
        with open_cluster(settings, {}) as cluster:
            answers = list(cluster.map(together, (tmp_path / "meeting", {0: 2}, 0.1), list(range(100)), lambda: None))
            assert sorted(number for number, _ in answers) == list(range(100))
            assert len({pid for _, pid in answers}) == 2
            wait_until(lambda: len(cluster.everywhere(os.getpid)) == 1)


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=str(MISSING))
def test_a_gateway_starts_another_worker_in_place_of_a_silent_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    for name in ("server", "meeting"):
        (tmp_path / name).mkdir()
    with gateway_server.gateway_server(tmp_path / "server") as address:
        settings = ClusterSettings(ClusterKind.gateway, address=address, auth="basic", n_workers=2, start_timeout=LONG)
        settings.silent_timeout = 10.0  # a busy machine is slow
        with open_cluster(settings, {}) as cluster:
            numbers, pids, suspended = [], set(), 0
            meeting = (tmp_path / "meeting", {0: 2, 30: 3}, 0.1)
            for number, pid in cluster.map(together, meeting, list(range(60)), lambda: None):
                numbers.append(number)
                pids.add(pid)
                if len(pids) == 2 and not suspended:
                    suspended = pid
                    os.kill(pid, signal.SIGSTOP)
            assert sorted(numbers) == list(range(60))
            assert len(pids) == 3
            wait_until(lambda: not lives(suspended))


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=str(MISSING))
def test_a_gateway_that_is_not_there_is_named() -> None:
    settings = ClusterSettings(ClusterKind.gateway, address="http://127.0.0.1:1")
    with (
        pytest.raises(
            ClusterError, match="the gateway at http://127.0.0.1:1 gives no cluster .*look at cluster.address"
        ),
        open_cluster(settings, {}),
    ):
        pytest.fail("there is a cluster")
