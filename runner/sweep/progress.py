"""How far a sweep is: a line for every run that ended, and on a terminal a bar, with the time that is left."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from runner.base.console import news_on_terminal, progress_bar, tell
from runner.leaderboard.jobs import Attempt, Job, JobRecord, Status


class Progress:
    """Told of every run that ended; the time left goes by the mean of those, less the ones `there` before."""

    def __init__(self, total: int, there: int = 0) -> None:
        self._total, self._there, self._count = total, there, there
        self._stack = ExitStack()
        self._show: Callable[[int, int], None] = lambda _done, _total: None

    def __enter__(self) -> "Progress":
        self._began = time.monotonic()
        if news_on_terminal() and self._total:
            self._show = self._stack.enter_context(progress_bar("sweep"))
            self._show(self._count, self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()

    def done(self, record: JobRecord) -> None:
        """One more has ended."""
        self._count += 1
        each = (time.monotonic() - self._began) / (self._count - self._there)
        rest = each * (self._total - self._count)
        left = f"; about {in_time(rest)} left" if self._count < self._total else ""
        tell(f"{self._count} of {self._total}: {describe(record)}{left}")
        self._show(self._count, self._total)


def describe(record: JobRecord) -> str:
    """A run that ended, in a line."""
    name = Attempt(Job(record.job, ()), record.repeat, record.rung).name
    words = " ".join(f"{key}={value}" for key, value in record.varied.items())
    told = f"{name} {words} {record.status}".replace("  ", " ")
    if record.status is Status.COMPLETED:
        return f"{told} in {record.wall_seconds:.1f} s"
    return f"{told}: {record.reason}"


def in_time(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
