"""The console: news and errors on stderr, results on stdout; the only door to both, where secrets stay behind.

Where there is no terminal, progress comes as plain lines.
"""

import json
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from io import StringIO
from typing import Any, Final, Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runner.base.redact import redact, redact_tree
from runner.errors import printable

_PLAIN_EVERY: Final = 5.0  # seconds between two progress lines where there is no terminal
_WIDEST: Final = 4000  # characters of a table's line, where no terminal limits it

# In a notebook rich would make a picture of each line, for which `Listener` is the place.
_news = Console(stderr=True, highlight=False, emoji=False, force_jupyter=False)  # progress and errors
_results = Console(highlight=False, emoji=False, force_jupyter=False)  # tables, and text for which a command is called


class Update(Protocol):
    """Shows how far a piece of work is; `more` is said besides."""

    def __call__(self, done: int, total: int, more: str = "", /) -> None:
        """Show it."""


class Listener(Protocol):
    """Takes the news of one piece of work in place of the console. Results, which its caller has, are not printed."""

    def line(self, text: str) -> None:
        """Take a line of news, without secrets."""

    def progress(self, label: str) -> AbstractContextManager[Update]:
        """Take the progress of a part of the work."""


class Silence:
    """A listener that lets all news pass."""

    def line(self, text: str) -> None:
        """Show nothing."""

    def progress(self, label: str) -> AbstractContextManager[Update]:
        """Show nothing."""
        del label
        return nullcontext(lambda *_: None)


class NewsAlone:
    """A listener that shows news on stderr, as a command does, and no results."""

    def line(self, text: str) -> None:
        """Print the line."""
        _news.print(text, markup=False, soft_wrap=True)

    def progress(self, label: str) -> AbstractContextManager[Update]:
        """Draw a bar, or print lines where there is no terminal."""
        return (_bar if _news.is_terminal else _lines)(label)


_COMMAND: Final = NewsAlone()
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)  # None: a command prints everything


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Give the news of this thread, and of those that it starts, to a listener."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def hushed() -> AbstractContextManager[None]:
    """Print nothing from this thread, nor from those it starts: one of many pieces of work, of which others tell."""
    return listening(Silence())


def results_are_hidden() -> bool:
    """Tell if results of this thread are not shown, so that they need not be made."""
    return _LISTENER.get() is not None


def progress_bar(label: str) -> AbstractContextManager[Update]:
    """Show a bar for one piece of long work; call what is yielded with (done, total)."""
    return (_LISTENER.get() or _COMMAND).progress(redact(label))


@contextmanager
def _bar(label: str) -> Iterator[Update]:
    from rich import progress as of  # noqa: PLC0415 - what a terminal alone shows

    columns = (
        of.TextColumn("{task.description:<16}"),
        of.BarColumn(),
        of.MofNCompleteColumn(),
        of.TimeElapsedColumn(),
        of.TimeRemainingColumn(),
        of.TextColumn("{task.fields[more]}"),
    )
    with of.Progress(*columns, console=_news) as progress:
        task = progress.add_task(label, total=None, more="")
        yield lambda done, total, more="": progress.update(task, completed=done, total=total, more=more)


@contextmanager
def _lines(label: str) -> Iterator[Update]:
    last = started = time.monotonic()

    def update(done: int, total: int, more: str = "", /) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= _PLAIN_EVERY:
            last = now
            _COMMAND.line(f"{label}: {done} of {total}, {now - started:.1f} s{more and f': {more}'}")

    yield update


def news_on_terminal() -> bool:
    """Tell if people see news as it comes."""
    return _news.is_terminal


def width_of_terminal() -> int | None:
    """The width of the terminal that shows results; None if there is no terminal."""
    return _results.width if _results.is_terminal else None


def _shown(text: str) -> str:
    """A text without secrets, whose names move no cursor and colour nothing; its own ends of lines stay."""
    return "\n".join(map(printable, redact(text).split("\n")))


def tell(text: str) -> None:
    """Print a line of news."""
    (_LISTENER.get() or _COMMAND).line(_shown(text))


def complain(text: str) -> None:
    """Print an error's one line, the only thing printed about it."""
    _news.print("error:", style="bold red", end=" ")
    _news.print(_shown(text), markup=False, soft_wrap=True)


def tell_notes(error: BaseException) -> None:
    """Print the notes on an error, which say how to go on."""
    for note in getattr(error, "__notes__", ()):
        tell(note)


def tell_traceback(error: BaseException) -> None:
    """Print where an error was raised."""
    sys.stderr.write(redact("".join(traceback.format_exception(error))))


def say(text: str, style: str | None = None) -> None:
    """Print a line of results."""
    if results_are_hidden():
        return
    _results.print(_shown(text), markup=False, soft_wrap=True, style=style)


def say_json(facts: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print facts as JSON."""
    _results.print(json.dumps(redact_tree(facts), indent=1), markup=False, soft_wrap=True)


def say_page(text: str) -> None:
    """Print a text of several lines as it is, for a program or a file."""
    sys.stdout.write(redact(text))
    sys.stdout.flush()


def table(title: str, columns: list[str], rows: list[list[str]], left: int = 1, elastic: str = "") -> Table:
    """A table with the first `left` columns to the left, and the first of all as it is; numbers to the right.

    Where it is too wide, cells are folded; with an `elastic` column, each row keeps to one line and that column is cut.
    """
    drawn = Table(title=Text(redact(title)), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, column in enumerate(columns):
        unfolded = position == 0 if not elastic else column != elastic
        to_the_left = position < left or column == elastic
        drawn.add_column(column, justify="left" if to_the_left else "right", no_wrap=unfolded, overflow="fold")
    for row in rows:
        drawn.add_row(*(cell(text, cut=column == elastic) for text, column in zip(row, columns, strict=True)))
    return drawn


def cell(text: str, *, cut: bool = False) -> Text:
    """A cell of a table: the text without secrets, markup, or ends of lines, which would begin a row."""
    shown = printable(redact(text))
    return Text(shown, no_wrap=True, overflow="ellipsis") if cut else Text(shown)


def show_table(drawn: Table, width: int = _WIDEST) -> None:
    """Print a table; without a terminal, each line is as long as its text, or `width`, for those who search lines."""
    if results_are_hidden():
        return
    if _results.is_terminal:
        _results.print(drawn)
        return
    aside = Console(file=StringIO(), width=width)
    with aside.capture() as captured:
        aside.print(drawn)
    lines = (line.rstrip() for line in captured.get().splitlines())
    _results.print("\n".join(lines), soft_wrap=True, markup=False)
