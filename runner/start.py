"""A composed job started, by the command line and from Python alike: run in its folder, or its plan shown."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runner.base.console import tell
from runner.base.humanize import relative_path
from runner.config.composed import ComposedJob
from runner.config.replay import keep_plain_config
from runner.errors import expanded
from runner.record.events import libraries_hushed
from runner.settings import JobSettings

if TYPE_CHECKING:
    from runner.record.run_record import RunRecord

OUTPUTS: Final = Path("outputs")  # where a run is looked for that is named by a part


def run_composed(composed: ComposedJob, begun: Callable[["RunRecord"], object] = lambda _: None) -> Path:
    """Run a job, or all stacks of its archive, in its folder, which is returned; `begun` gets the record first.

    Raises RunnerError, with notes that name the report and say how to go on.
    """
    from runner.planning.whole import refuse_parted_values  # noqa: PLC0415 - a wrong setting is reported before GDAL loads

    refuse_parted_values(composed.job)
    composed = _with_reused_path(composed)
    from runner.publish.upload import uploaded_at_end  # noqa: PLC0415 - as above
    from runner.report.reported_run import reported_run  # noqa: PLC0415 - as above

    folder = expanded(composed.job.output.dir).absolute()
    reported = reported_run(folder, composed.resolved, composed.command, list(composed.overrides))
    with uploaded_at_end(composed.job, folder), reported as record:
        begun(record)
        keep_plain_config(folder, composed.written, composed.overrides)
        run_all(composed.job, record)
    tell(f"run folder: {relative_path(folder)}, {record.seconds:.1f} s in all")
    return folder


def _with_reused_path(composed: ComposedJob) -> ComposedJob:
    """The same for a composed job."""
    if composed.job.reuse is None:
        return composed
    job = with_reused_path(composed.job)
    path = {"reuse": job.reuse}
    return replace(composed, job=job, resolved=composed.resolved | path, written=composed.written | path)


def with_reused_path(job: JobSettings) -> JobSettings:
    """A job with the path of the run that it reuses, which may have been named by a part. Raises RecordError."""
    if job.reuse is None:
        return job
    from runner.record.reused_run import reused_path  # noqa: PLC0415 - what most jobs spare

    return replace(job, reuse=reused_path(job, OUTPUTS))


def run_all(job: JobSettings, record: "RunRecord") -> None:
    """Run the one stack of a job, or all stacks of its archive."""
    if job.source.parted_by:
        from runner.archive.story import run_archive  # noqa: PLC0415 - what a single stack spares

        run_archive(job, record)
    else:
        from runner.job import run_job  # noqa: PLC0415 - as in `run_composed`

        run_job(job, record)


def show_plan_of(job: JobSettings) -> None:
    """Print what a run would read. Raises RunnerError for what cannot run."""
    from runner.planning.whole import refuse_parted_values  # noqa: PLC0415 - as in `run_composed`

    refuse_parted_values(job)
    job = with_reused_path(job)
    if job.source.parted_by:
        from runner.archive.plan import show_archive_plan as show_plan  # noqa: PLC0415 - as above
    else:
        from runner.preview import show_plan  # noqa: PLC0415 - as above
    with libraries_hushed():
        show_plan(job)
