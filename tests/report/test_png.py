"""Pictures as PNG, read back by GDAL."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from runner.report.png import palette_png

COLOURS = [(number, 255 - number, number // 2) for number in range(256)]
ALPHAS = bytes([255] * 255 + [0])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 9))
def test_gdal_reads_what_was_drawn(height: int, width: int, seed: int) -> None:
    numbers = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    with MemoryFile(palette_png(numbers, COLOURS, ALPHAS)) as file, file.open(driver="PNG") as picture:
        np.testing.assert_array_equal(picture.read(1), numbers)
        colours = {number: (*colour, ALPHAS[number]) for number, colour in enumerate(COLOURS)}
        assert picture.colormap(1) == colours
