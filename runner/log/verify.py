"""`verify`: whether a run's results are still what was written, and what their source gives."""

import secrets
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING

from runner.base.console import say
from runner.base.humanize import plural
from runner.base.overrides import key_of
from runner.errors import RecordError, RunnerError, printable
from runner.host import signals
from runner.log.check import Check, Verdict, summed_up
from runner.log.verb import Verb, add_outputs, add_run
from runner.log.verify_stacks import rows_to_verify, verify_archive
from runner.publish.address import is_address
from runner.record.run_files import OutputFile
from runner.record.run_folder import RunFolder, choose_run

if TYPE_CHECKING:
    from runner.settings import JobSettings

_READING = (
    "source.s3.",
    "source.gcs.",
    "source.azure.",
    "source.stac.sign",
    "gdal",
    "fetch.",
    "reader=",
    "source.area=",
    "zones.file=",
)  # settings that do not change what a value is: of files of polygons, only where the recorded ones lie
_BLOCKS, _BLOCKS_OF_A_STACK = 4, 1
_EXAMPLES = f"""\
examples
  cog-stack-runner log verify last                  the files, and {_BLOCKS} windows and {_BLOCKS} scenes of the source
  cog-stack-runner log verify last --blocks 0       the files alone; nothing is read from the source
  cog-stack-runner log verify last --blocks 20 --seed 7
  cog-stack-runner log verify RUN -- source.s3.profile=work     with other access to the same objects
  cog-stack-runner log verify ARCHIVE                   every stack of an archive, and its tables; one of them by
                                                        ARCHIVE/stacks/NAME
  cog-stack-runner log verify s3://bucket/means         every object of an upload, read back; an archive's too
  cog-stack-runner log verify s3://bucket/means -- output.s3.profile=work

Checked are the files' sha256, that of their decoded values, the ETag of every object, and a random sample: a window
of all scenes gives the temporal statistics of its pixels, a scene gives its row of the table. Another seed takes other
windows and scenes. What is not sampled is held by its digest. A stack of an archive that is not complete is not
verified. Exit code: 0 all is verified, 1 something is not."""


def _arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    help_text = f"how many windows, and scenes, are read again ({_BLOCKS}; 1 of a stack of an archive); 0 reads nothing"
    parser.add_argument("--blocks", type=_count, metavar="N", help=help_text)
    parser.add_argument("--seed", type=int, metavar="N", help="which ones; another each time unless given")
    add_outputs(parser)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text}: wanted a whole number from 0 on")
    return int(text)


def _run(options: Namespace) -> int:
    if is_address(options.run):
        from runner.log.verify_upload import verify_upload  # noqa: PLC0415 - obstore, which other runs spare

        return verify_upload(options.run, options.overrides)
    run = choose_run(options.run, options.outputs)
    if run.record.is_archive:
        return _verify_archive(run, options)
    if run.status != "COMPLETED":
        raise RecordError(f"{run.path} is {run.status}: it left no results to verify")
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    blocks = _BLOCKS if options.blocks is None else options.blocks
    job = _job(run, options.overrides) if blocks else None
    say(f"{run.path}{f', sample of seed {seed}' if job else ''}")
    bad = count = 0
    for check in _checks(run, job, blocks, seed):
        say(f"{check.verdict.value:<8} {check.what}: {check.text}")
        count, bad = count + 1, bad + (check.verdict is not Verdict.ok)
    say(f"NOT verified: {bad} of {plural(count, 'check')}" if bad else f"verified: {plural(count, 'check')}")
    return int(bad > 0)


def _verify_archive(archive: RunFolder, options: Namespace) -> int:
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    blocks = _BLOCKS_OF_A_STACK if options.blocks is None else options.blocks

    def checks_of(run: RunFolder) -> Iterator[Check]:
        return _checks(run, _job(run, options.overrides) if blocks else None, blocks, seed)

    rows = rows_to_verify(archive)
    problem = _other_polygons(archive, options.overrides) if blocks else None
    blocks = 0 if problem else blocks
    say(f"{archive.path}{f', samples of seed {seed}' if blocks else ''}")
    if problem:
        say(
            printable(
                f"{Verdict.unknown.value:<8} {problem}; so no value is computed again, and files alone are checked"
            )
        )
    bad, count = verify_archive(archive, rows, checks_of)
    bad, count = bad + bool(problem), count + bool(problem)
    say(f"NOT verified: {bad} of {count} stacks and tables" if bad else f"verified: {count} stacks and tables")
    return int(bad > 0)


def _other_polygons(archive: RunFolder, overrides: list[str]) -> str | None:
    """Why no stack of an archive can be computed again: its polygons are others now, or cannot be read."""
    from runner.preview import stores_of  # noqa: PLC0415 - all that a run imports
    from runner.record.recorded_outlines import recorded_outlines, refuse_other_outlines  # noqa: PLC0415 - as above
    from runner.source.outlines import outlines_of  # noqa: PLC0415 - as above
    from runner.source.reachable import opened_source  # noqa: PLC0415 - as above

    if not any(recorded_outlines(archive)):
        return None
    try:
        with opened_source(_job(archive, overrides)) as reachable:
            refuse_other_outlines(archive, reachable, outlines_of(reachable, stores_of(reachable)))
    except RunnerError as error:
        return str(error)
    return None


