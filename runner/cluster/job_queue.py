"""Workers that are jobs of a queueing system, by dask-jobqueue. The user's jobqueue.yaml has what is not set."""

import logging
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import dask
from distributed.core import Status

from runner.base.humanize import plural
from runner.cluster.demand import Demand
from runner.cluster.job_settings import job_size_of, leaving, refuse_missing, section_of, value_of, why_no_job
from runner.cluster.keys import key_of
from runner.cluster.lost_jobs import LostJobs
from runner.cluster.queue_reasons import explained, ids_of, reason_of, why_refused
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
_LOGS: Final = "job_logs"
RENEW_SECONDS: Final = 15.0  # between two looks for jobs that have ended

log = logging.getLogger(__name__)


@contextmanager
def job_queue(settings: ClusterSettings, loop: Any) -> Iterator[Started]:
    """Submit jobs whose workers connect to a scheduler in this process; cancel them at the end. Raises ClusterError."""
    with ExitStack() as exits:
        with signals_held():
            cluster, demand = _made(settings, loop), Demand()
            exits.enter_context(cluster)
            exits.callback(_let_close, cluster)
            if settings.adapt.maximum is None:
                _submit(cluster, settings, settings.n_workers or 1)
                follow = None
            else:
                _submit(cluster, settings, settings.adapt.minimum)  # `adapt` leaves a queue's refusal to the log
                follow = partial(_follow, _adapted(cluster, settings), settings, demand)
            renew = _Renewal(cluster, settings, follow)
        yield Started(cluster, renew=renew, explain=lambda: explained(cluster, settings), demand=demand)


def job_size(settings: ClusterSettings) -> Expected:
    """The workers of all jobs, as the settings and the user's jobqueue.yaml say."""
    _jobqueue()  # which loads the user's file into dask's config
    job = job_size_of(settings)
    cores = job.cores or 1
    processes = job.processes or _processes_of(cores)
    threads, memory = max(cores // processes, 1), job.memory_bytes and job.memory_bytes // processes
    guess = "" if job.cores else f"{key_of('cores')} is not set, and the plan counts on one"
    most = settings.adapt.maximum or settings.n_workers or 1
    return Expected(_jobs(settings, most, processes) * processes, threads, memory, guess)


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


def _jobs(settings: ClusterSettings, workers: int, processes: int) -> int:
    """The jobs that have so many workers, unless their number is set."""
    return settings.jobs or math.ceil(workers / processes)


def _made(settings: ClusterSettings, loop: Any) -> Any:
    """The cluster object, without jobs. Raises ClusterError for settings that jobqueue refuses."""
    of_kind, section = getattr(_jobqueue(), _CLASSES[settings.kind]), section_of(settings)
    refuse_missing(settings)
    _refuse_without_command(settings, of_kind.job_cls.submit_command)
    configured = dask.config.get(f"{section}.scheduler-options", {})
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
        "worker_extra_args": leaving(settings),
        "log_directory": settings.log_directory or dask.config.get(f"{section}.log-directory", None) or _LOGS,
        **_memory_of_cores(settings),
        **options_of(settings),
    }
    try:
        return of_kind(
            loop=loop,
            security=security_of(settings.tls),
            silence_logs=logging.CRITICAL,
            scheduler_options={"dashboard_address": "127.0.0.1:0", **configured},
            **{key: value for key, value in keywords.items() if value is not None},
        )
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        raise why_no_job(settings, error) from error


def _refuse_without_command(settings: ClusterSettings, command: str) -> None:
    """Raise ClusterError on a machine from which no job can be submitted."""
    if shutil.which(command) is None:
        raise ClusterError(
            f"{key_of()}={settings.kind.value}: there is no command '{command}' here; start the run on a machine from "
            "which jobs can be submitted"
        )


def _memory_of_cores(settings: ClusterSettings) -> dict[str, str]:
    """OAR asks for memory by a property that each site names; without it, dask-jobqueue would warn on the console."""
    name = "memory_per_core_property_name"
    needed = settings.kind is ClusterKind.oar and value_of(settings, name) is None
    return {name: "not_applicable"} if needed else {}


def _directives(settings: ClusterSettings) -> Any:
    """Lines of the job script; HTCondor has names with values."""
    if settings.kind is ClusterKind.htcondor:
        return dict(line.split("=", 1) for line in settings.job_extra_directives) or None
    return settings.job_extra_directives or None


def _submit(cluster: Any, settings: ClusterSettings, workers: int) -> None:
    """Submit jobs for so many workers, and wait until the queue has taken them. Raises ClusterError if it refuses."""
    jobs = _jobs(settings, workers, cluster._dummy_job.worker_processes)  # noqa: SLF001 - it has no other word for it

    async def submit() -> None:
        """As `cluster.scale`, which leaves a queue's refusal to the log."""
        while len(cluster.worker_spec) < jobs:
            cluster.worker_spec.update(cluster.new_worker_spec())
        await cluster._correct_state()  # noqa: SLF001 - it has no other

    try:
        cluster.sync(submit)
    except (RuntimeError, OSError, ValueError) as error:
        raise ClusterError(
            f"{key_of()}={settings.kind.value}: the queue refuses the job: {why_refused(error)}; the job script was:\n"
            f"{cluster.job_script()}"
        ) from error
    log.info("%s of %s", plural(jobs, "job"), settings.kind.value)


def _let_close(cluster: Any) -> None:
    """Mark all jobs as ended. The cluster cancels them when it closes, and asserts that somebody has marked them.

    dask-jobqueue does not. That shows only where jobs live on, as those do that an error's traceback refers to.
    """
    for job in list(cluster._created):  # noqa: SLF001 - as above
        job.status = Status.failed


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
    """Called every few seconds: submits jobs in place of those that have ended, if their workers ever came.

    `follow` changes the number of jobs before.
    """

    def __init__(self, cluster: Any, settings: ClusterSettings, follow: Callable[[], None] | None) -> None:
        self._cluster, self._settings, self._follow = cluster, settings, follow
        self._lost = LostJobs(cluster, RENEW_SECONDS)
        self._last, self._workers_came = time.monotonic(), False

    def __call__(self) -> None:
        """Look, if it is time. Raises ClusterError if jobs have ended before a worker came."""
        if self._follow is not None:
            self._follow()
        self._lost.forget()
        now = time.monotonic()
        self._workers_came = self._workers_came or bool(self._cluster.scheduler.workers)
        if now - self._last < RENEW_SECONDS:
            return
        self._last = now
        if self._workers_came or not self._cluster.workers:  # it forgets jobs whose workers have come and gone
            self._cluster.loop.add_callback(self._cluster._correct_state)  # noqa: SLF001 - as in `_submit`
        elif (ids := ids_of(self._cluster)) and not reason_of(self._settings.kind, ids):
            raise ClusterError(explained(self._cluster, self._settings))
