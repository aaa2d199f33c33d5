"""The run that `reuse` names: found, and refused where it has nothing to be taken over."""

import shlex
from pathlib import Path

from runner.base.command import command, resume_command
from runner.base.humanize import relative_path
from runner.checkpoint import SUFFIX
from runner.errors import RecordError
from runner.record.run_folder import RunFolder, choose_run, read_run
from runner.record.stacks import FOLDER
from runner.settings import EngineName, JobSettings

_KEPT = "partials"


def reused_path(job: JobSettings, outputs: Path) -> str | None:
    """The absolute path of the run that `reuse` names, below `outputs` if it is not a folder; None without any.

    Raises RecordError for a run that cannot be reused.
    """
    if job.reuse is None:
        return None
    earlier = choose_run(job.reuse, outputs)
    refuse_unfit(job, earlier)
    return str(earlier.path.absolute())


def reused_folder(job: JobSettings) -> Path | None:
    """The folder of the run that is reused, whose path is known; None without any. Raises RecordError."""
    if job.reuse is None:
        return None
    try:
        earlier = read_run(Path(job.reuse))
    except RecordError as error:  # deleted, perhaps, before this run was resumed
        raise RecordError(f"reuse={job.reuse}: {error}; reuse=null reads all") from error
    refuse_unfit(job, earlier)
    return Path(job.reuse)


def refuse_unfit(job: JobSettings, earlier: RunFolder) -> None:
    """Raise RecordError for a run that still runs, that kept no tasks, or that is of another kind than the job's."""
    where = f"reuse={relative_path(earlier.path)}"
    if job.engine is not EngineName.block:
        raise RecordError(f"{where}: engine={job.engine.value} keeps no sums; set engine=block, or reuse=null")
    if earlier.record.is_archive != bool(job.source.parted_by):
        raise RecordError(f"{where}: {_other_kind(earlier)}")
    refuse_useless(earlier)


def refuse_useless(earlier: RunFolder) -> None:
    """Raise RecordError for a run that still runs, or that kept no tasks."""
    where = f"reuse={relative_path(earlier.path)}"
    if earlier.status == "RUNNING":
        process = f"process {earlier.record.pid} on {earlier.record.host}"
        raise RecordError(f"{where}: that run is running, as {process}; wait until it is complete")
    if not any(_folders_of_tasks(earlier)):
        raise RecordError(f"{where}: {_nothing_kept(earlier)}")


def _other_kind(earlier: RunFolder) -> str:
    if earlier.record.is_archive:
        return f"that is a run of many stacks, and this job has one; name one of them, as {earlier.path}/{FOLDER}/NAME"
    return "that is a run of one stack, and this job has many (source.stack_by); name a run of the same archive"


def _folders_of_tasks(earlier: RunFolder) -> list[Path]:
    """The folders below a run that hold kept tasks."""
    pattern = f"{FOLDER}/*/{_KEPT}" if earlier.record.is_archive else _KEPT
    return [folder for folder in earlier.path.glob(pattern) if next(folder.glob(f"*{SUFFIX}"), None)]


def _nothing_kept(earlier: RunFolder) -> str:
    """That a run kept no tasks, and how to get some."""
    path = shlex.quote(relative_path(earlier.path))
    if earlier.status != "COMPLETED":
        return f"that run is {earlier.status} and kept no finished tasks; go on with it: {resume_command(earlier.path)}"
    return (
        "that run kept no finished tasks; do it again so that it keeps them: "
        f"{command()} log rerun {path} -- output.keep_partials=true"
    )


def reuses(folder: Path) -> bool:
    """Whether a run's folder has kept tasks."""
    return next((folder / _KEPT).glob(f"*{SUFFIX}"), None) is not None
