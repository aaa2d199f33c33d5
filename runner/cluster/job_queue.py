"""Workers that are jobs of a queueing system, by dask-jobqueue. The user's jobqueue.yaml has what is not set."""

import logging
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import dask
from dask.utils import parse_bytes as dask_bytes
from distributed.core import Status

from runner.base.humanize import plural
from runner.base.redact import redact
from runner.cluster.demand import Demand
from runner.cluster.keys import key_of
from runner.cluster.started import Expected, Started, options_of
from runner.cluster.tls import security_of
from runner.errors import ClusterError
from runner.host.signals import signals_held
from runner.settings import ClusterKind, ClusterSettings

_CLASSES: Final = {
    ClusterKind.slurm: "SLURMCluster",
    ClusterKind.pbs: "PBSCluster",
    ClusterKind.sge: "SGECluster",
    ClusterKind.lsf: "LSFCluster",
    ClusterKind.htcondor: "HTCondorCluster",
    ClusterKind.oar: "OARCluster",
}
_BY_PROJECT: Final = (ClusterKind.sge, ClusterKind.lsf, ClusterKind.oar)  # their name of an account
# What tells why jobs wait; their ids follow.
_REASONS: Final = {
    ClusterKind.slurm: ("squeue", "--noheader", "--format=job %i: %T, %r", "--jobs"),
    ClusterKind.pbs: ("qstat", "-s"),
    ClusterKind.sge: ("qstat", "-j"),
    ClusterKind.lsf: ("bjobs",),
    ClusterKind.htcondor: ("condor_q",),
    ClusterKind.oar: ("oarstat", "-j"),
}
_REASONS_OF_SGE: Final = re.compile(r"^(?:error reason|scheduling info:).*", re.MULTILINE | re.DOTALL)
_LOGS: Final = "job_logs"
_ASK_SECONDS: Final = 10.0
_LEAVING: Final = (60.0, 0.1)  # before the walltime: seconds, but at most this share of it; half of it is the stagger
RENEW_SECONDS: Final = 15.0  # between two looks for jobs that have ended

log = logging.getLogger(__name__)


@contextmanager
def job_queue(settings: ClusterSettings, loop: Any) -> Iterator[Started]:
    """Submit jobs whose workers connect to a scheduler in this process; cancel them at the end. Raises ClusterError."""
    with ExitStack() as exits:
        with signals_held():
            cluster, demand = _made(settings, loop), Demand()
            exits.enter_context(cluster)
            renew: Callable[[], None]
            if settings.adapt.maximum is None:
                _submitted(cluster, settings)
                renew = _Renewal(cluster, settings)
            else:
                renew = partial(_follow, _adapted(cluster, settings), settings, demand)
        yield Started(cluster, renew=renew, explain=lambda: explained(cluster, settings), demand=demand)


