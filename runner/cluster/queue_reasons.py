"""What a queue says: why it refuses a job, why jobs wait, and how they ended."""

import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from runner.base.humanize import one_line, plural
from runner.base.redact import redact
from runner.settings import ClusterKind, ClusterSettings

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
_ENDED: Final = re.compile(r"Exit code: (.*)\nCommand:\n(.*)\nstdout:\n(.*)\nstderr:\n(.*)", re.DOTALL)
_ASK_SECONDS: Final = 10.0


def why_refused(error: Exception) -> str:
    """Why a queue takes no job, by the error that dask-jobqueue makes of it.

    That is what the command wrote. dask-jobqueue discards what `bsub` writes to stderr.
    """
    ended = _ENDED.search(str(error))
    if ended is None:
        return one_line(error)
    code, command, out, err = ended.groups()
    name = re.split(r"[\s<]", command)[0]
    return (
        one_line(err)
        or one_line(out)
        or (f"'{name}' ended with exit code {code} and did not say why; submit the job script yourself to see it")
    )


def explained(cluster: Any, settings: ClusterSettings) -> str:
    """The reasons that the queue gives for jobs that wait, or the end of their logs, and the job script."""
    ids = ids_of(cluster)
    reason = reason_of(settings.kind, ids) if ids else "no job is in the queue"
    if not reason:
        reason = f"{plural(len(ids), 'job')} {', '.join(ids)} ended before a worker came{_end_of_log(cluster, ids)}"
    return f"{reason}; the job script was:\n{cluster.job_script()}"


def ids_of(cluster: Any) -> list[str]:
    """The ids of the jobs that dask-jobqueue knows."""
    return [str(job.job_id) for job in cluster.workers.values() if getattr(job, "job_id", None)]


def reason_of(kind: ClusterKind, jobs: Sequence[str]) -> str:
    """What the queue says of jobs; nothing if it does not know them any more, or cannot be asked."""
    command = [*_REASONS[kind], *([",".join(jobs)] if kind is ClusterKind.slurm else jobs)]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False)
        return f"{command[0]} says: {one_line(reasons_of(done.stdout))}" if done.stdout.strip() else ""
    return f"{command[0]} does not answer"


def reasons_of(said: str) -> str:
    """The part of a queue's words that gives reasons: Grid Engine lists all that a job was submitted with before."""
    found = _REASONS_OF_SGE.search(said)
    return found[0] if found else said


def _end_of_log(cluster: Any, jobs: list[str]) -> str:
    folder = cluster._dummy_job.log_directory  # noqa: SLF001 - the class has no other word for it
    files = [path for job in jobs for path in Path(folder or ".").glob(f"*{job}*") if path.is_file()]
    lines = [line for path in files for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    return f" (in {folder}: {redact(one_line(lines[-1]))})" if lines else f"; look at their logs in {folder}"
