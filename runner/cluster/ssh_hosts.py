"""Worker processes on hosts that are reached by ssh, with a scheduler on the first of them."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from distributed import SSHCluster

from runner.base.humanize import one_line
from runner.cluster.keys import key_of
from runner.cluster.started import Started
from runner.cluster.tls import security_of
from runner.errors import ClusterError, expanded
from runner.host.signals import signals_held
from runner.settings import ClusterSettings


@contextmanager
def ssh_hosts(settings: ClusterSettings, loop: Any) -> Iterator[Started]:
    """Start a scheduler on the first host and workers on all; end them with the connections. Raises ClusterError."""
    with ExitStack() as exits:
        with signals_held(), _explained(settings):
            cluster = SSHCluster(
                [settings.hosts[0], *settings.hosts],
                connect_options=_connection(settings),
                worker_options=_worker_options(settings),
                scheduler_options=_scheduler_options(settings),
                remote_python=settings.ssh.remote_python,
                security=security_of(settings.tls),
                silence_logs=logging.CRITICAL,
                loop=loop,
            )
            exits.enter_context(cluster)
        yield Started(cluster, explain=lambda: f"look at {', '.join(settings.hosts)}")


def _connection(settings: ClusterSettings) -> dict[str, Any]:
    """What asyncssh takes; a host whose key is not known is refused, as ssh refuses it."""
    ssh = settings.ssh
    options = {
        "username": ssh.username,
        "port": ssh.port,
        "client_keys": [str(expanded(ssh.key_file))] if ssh.key_file else None,
        "known_hosts": str(expanded(ssh.known_hosts)) if ssh.known_hosts else None,
        "connect_timeout": settings.start_timeout,
    }
    return {name: value for name, value in options.items() if value is not None}


def _worker_options(settings: ClusterSettings) -> dict[str, Any]:
    options = {
        "n_workers": settings.processes or 1,
        "nthreads": settings.threads_per_worker,
        "memory_limit": settings.memory_limit or "auto",
        "interface": settings.interface,
        "dashboard": False,
        "death_timeout": f"{settings.silent_timeout:g}s",
    }
    return {name: value for name, value in options.items() if value is not None}


def _scheduler_options(settings: ClusterSettings) -> dict[str, Any]:
    options = {"port": 0, "dashboard": False, "interface": settings.interface}
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _explained(settings: ClusterSettings) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # errors of asyncssh, of dask and of the system have no base in common
        said = one_line(error) or type(error).__name__
        raise ClusterError(
            f"{key_of()}=ssh: the workers on {', '.join(settings.hosts)} do not start ({said}); try "
            f"'ssh {settings.hosts[0]} {settings.ssh.remote_python or 'python'} -m distributed.cli.dask_spec --help', "
            f"and set {key_of('ssh')}.username, port, key_file, known_hosts and remote_python as needed"
        ) from error
