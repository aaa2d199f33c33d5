"""Traced tasks: a trace is made around the work, never inside its loops."""

import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing

import numpy as np

from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult, run_tasks
from runner.engine.trace import NumberedTask, TaskError, TaskTrace, Work, here
from runner.errors import RunnerError
from runner.host.memory import peak_bytes
from runner.plan.records import Task
from runner.read.stop_flag import StoppedError


def run_traced(shared: Shared, tasks: Iterator[NumberedTask]) -> Generator[tuple[TaskResult, TaskTrace], None, None]:
    """Run tasks, and yield each result with its trace. An error carries the trace too, for `trace_of`.

    Raises ReadError, and TaskError for what is not a RunnerError.
    """
    started_tasks: deque[NumberedTask] = deque()  # the one under way, then those whose ranges are fetched ahead

    def extents() -> Iterator[Task]:
        for numbered in tasks:
            started_tasks.append(numbered)
            yield numbered.task

    with closing(run_tasks(shared, extents())) as results:
        while True:
            started = time.time()
            try:
                result = next(results, None)
            except StoppedError:
                raise  # stopped from outside: not a failure of its own
            except Exception as error:
                if not started_tasks:
                    raise
                reason = f"{type(error).__name__}: {error}"
                trace = TaskTrace(*started_tasks[0], here(), started, time.time(), peak_bytes(), error=reason)
                if not isinstance(error, RunnerError):
                    # With the inner traceback: a cause does not survive the way from a worker process.
                    raise TaskError(reason, trace).with_traceback(error.__traceback__) from error
                error.task = trace
                raise
            if result is None:
                return
            done = started_tasks.popleft()
            yield result, TaskTrace(*done, here(), started, time.time(), peak_bytes(), work=_work_of(result))


def _work_of(result: TaskResult) -> Work:
    fetched, task = result.fetched, result.task
    partial = result.over_space or result.over_time  # the counts over space are fewer to add
    assert partial is not None  # every stage counts its pixels
    narrow = (task.stop - task.start) * task.window.height * task.window.width < 2**31  # and four times as fast
    return Work(
        fetch_seconds=fetched.wait_seconds,
        decode_seconds=max(0.0, result.read_seconds - fetched.wait_seconds),
        reduce_seconds=result.reduce_seconds,
        bytes=fetched.bytes,
        requests=fetched.requests,
        retries=fetched.retries,
        valid=int(partial.counts.sum(dtype=np.int32 if narrow else np.int64)),
        compile_seconds=result.compile_seconds,
    )
