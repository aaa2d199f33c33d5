"""`diff`: two runs compared: their configs, code, packages, inputs and values."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence

from runner.base.command import command
from runner.base.console import say, show_table, table
from runner.compare.archives import compare_archives
from runner.compare.records import SECTIONS, compare
from runner.compare.sections import Difference, Section
from runner.errors import RecordError, printable
from runner.log.verb import Verb, add_outputs, add_run
from runner.record.run_folder import RunFolder, choose_run
from runner.record.stacks import FOLDER

_SHOWN = 20  # differences of one section, unless all are asked for
_EXAMPLES = f"""\
examples
  cog-stack-runner log diff 14-05-09_demo last            two runs, by a part of their names
  cog-stack-runner log diff A B --only values             are the results the same bits?
  cog-stack-runner log diff A B --only config,packages
  cog-stack-runner log diff ARCHIVE_1 ARCHIVE_2           two archives, stack by stack, by the names of the stacks

Sections: {", ".join(SECTIONS)}. Values are compared by the digests in outputs.json and, where these differ or are
missing, pixel by pixel and row by row; a result that has changed since it was written, or is gone, is named, and so is
one whose grid or scenes are others. Exit code: 0 the same, 1 something differs, 2 it could not be compared."""


def _arguments(parser: ArgumentParser) -> None:
    add_run(parser, "a", "the first run")
    add_run(parser, "b", "the second run")
    parser.add_argument("--only", type=_sections, metavar="S[,S]", help="compare some sections")
    parser.add_argument("--all", action="store_true", help=f"show every difference, not {_SHOWN} of each section")
    add_outputs(parser)


def _sections(text: str) -> list[str]:
    names = [word.strip() for word in text.split(",")]
    if not set(names) <= set(SECTIONS):
        raise ArgumentTypeError(f"{text}: wanted some of {', '.join(SECTIONS)}, with commas")
    return names


def _run(options: Namespace) -> int:
    a, b = (choose_run(word, options.outputs) for word in (options.a, options.b))
    sections = compare_any(a, b, options.only)
    say(f"A {printable(_describe(a))}\nB {printable(_describe(b))}")
    for section in sections:
        show_section(section, None if options.all else _SHOWN)
    return int(any(section.differences for section in sections))


def compare_any(a: RunFolder, b: RunFolder, only: Sequence[str] | None = None) -> list[Section]:
    """The sections of two runs, or of two archives, stack by stack. Raises RecordError for one of each."""
    kinds = {run.record.is_archive for run in (a, b)}
    if len(kinds) > 1:
        archive, run = (a, b) if a.record.is_archive else (b, a)
        raise RecordError(
            f"{archive.path} is an archive, {run.path} a run of one stack; name a stack of it, as "
            f"{archive.path}/{FOLDER}/NAME; {command()} log show {archive.path} names them"
        )
    return (compare_archives if kinds == {True} else compare)(a, b, only)


def _describe(run: RunFolder) -> str:
    return f"{run.path}: {run.status}, started {run.started.astimezone():%Y-%m-%d %H:%M:%S}"


def show_section(section: Section, most: int | None = _SHOWN) -> None:
    """Print one section: a line if nothing differs, else what does, side by side."""
    if not section.differences:
        say(f"{section.name}: {section.same}")
    shown = section.differences[:most]
    pairs = [difference for difference in shown if not difference.text]
    if pairs:
        show_table(table("", [section.name, "A", "B"], _cells(pairs), left=3))
    for difference in shown:
        if difference.text:
            say(printable(f"{section.name}: {difference.what}: {difference.text}"))
    if len(section.differences) > len(shown):
        say(f"{section.name}: and {len(section.differences) - len(shown)} more; diff --all shows them")
    for note in dict.fromkeys(section.notes):
        say(printable(f"{section.name}: {note}"))


def _cells(pairs: Sequence[Difference]) -> list[list[str]]:
    return [[difference.what, difference.a, difference.b] for difference in pairs]


VERB = Verb(
    "diff", "what two runs differ in: config, code, packages, inputs, values", _EXAMPLES, _arguments, _run, trouble=2
)
