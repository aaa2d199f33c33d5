"""Windows of a grid: what two of them share, and what one has beyond the other."""

from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.read.fast_reader import Decoding, Excerpt, read_turns
from runner.read.fetch import FetchCounts, FetchOptions
from runner.read.header import Window
from runner.read.inflation import InflateCounts, Inflation
from runner.settings import Inflate

windows = st.builds(Window, st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))


def cells(*parts: Window | None) -> np.ndarray:
    """How often each pixel is in one of these windows."""
    times = np.zeros((40, 40), np.int64)
    for part in parts:
        if part is not None:
            times[part.slices] += 1
    return times


@given(window=windows, other=windows)
def test_a_window_is_what_it_shares_and_what_it_has_alone(window: Window, other: Window) -> None:
    common = window.common(other)
    assert (cells(common) == cells(window) * cells(other)).all()
    assert (cells(common, *window.without(other)) == cells(window)).all()


def test_a_shifted_window_keeps_its_size() -> None:
    assert Window(3, 4, 5, 6).shifted(-10, 2) == Window(-7, 6, 5, 6)


@pytest.mark.parametrize("count", [1, 3])
def test_excerpts_without_parts_end_in_their_order(count: int) -> None:
    excerpts = [Excerpt([], FetchCounts(), InflateCounts()) for _ in range(count)]
    decoding = Decoding(Inflation(Inflate.libdeflate))
    with closing(read_turns(excerpts, decoding, FetchOptions())) as turns:
        assert list(turns) == [(number, None) for number in range(count)]
    assert all(excerpt.counts.requests == 0 for excerpt in excerpts)
