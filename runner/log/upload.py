"""`upload`: a complete run copied to a bucket after it has ended, as `output.upload` does at the end of a run."""

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from runner.base.command import command
from runner.base.console import say
from runner.base.humanize import relative_path
from runner.base.overrides import for_shell, key_of, quoted
from runner.errors import RecordError
from runner.log.verb import Verb, add_outputs, add_run
from runner.publish.address import ACCESS, address_of
from runner.publish.target import shown
from runner.record.lock import held
from runner.record.run_folder import RunFolder, choose_run, read_run
from runner.record.uploaded import lacks_upload

_EXAMPLES = """\
examples
  cog-stack-runner log upload last s3://my-bucket/means/10TET
  cog-stack-runner log upload 14-05-09_demo s3://my-bucket/means -- output.s3.profile=work
  cog-stack-runner log upload 09-00-00_rtc gs://my-bucket/means         an archive with all of its stacks

Every file of the run is copied and proved to have arrived, outputs.json last; nothing is computed, and nothing is
written over. An upload that was stopped goes on when it is asked for again. The run itself stays as it is: its
uploaded.json tells where it was uploaded last. `log verify s3://...` reads an upload back.
Exit code: 0 done, or it was there already, 1 it failed, 2 the run is not complete, or the address cannot be."""


def _arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("address", metavar="ADDRESS", help="s3://BUCKET/PREFIX, gs:// or az://, where nothing lies yet")
    add_outputs(parser)


def _run(options: Namespace) -> int:
    address_of(options.address, "ADDRESS")
    folder = choose_run(options.run, options.outputs).path
    _complete(folder, options.address)
    with held(folder):
        run = _complete(folder, options.address)
        if lacks_upload(folder, options.address):
            upload_complete(run, options.overrides, options.address)
        else:
            say(f"{relative_path(folder)} is uploaded to {shown(options.address)} already")
    return 0


def _complete(folder: Path, address: str) -> RunFolder:
    """The run in a folder. Raises RecordError for one that is not complete."""
    run = read_run(folder)
    if run.status == "RUNNING":
        raise RecordError(f"{folder} is running, as process {run.record.pid} on {run.record.host}; wait for its end")
    if run.status != "COMPLETED":
        way = f"{command()} log resume {shlex.quote(str(folder))} -- {for_shell(f'output.upload={address}')}"
        raise RecordError(
            f"{folder} is {run.status}, and only a complete run is uploaded; {way} completes and uploads it"
        )
    return run


def upload_complete(run: RunFolder, overrides: Sequence[str], address: str | None = None) -> None:
    """Upload a complete run: where its config says, or to another address, at which nothing else may lie.

    Raises RecordError for overrides of more than the access to the bucket, OutputError for an upload that fails.
    """
    from runner.config.replay import recompose  # noqa: PLC0415 - all that a run imports, which other verbs spare
    from runner.host.signals import stop_on_signals  # noqa: PLC0415 - as above
    from runner.publish.open import target_of  # noqa: PLC0415 - as above
    from runner.publish.upload import refuse_others_at, upload_all  # noqa: PLC0415 - as above

    for word in overrides:
        if not key_of(word).startswith(ACCESS):
            raise RecordError(
                f"{word}: the run is complete and is uploaded as it is; only {', '.join(ACCESS)} may be overridden"
            )
    stop_on_signals()
    folder = run.path.absolute()
    words = [*overrides, *([] if address is None else [f"output.upload={quoted(address)}"])]
    target = target_of(recompose(run.config, folder / ".hydra/config.yaml", words, folder, scenes_found=True).job)
    assert target is not None  # since there is an address
    if address is None:
        upload_all(run.path, target)
        return
    target.refuse_unwritable()
    refuse_others_at(target, folder)
    access = f" -- {' '.join(map(for_shell, overrides))}" if overrides else ""
    place = shlex.quote(relative_path(run.path))
    upload_all(run.path, target, f"{command()} log upload {place} {shlex.quote(address)}{access}")


VERB = Verb(
    "upload", "copy a complete run to a bucket", _EXAMPLES, _arguments, _run,
    overrides=True,
)  # fmt: skip