def job_size(settings: ClusterSettings) -> Expected:
    """The workers of all jobs, as the settings and the user's jobqueue.yaml say."""
    _jobqueue()  # which loads the user's file into dask's config

    def value(name: str) -> Any:
        given = getattr(settings, name)
        return given if given is not None else dask.config.get(f"jobqueue.{settings.kind.value}.{name}", None)

    cores, memory = int(value("cores") or 1), value("memory")
    processes = value("processes") or _processes_of(cores)
    job_bytes = dask_bytes(memory) if memory is not None else None
    threads = max(cores // processes, 1)
    return Expected(_jobs(settings, processes) * processes, threads, job_bytes and job_bytes // processes)


def _jobqueue() -> ModuleType:
    """The package, an extra. Its import takes Ctrl-C away from this process, for an exit code of 0, unless hindered."""
    if "dask_jobqueue" in sys.modules:
        return sys.modules["dask_jobqueue"]
    as_it_is = signal.signal
    signal.signal = lambda *_: None
    try:
        return import_module("dask_jobqueue")
    finally:
        signal.signal = as_it_is


def _processes_of(cores: int) -> int:
    """The processes that dask starts where nobody says how many."""
    from distributed.deploy.utils import nprocesses_nthreads  # noqa: PLC0415 - as dask-jobqueue does

    processes: int = nprocesses_nthreads(cores)[0]
    return processes


def _jobs(settings: ClusterSettings, processes: int) -> int:
    most = settings.adapt.maximum or settings.n_workers or 1
    return settings.jobs or math.ceil(most / processes)


def _made(settings: ClusterSettings, loop: Any) -> Any:
    """The cluster object, without jobs. Raises ClusterError for settings that jobqueue refuses."""
    name = settings.kind.value
    configured = dask.config.get(f"jobqueue.{name}.scheduler-options", {})
    keywords = {
        "cores": settings.cores,
        "memory": settings.memory,
        "processes": settings.processes,
        "queue": settings.queue,
        "project" if settings.kind in _BY_PROJECT else "account": settings.account,
        "walltime": settings.walltime,
        "interface": settings.interface,
        "job_extra_directives": _directives(settings),
        "job_script_prologue": settings.job_script_prologue or None,
        "worker_extra_args": _leaving(settings),
        "log_directory": settings.log_directory or dask.config.get(f"jobqueue.{name}.log-directory", None) or _LOGS,
        **options_of(settings),
    }
    try:
        return getattr(_jobqueue(), _CLASSES[settings.kind])(
            loop=loop,
            security=security_of(settings.tls),
            silence_logs=logging.CRITICAL,
            scheduler_options={"dashboard_address": "127.0.0.1:0", **configured},
            **{key: value for key, value in keywords.items() if value is not None},
        )
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        raise ClusterError(
            f"{key_of()}={name}: dask-jobqueue says: {_one_line(error)}; set {key_of('cores')}, "
            f"{key_of('memory')} and the like, "
            f"or jobqueue.{name} in ~/.config/dask/jobqueue.yaml"
        ) from error


def _directives(settings: ClusterSettings) -> Any:
    """Lines of the job script; HTCondor has names with values."""
    if settings.kind is ClusterKind.htcondor:
        return dict(line.split("=", 1) for line in settings.job_extra_directives) or None
    return settings.job_extra_directives or None


def _leaving(settings: ClusterSettings) -> list[str] | None:
    """Arguments by which workers leave before the walltime, not all at once, and hand over what they have."""
    name = f"jobqueue.{settings.kind.value}"
    own = dask.config.get(f"{name}.worker-extra-args", None) or []
    walltime = walltime_seconds(settings.walltime or dask.config.get(f"{name}.walltime", None))
    if walltime is None or any("--lifetime" in str(word) for word in own):
        return None
    before = min(_LEAVING[0], _LEAVING[1] * walltime)
    lifetime, stagger = walltime - 1.5 * before, before / 2
    return [*own, "--lifetime", f"{lifetime:.0f}s", "--lifetime-stagger", f"{stagger:.0f}s"]


def walltime_seconds(text: str | None) -> float | None:
    """The seconds of `30`, `10:00`, `02:00:00` or `1-12:00:00`, as queues write them; None for other forms.

    Numbers without colons are minutes, and so is the last part of `HH:MM` in LSF; taken as less, workers leave earlier.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", str(text).strip()) if text else None
    if found is None:
        return None
    days, *parts = (int(part) if part is not None else None for part in found.groups())
    given = [part for part in parts if part is not None]
    if days is not None:
        given += [0] * (3 - len(given))
        return 86400.0 * days + sum(part * unit for part, unit in zip(given, (3600, 60, 1), strict=True))
    if len(given) == 1:
        return 60.0 * given[0]
    return float(sum(part * 60**power for power, part in enumerate(reversed(given))))


def _submitted(cluster: Any, settings: ClusterSettings) -> None:
    """Submit the jobs, and wait until the queue has taken them. Raises ClusterError if it refuses them."""
    jobs = _jobs(settings, cluster._dummy_job.worker_processes)  # noqa: SLF001 - the class has no other word for it

    async def submit() -> None:
        """As `cluster.scale`, which leaves a queue's refusal to the log."""
        while len(cluster.worker_spec) < jobs:
            cluster.worker_spec.update(cluster.new_worker_spec())
        try:
            await cluster._correct_state()  # noqa: SLF001 - it has no other
        except BaseException:
            for job in cluster.workers.values():
                job.status = job.status if job.job_id else Status.failed  # or the cluster does not let itself be closed
            raise

    try:
        cluster.sync(submit)
    except FileNotFoundError as error:
        raise ClusterError(
            f"{key_of()}={settings.kind.value}: there is no command '{error.filename}' here; start the run on a "
            "machine from which jobs can be submitted"
        ) from error
    except (RuntimeError, OSError, ValueError) as error:
        said = re.search(r"stderr:\n(.+)", str(error), re.DOTALL)
        raise ClusterError(
            f"{key_of()}={settings.kind.value}: the queue refuses the job: {_one_line(said[1] if said else error)}; "
            f"the job script was:\n{cluster.job_script()}"
        ) from error
    log.info("%s of %s", plural(jobs, "job"), settings.kind.value)


def _adapted(cluster: Any, settings: ClusterSettings) -> Any:
    """What lets dask stop workers that are idle, down to its `minimum`."""
    adapt = settings.adapt
    return cluster.adapt(
        minimum=adapt.minimum,
        maximum=adapt.maximum,
        interval=f"{adapt.interval}s",
        wait_count=adapt.patience,
    )


def _follow(adaptive: Any, settings: ClusterSettings, demand: Demand) -> None:
    """Let there be as many workers as the work that is left keeps busy."""
    adaptive.minimum = demand.workers(settings.adapt)


class _Renewal:
    """Called every few seconds: submits jobs in place of those that have ended, if their workers ever came."""

    def __init__(self, cluster: Any, settings: ClusterSettings) -> None:
        self._cluster, self._settings = cluster, settings
        self._jobs = _jobs(settings, cluster._dummy_job.worker_processes)  # noqa: SLF001 - as above
        self._last, self._workers_came = time.monotonic(), False

    def __call__(self) -> None:
        """Look, if it is time. Raises ClusterError if jobs have ended before a worker came."""
        now = time.monotonic()
        self._workers_came = self._workers_came or bool(self._cluster.scheduler_info["workers"])
        if now - self._last < RENEW_SECONDS:
            return
        self._last = now
        if self._workers_came or not self._cluster.workers:  # it forgets jobs whose workers have come and gone
            self._cluster.scale(jobs=self._jobs)
        elif _ids(self._cluster) and not _reason(self._settings.kind, _ids(self._cluster)):
            raise ClusterError(explained(self._cluster, self._settings))


def explained(cluster: Any, settings: ClusterSettings) -> str:
    """The reasons that the queue gives for jobs that wait, or the end of their logs, and the job script."""
    ids = _ids(cluster)
    reason = _reason(settings.kind, ids) if ids else "no job is in the queue"
    if not reason:
        reason = f"{plural(len(ids), 'job')} {', '.join(ids)} ended before a worker came{_end_of_log(cluster, ids)}"
    return f"{reason}; the job script was:\n{cluster.job_script()}"


def _ids(cluster: Any) -> list[str]:
    return [str(job.job_id) for job in cluster.workers.values() if getattr(job, "job_id", None)]


def _reason(kind: ClusterKind, jobs: list[str]) -> str:
    """What the queue says of jobs; nothing if it does not know them any more, or cannot be asked."""
    command = [*_REASONS[kind], *([",".join(jobs)] if kind is ClusterKind.slurm else jobs)]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False)
        return f"{command[0]} says: {_one_line(reasons_of(done.stdout))}" if done.stdout.strip() else ""
    return f"{command[0]} does not answer"


def reasons_of(said: str) -> str:
    """The part of a queue's words that gives reasons: Grid Engine lists all that a job was submitted with before."""
    found = _REASONS_OF_SGE.search(said)
    return found[0] if found else said


def _end_of_log(cluster: Any, jobs: list[str]) -> str:
    folder = cluster._dummy_job.log_directory  # noqa: SLF001 - as above
    files = [path for job in jobs for path in Path(folder or ".").glob(f"*{job}*") if path.is_file()]
    lines = [line for path in files for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    return f" (in {folder}: {redact(_one_line(lines[-1]))})" if lines else f"; look at their logs in {folder}"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
