"""The finished tasks of a run, kept while it goes on."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runner.base.command import way_on
from runner.base.console import tell
from runner.base.humanize import relative_path
from runner.checkpoint.pass_tasks import kept_tasks
from runner.checkpoint.store import Partials
from runner.errors import OutputError
from runner.record.reused_run import reused_folder
from runner.settings import JobSettings


@contextmanager
def partials_kept(job: JobSettings, folder: Path, patience_seconds: float) -> Iterator[Partials]:
    """The finished tasks of a run's folder, deleted at a good end. Otherwise the error says how to use them.

    Raises RecordError for a run that cannot be reused.
    """
    splits = job.source.min_valid_fraction is not None
    partials = Partials(
        folder, patience_seconds, keeps=job.output.keep_partials, all_kept=splits, reused=reused_folder(job)
    )
    if partials.torn:
        tell(f"{partials.torn} files in {relative_path(partials.folder)} are ignored: torn, or of another version")
    try:
        yield partials
    except BaseException as error:
        with suppress(OutputError):  # the first error matters more
            partials.flush()
        if len(partials):
            error.add_note(f"{kept_tasks(len(partials))}; {way_on(folder, error)}")
        raise
    if not partials.keeps:
        partials.drop()
