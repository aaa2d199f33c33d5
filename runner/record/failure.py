"""What ended a run, for `run.json`: the error, and how far it can be traced."""

from collections.abc import Iterator
from typing import Any

from runner.engine.trace import TaskTrace, trace_of


def failure_facts(error: BaseException, running: dict[str, Any] | None) -> dict[str, Any]:
    """Kind and message, the scene it names, the block it was at; `running` has the name and stages of the pass."""
    chain = list(_chain(error))
    scene = next((str(href) for one in chain if (href := getattr(one, "href", None))), None)
    task = next((found for one in chain if (found := trace_of(one))), None)
    place = running or {"name": None, "stages": []}
    return {
        "kind": type(error).__name__,
        "message": str(error),
        "pass": place["name"],
        "stages": place["stages"],
        "scene": scene,
        "block": _block(task),
    }


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _block(task: TaskTrace | None) -> dict[str, int] | None:
    if task is None or task.task is None:
        return None
    window, start, stop = task.task
    return {**window._asdict(), "start": start, "stop": stop}
