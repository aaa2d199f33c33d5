"""The progress of a sweep: a line for every run that ended, and on a terminal a bar, with the time that is left."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from runner.base.console import news, progress_bar, tell
from runner.leaderboard.records import JobRecord, Status
from runner.sweep.jobs import attempt_name


class Progress:
    """Counts the runs that ended, from the `earlier` ones on; the time left follows from the mean of the new ones."""

    def __init__(self, total: int, earlier: int = 0) -> None:
        self._total, self._earlier, self._count = total, earlier, earlier
        self._stack = ExitStack()
        self._show: Callable[[int, int], None] = lambda _done, _total: None

    def __enter__(self) -> "Progress":
        self._began = time.monotonic()
        if news.is_terminal and self._total:
            self._show = self._stack.enter_context(progress_bar("sweep"))
            self._show(self._count, self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()

    def done(self, record: JobRecord) -> None:
        """Report a run that has ended."""
        self._count += 1
        each = (time.monotonic() - self._began) / (self._count - self._earlier)
        remaining = each * (self._total - self._count)
        estimate = f"; about {in_time(remaining)} left" if self._count < self._total else ""
        tell(f"{self._count} of {self._total}: {describe(record)}{estimate}")
        self._show(self._count, self._total)


def describe(record: JobRecord) -> str:
    """A run that ended, in a line."""
    name = attempt_name(record.job, record.repeat, record.rung)
    line = " ".join([name, *(f"{key}={value}" for key, value in record.varied.items()), record.status])
    if record.status is Status.COMPLETED:
        return f"{line} in {record.wall_seconds:.1f} s"
    return f"{line}: {record.reason}"


def in_time(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
