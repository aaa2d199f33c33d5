"""Scaled pixels are those of numpy, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.reduce.nodata import missing
from runner.reduce.pixel_types import Pixels
from runner.reduce.scaling import Scaling

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
