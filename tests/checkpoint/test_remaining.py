"""The remaining tasks of a plan, with those of other plans done, have every pixel of every scene once."""

import numpy as np
import pytest

from runner.checkpoint.remaining import Placed, disjoint, remaining_of
from runner.planning.records import Task
from runner.read.header import Window

SCENES, HEIGHT, WIDTH = 7, 50, 40


def cut(scenes: int, height: int, width: int) -> list[Task]:
    return [
        Task(
            Window(row, column, min(height, HEIGHT - row), min(width, WIDTH - column)),
            start,
            min(start + scenes, SCENES),
        )
        for row in range(0, HEIGHT, height)
        for column in range(0, WIDTH, width)
        for start in range(0, SCENES, scenes)
    ]


def placed(tasks: list[Task]) -> list[Placed]:
    return [Placed(window, ((start, stop),)) for window, start, stop in tasks]


def counted(tasks: list[Task]) -> np.ndarray:
    """How often each pixel is in them, (scene, row, column)."""
    counts = np.zeros((SCENES, HEIGHT, WIDTH), int)
    for window, start, stop in tasks:
        counts[start:stop, window.row : window.row + window.height, window.column : window.column + window.width] += 1
    return counts


@pytest.mark.parametrize("seed", range(40))
def test_done_and_left_together_are_every_pixel_once(seed: int) -> None:
    dice = np.random.default_rng(seed)
    cuts = [cut(int(dice.integers(1, 9)), int(dice.integers(5, 60)), int(dice.integers(5, 50))) for _ in range(3)]
    some = [task for one in cuts[: 1 + seed % 2] for task in one if dice.random() < dice.random()]
    done = [some[number] for number in disjoint(placed(some))]
    remaining = remaining_of(cuts[2], placed(done), SCENES)
    assert (counted(done + list(remaining.tasks)) == 1).all()
    for window, parts in remaining.parts.items():
        inside = [task.window for task in remaining.tasks if task.window in parts] or [window]
        assert set(inside) == set(parts)
        assert (counted([Task(part, 0, 1) for part in parts]) == counted([Task(window, 0, 1)])).all()


def test_with_the_same_cut_the_tasks_not_done_remain() -> None:
    planned = cut(3, 16, 16)
    assert remaining_of(planned, placed(planned[::2]), SCENES).tasks == tuple(planned[1::2])
    assert remaining_of(planned, placed(planned), SCENES).tasks == ()
    assert remaining_of(planned, [], SCENES).tasks == tuple(planned)


def test_what_overlaps_is_taken_once_the_larger_first() -> None:
    small, large = cut(7, 10, 10), cut(7, 20, 20)
    some = [*small, large[0]]
    taken = disjoint(placed(some))
    assert len(small) in taken
    assert len(taken) == len(small) - 4 + 1
