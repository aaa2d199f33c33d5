"""`resume`: a run that did not end well goes on in its folder, and reads only what is missing."""

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.base.command import command
from runner.base.console import say, tell
from runner.base.overrides import for_shell, key_of, names_folder
from runner.checkpoint import SUFFIX
from runner.errors import RecordError
from runner.log.restart import replayed, restarted_run
from runner.log.upload import upload_complete
from runner.log.verb import Verb, add_outputs, add_run
from runner.publish.address import ACCESS
from runner.record.lock import held
from runner.record.recorded_inputs import found_again
from runner.record.run import parted_by
from runner.record.run_folder import RunFolder, choose_run, read_run
from runner.record.stacks import FOLDER, read_stacks
from runner.record.uploaded import upload_state

if TYPE_CHECKING:
    from runner.settings import JobSettings

_EXAMPLES = """\
examples
  cog-stack-runner log resume last
  cog-stack-runner log resume 14-05-09_demo --explain
  cog-stack-runner log resume RUN -- cluster@stages.spatial_mean.cluster=processes chunks=row

After Ctrl-C, SIGTERM, a closed terminal, kill -9, a failure that was fixed: finished tasks lie in the run's partials/,
and are not read again, whatever the cluster and the chunks are now. The results are the same bits as those of a run
without a break. A task is recomputed if one of its source files changed or if you override a setting that affects its
values (mask, band). A scene that could not be read is tried again; on_error=skip goes on without those that are gone.
A run that ended before it found its scenes takes any source (source.url=...).
A complete run whose upload failed (output.upload) is uploaded; objects that are there already are not sent again.
Exit code: 0 done, or there was nothing to do, 1 the run failed again, 2 it could not be started. Overrides are not
applied to a complete run: rerun does that, and upload takes it to an address that it did not have."""


def _arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--explain",
        action="store_true",
        help="resume, and say which tasks are kept, which are read and why, with their places; it is not a dry run",
    )
    add_outputs(parser)


def _run(options: Namespace) -> int:
    folder = choose_run(options.run, options.outputs).path
    _resumable(folder)  # of one that runs its process is named, which the lock cannot do
    with held(folder):
        earlier = _resumable(folder)
        if earlier.status == "COMPLETED" and not _lacks_stacks(earlier):
            if _lacks_upload(earlier):
                upload_complete(earlier, options.overrides)
                return 0
            say(_nothing_to_resume(earlier, options.overrides))
            return 0
        _go_on(earlier, options.overrides, explain=options.explain)
    return 0


def _lacks_stacks(run: RunFolder) -> bool:
    """True for an archive of which a stack, or the table of all, was removed or damaged since it was complete."""
    try:
        rows = read_stacks(run.path) if parted_by(run.config) else ()
        return any(read_run(run.path / FOLDER / row.stack).status != "COMPLETED" for row in rows)
    except RecordError:
        return True


def _lacks_upload(run: RunFolder) -> bool:
    """True for a complete run whose upload failed or was stopped."""
    upload = upload_state(run.path, (run.config.get("output") or {}).get("upload"))
    return upload is not None and upload.files is None


def _nothing_to_resume(run: RunFolder, overrides: list[str]) -> str:
    """That a run is complete, and how overrides would be applied, which are not.

    Raises RunnerError for overrides that could not be.
    """
    folder, place = run.path, shlex.quote(str(run.path))
    again = f"{command()} log rerun {place}"
    if not overrides:
        return f"{folder} is complete: there is nothing to resume ({again} does it again)"
    _refuse_other_folder(overrides)
    job = replayed(run, overrides, folder.absolute(), resumed=False).job
    others = [word for word in overrides if key_of(word) != "output.upload"]
    words = " ".join(map(for_shell, others))
    if job.output.upload and all(key_of(word).startswith(ACCESS) for word in others):
        way = f"{command()} log upload {place} {shlex.quote(job.output.upload)}{f' -- {words}' if words else ''}"
        return f"{folder} is complete: there is nothing to resume; {way} uploads it"
    words = " ".join(map(for_shell, overrides))
    return (
        f"{folder} is complete: there is nothing to resume, and {words} is not applied; {again} -- {words} applies it"
    )


def _resumable(folder: Path) -> RunFolder:
    """The run in a folder. Raises RecordError for one that runs."""
    run = read_run(folder)
    if run.status == "RUNNING":
        raise RecordError(f"{folder} is running, as process {run.record.pid} on {run.record.host}; stop it, or wait")
    return run


def _go_on(earlier: RunFolder, overrides: list[str], *, explain: bool) -> None:
    from runner.archive.story import run_archive  # noqa: PLC0415 - all that a run imports, which other verbs spare
    from runner.job import run_job  # noqa: PLC0415 - as above

    _refuse_other_folder(overrides)
    folder = earlier.path.absolute()
    with restarted_run(earlier, overrides, folder, resumed=True) as (job, record):
        if job.source.parted_by:
            run_archive(job, record)
        else:
            _tell_kept(job, folder)
            run_job(job, record, found_again(earlier), explain=explain)
    tell(f"run folder: {earlier.path}, {record.seconds:.1f} s in all")


def _tell_kept(job: "JobSettings", folder: Path) -> None:
    """Say so if no finished tasks are kept."""
    from runner.settings import EngineName  # noqa: PLC0415 - as in _go_on

    if job.engine is EngineName.xarray:
        tell("engine=xarray keeps no tasks: everything is computed again")
    elif not any(folder.glob(f"partials/*{SUFFIX}")):
        tell("no finished tasks are kept: everything is read")


def _refuse_other_folder(overrides: list[str]) -> None:
    for word in overrides:
        if names_folder(word):
            raise RecordError(f"{word}: a run is resumed in its own folder; rerun takes another")


VERB = Verb(
    "resume", "go on with a run that was stopped, and read only what is missing", _EXAMPLES, _arguments, _run,
    overrides=True,
)  # fmt: skip
