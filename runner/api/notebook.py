"""News in a notebook: one output of plain text that is brought up to date."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from runner.base.console import Update
from runner.base.humanize import seconds

_EVERY: Final = 0.2  # seconds between two pictures of progress
_WIDTH: Final = 30  # characters of a bar


def in_notebook() -> bool:
    """Tell if a Jupyter kernel runs this code."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookNews:
    """A listener that keeps the lines of one piece of work in one output of the cell, progress below them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._bar = ""
        self._shown: Any = None  # IPython's handle, once there is something to show
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        """Add a line."""
        with self._lock:
            self._lines.append(text)
            self._show()

    @contextmanager
    def progress(self, label: str) -> Iterator[Update]:
        """Show a bar, which is gone at the end."""
        started, last = time.monotonic(), 0.0

        def update(done: int, total: int, more: str = "", /) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _EVERY or done == total:
                last = now
                self._draw(
                    f"{label}  {_bar(done, total)}  {done} of {total}, {seconds(now - started)}{more and f': {more}'}"
                )

        try:
            yield update
        finally:
            self._draw("")

    def _draw(self, bar: str) -> None:
        with self._lock:
            if bar != self._bar:
                self._bar = bar
                self._show()

    def _show(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - a notebook has it

        text = {"text/plain": "\n".join([*self._lines, self._bar] if self._bar else self._lines)}
        if self._shown is None:
            self._shown = display(text, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(text, raw=True)


def _bar(done: int, total: int) -> str:
    filled = _WIDTH * done // max(total, 1)
    return "█" * filled + "░" * (_WIDTH - filled)
