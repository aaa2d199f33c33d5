"""What a person at the terminal sees: what was found, progress, results; plain lines where there is no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from runner.base.redact import redact
from runner.errors import printable

_PLAIN_EVERY = 5.0  # seconds between two progress lines where there is no terminal
_WIDEST = 4000  # characters of a table's line, where no terminal limits it

news = Console(stderr=True, highlight=False, emoji=False)  # progress and errors
results = Console(highlight=False, emoji=False)  # what a run is for: tables


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for one piece of long work; call what is yielded with (done, total)."""
    with _bar(label) if news.is_terminal else _lines(label) as update:
        yield update


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=news) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _lines(label: str) -> Iterator[Callable[[int, int], None]]:
    last = started = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= _PLAIN_EVERY:
            last = now
            news.print(f"{label}: {done} of {total}, {now - started:.1f} s", markup=False)

    yield update


def _lines_of(text: str) -> str:
    """A text whose names move no cursor and colour nothing; its own ends of lines stay."""
    return "\n".join(map(printable, text.split("\n")))


def tell(text: str) -> None:
    """A line of news."""
    news.print(_lines_of(text), markup=False, soft_wrap=True)


def complain(text: str) -> None:
    """An error's one line, the only thing printed about it."""
    news.print("error:", style="bold red", end=" ")
    news.print(_lines_of(text), markup=False, soft_wrap=True)


def tell_notes(error: BaseException) -> None:
    """What was noted on an error for those who read it last: how to go on."""
    for note in getattr(error, "__notes__", ()):
        tell(redact(note))


def table(title: str, columns: list[str], rows: list[list[str]], left: int = 1, elastic: str = "") -> Table:
    """A table with the first `left` columns to the left, and the first of all as it is; numbers to the right.

    Where it is too wide, cells are folded; with an `elastic` column, each row keeps to one line and that column is cut.
    """
    drawn = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for at, column in enumerate(columns):
        whole = at == 0 if not elastic else column != elastic
        words = at < left or column == elastic
        drawn.add_column(column, justify="left" if words else "right", no_wrap=whole, overflow="fold")
    for row in rows:
        drawn.add_row(*(_cell(text, column == elastic) for text, column in zip(row, columns, strict=True)))
    return drawn


def _cell(text: str, cut: bool) -> Text:
    """The text as it is, since [mean,count] is no markup, without ends of lines that would begin a row."""
    shown = printable(text)
    return Text(shown, no_wrap=True, overflow="ellipsis") if cut else Text(shown)


def show_table(drawn: Table) -> None:
    """Print a table; where there is no terminal each line is as long as its text, for those who search lines."""
    if results.is_terminal:
        results.print(drawn)
        return
    aside = Console(file=StringIO(), width=_WIDEST)
    with aside.capture() as captured:
        aside.print(drawn)
    lines = (line.rstrip() for line in captured.get().splitlines())
    results.print("\n".join(lines), soft_wrap=True, markup=False)


def say(text: str) -> None:
    """A line of results."""
    results.print(_lines_of(text), markup=False, soft_wrap=True)
