"""Sums of scenes are the same bits whatever scenes their partials have, and take no more time than these."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.reduce import scene_sums
from runner.reduce.exact import Total
from runner.reduce.partial import Partial, among, combine
from runner.reduce.scene_sums import SceneSums


def partial_of(values: list[float]) -> Partial:
    counts = np.ones(len(values), np.int64)
    return Partial(counts, counts, Total(np.stack([np.array(values), np.zeros(len(values))])))


VALUES = st.lists(st.integers(-99, 99).map(float), min_size=1, max_size=6)


@given(st.lists(st.tuples(st.integers(0, 9), VALUES), min_size=1))
def test_partials_of_any_scenes_add_up(parts: list[tuple[int, list[float]]]) -> None:
    sums = SceneSums()
    for start, values in parts:
        sums.add(partial_of(values), start)
    expected = combine([among(partial_of(values), start, 15) for start, values in parts])
    whole = sums.whole(15)
    np.testing.assert_array_equal(whole.counts, expected.counts)
    np.testing.assert_array_equal(whole.seen, expected.seen)
    assert whole.sums is not None
    assert expected.sums is not None
    np.testing.assert_array_equal(whole.sums.layers.sum(axis=0), expected.sums.layers.sum(axis=0))


def test_few_partials_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(scene_sums, "combine", lambda parts: calls.append(len(parts)) or combine(parts))
    sums = SceneSums()
    for _ in range(scene_sums._TOGETHER):
        sums.add(partial_of([1.0, 2.0]), 0)
    assert calls == [256, 257]
    assert sums.whole(2).counts.tolist() == [512, 512]


def test_without_a_partial_there_is_no_sum() -> None:
    assert not SceneSums()
    with pytest.raises(ValueError, match="no partial"):
        SceneSums().whole(3)


def test_a_stack_ten_times_as_long_takes_about_ten_times_as_long() -> None:
    def seconds(scenes: int) -> float:
        started = time.thread_time()
        sums = SceneSums()
        for number in range(scenes):
            sums.add(partial_of([1.0]), number)
        assert sums.whole(scenes).counts.sum() == scenes
        return time.thread_time() - started

    seconds(100)
    assert seconds(5000) < 40 * seconds(500)  # 100 times, were each added to all
