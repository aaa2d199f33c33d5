"""Each task in words, and those that took longest."""

from typing import Any, Final

import numpy as np

from runner.base import humanize
from runner.report.charts import bar
from runner.report.records import Floats, Tasks

_SLOWEST: Final = 10
_MOST_SCENES: Final = 2**22  # of a stack; a trace with more is damaged


def described(tasks: Tasks, index: int) -> str:
    """An attempt in one line."""
    work = [(name, float(getattr(tasks, name)[index])) for name in ("fetch", "decode", "reduce", "compiling")]
    phases = ", ".join(
        f"{name} {humanize.seconds(seconds)}"
        for name, seconds in work
        if np.isfinite(seconds) and (seconds or name != "compiling")
    )
    times = f", {humanize.seconds(float(tasks.seconds[index]))}" if np.isfinite(tasks.seconds[index]) else ""
    times += f" ({phases})" if phases else ""
    rows, columns, scenes = _extent(tasks, index)
    parts = [
        f"{tasks.pass_name[index]}, {_name(tasks, index)}: {tasks.status[index]}{times}",
        f"{humanize.size(float(tasks.bytes[index]))} fetched" if np.isfinite(tasks.bytes[index]) else "",
        f"rows {rows}, columns {columns}, scenes {scenes}" if rows != humanize.UNKNOWN else "",
        humanize.cut(tasks.error[index], 200),
    ]
    return "; ".join(part for part in parts if part)


def _name(tasks: Tasks, index: int) -> str:
    attempt, number = tasks.attempt[index], tasks.task[index]
    return (f"task {humanize.count(number)}" if np.isfinite(number) else f"a task of {tasks.worker[index]}") + (
        f", attempt {attempt:.0f}" if attempt > 1 else ""
    )


def _extent(tasks: Tasks, index: int) -> tuple[str, str, str]:
    """Rows, columns and scenes, first and last."""
    row, column, height, width = tasks.window[index]
    scenes = humanize.span(tasks.first_scene[index], tasks.stop_scene[index])
    return humanize.span(row, row + height), humanize.span(column, column + width), scenes


def slowest_tasks(tasks: Tasks) -> list[dict[str, Any]]:
    """The attempts of this run that took longest, as rows of a table."""
    seconds = np.where(tasks.own & np.isfinite(tasks.worked), tasks.worked, -1.0)
    order = [index for index in np.argsort(-seconds, kind="stable")[:_SLOWEST].tolist() if seconds[index] >= 0]
    return [_row(tasks, index, float(seconds[order[0]])) for index in order]


def failed_tasks(tasks: Tasks) -> list[dict[str, Any]]:
    """The first of the attempts that failed, as rows of a table."""
    failed = [index for index, status in enumerate(tasks.status) if status == "failed"]
    return [_row(tasks, index, 0.0) for index in failed[:_SLOWEST]]


def _row(tasks: Tasks, index: int, longest: float) -> dict[str, Any]:
    seconds = float(tasks.worked[index])
    rows, columns, scenes = _extent(tasks, index)
    return {
        "name": (f"{tasks.pass_name[index]} " if len(set(tasks.pass_name)) > 1 else "") + _name(tasks, index),
        "pass": tasks.pass_name[index],
        "status": tasks.status[index],
        "error": tasks.error[index],
        "rows": rows,
        "columns": columns,
        "scenes": scenes,
        "bar": bar(seconds / longest if longest else None),
        "seconds": humanize.seconds(seconds),
        "bytes": humanize.size(tasks.bytes[index]),
        "rate": humanize.rate(float(tasks.bytes[index]) / seconds if seconds > 0 else None),
        "retries": humanize.count(tasks.retries[index]),
    }


def scene_seconds(tasks: Tasks) -> Floats | None:
    """Seconds for each scene of the stack, each attempt shared evenly among the scenes it held.

    None where all come out the same, since every task held every scene.
    """
    counted = (
        tasks.own & np.isfinite(tasks.first_scene) & (tasks.stop_scene < _MOST_SCENES) & np.isfinite(tasks.seconds)
    )
    if not counted.any():
        return None
    first, stop = tasks.first_scene[counted].astype(int), tasks.stop_scene[counted].astype(int)
    share = tasks.worked[counted] / np.maximum(stop - first, 1)
    change = np.zeros(int(stop.max()) + 1)
    np.add.at(change, first, share)
    np.add.at(change, stop, -share)
    seconds = np.cumsum(change)[:-1]
    return None if np.ptp(seconds) <= 1e-9 * max(seconds.max(), 1.0) else seconds
