"""The verbs of `cog-stack-runner log`: a name, its arguments, and its function."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OUTPUTS = Path("outputs")


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. `run` gives the exit code; RunnerErrors that it raises are shown in one line.

    With `overrides`, arguments after `--` are accepted, as `options.overrides`; `trouble` is the exit code of errors,
    None if each has its own.
    """

    name: str
    summary: str  # one line
    details: str  # what the help says besides: examples first, then what an exit code means
    arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    overrides: bool = False
    trouble: int | None = None


def add_run(parser: ArgumentParser, name: str = "run", what: str = "which run") -> None:
    """The argument RUN of a verb."""
    help_text = f"{what}: its folder, a part of its name that no other has, or 'last'"
    parser.add_argument(name, metavar=name.upper(), help=help_text)


def add_outputs(parser: ArgumentParser) -> None:
    """The option that names the folder in which RUN is searched."""
    parser.add_argument(
        "--outputs", type=Path, default=OUTPUTS, metavar="FOLDER", help="where runs are looked for (outputs/)"
    )
