"""`update`: a new run of the same job on the scenes that there are now, which reads only what the earlier has not."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from runner.base.console import tell
from runner.base.humanize import relative_path
from runner.base.overrides import key_of, quoted
from runner.errors import RecordError
from runner.log.rerun import new_folder
from runner.log.restart import restarted_run
from runner.log.verb import Verb, add_outputs, add_run
from runner.record.reused_run import refuse_useless
from runner.record.run_folder import choose_run

if TYPE_CHECKING:
    from runner.record.run_record import RunRecord
    from runner.settings import JobSettings

_EXAMPLES = """\
examples
  cog-stack-runner log update last
  cog-stack-runner log update 14-05-09_demo -- source.end=2020-12-31
  cog-stack-runner action=plan reuse=14-05-09_demo source=...  # what it would read

The run must have kept its finished tasks (output.keep_partials=true). The config is the recorded one, with overrides.
The source is listed anew. Only scenes that are new or have changed are read, and the sums of the others are taken over:
the results are the same bits as if all had been read. Where a scene has changed or vanished, the scenes whose sums were
kept with it are read again. The log says how many and why. The new run keeps all finished tasks too, so that it can be
updated in turn; the earlier one may then be deleted.
Of an archive, each stack takes over what the stack of the same name has kept.
Exit code: 0 done, 1 the run failed, 2 it could not be started."""


def _arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    add_outputs(parser)


def _run(options: Namespace) -> int:
    earlier = choose_run(options.run, options.outputs)
    for word in options.overrides:
        if key_of(word) == "reuse":
            raise RecordError(f"{word}: update reuses {earlier.path}; name the run to be reused in its place")
    refuse_useless(earlier)
    folder = new_folder(options.outputs, earlier, "update")
    overrides = [f"reuse={quoted(str(earlier.path.absolute()))}", *options.overrides]
    with restarted_run(earlier, overrides, folder, resumed=False, listed=True) as (job, record):
        _run_all(job, record)
    tell(f"run folder: {relative_path(record.folder)}, {record.seconds:.1f} s in all")
    return 0


def _run_all(job: "JobSettings", record: "RunRecord") -> None:
    from runner.start import run_all  # noqa: PLC0415 - all that a run imports, which the other verbs spare

    run_all(job, record)


VERB = Verb(
    "update", "run a job again on the scenes that there are now, and read only what is new", _EXAMPLES, _arguments,
    _run, overrides=True,
)  # fmt: skip
