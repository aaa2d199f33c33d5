"""Each task in words, and those that took longest."""

from typing import Any, Final

import numpy as np

from runner.base import humanize
from runner.report.charts import bar
from runner.report.records import Floats, Tasks

_SLOWEST: Final = 10
_MOST_SCENES: Final = 2**22  # of a stack; a trace with more is damaged


def described(tasks: Tasks, at: int) -> str:
    """An attempt in one line."""
    work = [(name, float(getattr(tasks, name)[at])) for name in ("fetch", "decode", "reduce", "compiling")]
    parts = ", ".join(
        f"{name} {humanize.seconds(seconds)}"
        for name, seconds in work
        if np.isfinite(seconds) and (seconds or name != "compiling")
    )
    took = f", {humanize.seconds(float(tasks.seconds[at]))}" if np.isfinite(tasks.seconds[at]) else ""
    rows, columns, scenes = _extent(tasks, at)
    said = [
        f"{tasks.pass_name[at]}, {_name(tasks, at)}: {tasks.status[at]}{took}{f' ({parts})' if parts else ''}",
        f"{humanize.size(float(tasks.bytes[at]))} fetched" if np.isfinite(tasks.bytes[at]) else "",
        f"rows {rows}, columns {columns}, scenes {scenes}" if rows != humanize.UNKNOWN else "",
        humanize.cut(tasks.error[at], 200),
    ]
    return "; ".join(part for part in said if part)


def _name(tasks: Tasks, at: int) -> str:
    attempt, number = tasks.attempt[at], tasks.task[at]
    return (f"task {humanize.count(number)}" if np.isfinite(number) else f"a task of {tasks.worker[at]}") + (
        f", attempt {attempt:.0f}" if attempt > 1 else ""
    )


def _extent(tasks: Tasks, at: int) -> tuple[str, str, str]:
    """Rows, columns and scenes, first and last."""
    row, column, height, width = tasks.window[at]
    scenes = humanize.span(tasks.first_scene[at], tasks.stop_scene[at])
    return humanize.span(row, row + height), humanize.span(column, column + width), scenes


def slowest_tasks(tasks: Tasks) -> list[dict[str, Any]]:
    """The attempts of this run that took longest, as rows of a table."""
    own = np.array([status != "reused" for status in tasks.status], bool)
    taken = np.where(own & np.isfinite(tasks.worked), tasks.worked, -1.0)
    order = [at for at in np.argsort(-taken, kind="stable")[:_SLOWEST].tolist() if taken[at] >= 0]
    return [_row(tasks, at, float(taken[order[0]])) for at in order]


def failed_tasks(tasks: Tasks) -> list[dict[str, Any]]:
    """The first of the attempts that failed, as rows of a table."""
    failed = [at for at, status in enumerate(tasks.status) if status == "failed"]
    return [_row(tasks, at, 0.0) for at in failed[:_SLOWEST]]


def _row(tasks: Tasks, at: int, longest: float) -> dict[str, Any]:
    seconds = float(tasks.worked[at])
    rows, columns, scenes = _extent(tasks, at)
    return {
        "name": (f"{tasks.pass_name[at]} " if len(set(tasks.pass_name)) > 1 else "") + _name(tasks, at),
        "pass": tasks.pass_name[at],
        "status": tasks.status[at],
        "error": tasks.error[at],
        "rows": rows,
        "columns": columns,
        "scenes": scenes,
        "bar": bar(seconds / longest if longest else None),
        "seconds": humanize.seconds(seconds),
        "bytes": humanize.size(tasks.bytes[at]),
        "rate": humanize.rate(float(tasks.bytes[at]) / seconds if seconds > 0 else None),
        "retries": humanize.count(tasks.retries[at]),
    }


def scene_seconds(tasks: Tasks) -> Floats | None:
    """Seconds for each scene of the stack, each attempt shared evenly among the scenes it held.

    None where all come out the same, since every task held every scene.
    """
    own = np.array([status != "reused" for status in tasks.status], bool)
    held = own & np.isfinite(tasks.first_scene) & (tasks.stop_scene < _MOST_SCENES) & np.isfinite(tasks.seconds)
    if not held.any():
        return None
    first, stop = tasks.first_scene[held].astype(int), tasks.stop_scene[held].astype(int)
    each = tasks.worked[held] / np.maximum(stop - first, 1)
    change = np.zeros(int(stop.max()) + 1)
    np.add.at(change, first, each)
    np.add.at(change, stop, -each)
    seconds = np.cumsum(change)[:-1]
    return None if np.ptp(seconds) <= 1e-9 * max(seconds.max(), 1.0) else seconds
