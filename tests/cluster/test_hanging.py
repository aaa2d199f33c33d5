"""A scheduler that hangs, as a process that is suspended, ends a run at whatever moment, with what to do."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from dask_cluster import DaskCluster, dask_cluster
from distributed import Client

from runner.cluster.dask_workers import _await_workers
from runner.cluster.liveness import Liveness
from runner.cluster.started import Started
from runner.cluster.worker_setup import Setup, workers_set_up
from runner.errors import ClusterError
from runner.settings import ClusterKind, ClusterSettings

pytestmark = pytest.mark.slow  # each waits until a scheduler counts as silent

SILENT_SECONDS = 2.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("cluster"), workers=1) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: DaskCluster) -> Iterator[Client]:
    with Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(1)
        yield client


@contextmanager
def suspended(cluster: DaskCluster) -> Iterator[None]:
    pid = cluster.processes["scheduler"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def count(client: Client) -> None:
    Liveness(client, SILENT_SECONDS)


def await_workers(client: Client) -> None:
    settings = ClusterSettings(ClusterKind.address, n_workers=1, start_timeout=SILENT_SECONDS)
    _await_workers(client, settings, Started(None))


@pytest.mark.parametrize("wait", [count, await_workers])
def test_the_first_looks_at_a_scheduler_end(
    cluster: DaskCluster, client: Client, wait: Callable[[Client], None]
) -> None:
    hangs = f"the dask scheduler at {re.escape(cluster.address)} is gone or does not answer; look at its log, start it"
    start = time.monotonic()
    with suspended(cluster), pytest.raises(ClusterError, match=hangs):
        wait(client)
    assert time.monotonic() - start < 10 * SILENT_SECONDS


def test_the_setup_of_workers_ends(cluster: DaskCluster, client: Client) -> None:
    liveness = Liveness(client, SILENT_SECONDS)
    hangs = f"the dask scheduler at {re.escape(cluster.address)} is gone or does not answer"

    def entered(*_: Any) -> None:
        raise AssertionError

    with (
        liveness.watched(),
        suspended(cluster),
        pytest.raises(ClusterError, match=hangs),
        workers_set_up(client, liveness, Setup({})),
    ):
        entered()
