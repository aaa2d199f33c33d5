"""Attempts at jobs, run in processes: a few at a time, each with its limits, and all ended together by a signal."""

import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import rmtree
from types import FrameType
from typing import TypeVar

from msgspec.structs import replace

from runner.base.console import tell
from runner.base.humanize import one_line, size
from runner.errors import Interrupted, RecordError
from runner.host.signals import STOPPING, heeded_signals
from runner.leaderboard.records import JobRecord, Status
from runner.record.run_folder import read_run
from runner.settings import Start
from runner.sweep.folder import SweepFolder
from runner.sweep.jobs import Attempt
from runner.sweep.process import Cause, Ended, JobProcess, Limits, StopSign

Done = TypeVar("Done")
CONSOLE = "console.log"


@dataclass(slots=True)
class Launchpad:
    """Starts processes, and keeps those that are running."""

    limits: Limits
    start: Start
    stop: StopSign = field(default_factory=StopSign)
    _running: set[JobProcess] = field(default_factory=set)

    def run(self, command: Sequence[str], folder: Path) -> Ended:
        """Run one process from start to end; its output goes to the folder's `console.log`."""
        with tempfile.TemporaryDirectory(prefix="runner-kernels-") as empty:
            kernels = {"NUMBA_CACHE_DIR": empty} if self.start is Start.cold else {}
            process = JobProcess(command, folder / CONSOLE, {**os.environ, **kernels})
            self._running.add(process)
            try:
                return process.watch(self.limits, self.stop)
            finally:
                self._running.discard(process)

    def each(self, tasks: Sequence[Callable[[], Done]], at_once: int) -> Generator[Done, None, None]:
        """Do the tasks in threads and yield their results as they come; an error or a signal ends all processes."""
        with ThreadPoolExecutor(at_once, thread_name_prefix="job") as pool:
            futures: list[Future[Done]] = []
            try:
                futures.extend(pool.submit(task) for task in tasks)
                for future in as_completed(futures):
                    yield future.result()
            except BaseException as stop:
                with self._killing_at_a_second_signal():
                    self._end_all(futures, stop)
                raise

    def _end_all(self, futures: Sequence[Future[Done]], stop: BaseException) -> None:
        for future in futures:
            future.cancel()
        self.stop.raise_(stop.exit_code - 128 if isinstance(stop, Interrupted) else signal.SIGTERM)
        wait(futures)

    @contextmanager
    def _killing_at_a_second_signal(self) -> Iterator[None]:
        def kill(number: int, _frame: FrameType | None) -> None:
            for process in tuple(self._running):
                process.kill()
            os._exit(128 + number)

        before = {number: signal.signal(number, kill) for number in heeded_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def attempted(
    sweep: SweepFolder, pad: Launchpad, attempt: Attempt, command: Sequence[str], record: JobRecord
) -> JobRecord:
    """Run an attempt in its folder, and keep its record before and after."""
    sweep.set_aside(attempt)
    record = replace(record, started=datetime.now(UTC))
    sweep.keep(attempt, record)
    end = pad.run(command, sweep.of(attempt))
    status, reason = outcome(end, sweep.of(attempt), pad.limits)
    record = replace(
        record, status=status, reason=reason, exit_code=end.exit_code, ended=datetime.now(UTC),
        wall_seconds=round(end.wall_seconds, 3), cpu_seconds=round(end.cpu_seconds, 3), peak_bytes=end.peak_bytes,
    )  # fmt: skip
    sweep.keep(attempt, record)
    return record


def unmeasured(pad: Launchpad, command: Sequence[str], folder: Path) -> None:
    """Make a run that warms up for others, and remove its folder."""
    rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with closing(pad.each([partial(pad.run, command, folder)], 1)) as ends:
        (ended,) = ends
    failure = "" if ended.exit_code == 0 else f", which did not succeed: exit code {ended.exit_code}"
    tell(f"warmed up in {ended.wall_seconds:.1f} s{failure}")
    rmtree(folder, ignore_errors=True)


def outcome(ended: Ended, folder: Path, limits: Limits) -> tuple[Status, str | None]:
    """The status after an end, and the reason for it in one line."""
    if ended.cause is not None:
        taken, allowed = size(ended.peak_bytes), size(limits.memory_bytes or 0)
        ours = {
            Cause.timeout: (Status.TIMEOUT, f"ran longer than sweep.timeout={limits.seconds} seconds"),
            Cause.memory: (Status.OUT_OF_MEMORY, f"its processes held {taken}, and sweep.memory_limit is {allowed}"),
            Cause.stopped: (Status.INTERRUPTED, "ended with the sweep"),
        }
        return ours[ended.cause]
    if ended.exit_code == 0:
        return Status.COMPLETED, None
    if ended.exit_code < 0:
        return Status.DIED, _of_signal(-ended.exit_code)
    if ended.exit_code in [128 + number for number in STOPPING]:
        return Status.INTERRUPTED, f"stopped by signal {ended.exit_code - 128}, which the sweep did not send"
    return Status.FAILED, _reported_reason(folder)


def _of_signal(number: int) -> str:
    known = number in {item.value for item in signal.Signals}
    name = signal.Signals(number).name if known else f"signal {number}"
    hint = "; the system does that when memory runs out" if number == signal.SIGKILL else ""
    return f"killed by {name}{hint}"


def _reported_reason(folder: Path) -> str:
    """The error that the run recorded; if it did not get as far as that, the last line of its console."""
    try:
        reason = read_run(folder).error
    except RecordError:
        reason = None
    if reason is None:
        lines = (folder / CONSOLE).read_text("utf-8").splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        reason = (errors or [line for line in lines if line.strip()] or ["it printed nothing"])[-1]
    return one_line(reason)
