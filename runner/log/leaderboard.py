"""`leaderboard`: the best job of a sweep, by how much it won, and whether all jobs agree."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from runner.base.command import command
from runner.base.console import say_json
from runner.errors import RecordError
from runner.log.verb import Verb, add_outputs
from runner.record.stacks import STACKS

_EXAMPLES = """\
examples
  cog-stack-runner log leaderboard last             the newest sweep below outputs/
  cog-stack-runner log leaderboard 14-05-09_sweep   a part of the folder's name will do
  cog-stack-runner log leaderboard last --json | jq '.jobs[] | [.rank, .wall_seconds, .settings]'

It reads the sweep's folder alone, also while the sweep is running, and that of a plain multirun (-m). It writes into
the folder: sweep.parquet, a row per job; sweep.html, one page with plots; experiment/best.yaml, the winner's config:
  cog-stack-runner --config-dir SWEEP experiment=best
With --json nothing is written.

Jobs rank by the median of their repeats; a difference that the noise explains is a tie (=), and without repeats 10 %
is assumed to be noise. Exit code: 0; 1 if a job failed, died, was stopped or ran out of time or memory, or if two jobs
computed different bits from the same scenes (refused and pruned jobs have not failed); 2 if this is not a sweep."""


def _arguments(parser: ArgumentParser) -> None:
    help_text = "which sweep: its folder, a part of its name that no other has, or 'last'"
    parser.add_argument("sweep", metavar="SWEEP", help=help_text)
    add_outputs(parser)
    parser.add_argument("--json", action="store_true", help="a JSON object instead of a table and files")


def _run(options: Namespace) -> int:
    from runner.leaderboard import board as boards  # noqa: PLC0415 - half a second of numpy, which the other verbs spare
    from runner.leaderboard import show, table  # noqa: PLC0415 - as above
    from runner.leaderboard.attempts import choose_sweep  # noqa: PLC0415 - as above

    _refuse_archive(Path(options.sweep))
    folder = choose_sweep(options.sweep, options.outputs)
    if options.json:
        board = boards.read_leaderboard(folder)
        say_json(table.describe(board))
    else:
        board = show.write_leaderboard(folder)
        show.show_leaderboard(board)
    return board.exit_code


def _refuse_archive(folder: Path) -> None:
    if (folder / STACKS).is_file():
        raise RecordError(
            f"{folder} is an archive, not a sweep: its stacks are not rivals; {command()} log show {folder} lists them"
        )


VERB = Verb("leaderboard", "which job of a sweep was best, by how much", _EXAMPLES, _arguments, _run)
