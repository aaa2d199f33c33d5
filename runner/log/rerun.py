"""`rerun`: a run repeated from the config and the objects that it recorded, and its values compared."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runner.base.atomic import free_folder
from runner.base.console import say, tell
from runner.log.diff import compare_any, show_section
from runner.log.restart import restarted_run
from runner.log.verb import Verb, add_outputs, add_run
from runner.record.input_rows import counted_inputs
from runner.record.recorded_inputs import recorded_inputs
from runner.record.run_files import altered_outputs
from runner.record.run_folder import RunFolder, choose_run, read_run

if TYPE_CHECKING:
    from runner.record.run_record import RunRecord
    from runner.settings import JobSettings

    Again = Callable[[JobSettings, RunRecord], None]

_CAUSES = ("config", "inputs", "packages", "code", "kernels")
_EXAMPLES = """\
examples
  cog-stack-runner log rerun last
  cog-stack-runner log rerun 14-05-09_demo -- chunks=row cluster@stages.spatial_mean.cluster=processes
  cog-stack-runner log rerun RUN -- mask=none output.dir=outputs/unmasked
  cog-stack-runner log rerun RUN -- source.s3.endpoint_url=http://127.0.0.1:9000

The config is the recorded one, whatever conf/ says now. The scenes are the recorded ones, in their order: an object
that has changed or is gone ends it, named with both ETags; --unpinned takes and names what has changed.
Of an archive, every stack of which objects were recorded is run again, into a new archive.
The new folder stands beside others in outputs/, unless output.dir says where. Exit code: 0 done, and the values that
both runs have are the same bits, 1 they differ or the run failed, 2 it could not be started."""


def _arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--unpinned", action="store_true", help="read objects that have changed as they are now")
    add_outputs(parser)


def _run(options: Namespace) -> int:
    earlier = choose_run(options.run, options.outputs)
    rerun = run_again(earlier, options.overrides, new_folder(options.outputs, earlier), pinned=not options.unpinned)
    return tell_apart(earlier, rerun)


def new_folder(outputs: Path, earlier: RunFolder, verb: str = "rerun") -> Path:
    """A folder that is not there yet, named by the time as runs are."""
    moment = datetime.now().astimezone()
    name = f"{moment:%H-%M-%S}_{earlier.record.stack_name or 'run'}_{verb}"
    return free_folder(outputs / f"{moment:%Y-%m-%d}" / name)


def run_again(earlier: RunFolder, overrides: list[str], folder: Path, *, pinned: bool) -> RunFolder:
    """Do a run again in a new folder, or in the override's. Raises RunnerError, also for objects that have changed."""
    from runner.base.humanize import relative_path  # noqa: PLC0415 - as above

    again = (
        _archive_again(earlier, pinned=pinned) if earlier.record.is_archive else _stack_again(earlier, pinned=pinned)
    )
    with restarted_run(earlier, overrides, folder, resumed=False) as (job, record):
        record.change(rerun_of=str(earlier.path.absolute()))
        again(job, record)
    tell(f"run folder: {relative_path(record.folder)}, {record.seconds:.1f} s in all")
    return read_run(Path(relative_path(record.folder)))


def _stack_again(earlier: RunFolder, *, pinned: bool) -> "Again":
    """A function that runs a job on the recorded objects. Raises RecordError if they cannot be read."""
    from runner.job import run_job  # noqa: PLC0415 - all that a run imports, which the other verbs spare

    rows = earlier.inputs()
    find = recorded_inputs(earlier, counted_inputs(rows), rows, pinned=pinned)
    return lambda job, record: run_job(job, record, find)


def _archive_again(earlier: RunFolder, *, pinned: bool) -> "Again":
    """The same of an archive: every stack of which objects were recorded."""
    from runner.archive.recorded import RecordedStacks  # noqa: PLC0415 - as above
    from runner.archive.story import run_archive  # noqa: PLC0415 - as above

    recorded = RecordedStacks.of(earlier, pinned=pinned)
    return lambda job, record: run_archive(job, record, recorded)


def tell_apart(earlier: RunFolder, rerun: RunFolder) -> int:
    """Say whether the values are the same bits, and what else is not the same if they differ; 0 or 1.

    Objects that have changed are named in any case.
    """
    if earlier.status != "COMPLETED" and not earlier.record.is_archive:
        say(f"{earlier.path} is {earlier.status} and left no values to compare with")
        _tell_changed_objects(earlier, rerun)
        return 0
    (values,) = compare_any(earlier, rerun, ["values"])
    show_section(values)
    if any(difference.text for difference in values.differences):
        _tell_causes(earlier, rerun)
        return 1
    say(f"values: what both runs have is the same bits as in {earlier.path}")
    _tell_changed_objects(earlier, rerun)
    return 0


def _tell_changed_objects(earlier: RunFolder, rerun: RunFolder) -> None:
    (inputs,) = compare_any(earlier, rerun, ["inputs"])
    if inputs.differences:
        say("but the objects were not the same (A is the earlier run, B this one):")
        show_section(inputs)


def _tell_causes(earlier: RunFolder, rerun: RunFolder) -> None:
    say("values differ; and so do, of what they follow from (A is the earlier run, B this one):")
    causes = [section for section in compare_any(earlier, rerun, _CAUSES) if section.differences]
    for section in causes:
        show_section(section)
    if not causes and altered_outputs(earlier.path):
        say(f"nothing that is recorded: results of {earlier.path} were altered; verify says more of them")
    elif not causes:
        say("nothing that is recorded: report it, with both folders")


VERB = Verb(
    "rerun", "do a run again, from its config and its very objects, and compare", _EXAMPLES, _arguments, _run,
    overrides=True,
)  # fmt: skip
