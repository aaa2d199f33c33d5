"""Errors of tasks carry the trace of their task in a typed attribute, from a worker process too."""

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from runner.engine import traced_tasks
from runner.engine.trace import NumberedTask, TaskError, trace_of
from runner.engine.traced_tasks import run_traced
from runner.errors import ReadError, RunnerError
from runner.planning.records import Task
from runner.read.header import Window
from runner.read.stop_flag import StoppedError

TASK = Task(Window(512, 0, 512, 700), 2, 5)
SHARED: Any = None


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the work of the first task raise an error."""

    def run_tasks_of_bands(_: object, tasks: Iterator[Task]) -> Iterator[None]:
        next(tasks)
        raise error
        yield

    monkeypatch.setattr(traced_tasks, "run_tasks_of_bands", run_tasks_of_bands)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ReadError("s3://b/k.tif", "it is damaged"), ReadError),
        (RunnerError("a pixel is the mark"), RunnerError),
        (ValueError("bad shape"), TaskError),
    ],
)
def test_an_error_of_a_task_carries_its_trace_out_of_a_worker(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    failing(monkeypatch, error)
    with pytest.raises(kind) as caught:
        list(run_traced(SHARED, iter([NumberedTask(7, TASK)])))
    arrived = pickle.loads(pickle.dumps(caught.value))
    trace = trace_of(arrived)
    assert trace is not None
    assert (trace.number, trace.task) == (7, TASK)
    assert trace.error == f"{type(error).__name__}: {error}"
    assert str(error) in str(arrived)


def test_a_task_that_was_stopped_from_outside_is_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, StoppedError())
    with pytest.raises(StoppedError) as caught:
        list(run_traced(SHARED, iter([NumberedTask(7, TASK)])))
    assert trace_of(caught.value) is None


def test_an_error_without_a_task_has_no_trace() -> None:
    assert trace_of(ReadError("s3://b/k.tif", "it is damaged")) is None
