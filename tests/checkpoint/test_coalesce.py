"""Neighbouring tasks are joined before they are kept, whatever order they come in."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from runner.checkpoint.coalesce import ENOUGH, Coalescing, Result
from runner.engine.tasks import TaskResult
from runner.engine.trace import TaskTrace, Work
from runner.planning.records import Task
from runner.read.fetch import FetchCounts
from runner.read.header import Window
from runner.read.inflation import InflateCounts
from runner.reduce.partial import Needs
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish
from runner.reduce.temporal import TemporalSums

PIXELS, SUMS = Pixels(np.dtype("f4"), 0), Needs(sums=True)
TOP, BELOW = Window(0, 0, 3, 4), Window(3, 0, 3, 4)


def tile(scene: int) -> np.ndarray:
    return np.random.default_rng(scene).random((3, 4), np.float32)


def came(start: int, stop: int, window: Window = TOP) -> tuple[TaskResult, TaskTrace]:
    """A task of these scenes, as an engine gives it."""
    over_time, over_space = TemporalSums((3, 4), PIXELS, SUMS), SpatialSums(stop - start, PIXELS, SUMS)
    for scene in range(start, stop):
        over_time.add_tile(tile(scene), Place(0, 0, 0, 0, 3, 4))
        over_space.add_tile(scene - start, tile(scene), Place(0, 0, 0, 0, 3, 4))
    task = Task(window, start, stop)
    medians = np.array([np.median(tile(scene)) for scene in range(start, stop)])
    ordered = {"spatial": {"median": medians}}
    result = TaskResult(
        task, {0: over_time.partial()}, over_space.partial(), ordered, FetchCounts(), InflateCounts(), 0.0, 0.0
    )
    return result, TaskTrace(start, task, None, 10.0 + start, 11.0 + start, 99, Work(1.0, 2.0, 3.0, 4, 5, 6, 7))


def joining(*edges: int, windows: tuple[Window, ...] = (TOP,)) -> Coalescing:
    return Coalescing(Counter(window for window in windows for _ in pairwise(edges)))


def places(kept: list[Result]) -> list[tuple[int, int]]:
    return [(result.task.start, result.task.stop) for result, *_ in kept]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_tasks_of_a_window_are_one_when_its_last_has_come(order: tuple[int, ...]) -> None:
    edges = (0, 1, 3, 4, 7)
    spans, waiting = list(pairwise(edges)), joining(*edges)
    kept = [one for number in order for one in waiting.add(*came(*spans[number]))]
    assert places(kept) == [(0, 7)]
    (joined, trace, _), (whole, _) = kept[0], came(0, 7)
    for partials in ((joined.over_time[0], whole.over_time[0]), (joined.over_space, whole.over_space)):
        ours, theirs = (finish(partial, ["count", "sum"]) for partial in partials if partial)
        np.testing.assert_array_equal(ours["sum"], theirs["sum"])
        np.testing.assert_array_equal(ours["count"], theirs["count"])
    np.testing.assert_array_equal(joined.ordered["spatial"]["median"], whole.ordered["spatial"]["median"])
    assert (trace.task, trace.started, trace.work) == (joined.task, 10.0, Work(4.0, 8.0, 12.0, 16, 20, 24, 28))


def test_many_scenes_are_kept_before_the_last_task_has_come() -> None:
    edges = range(3 * ENOUGH + 1)
    waiting = joining(*edges)
    kept = [one for pair in pairwise(edges) for one in waiting.add(*came(*pair))]
    assert places(kept) == [(0, ENOUGH), (ENOUGH, 2 * ENOUGH), (2 * ENOUGH, 3 * ENOUGH)]


@pytest.mark.parametrize(("rows", "scenes"), [(2**12, 1), (2**13, ENOUGH)])
def test_tasks_that_take_little_room_stay_apart(rows: int, scenes: int) -> None:
    tasks = [Task(Window(top, 0, 512, 2**11), scene, scene + 1) for top in range(0, rows, 512) for scene in range(4)]
    assert Coalescing.of(tasks).enough == scenes


def test_tasks_that_are_not_neighbours_are_kept_apart_where_no_more_come() -> None:
    waiting = joining(0, 1, 2, 3, windows=(TOP, BELOW))
    came_first = [came(0, 1), came(2, 3), came(1, 2, BELOW)]
    assert not [one for result in came_first for one in waiting.add(*result)]
    kept = list(waiting.rest())
    assert sorted((result.task.window.row, *place) for (result, *_), place in zip(kept, places(kept), strict=True)) == [
        (0, 0, 1),
        (0, 2, 3),
        (3, 1, 2),
    ]
    assert not list(waiting.rest())


def test_windows_that_take_much_memory_wait_for_nothing() -> None:
    huge = Window(0, 0, 4096, 4096)
    waiting = joining(0, 1, 2, windows=(huge,))
    assert places(list(waiting.add(*came(0, 1, huge)))) == [(0, 1)]
