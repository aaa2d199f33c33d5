"""`cog-stack-runner log VERB`: what runs were, whether they still hold, and doing them again."""

import re
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import NoReturn

from runner.base.command import COMMAND
from runner.base.console import complain, tell_notes, tell_traceback
from runner.base.overrides import command_line
from runner.base.streams import lost
from runner.base.suggest import did_you_mean
from runner.errors import RunnerError
from runner.log import diff, join, leaderboard, ls, rerun, resume, show, update, upload, verify
from runner.log.verb import Verb

VERBS: tuple[Verb, ...] = (
    ls.VERB, show.VERB, diff.VERB, verify.VERB, rerun.VERB, resume.VERB, upload.VERB, update.VERB, join.VERB,
    leaderboard.VERB,
)  # fmt: skip
_PROGRAM = f"{COMMAND} log"
_DETAILS = f"""\
RUN is a run's folder, a part of its name that no other run has, or 'last'.
Each verb has its own help, with examples: {_PROGRAM} VERB --help"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; the exit code is the verb's, 2 for what is asked wrongly, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    options, unknown = _parser().parse_known_args(words[:end])
    verb: Verb = options.verb
    if unknown:
        options.parser.error(_unknown(verb, words, unknown))
    options.overrides = words[end + 1 :]
    if options.overrides and not verb.overrides:
        complain(
            f"{verb.name} takes no overrides, got {' '.join(options.overrides)}; see {_PROGRAM} {verb.name} --help"
        )
        return 2
    try:
        return verb.run(options) or _shown(verb)
    except RunnerError as error:
        complain(str(error))
        tell_notes(error)
        return error.exit_code if verb.trouble is None else verb.trouble
    except KeyboardInterrupt as stop:
        complain("interrupted")
        tell_notes(stop)
        return int(getattr(stop, "exit_code", 130))
    except Exception as error:  # noqa: BLE001 - the last stop: a user gets one line
        if options.traceback:
            tell_traceback(error)
        complain(f"{type(error).__name__}: {error}. This is a fault of the runner; --traceback shows where")
        return 1 if verb.trouble is None else verb.trouble


def _unknown(verb: Verb, words: Sequence[str], unknown: Sequence[str]) -> str:
    """What is wrong with arguments that a verb does not have: they may be overrides that stand too early."""
    overrides = [word for word in unknown if "=" in word and not word.startswith("-")]
    if not verb.overrides or len(overrides) < len(unknown):
        return f"unrecognized arguments: {unknown[0]}"
    known = [word for word in words if word not in unknown]
    return f"{unknown[0]}: overrides come after --: {command_line([*known, '--'], overrides, _PROGRAM)}"


def _shown(verb: Verb) -> int:
    """The exit code of a verb that went well: not 0 if the text that it is for could not be written, as is logged."""
    return int(not verb.overrides and lost(sys.stdout) is not None)  # those that run jobs leave their results in files


class _Parser(ArgumentParser):
    """Says what is asked wrongly in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2, and with the nearest verb or flag."""
        verb = re.match(r"argument VERB: invalid choice: '(.*?)'", message)
        flag = re.match(r"unrecognized arguments: (-\S+)", message)
        if verb:
            names = [entry.name for entry in VERBS]
            message = f"{verb[1]}: there is no such verb{did_you_mean(verb[1], names)}; there are {', '.join(names)}"
        elif flag:
            known = set(re.findall(r"--[\w-]+", self.format_help()))
            message = f"{flag[1]}: there is no such flag{did_you_mean(flag[1], known)}"
        complain(f"{message}; see {self.prog} --help")
        sys.exit(2)


def _parser() -> ArgumentParser:
    parser = _Parser(prog=_PROGRAM, description=__doc__, epilog=_DETAILS, formatter_class=RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs")
    for verb in VERBS:
        below = verbs.add_parser(
            verb.name, help=verb.summary, description=f"{verb.name}: {verb.summary}", epilog=verb.details,
            formatter_class=RawDescriptionHelpFormatter, usage=_usage(verb),
        )  # fmt: skip
        verb.arguments(below)
        below.add_argument("--traceback", action="store_true", help="show where a fault of the runner lies")
        below.set_defaults(verb=verb, parser=below)
    return parser


def _usage(verb: Verb) -> str | None:
    return f"{_PROGRAM} {verb.name} [options] RUN [-- overrides]" if verb.overrides else None