def _job(run: RunFolder, overrides: list[str]) -> "JobSettings":
    from runner.config.replay import blanked, recompose  # noqa: PLC0415 - Hydra, which the other verbs spare

    lost = blanked(run.config)
    for word in overrides:
        if not word.lstrip("+").startswith(_READING) and key_of(word) not in lost:
            raise RecordError(f"{word}: a run is verified as it was; only {', '.join(_READING)} may be overridden")
    signals.stop_on_signals()
    return recompose(run.config, run.path / ".hydra/config.yaml", overrides, run.path, scenes_found=True).job


def _checks(run: RunFolder, job: "JobSettings | None", blocks: int, seed: int) -> Iterator[Check]:
    yield from check_files(run)
    yield check_inputs(run)
    if job is None:
        return
    from runner.log.recompute import check_sample  # noqa: PLC0415 - all that a run imports

    try:
        yield from check_sample(run, job, blocks, seed)
    except RunnerError as error:
        yield Check("source", Verdict.unknown, f"{error}; so not all of it is computed again")


# --- files ------------------------------------------------------------------------------------------------------------


def check_files(run: RunFolder) -> Iterator[Check]:
    """Hold the files, and the values in them, against outputs.json."""
    try:
        files = run.outputs()
    except RecordError as error:
        yield Check("outputs.json", Verdict.unknown, str(error))
        return
    for name in sorted(set(run.record.outputs) - {file.name for file in files}):
        yield Check("outputs.json", Verdict.failed, f"it does not name {name}, which the run wrote; it was altered")
    for of_groups, alike in groupby(files, lambda file: file.of_groups):
        checks = (check for file in alike for check in (_check_file(run, file), *_check_values(run, file)))
        yield from summed_up(checks) if of_groups else checks


def _check_file(run: RunFolder, file: OutputFile) -> Check:
    from runner.output.digest import file_sha256  # noqa: PLC0415 - numpy

    path = run.path / file.name
    try:
        digest = file_sha256(path)
    except OSError as error:
        return Check(file.name, Verdict.failed, f"cannot be read: {error.strerror}")
    if digest == file.sha256:
        return Check(file.name, Verdict.ok, f"{file.bytes:,} bytes, sha256 {digest[:16]}")
    size = path.stat().st_size
    text = f"altered: written with {file.bytes:,} bytes, sha256 {file.sha256[:16]}; now {size:,} bytes, {digest[:16]}"
    return Check(file.name, Verdict.failed, text)


def _check_values(run: RunFolder, file: OutputFile) -> Iterator[Check]:
    """By the digests of decoded values; which says of an altered file whether its values are."""
    if not (run.path / file.name).is_file():
        return
    from runner.output.read_back import read_facts  # noqa: PLC0415 - numpy

    for value in file.values:
        what = f"{file.name}: {value.layer}"
        try:
            found = read_facts(run.path / file.name, file.over, value.name, value.group or "")
        except RecordError as error:
            yield Check(what, Verdict.failed, str(error))
            continue
        facts = (found.sha256, found.dtype, found.shape)
        same = facts == (value.sha256, value.dtype, value.shape)
        text = f"{prod(found.shape):,} values as written" if same else "its values are not those that were written"
        yield Check(what, Verdict.ok if same else Verdict.failed, f"{text}, sha256 {facts[0][:16]}")


def check_inputs(run: RunFolder) -> Check:
    """Hold inputs.parquet against the digest of hrefs and ETags that every result carries."""
    from runner.compare.values import results_of  # noqa: PLC0415 - numpy
    from runner.output.read_back import read_provenance  # noqa: PLC0415 - as above
    from runner.output.results import inputs_sha256  # noqa: PLC0415 - as above

    try:
        used = [row for row in run.inputs() if row.used]
        files = {result.path: result.over.value for result in results_of(run).values()}
        carried = {path.name: read_provenance(path, over).get("inputs_sha256") for path, over in files.items()}
    except RecordError as error:
        return Check("inputs.parquet", Verdict.unknown, str(error))
    digest = inputs_sha256(file for row in used for file in row.objects)
    others = [name for name, sha256 in carried.items() if sha256 != digest]
    if others:
        text = f"its {len(used)} objects are not those that {', '.join(others)} was made of; one of them was altered"
        return Check("inputs.parquet", Verdict.failed, text)
    return Check(
        "inputs.parquet", Verdict.ok, f"{plural(len(used), 'object')}, those that the results say they are made of"
    )


VERB = Verb(
    "verify", "whether results are still what was written, and what the source gives", _EXAMPLES, _arguments, _run,
    overrides=True,
)  # fmt: skip
