"""Trends are coloured by how far they are from 0, blue below and red above."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from scenes_on_disk import write_scene

from runner.report.levels import mean_level
from runner.report.picture import BLUE_RED, VIRIDIS, read_raster
from runner.report.records import Raster
from runner.report.results import raster_figure


def picture_of(path: Path, statistic: str) -> Raster:
    """Values from -1 to 3."""
    write_scene(path, np.linspace(-1, 3, 2500, dtype=np.float32).reshape(50, 50))
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(statistic=statistic)
    return read_raster(path, 100)


def palette(png: bytes) -> list[str]:
    start = png.index(b"PLTE") + 4
    return [png[start + 3 * number : start + 3 * number + 3].hex() for number in range(255)]


@pytest.mark.parametrize("statistic", ["slope", "theil_sen", "mann_kendall"])
def test_the_middle_colour_of_a_trend_is_that_of_0(tmp_path: Path, statistic: str) -> None:
    raster = picture_of(tmp_path / "slope.tif", statistic)
    low, high = raster.stretch
    assert low == -high
    assert 2.8 < high < 3
    assert raster.beyond == (False, True)
    colours = palette(raster.png)
    assert (colours[0], colours[127], colours[254]) == (BLUE_RED[0], BLUE_RED[5], BLUE_RED[-1])
    assert f"linear-gradient(to top, #{BLUE_RED[0]}, " in raster_figure(raster, large=True)


def test_other_statistics_keep_their_colours(tmp_path: Path) -> None:
    raster = picture_of(tmp_path / "mean.tif", "mean")
    assert -1 < raster.stretch[0] < -0.8
    assert palette(raster.png)[0] == VIRIDIS[0]
    assert "gradient" not in raster_figure(raster, large=True)


def test_levels_in_decibels_are_averaged_as_power() -> None:
    values = np.array([-10.0, 0.0])
    assert mean_level(values, "dB") == pytest.approx(10 * np.log10(0.55))
    assert mean_level(values, "K") == -5
