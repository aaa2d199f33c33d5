"""Checks of a cluster's settings that types cannot make: which keys its kind has, and what they need."""

import re
from typing import Final

from runner.cluster.walltime import refusal
from runner.config.setting_fields import fields_of
from runner.config.value_checks import check_bytes, require
from runner.errors import ConfigError
from runner.settings import ClusterKind, ClusterSettings

_QUEUES: Final = frozenset(kind for kind in ClusterKind if kind.is_queue)
_OWN_SCHEDULER: Final = _QUEUES | {ClusterKind.ssh}
_NO_QUEUE: Final = frozenset(ClusterKind) - _QUEUES
# The kinds that have a key; keys that are not here are for all.
_KINDS: Final = {
    "memory_limit": _NO_QUEUE,
    "threads_per_worker": _NO_QUEUE,
    "hosts": {ClusterKind.ssh},
    "ssh": {ClusterKind.ssh},
    "processes": _OWN_SCHEDULER,
    "interface": _OWN_SCHEDULER,
    "auth": {ClusterKind.gateway},
    "plugin": {ClusterKind.plugin},
    "options": {*_QUEUES, ClusterKind.gateway, ClusterKind.plugin},
    "tls": {*_OWN_SCHEDULER, ClusterKind.address, ClusterKind.plugin},
    "adapt": {*_QUEUES, ClusterKind.gateway, ClusterKind.plugin},
    **dict.fromkeys(
        (
            "jobs",
            "cores",
            "memory",
            "job_extra_directives",
            "job_script_prologue",
            "log_directory",
        ),
        _QUEUES,
    ),
    **dict.fromkeys(("queue", "account", "walltime"), _QUEUES - {ClusterKind.htcondor}),  # a pool has none of them
}


def check_cluster(where: str, cluster: ClusterSettings) -> None:
    """Check the settings of a stage's cluster, whose key is `where`. Raises ConfigError."""
    kind = cluster.kind
    wanted = f"1 or nothing, since a cluster of kind '{kind.value}' is this one process; processes has n_workers"
    require(f"{where}.n_workers", not kind.in_process or cluster.n_workers in (None, 1), cluster.n_workers, wanted)
    _check_address(where, cluster)
    for entry in fields_of(ClusterSettings):
        value, kinds = getattr(cluster, entry.name), _KINDS.get(entry.name)
        if kinds is not None and kind not in kinds and value != entry.default:
            names = ", ".join(one.value for one in ClusterKind if one in kinds)
            raise ConfigError(
                f"{where}.{entry.name}: a cluster of kind '{kind.value}' has no such key; {names} have it"
            )
    for name, size in (("memory_limit", cluster.memory_limit), ("memory", cluster.memory)):
        if size not in (None, "auto"):
            check_bytes(f"{where}.{name}", str(size))
    _check_numbers(where, cluster)


def _check_address(where: str, cluster: ClusterSettings) -> None:
    if cluster.kind is ClusterKind.gateway:
        return
    needed = cluster.kind is ClusterKind.address
    wanted = "a scheduler's address, as tcp://host:8786" if needed else "nothing, unless the cluster is 'address'"
    require(f"{where}.address", bool(cluster.address) == needed, cluster.address, wanted)


def _check_numbers(where: str, cluster: ClusterSettings) -> None:
    hosts, adapt = cluster.hosts, cluster.adapt
    require(f"{where}.hosts", hosts or cluster.kind is not ClusterKind.ssh, hosts, "at least one host")
    require(f"{where}.plugin", cluster.plugin or cluster.kind is not ClusterKind.plugin, cluster.plugin, "a name")
    require(f"{where}.jobs", None in (cluster.jobs, cluster.n_workers), cluster.jobs, "jobs or n_workers, not both")
    holds = adapt.maximum is None or adapt.maximum >= adapt.minimum
    require(f"{where}.adapt.maximum", holds, adapt.maximum, f"{adapt.minimum} or more, which is the minimum")
    if cluster.kind.is_queue:
        _check_job(where, cluster)
    for word in cluster.options:
        require(f"{where}.options", re.fullmatch(r"\w+=.*", word, re.DOTALL), word, "NAME=VALUE")
    for line in cluster.job_extra_directives if cluster.kind is ClusterKind.htcondor else ():
        require(f"{where}.job_extra_directives", "=" in line, line, "NAME=VALUE")


def _check_job(where: str, cluster: ClusterSettings) -> None:
    if cluster.walltime is not None:
        wanted = refusal(cluster.kind, cluster.walltime)
        require(f"{where}.walltime", not wanted, cluster.walltime, wanted)
    cores, processes = cluster.cores, cluster.processes
    holds = cores is None or processes is None or processes <= cores
    require(f"{where}.processes", holds, processes, f"at most {cores}, the cores of a job")
