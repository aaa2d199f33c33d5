"""The pixels that sums have seen are counted right, however their places overlap."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runner.reduce.exact import rounded
from runner.reduce.partial import Needs
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.temporal import TemporalSums

SHAPE = (12, 9)
PIXELS = Pixels(np.dtype(np.float32))
edges = st.tuples(
    st.integers(0, SHAPE[0]), st.integers(0, SHAPE[0]), st.integers(0, SHAPE[1]), st.integers(0, SHAPE[1])
)


def _place(ends: tuple[int, int, int, int]) -> Place:
    (top, below), (left, right) = sorted(ends[:2]), sorted(ends[2:])
    return Place(0, 0, top, left, below - top, right - left)


@given(places=st.lists(st.tuples(st.builds(_place, edges), st.integers(1, 3)), max_size=8))
def test_places_that_were_skipped_are_seen_in_each_pixel(places: list[tuple[Place, int]]) -> None:
    sums, expected = TemporalSums(SHAPE, PIXELS, Needs()), np.zeros(SHAPE, np.int64)
    for place, scenes in places:
        sums.skip(place, scenes)
        expected[place.of_window()] += scenes
    seen = sums.partial().seen
    assert (np.broadcast_to(seen, SHAPE) == expected).all()
    assert seen.shape == ((1, 1) if expected.min() == expected.max() else SHAPE)


def test_pixels_that_were_skipped_are_seen_by_their_weights() -> None:
    weights = np.arange(1.0, 13.0)
    sums = SpatialSums(2, PIXELS, Needs(weights=True, weights_seen=True), weights)
    sums.skip(1, Place(0, 0, 3, 2, 4, 5))
    partial = sums.partial()
    assert partial.seen.tolist() == [0, 20]
    assert partial.weights_seen is not None
    assert rounded(partial.weights_seen).tolist() == [0, 5 * (4 + 5 + 6 + 7)]
    assert partial.weights is not None
    assert rounded(partial.weights).tolist() == [0, 0]
