"""Masks: which codes hide, and the pixels that they cover, as plain numpy says."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.read.mask_test import MaskTest, Spread, spread

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
tests = st.one_of(
    st.builds(MaskTest, st.just(1), bits=st.lists(st.integers(0, 7), min_size=1, max_size=4).map(tuple)),
    st.builds(MaskTest, st.just(1), values=st.lists(st.integers(0, 12), min_size=1, max_size=4).map(tuple)),
    st.builds(MaskTest, st.just(1), keep=st.lists(st.integers(0, 12), min_size=1, max_size=4).map(tuple)),
    st.builds(MaskTest, st.just(1), values=st.just(tuple(range(1, 60, 2)))),  # too many to be compared one by one
)


@pytest.mark.parametrize(
    ("test", "nodata", "hidden"),
    [
        (MaskTest(1, bits=(0, 2)), None, [0, 1, 0, 1, 1, 1, 1, 1]),
        (MaskTest(1, bits=(2,)), 0, [1, 0, 0, 0, 1, 1, 1, 1]),
        (MaskTest(1, bits=(2,)), -9999.0, [0, 0, 0, 0, 1, 1, 1, 1]),
        (MaskTest(1, bits=(2,)), float("nan"), [0, 0, 0, 0, 1, 1, 1, 1]),
        (MaskTest(1, values=(1, 6)), None, [0, 1, 0, 0, 0, 0, 1, 0]),
        (MaskTest(1, values=(1, 6)), 2.0, [0, 1, 1, 0, 0, 0, 1, 0]),
        (MaskTest(1, values=(1, 600, -4)), None, [0, 1, 0, 0, 0, 0, 0, 0]),
        (MaskTest(1, keep=(1, 6)), None, [1, 0, 1, 1, 1, 1, 0, 1]),
        (MaskTest(1, keep=(1, 6)), 6, [1, 0, 1, 1, 1, 1, 0, 1]),  # what is to be kept counts, even nodata
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_codes_hide_by_bits_by_values_or_all_others(test: MaskTest, nodata: Any, hidden: list[int], dtype: str) -> None:
    codes = np.arange(8, dtype=dtype).reshape(2, 4)
    np.testing.assert_array_equal(test.hides(codes, nodata).ravel(), hidden)
    assert marked(test, codes, nodata, Spread(1, 0, 0), (2, 4)).ravel().tolist() == hidden


def test_the_highest_bit_of_a_signed_type_is_its_sign() -> None:
    codes = np.array([[-1, -128, 127, 0]], np.int8)
    assert MaskTest(1, bits=(7,)).hides(codes, None).tolist() == [[True, True, False, False]]


@given(
    tests,
    st.sampled_from(DTYPES),
    st.sampled_from([None, 0, 5, 300]),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.builds(Spread, st.integers(1, 5), st.integers(-30, 20), st.integers(-30, 20)),
)
def test_a_code_hides_the_pixels_that_it_covers(
    test: MaskTest, dtype: str, nodata: int | None, shape: tuple[int, int], place: Spread
) -> None:
    codes = np.random.default_rng(shape).integers(0, 13, shape).astype(dtype)
    factor, top, left = place
    whole = test.hides(codes, nodata).repeat(factor, 0).repeat(factor, 1)
    canvas = np.zeros((200, 200), np.int8)
    canvas[50 + top : 50 + top + whole.shape[0], 50 + left : 50 + left + whole.shape[1]] = 1 + whole
    wanted = canvas[50:75, 50:80]
    found = marked(test, codes, nodata, place, (25, 30))
    np.testing.assert_array_equal(found, np.where(wanted, wanted - 1, 7))


def marked(test: MaskTest, codes: np.ndarray, nodata: Any, place: Spread, shape: tuple[int, int]) -> np.ndarray:
    """1 for the pixels of a window that are hidden, 7 where no code covers it; the bits of other scenes stay."""
    bit, others = 4, 0b10100001
    planes = np.array([np.full(shape, others), np.full(shape, others | bit)], np.uint8)  # what a window held before
    for plane in planes:
        spread(*test.of_codes(codes, nodata), place, bit, plane)
    assert (planes & (255 - bit) == others).all()
    clear, marked = (planes & bit) != 0
    return np.where(clear == marked, clear, 7)
