"""The leaderboard of a sweep, written into its folder and shown at the terminal."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.table import Table

from runner.base.command import command
from runner.base.console import cell, say, show_table, width_of_terminal
from runner.base.humanize import one_line, relative_path
from runner.errors import RecordError
from runner.leaderboard.answer import answer, reasons_once
from runner.leaderboard.board import Leaderboard, read_leaderboard
from runner.leaderboard.records import Status
from runner.leaderboard.rows import Row
from runner.leaderboard.sweep_folder import BEST_FOLDER
from runner.leaderboard.table import FOLDED, PARQUET, WIDTH, cells, write_parquet

_MOST_ROWS: Final = 64  # shown at the terminal; the files have all
_REASON: Final = 300  # characters


def write_leaderboard(folder: Path) -> Leaderboard:
    """Write `sweep.parquet`, `sweep.html` and the winner's config into the sweep's folder.

    It can be called at any time, also while the sweep is running. Raises RecordError if the folder is not a sweep,
    OutputError if it cannot be written to.
    """
    from runner.leaderboard.best_config import write_best  # noqa: PLC0415 - Hydra, which a table alone spares
    from runner.leaderboard.page import write_page  # noqa: PLC0415 - as above

    board = read_leaderboard(folder)
    write_parquet(folder / PARQUET, board)
    best, notes = None, []
    try:
        best = write_best(board)
    except RecordError as error:  # the table is worth having all the same
        notes.append(f"No best.yaml: {error}")
    board = replace(board, notes=tuple(notes))
    page = write_page(board, best.read_text("utf-8") if best else None)
    return replace(board, files=tuple(path for path in (folder / PARQUET, page, best) if path))


def show_leaderboard(board: Leaderboard) -> None:
    """Print the table, the reasons why jobs did not complete, the answer, and the files that were written."""
    heads, rows, texts = cells(board, min(width_of_terminal() or WIDTH, WIDTH))
    drawn = _table(heads, rows[:_MOST_ROWS], texts, board)
    if FOLDED in heads:  # folded settings may as well be wrapped
        show_table(drawn, WIDTH)
    else:
        show_table(drawn)
    if len(rows) > _MOST_ROWS:
        say(f"and {len(rows) - _MOST_ROWS} more, see {PARQUET}")
    for group, reason in reasons_once(board.rows):
        say(_reason(board, group, reason))
    say("")
    for number, line in enumerate(answer(board)):
        say(line, style="bold" if number == 0 else None)
    for path in board.files:
        say(f"wrote {relative_path(path)}")
    if any(path.parent.name == BEST_FOLDER for path in board.files):
        arguments = ["--config-dir", relative_path(board.sweep.path), "experiment=best"]
        say(f"to run the best again: {command()} {shlex.join(arguments)}")


def _reason(board: Leaderboard, group: list[Row], reason: str) -> str:
    """The reason of a group of jobs, in one line that names a single job once."""
    row, line = group[0], one_line(reason)
    status = "" if row.status is Status.COMPLETED else f"{row.status}: "
    name = board.names[row.job]
    named = "" if len(group) > 1 else f"job {row.job}: " if line.startswith(name) else f"job {row.job}, {name}: "
    return f"{status}{named}{line if len(line) <= _REASON else f'{line[:_REASON]}...'}"


def _table(heads: list[str], rows: list[list[str]], texts: list[str], board: Leaderboard) -> Table:
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in heads:
        left = head in texts
        drawn.add_column(cell(head), justify="left" if left else "right", no_wrap=not left, overflow="fold")
    for row, cells_ in zip(board.rows, rows, strict=False):
        style = (
            "red" if row.failed or row.differs else "bold" if row is board.best else "dim" if not row.measured else None
        )
        drawn.add_row(*(cell(text) for text in cells_), style=style)
    return drawn
