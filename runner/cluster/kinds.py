"""The kinds of clusters behind a dask scheduler: how each is started, what it needs, how large it will be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Final

from runner.base.sizes import parse_bytes
from runner.base.suggest import did_you_mean
from runner.cluster.keys import key_of
from runner.cluster.started import GROUP, Expected, StartCluster
from runner.cluster.workers import worker_memory
from runner.errors import ClusterError, ConfigError
from runner.host.cpus import cpu_count
from runner.settings import ClusterKind, ClusterSettings


def _processes_here(settings: ClusterSettings) -> Expected:
    processes = settings.n_workers or cpu_count()
    return Expected(processes, settings.threads_per_worker or 1, worker_memory(settings, processes))


def _running(settings: ClusterSettings) -> Expected:
    from runner.cluster.running_scheduler import ask_size  # noqa: PLC0415 - dask takes two thirds of a second

    asked = ask_size(settings)
    return asked._replace(memory_bytes=_stated_memory(settings) or asked.memory_bytes)


def _jobs(settings: ClusterSettings) -> Expected:
    from runner.cluster.job_queue import job_size  # noqa: PLC0415 - as above

    return job_size(settings)


def _hosts(settings: ClusterSettings) -> Expected:
    processes = settings.processes or 1
    threads = settings.threads_per_worker or max(cpu_count() // processes, 1)
    workers = len(settings.hosts) * processes
    return Expected(workers, threads, _stated_memory(settings), _guessed_threads(settings, threads))


def _unknown(settings: ClusterSettings) -> Expected:
    """The least that there can be, unless the settings say more."""
    workers, threads = settings.adapt.maximum or settings.n_workers or 1, settings.threads_per_worker or 1
    return Expected(workers, threads, _stated_memory(settings), _guessed_threads(settings, threads))


def _guessed_threads(settings: ClusterSettings, assumed: int) -> str:
    if settings.threads_per_worker is not None:
        return ""
    return (
        f"{key_of()}={settings.kind.value}: the threads of a worker are not known before it starts, and the plan "
        f"counts on {assumed}; {key_of('threads_per_worker')} says it"
    )


def _stated_memory(settings: ClusterSettings) -> int | None:
    return None if settings.memory_limit in (None, "auto") else parse_bytes(settings.memory_limit)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of cluster. `start` is a module and its function, loaded when it is used.

    `package` is what it imports, which the extra `extra` installs.
    """

    start: str
    size: Callable[[ClusterSettings], Expected]
    package: str | None = None
    extra: str | None = None


_QUEUE: Final = Kind("runner.cluster.job_queue:job_queue", _jobs, "dask_jobqueue", "hpc")
KINDS: Final[Mapping[ClusterKind, Kind]] = {
    ClusterKind.processes: Kind("runner.cluster.local_processes:local_processes", _processes_here),
    ClusterKind.address: Kind("runner.cluster.running_scheduler:running_scheduler", _running),
    **{kind: _QUEUE for kind in ClusterKind if kind.is_queue},
    ClusterKind.ssh: Kind("runner.cluster.ssh_hosts:ssh_hosts", _hosts, "asyncssh", "ssh"),
    ClusterKind.gateway: Kind("runner.cluster.gateway:gateway", _unknown, "dask_gateway", "gateway"),
}


def expected_workers(settings: ClusterSettings) -> Expected:
    """The workers that the plan counts on. A running scheduler is asked. Raises ClusterError if it does not answer."""
    if settings.kind.in_process:
        threads = 1 if settings.kind is ClusterKind.sync else settings.threads_per_worker or cpu_count()
        return Expected(1, threads, worker_memory(settings, 1))
    return KINDS[settings.kind].size(settings) if settings.kind in KINDS else _unknown(settings)


def starter(settings: ClusterSettings) -> StartCluster:
    """The function that starts the cluster. Raises ClusterError for a package that is missing, or an unknown plugin."""
    if settings.kind is ClusterKind.plugin:
        return _plugin(settings.plugin or "")
    kind = KINDS[settings.kind]
    if kind.package is not None and find_spec(kind.package) is None:
        raise ClusterError(
            f"{key_of()}={settings.kind.value} needs the package {kind.package}: "
            f"pip install 'cog-stack-runner[{kind.extra}]'"
        )
    module, _, name = kind.start.partition(":")
    start: StartCluster = getattr(import_module(module), name)
    return start


def _plugin(name: str) -> StartCluster:
    points = entry_points(group=GROUP)
    if name not in points.names:
        known = ", ".join(sorted(points.names)) or "none here"
        raise ConfigError(
            f"{key_of('plugin')}={name}: no package has such an entry point of {GROUP}"
            f"{did_you_mean(name, points.names)}; there are: {known}"
        )
    start: StartCluster = points[name].load()
    if not callable(start):
        raise ConfigError(f"{key_of('plugin')}={name}: {points[name].value} is {start!r}, wanted a StartCluster")
    return start
