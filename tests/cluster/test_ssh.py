"""Hosts by ssh: a server of one's own on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sshd
from jobs import Cli
from waiting import LONG

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
