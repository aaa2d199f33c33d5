"""Trace of a task: its worker, its times, its window and scenes, and its work."""

import os
import socket
import sys
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

from runner.errors import RunnerError
from runner.planning.records import Task

THIS_PROCESS = "this process"  # the worker's name where the run itself works, as in `Cluster.gdal_options`


class NumberedTask(NamedTuple):
    """A task of a pass, and its number there."""

    number: int
    task: Task


@dataclass(frozen=True, slots=True)
class Place:
    """The worker of a task: its address, and the scheduler's key for the task (None without a scheduler).

    Of a worker that was lost no more is known.
    """

    worker: str
    key: str | None
    host: str | None = None
    pid: int | None = None
    thread: int | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """The time and the bytes of a task of the block engine. `fetch_seconds` are spent waiting for ranges."""

    fetch_seconds: float
    decode_seconds: float
    reduce_seconds: float
    bytes: int
    requests: int
    retries: int
    valid: int  # pixels that count
    compile_seconds: float = 0.0  # waiting for machine code, which is in none of the others


@dataclass(frozen=True, slots=True)
class TaskTrace:
    """One attempt at a task. Times are seconds since 1970; `error` is None if it succeeded.

    Unknown fields are None: `place` and `stopped` of a task that was lost with its worker, `started` of a task that
    dask divided, `work` of a task that failed or that GDAL read for dask.
    """

    number: int | None
    task: Task | None
    place: Place | None
    started: float | None
    stopped: float | None
    peak_bytes: int | None = None  # resident, of the process, the most during the attempt
    work: Work | None = None
    error: str | None = None


class TaskError(Exception):
    """An unexpected error of a task, with the trace of that task."""

    def __init__(self, reason: str, trace: TaskTrace) -> None:
        super().__init__(reason, trace)
        self.trace = trace

    def __str__(self) -> str:
        return str(self.args[0])


def trace_of(error: BaseException) -> TaskTrace | None:
    """The trace of the task that raised an error, if a task did."""
    if isinstance(error, TaskError):
        return error.trace
    task = error.task if isinstance(error, RunnerError) else None
    return task if isinstance(task, TaskTrace) else None


def here() -> Place:
    """The worker, process and thread of the caller."""
    worker, key = _dask_worker()
    return Place(worker, key, socket.gethostname(), os.getpid(), threading.get_native_id())


def _dask_worker() -> tuple[str, str | None]:
    distributed: Any = sys.modules.get("distributed")  # a worker process has loaded it; no other process needs it
    if distributed is not None:
        try:
            return str(distributed.get_worker().address), str(distributed.utils.thread_state.key)
        except (ValueError, AttributeError):  # this thread is not a worker's
            pass
    return THIS_PROCESS, None
