"""A scheduler of others: workers that join and leave, that differ, that see no scenes; TLS; what a plan asks for."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_cluster import SAME_PATH, DaskCluster, dask_cluster
from jobs import ROOT, Cli
from scripted_server import make_certificate
from waiting import LONG, wait_until
from worker_tasks import times, together

from runner.cluster.kinds import expected_workers
from runner.cluster.open import open_cluster
from runner.errors import ClusterError
from runner.settings import ClusterKind, ClusterSettings, TlsSettings, Versions

slow = pytest.mark.slow


def at(address: str, **changes: Any) -> ClusterSettings:
    return ClusterSettings(ClusterKind.address, address=address, start_timeout=LONG, **changes)


def other_package(folder: Path) -> dict[str, str]:
    """The environment of a worker whose package was edited."""
    shutil.copytree(ROOT / "runner", folder / "runner")
    edited = folder / "runner/read/decode.py"
    edited.write_text(f"{edited.read_text()}\n# edited\n")
    return {**SAME_PATH, "PYTHONPATH": f"{folder}{os.pathsep}{SAME_PATH['PYTHONPATH']}"}


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler without workers."""
    with dask_cluster(tmp_path_factory.mktemp("dask"), workers=0) as started:
        yield started


@slow
def test_workers_that_come_late_are_set_up_and_used_and_those_that_die_are_made_up_for(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    for name in ("w0", "w1"):
        cluster.start_worker(name)
    with open_cluster(at(cluster.address, n_workers=2), {"GDAL_HTTP_MAX_RETRY": "7"}) as workers:
        numbers, pids = [], set()
        for number, pid in workers.map(together, (tmp_path, {0: 2, 90: 5}, 0.02), list(range(150)), lambda: None):
            numbers.append(number)
            pids.add(pid)
            if len(numbers) == 5:
                for name in ("w2", "w3", "w4"):
                    cluster.start_worker(name)
            if len(numbers) == 60:
                cluster.processes["w0"].kill()
        assert sorted(numbers) == list(range(150))
        assert len(pids) == 5
        seen = workers.everywhere(os.environ.get, "GDAL_HTTP_MAX_RETRY")
        assert [*seen.values()] == 4 * ["7"]
    with open_cluster(at(cluster.address), {}) as workers:
        assert {*workers.everywhere(os.environ.get, "GDAL_HTTP_MAX_RETRY").values()} == {None}


@slow
def test_a_worker_with_another_source_of_the_package_is_refused_unless_versions_only_warn(
    cluster: DaskCluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.start_worker("w0", env=other_package(tmp_path))
    with (
        pytest.raises(
            ClusterError, match=r"worker tcp.*: it has cog-stack-runner .*\(source \w+\), here .*versions=warn"
        ),
        open_cluster(at(cluster.address), {}),
    ):
        pytest.fail("there is a cluster")
    with open_cluster(at(cluster.address, versions=Versions.warn), {}) as workers:
        assert sorted(workers.map(times, 2, [1, 2], lambda: None)) == [2, 4]
    assert "results may differ in bits" in capfd.readouterr().err


@slow
def test_a_late_worker_that_differs_is_sent_away(
    cluster: DaskCluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "meeting").mkdir()
    cluster.start_worker("w0")
    with open_cluster(at(cluster.address), {}) as workers:
        pids, numbers = set(), []
        for number, pid in workers.map(together, (tmp_path / "meeting", {0: 1}, 0.1), list(range(60)), lambda: None):
            numbers.append(number)
            pids.add(pid)
            if len(numbers) == 3:
                cluster.start_worker("late", env=other_package(tmp_path))
        assert sorted(numbers) == list(range(60))
        assert len(pids) == 1
        wait_until(lambda: cluster.processes["late"].poll() is not None)
    assert "it has cog-stack-runner" in capfd.readouterr().err


@slow
def test_a_worker_that_does_not_see_the_scenes_is_named_before_any_work(
    cli: Cli, cluster: DaskCluster, folder_of_scenes: Path
) -> None:
    """Its scenes lie on another machine: a folder that is hidden from it by a mount namespace of its own."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("unshare needs root")
    hidden = folder_of_scenes.parent / "python"
    hidden.write_text(f'#!/bin/sh\nexec {unshare} -m sh -c \'mount -t tmpfs none {folder_of_scenes} && exec "$@"\' sh '
                      f'{sys.executable} "$@"\n')  # fmt: skip
    hidden.chmod(0o755)
    cluster.start_worker("w0", python=str(hidden))
    done = cli("source=local", f"source.url={folder_of_scenes}/*.tif", "cluster=address",
               f"cluster.address={cluster.address}", "output.dir=out")  # fmt: skip
    assert done.returncode == 1
    assert "error: worker tcp://" in done.stderr
    assert "give both the same folders under the same paths" in done.stderr
    assert "Traceback" not in done.stderr


@slow
def test_a_plan_asks_the_scheduler_for_its_workers(cluster: DaskCluster) -> None:
    for name in ("w0", "w1"):
        cluster.start_worker(name, "--nthreads", "3")
    with open_cluster(at(cluster.address, n_workers=2), {}):
        assert expected_workers(at(cluster.address)) == (2, 3, 2**30, "")


# --- TLS --------------------------------------------------------------------------------------------------------------


@slow
def test_a_scheduler_of_tls_takes_those_with_its_certificates_and_nobody_else(tmp_path: Path) -> None:
    ours, others = (str(make_certificate(tmp_path / name)) for name in ("ours.pem", "others.pem"))
    words = ("--protocol", "tls", "--tls-ca-file", ours, "--tls-cert", ours, "--tls-key", ours)
    tls = TlsSettings(ours, ours, ours)
    with dask_cluster(tmp_path, 1, *words) as cluster:
        address = cluster.address
        assert address.startswith("tls://")
        with open_cluster(at(address, tls=tls), {}) as workers:
            assert sorted(workers.map(times, 2, [1, 2], lambda: None)) == [2, 4]
        assert expected_workers(at(address, tls=tls)).processes == 1
        for settings, reason in (
            (at(address), "dask has no certificates for TLS here; name them in cluster.tls.ca_file"),
            (at(address, tls=TlsSettings(others, others, others)), "TLS failed"),
            (at(address.replace("tls", "tcp")), "wanted tcp://host:port, or tls://host:port with cluster.tls"),
            (
                at(address, tls=TlsSettings(ours, ours, "/nowhere.pem")),
                "cluster.tls.key_file=/nowhere.pem: there is no",
            ),
        ):
            settings.start_timeout = 4
            with pytest.raises(ClusterError, match=reason), open_cluster(settings, {}):
                pytest.fail("there is a cluster")
