"""The leaderboard of a sweep, written into its folder and shown at the terminal."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.table import Table

from runner.base.command import command
from runner.base.console import cell, say, show_table, width_of_terminal
from runner.base.humanize import relative_path
from runner.errors import RecordError
from runner.leaderboard.board import Leaderboard, answer, read_leaderboard, reasons_once
from runner.leaderboard.sweep_folder import BEST_FOLDER
from runner.leaderboard.table import FOLDED, PARQUET, WIDTH, cells, write_parquet

_MOST_ROWS: Final = 64  # shown at the terminal; the files have all
_REASON: Final = 300  # characters


def write_leaderboard(folder: Path) -> Leaderboard:
    """Make `sweep.parquet`, `sweep.html` and the winner's config of what lies in the sweep's folder, and nothing else.

    May be called at any time, also while the sweep goes on. Raises RecordError if the folder is no sweep, OutputError
    if it cannot be written to.
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
    """Print the table, what it comes to, why some did not complete, and the files that were written."""
    width = width_of_terminal()
    heads, rows, words = cells(board, min(width or WIDTH, WIDTH))
    drawn = _table(heads, rows[:_MOST_ROWS], words, board)
    if FOLDED in heads:  # what is folded may as well be wrapped
        show_table(drawn, WIDTH)
    else:
        show_table(drawn)
    if len(rows) > _MOST_ROWS:
        say(f"and {len(rows) - _MOST_ROWS} more, see {PARQUET}")
    for several, reason in reasons_once(board.rows):
        one = several[0]
        named = f"job {one.job}, {board.names[one.job]}: " if len(several) == 1 else ""
        status = "" if one.status == "COMPLETED" else f"{one.status}: "
        say(f"{status}{named}{text_of(reason)}")
    say("")
    for at, line in enumerate(answer(board)):
        say(line, style="bold" if at == 0 else None)
    for path in board.files:
        say(f"wrote {relative_path(path)}")
    if any(path.parent.name == BEST_FOLDER for path in board.files):
        asked = ["--config-dir", relative_path(board.sweep.path), "experiment=best"]
        say(f"the best again: {command()} {shlex.join(asked)}")


def text_of(reason: str) -> str:
    """One line of it."""
    line = " ".join(reason.split())
    return line if len(line) <= _REASON else f"{line[:_REASON]}..."


def _table(heads: list[str], rows: list[list[str]], words: int, board: Leaderboard) -> Table:
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for at, head in enumerate(heads):
        left = 0 < at < words
        drawn.add_column(cell(head), justify="left" if left else "right", no_wrap=not left, overflow="fold")
    for row, row_cells in zip(board.rows, rows, strict=False):
        style = (
            "red" if row.failed or row.differs else "bold" if row is board.best else "dim" if not row.measured else None
        )
        drawn.add_row(*(cell(text) for text in row_cells), style=style)
    return drawn
