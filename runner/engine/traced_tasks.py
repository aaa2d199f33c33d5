"""Traced tasks: a trace is made around the work, never inside its loops."""

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from runner.engine.finished_windows import finished
from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult, of_only_band, run_tasks_of_bands
from runner.engine.trace import NumberedTask, TaskError, TaskTrace, Work, here
from runner.errors import RunnerError
from runner.host.memory import peak_bytes, peak_bytes_since
from runner.planning.records import Task
from runner.read.stop_flag import StoppedError

Traced = tuple[TaskResult, TaskTrace]


class Beginning(NamedTuple):
    """When an attempt at a task began, and the most bytes that its process had held until then."""

    time: float
    peak_bytes: int


def run_traced(shared: Shared, tasks: Iterator[NumberedTask]) -> Generator[Traced, None, None]:
    """Run tasks, and yield each result with its trace. An error carries the trace too, for `trace_of`.

    On workers elsewhere, windows of all scenes are finished.

    Raises ReadError, PlanError for pixels that do not fit the rule, and TaskError for what is not a RunnerError.
    """
    return of_only_band(run_bands_traced([shared], tasks))


def run_bands_traced(
    bands: Sequence[Shared], tasks: Iterator[NumberedTask]
) -> Generator[list[Traced | RunnerError], None, None]:
    """As `run_traced`, for several bands in the same tiles: of each band the result and its trace, or its error.

    Raises ReadError and TaskError.
    """
    started_tasks: deque[NumberedTask] = deque()  # the one under way, then those whose ranges are fetched ahead

    def extents() -> Iterator[Task]:
        for numbered in tasks:
            started_tasks.append(numbered)
            yield numbered.task

    with closing(run_tasks_of_bands(bands, extents())) as results:
        while True:
            began = Beginning(time.time(), peak_bytes())
            try:
                of_bands = next(results, None)
            except StoppedError:
                raise  # stopped from outside: not a failure of its own
            except Exception as error:
                if not started_tasks:
                    raise
                trace = _failed(started_tasks[0], began, error)
                if not isinstance(error, RunnerError):
                    # With the inner traceback: a cause does not survive the way from a worker process.
                    raise TaskError(str(trace.error), trace).with_traceback(error.__traceback__) from error
                error.task = trace
                raise
            if of_bands is None:
                return
            done = started_tasks.popleft()
            yield [_traced(done, began, *band) for band in zip(bands, of_bands, strict=True)]


def _failed(task: NumberedTask, began: Beginning, error: Exception) -> TaskTrace:
    reason = f"{type(error).__name__}: {error}"
    peak = peak_bytes_since(began.peak_bytes)
    return TaskTrace(*task, here(), began.time, time.time(), peak, error=reason)


def _traced(
    task: NumberedTask, began: Beginning, shared: Shared, result: TaskResult | RunnerError
) -> Traced | RunnerError:
    if isinstance(result, RunnerError):
        result.task = _failed(task, began, result)
        return result
    work = _work_of(result)
    peak = peak_bytes_since(began.peak_bytes)
    return finished(shared, result), TaskTrace(*task, here(), began.time, time.time(), peak, work=work)


def _work_of(result: TaskResult) -> Work:
    fetched, task = result.fetched, result.task
    # Every stage counts its pixels; the counts over space are fewer to add.
    partials = [result.over_space] if result.over_space else list(result.over_time.values())
    if not partials and result.over_zones:
        partials = [result.over_zones.cells]
    narrow = (task.stop - task.start) * task.window.height * task.window.width < 2**31  # and four times as fast
    return Work(
        fetch_seconds=fetched.wait_seconds,
        decode_seconds=max(0.0, result.read_seconds - fetched.wait_seconds),
        reduce_seconds=result.reduce_seconds,
        bytes=fetched.bytes,
        requests=fetched.requests,
        retries=fetched.retries,
        valid=sum(int(partial.counts.sum(dtype=np.int32 if narrow else np.int64)) for partial in partials),
        compile_seconds=result.compile_seconds,
    )
