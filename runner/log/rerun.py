"""`rerun`: a run repeated from the config and the objects that it recorded, and its values compared."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runner.base.command import command
from runner.base.console import progress_bar, say, tell
from runner.base.tree import flat
from runner.compare.records import compare
from runner.errors import RecordError, SourceError
from runner.log.diff import show_section
from runner.log.restart import restarted_run
from runner.log.verb import Verb, add_outputs, add_run
from runner.record.run_files import RecordedInput, altered_outputs
from runner.record.run_folder import RunFolder, choose_run, read_run

if TYPE_CHECKING:
    from runner.model import Inputs, Scene
    from runner.settings import JobSettings
    from runner.source.stores import Stores

_CAUSES = ("config", "inputs", "packages", "code", "kernels")
_EXAMPLES = """\
examples
  cog-stack-runner log rerun last
  cog-stack-runner log rerun 14-05-09_demo -- chunks=row cluster@stages.spatial_mean.cluster=processes
  cog-stack-runner log rerun RUN -- mask=none output.dir=outputs/unmasked
  cog-stack-runner log rerun RUN -- source.s3.endpoint_url=http://127.0.0.1:9000

The config is the recorded one, whatever conf/ says now. The scenes are the recorded ones, in their order: an object
that has changed or is gone ends it, named with both ETags; --unpinned takes and names what has changed.
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


def new_folder(outputs: Path, earlier: RunFolder) -> Path:
    """A folder's name of now, as runs have them."""
    moment = datetime.now().astimezone()
    return outputs / f"{moment:%Y-%m-%d}" / f"{moment:%H-%M-%S}_{earlier.record.stack_name or 'run'}_rerun"


def run_again(earlier: RunFolder, overrides: list[str], folder: Path, *, pinned: bool) -> RunFolder:
    """Do a run again in a new folder, or in the override's. Raises RunnerError, also for objects that have changed."""
    from runner.base.humanize import relative_path  # noqa: PLC0415 - as above
    from runner.job import run_job  # noqa: PLC0415 - all that a run imports, which the other verbs spare

    rows = earlier.inputs()
    with restarted_run(earlier, overrides, folder, resumed=False) as (job, record):
        record.change(rerun_of=str(earlier.path.absolute()))
        run_job(job, record, recorded_inputs(earlier, [row for row in rows if row.used], rows, pinned=pinned))
    tell(f"run folder: {relative_path(record.folder)}, {record.seconds:.1f} s in all")
    return read_run(Path(relative_path(record.folder)))


def recorded_inputs(
    earlier: RunFolder, wanted: Sequence[RecordedInput], rows: Sequence[RecordedInput], *, pinned: bool
) -> "Callable[[JobSettings, Stores], Inputs]":
    """A function that finds the inputs of a job: the `wanted` ones of the recorded `rows`, in their order.

    Files beside them are pinned too, unless another source.sidecars than the earlier run's is asked for.
    """

    def find(job: "JobSettings", stores: "Stores") -> "Inputs":
        from runner.model import Inputs, LeftOut  # noqa: PLC0415 - as in run_again
        from runner.source.reopen import (  # noqa: PLC0415 - as above
            look_up,
            read_scenes,
            refuse_problems,
            renew_signatures,
        )
        from runner.source.stack import make_stack  # noqa: PLC0415 - as above

        others_beside = job.source.sidecars.value != _sidecars_setting(earlier)
        if others_beside:
            _refuse_unlisted(job, wanted)
        renew_signatures(job.source, [row.stored for row in wanted], stores)
        lookups = look_up([row.stored for row in wanted], stores)
        refuse_problems(lookups, job.on_error, pinned=pinned)
        with progress_bar("headers") as progress:
            named = list(zip(lookups, (row.scene for row in wanted), strict=True))
            scenes, unread = read_scenes(job.source, named, stores, progress, job.on_error)
        if pinned and not others_beside:
            _refuse_changed_beside(scenes, wanted)
        chosen = set(wanted)
        others = (row for row in rows if row not in chosen)
        left_out = (LeftOut(row.stored, row.scene, row.time, row.reason or "", row.skipped) for row in others)
        return Inputs(make_stack(job.source, scenes), (*left_out, *unread), stores.counts)

    return find


def _sidecars_setting(earlier: RunFolder) -> str:
    return str(flat(earlier.config).get("source.sidecars", "read"))  # of runs before there was a choice


def _refuse_unlisted(job: "JobSettings", inputs: Sequence[RecordedInput]) -> None:
    """Raise RecordError where files beside objects of a bucket are asked for, which were not looked for before."""
    from runner.settings import Sidecars  # noqa: PLC0415 - as in run_again
    from runner.source.reopen import is_in_bucket  # noqa: PLC0415 - as above

    if job.source.sidecars is Sidecars.read and any(is_in_bucket(row.href) for row in inputs):
        raise RecordError(
            "source.sidecars=read: the recorded run ignored what lies beside its objects, and of a bucket only a "
            f"listing shows that; run {command()} anew"
        )


def _refuse_changed_beside(scenes: Sequence["Scene"], inputs: Sequence[RecordedInput]) -> None:
    """Raise SourceError for objects beside which other files stand than the recorded ones."""
    rows = {row.href: row for row in inputs}
    changed = [text for scene in scenes if (text := rows[scene.href].changed_beside(scene))]
    if changed:
        raise SourceError(
            f"{len(changed)} of {len(rows)} objects are not as recorded: {'; '.join(changed[:5])}; bring the files "
            "back, or read them as they are now by --unpinned"
        )


def tell_apart(earlier: RunFolder, rerun: RunFolder) -> int:
    """Say whether the values are the same bits, and what else is not the same if they differ; 0 or 1.

    Objects that have changed are named in any case.
    """
    if earlier.status != "COMPLETED":
        say(f"{earlier.path} is {earlier.status} and left no values to compare with")
        _tell_changed_objects(earlier, rerun)
        return 0
    (values,) = compare(earlier, rerun, ["values"])
    show_section(values)
    if any(difference.text for difference in values.differences):
        _tell_causes(earlier, rerun)
        return 1
    say(f"values: what both runs have is the same bits as in {earlier.path}")
    _tell_changed_objects(earlier, rerun)
    return 0


def _tell_changed_objects(earlier: RunFolder, rerun: RunFolder) -> None:
    (inputs,) = compare(earlier, rerun, ["inputs"])
    if inputs.differences:
        say("but the objects were not the same (A is the earlier run, B this one):")
        show_section(inputs)


def _tell_causes(earlier: RunFolder, rerun: RunFolder) -> None:
    say("values differ; and so do, of what they follow from (A is the earlier run, B this one):")
    causes = [section for section in compare(earlier, rerun, _CAUSES) if section.differences]
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
