"""Worker processes on hosts that are reached by ssh, with a scheduler on the first of them.

One process on each host holds the workers of this host. Where it has ended, or is silent, it is started again.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import asyncssh
from distributed import SpecCluster
from distributed.deploy.ssh import Scheduler, Worker

from runner.base.console import tell
from runner.base.humanize import one_line
from runner.cluster.keys import key_of
from runner.cluster.started import Started
from runner.cluster.tls import security_of
from runner.errors import ClusterError, expanded
from runner.host.signals import signals_held
from runner.settings import ClusterSettings

_AGAIN_SECONDS: Final = 60.0  # between two attempts to start the workers of a host again
# Python that a host reads from its standard input, so that no command line but that of the workers has the label.
_END: Final = """
import psutil
for process in psutil.process_iter():
    try:
        if {label!r} in " ".join(process.cmdline()):
            for each in [*process.children(recursive=True), process]:
                each.kill()
    except psutil.Error:
        pass
"""

log = logging.getLogger(__name__)


@contextmanager
def ssh_hosts(settings: ClusterSettings, loop: Any) -> Iterator[Started]:
    """Start a scheduler on the first host and workers on all; end them with the connections. Raises ClusterError."""
    with ExitStack() as exits:
        labels = [f"host-{uuid4().hex}" for _ in settings.hosts]
        with signals_held(), _explained(settings):
            cluster = SpecCluster(
                {number: _workers_of(settings, number, label) for number, label in enumerate(labels)},
                {"cls": Scheduler, "options": {**_at(settings, 0), "kwargs": _scheduler_options(settings)}},
                name="SSHCluster",
                security=security_of(settings.tls),
                silence_logs=logging.CRITICAL,
                loop=loop,
            )
            exits.enter_context(cluster)
        hosts = _Hosts(cluster, settings, labels)
        exits.callback(hosts.stop)
        yield Started(
            cluster, renew=hosts.renew, replace=hosts.replace, explain=lambda: f"look at {', '.join(settings.hosts)}"
        )


def _workers_of(settings: ClusterSettings, number: int, label: str) -> dict[str, Any]:
    """The entry of a host in the cluster. Its workers have no names, and a resource of theirs is the label instead."""
    options = {**_worker_options(settings), "resources": {label: 1}}
    return {"cls": Worker, "options": {**_at(settings, number), "kwargs": options, "worker_class": "distributed.Nanny"}}


def _at(settings: ClusterSettings, number: int) -> dict[str, Any]:
    return {
        "address": settings.hosts[number],
        "connect_options": _connection(settings),
        "remote_python": settings.ssh.remote_python,
    }


@dataclass(slots=True)
class _Hosts:
    """Starts workers again on hosts that have lost theirs; a host is its number. No call waits for a host."""

    cluster: Any
    settings: ClusterSettings
    labels: list[str]
    _host_of: dict[str, int] = field(default_factory=dict)  # by the addresses of workers, also of former ones
    _starts: dict[int, "Future[None]"] = field(default_factory=dict)
    _next: dict[int, float] = field(default_factory=dict)  # when a host may be tried
    _told: set[int] = field(default_factory=set)

    def renew(self) -> None:
        """Learn where the workers are, and start those of a host whose process has ended."""
        for address, facts in list(self.cluster.scheduler_info["workers"].items()):
            label = next(iter(facts["resources"]), "")
            if label in self.labels:
                self._host_of[address] = self.labels.index(label)
        for number, worker in list(self.cluster.workers.items()):
            if worker.proc is None or worker.proc.is_closing():
                self._start(number)

    def replace(self, address: str) -> bool:
        """End the workers of a host of which one is silent, as its nanny is, and start others. True if it is begun."""
        number = self._host_of.get(address)
        return number is not None and self._start(number)

    def stop(self) -> None:
        """Start no more."""
        for start in self._starts.values():
            start.cancel()

    def _start(self, number: int) -> bool:
        before = self._starts.get(number)
        if before is not None and not before.done():
            return True
        if time.monotonic() < self._next.get(number, 0.0):
            return False
        self._next[number] = time.monotonic() + _AGAIN_SECONDS
        self._starts[number] = asyncio.run_coroutine_threadsafe(self._tried(number), self.cluster.loop.asyncio_loop)
        return True

    async def _tried(self, number: int) -> None:
        host = self.settings.hosts[number]
        try:
            await asyncio.wait_for(self._started_again(number), self.settings.start_timeout)
        except Exception as error:  # noqa: BLE001 - as in `_explained`
            line = f"host {host} gives no workers ({one_line(error) or type(error).__name__})"
            log.warning("%s", line)
            if number not in self._told:
                tell(f"{line}; the run goes on with the others, and tries it again every {_AGAIN_SECONDS:g} s")
            self._told.add(number)
            return
        self._told.discard(number)
        log.warning("the workers on %s were lost, and others are started", host)

    async def _started_again(self, number: int) -> None:
        await self.cluster.workers[number].close()
        await self._end(number)
        worker = Worker(self.cluster.scheduler.address, **self.cluster.worker_spec[number]["options"], name=number)
        try:
            await worker
        except BaseException:
            await worker.close()
            raise
        self.cluster.workers[number] = worker

    async def _end(self, number: int) -> None:
        """Kill what is left of the workers of a host, suspended or not."""
        python = self.settings.ssh.remote_python or sys.executable
        async with asyncssh.connect(self.settings.hosts[number], **_connection(self.settings)) as connection:
            await connection.run(f"{python} -", input=_END.format(label=self.labels[number]))


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
