"""Scaled pixels are those of numpy, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.reduce.nodata import missing
from runner.reduce.pixel_types import Pixels
from runner.reduce.scaling import MOST_ADDITIONS, Scaling, split_for

SCALES = st.sampled_from([(0.0000275, -0.2), (0.00341802, 149.0), (1e-4, 0.0), (-3.0, 1e300), (1.0, 0.1)])


@given(
    dtype=st.sampled_from(["uint8", "int16", "uint16", "float32", "float64"]),
    nodata=st.sampled_from([None, 0, -9999, 255, np.nan]),
    scale=SCALES,
    seed=st.integers(0, 2**32 - 1),
)
def test_pixels_are_scaled_as_numpy_does(
    dtype: str, nodata: float | None, scale: tuple[float, float], seed: int
) -> None:
    random = np.random.default_rng(seed)
    scaling = Scaling(Pixels(np.dtype(dtype), nodata))
    for shape in ((7, 9), (3, 11), (1, 1)):
        pixels = random.integers(0, 300, shape).astype(dtype)
        if pixels.dtype.kind == "f":
            pixels[random.random(shape) < 0.2] = np.nan if nodata is None else nodata
            pixels[0, 0] = np.inf
        hidden = random.random(shape) < 0.3 if seed % 2 else None
        wanted = pixels.astype(np.float64) * scale[0] + scale[1]
        wanted[missing(pixels, nodata)] = np.nan
        if hidden is not None:
            wanted[hidden] = np.nan
        np.testing.assert_array_equal(scaling.values(pixels, scale, hidden), wanted)


def test_integers_of_64_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="scaling: got int64"):
        Scaling(Pixels(np.dtype(np.int64)))


@given(
    dtype=st.sampled_from(["uint8", "int8", "int16", "uint16"]),
    nodata=st.sampled_from([None, 0, -9999, 255]),
    scales=st.lists(
        st.tuples(st.floats(1e-6, 1e3) | st.just(-1.0), st.sampled_from([0.0, -0.2, 149.0, 1e-3, -1e4])), min_size=1
    ),
)
def test_a_split_halves_all_values_into_parts_whose_sums_are_exact(
    dtype: str, nodata: float | None, scales: list[tuple[float, float]]
) -> None:
    stored = Pixels(np.dtype(dtype), nodata)
    split = split_for(scales, stored)
    if split is None:
        return
    every = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)
    counted = every[stored.valid(every)].astype(np.float64)
    for scale, offset in scales:
        values = counted * scale + offset
        high = (values + split) - split
        for part, unit in ((high, np.spacing(split)), (values - high, lowest_bit(values))):
            whole = part / unit
            assert (whole == np.rint(whole)).all()
            assert np.abs(whole).max() * MOST_ADDITIONS <= 2**53
        np.testing.assert_array_equal(high + (values - high), values)


def lowest_bit(values: np.ndarray) -> float:
    """The power of two of which all values are whole multiples."""
    ratios = [value.as_integer_ratio()[1] for value in values.tolist()]
    return 1.0 / max(ratios)


@pytest.mark.parametrize(
    ("scale", "dtype", "splits"),
    [
        ((0.0000275, -0.2), "uint16", True),  # Landsat
        ((0.00341802, 149.0), "uint16", True),
        ((0.0001, -0.1), "uint16", True),  # Sentinel-2
        ((0.0001, 0.0), "int16", True),  # HLS
        ((1e-4, 1e-300), "uint16", False),  # the offset alone is far below all other values
        ((np.inf, 0.0), "uint16", False),
        ((np.nan, 0.0), "uint16", False),
        ((1e-4, 0.0), "int32", False),
        ((1e-4, 0.0), "float32", False),
    ],
)
def test_scales_of_archives_split(scale: tuple[float, float], dtype: str, splits: bool) -> None:
    assert (split_for([scale], Pixels(np.dtype(dtype))) is not None) == splits
