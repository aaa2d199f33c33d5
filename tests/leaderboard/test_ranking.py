"""Noise, ties, ranks, the front and drift, on numbers alone."""

import math
import random

import pytest

from runner.leaderboard.ranking import ASSUMED, Noise, drift, front, noise_of, ranks

LOUD, QUIET, UNKNOWN = Noise(0.10, 20), Noise(0.001, 20), Noise(0.0, 0)


def test_the_noise_is_pooled_over_the_jobs_that_were_repeated() -> None:
    noise = noise_of([[9.0, 11.0], [18.0, 22.0], [5.0]])
    assert noise.freedom == 2
    assert noise.relative == pytest.approx(math.sqrt(4 * 0.1**2 / 2))


def test_without_repeats_the_noise_is_an_assumption() -> None:
    noise = noise_of([[9.0], [11.0]])
    assert noise.assumed
    assert noise.least_difference(1, 1) == ASSUMED


@pytest.mark.parametrize(
    ("medians", "repeats", "noise", "wanted"),
    [
        ([], [], QUIET, []),
        ([2.0], [3], QUIET, [1]),
        ([2.0, 2.1, 3.0], [3, 3, 3], QUIET, [1, 2, 3]),
        ([2.0, 2.1, 3.0], [3, 3, 3], LOUD, [1, 1, 3]),
        ([2.0, 2.19, 2.21], [1, 1, 1], UNKNOWN, [1, 1, 3]),  # 10 % of 2.0
        (
            [2.0, 2.15, 2.3],
            [1, 1, 1],
            UNKNOWN,
            [1, 1, 3],
        ),  # ties do not form chains: the third ties with the second
        ([2.0, 2.019, 2.021], [3, 3, 3], Noise(0.0, 9), [1, 1, 3]),  # differences under 1 % are always ties
    ],
)
def test_ties_share_a_rank(medians: list[float], repeats: list[int], noise: Noise, wanted: list[int]) -> None:
    assert ranks(medians, repeats, noise) == wanted


@pytest.mark.parametrize(("many", "noise"), [(3, 0.02), (5, 0.08)])
def test_equal_jobs_get_different_ranks_about_once_in_twenty_times(many: int, noise: float) -> None:
    chance = random.Random(1)
    apart = 0
    for _ in range(600):
        samples = [[chance.gauss(1, noise) for _ in range(many)] for _ in range(8)]
        first, second = sorted(sorted(one)[many // 2] for one in samples[:2])
        apart += ranks([first, second], [many, many], noise_of(samples)) == [1, 2]
    assert 0.01 < apart / 600 < 0.08


@pytest.mark.parametrize(
    ("points", "wanted"),
    [
        ([(1, 9), (2, 5), (3, 1)], [True, True, True]),
        ([(1, 9), (2, 9), (3, 1), (3, 2)], [True, False, True, False]),
        ([(1, 1), (1, 1)], [True, True]),
        ([(2, 2), (1, 1)], [False, True]),
        ([], []),
    ],
)
def test_the_front_has_the_points_that_no_other_beats(points: list[tuple[float, float]], wanted: list[bool]) -> None:
    assert front(points) == wanted


def test_a_drift_is_found_and_noise_is_not() -> None:
    chance = random.Random(2)
    orders = list(range(30))
    noise = [1 + chance.gauss(0, 0.01) for _ in orders]
    assert drift(orders, noise, 20) is None
    rising = drift(orders, [value + 0.01 * at for at, value in zip(orders, noise, strict=True)], 20)
    assert rising is not None
    assert rising.last - rising.first == pytest.approx(0.29, abs=0.03)
