"""What a task was: who ran it, when, for which block, and what it took."""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from runner.cluster.monitor import Loss, Watch
from runner.errors import ReadError
from runner.plan.records import Block

log = logging.getLogger(__name__)

THIS_PROCESS = "this process"  # what a worker is called that is the run itself, as in `Cluster.gdal_options`


class Task(NamedTuple):
    """A block of a pass, and its number among them."""

    number: int
    block: Block


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task runs. `worker` is its address, `key` what its scheduler calls the task (None without one).

    Of a worker that was lost no more is known.
    """

    worker: str
    key: str | None
    host: str | None = None
    pid: int | None = None
    thread: int | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What a task of the block engine took and saw. `fetch_seconds` are those it waited for ranges."""

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

    What is not known is None: the `place` and `stopped` of a task that was lost with its worker, the `started` of one
    that dask cut in many, the `work` of one that failed or that GDAL read for dask.
    """

    number: int | None
    block: Block | None
    place: Place | None
    started: float | None
    stopped: float | None
    peak_bytes: int | None = None  # of the process, since it began
    work: Work | None = None
    error: str | None = None


NOTE: Final = "task"  # the name under which an error carries the trace of its task
OnTask = Callable[[TaskTrace], None]


def trace_of(error: BaseException) -> TaskTrace | None:
    """The task an error comes from, if it does."""
    found = vars(error).get(NOTE)
    return found if isinstance(found, TaskTrace) else None


@contextmanager
def failures_traced(watch: Watch, on_task: OnTask) -> Iterator[list[Loss]]:
    """Tell of the task whose error ends the block, and of those lost with their workers, which are then in the list."""
    losses: list[Loss] = []
    try:
        yield losses
    except Exception as error:
        failed = trace_of(error)
        if failed is None and isinstance(error, ReadError):
            failed = TaskTrace(None, None, None, None, time.time(), error=f"{type(error).__name__}: {error}")
        if failed is not None:
            on_task(failed)
        _trace_losses(watch, on_task, losses)
        raise
    _trace_losses(watch, on_task, losses)


def _trace_losses(watch: Watch, on_task: OnTask, losses: list[Loss]) -> None:
    losses += watch.losses()
    for loss in losses:
        log.warning("worker %s was lost with %d tasks", loss.worker, len(loss.keys), extra={"worker": loss.worker})
        for key in loss.keys:
            on_task(TaskTrace(None, None, Place(loss.worker, key), None, loss.time, error="lost with its worker"))


def here() -> Place:
    """Where this is called."""
    worker, key = _dask_worker()
    return Place(worker, key, socket.gethostname(), os.getpid(), threading.get_native_id())


def _dask_worker() -> tuple[str, str | None]:
    distributed: Any = sys.modules.get("distributed")  # which a worker process has loaded; no other needs it
    if distributed is not None:
        try:
            worker = distributed.get_worker()
            return str(worker.address), str(worker.get_current_task())
        except (ValueError, KeyError):  # a thread of no worker's
            pass
    return THIS_PROCESS, None
