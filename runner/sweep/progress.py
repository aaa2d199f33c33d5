"""The progress of a sweep: a line for every run that ended, and on a terminal a bar, with the time that is left."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from runner.base.console import news_on_terminal, progress_bar, tell
from runner.leaderboard.records import JobRecord, Status
from runner.sweep.jobs import attempt_name


@contextmanager
def progress(total: int, earlier: int = 0) -> Iterator[Callable[[JobRecord], None]]:
    """Yield a function that reports each run as it ends, after `earlier` ones, with an estimate of the time left."""
    started, count = time.monotonic(), earlier
    on_terminal = news_on_terminal() and total
    with progress_bar("sweep") if on_terminal else nullcontext(lambda _done, _total: None) as show:
        show(count, total)

        def report(record: JobRecord) -> None:
            nonlocal count
            count += 1
            remaining = (time.monotonic() - started) / (count - earlier) * (total - count)
            estimate = f"; about {in_time(remaining)} left" if count < total else ""
            tell(f"{count} of {total}: {describe(record)}{estimate}")
            show(count, total)

        yield report


def describe(record: JobRecord) -> str:
    """A run that ended, in a line."""
    name = attempt_name(record.job, record.repeat, record.rung)
    line = " ".join([name, *(f"{key}={value}" for key, value in record.varied.items()), record.status])
    if record.status is Status.COMPLETED:
        return f"{line} in {record.wall_seconds:.1f} s"
    return f"{line}: {record.reason}"


def in_time(seconds: float) -> str:
    """A duration for people, without a false precision."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
