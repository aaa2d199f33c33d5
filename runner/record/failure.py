"""The error that ended a run, and the place that it can be traced to."""

from collections.abc import Iterator, Sequence

from runner.engine.trace import TaskTrace, trace_of
from runner.record.run import Failure, TaskExtent


def failure(error: BaseException, pass_name: str | None, stages: Sequence[str]) -> Failure:
    """Kind and message, the scene that it names, and the task, in the pass that was running."""
    chain = list(_chain(error))
    scene = next((str(href) for link in chain if (href := getattr(link, "href", None))), None)
    task = next((trace for link in chain if (trace := trace_of(link))), None)
    return Failure(type(error).__name__, str(error), pass_name, tuple(stages), scene, _extent(task))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _extent(task: TaskTrace | None) -> TaskExtent | None:
    if task is None or task.task is None:
        return None
    window, start, stop = task.task
    return TaskExtent(**window._asdict(), start=start, stop=stop)
