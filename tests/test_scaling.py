"""Scale and offset of the settings: the values are pixel * scale + offset in float64, and sums of them are exact."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import passes
import pytest
from jobs import compose, local_source
from scenes_on_disk import write_scene

from runner.model import Inputs
from runner.settings import OnError, S3Settings, SourceSettings
from runner.source.scenes import find_inputs
from runner.source.stores import Stores
from runner.summary import describe_inputs

SCALE, OFFSET = 0.0000275, -0.2  # of Landsat Collection 2, level 2


def inputs_of(source: SourceSettings) -> Inputs:
    return find_inputs(source, Stores(S3Settings()), OnError.stop, lambda done, total: None)


def computed(source: SourceSettings, *words: str) -> dict[str, dict[str, np.ndarray]]:
    job = compose("stages.spatial_mean.statistics=[mean,sum,count,max]", "output.raster_dtype=float64", *words)
    job.source = source
    return passes.computed(job, inputs_of(source).stack)


def write(folder: Path, scale: float = 1, offset: float = 0, dtype: str = "uint16") -> list[np.ndarray]:
    import rasterio

    layers = []
    for day in range(1, 6):
        pixels = np.random.default_rng(day).integers(0, 120 if dtype == "int8" else 30000, (70, 90)).astype(dtype)
        pixels[:7, :day] = 0
        path = write_scene(folder / f"2020010{day}.tif", pixels, blockxsize=32, blockysize=16)
        if (scale, offset) != (1, 0):
            with rasterio.open(path, "r+") as raster:
                raster.scales, raster.offsets = (scale,), (offset,)
        layers.append(pixels)
    return layers


def exact_sum(values: np.ndarray) -> float:
    """Rounded once; NaN of no values."""
    return math.nan if not len(values) else float(sum(map(Fraction, values.tolist()), Fraction(0)))


@pytest.mark.parametrize(
    ("dtype", "valid_range"),
    [
        ("uint16", [-0.1, 0.55]),
        pytest.param("uint16", None, marks=pytest.mark.slow),
        *(
            pytest.param(dtype, limits, marks=pytest.mark.slow)
            for dtype in ("int16", "int8", "int32", "float32")
            for limits in (None, [-0.1, 0.55])
        ),
    ],
)
def test_values_are_scaled_in_float64_and_added_exactly(
    tmp_path: Path, dtype: str, valid_range: list[float] | None
) -> None:
    stack = np.stack(write(tmp_path, dtype=dtype))
    source = local_source(tmp_path, scale=SCALE, offset=OFFSET, valid_range=valid_range)
    values = stack.astype(np.float64) * SCALE + OFFSET
    valid = stack != 0
    if valid_range:
        valid &= (values >= valid_range[0]) & (values <= valid_range[1])
    for words in ([], ["chunks.y=17", "chunks.x=23", "chunks.snap=false", "chunks.time=2"], ["reader=gdal"]):
        found = computed(source, *words)
        space = found["spatial_mean"]
        sums = [exact_sum(layer[mask]) for layer, mask in zip(values, valid, strict=True)]
        np.testing.assert_array_equal(space["sum"], sums)
        np.testing.assert_array_equal(space["count"], valid.sum(axis=(1, 2)))
        highest = np.where(valid, values, -np.inf).max(axis=(1, 2))
        np.testing.assert_array_equal(space["max"], np.where(valid.any(axis=(1, 2)), highest, np.nan))
        over_time = found["temporal_mean"]["mean"]
        for row, column in [(0, 0), (0, 4), (9, 9), (69, 89)]:
            cell = values[:, row, column][valid[:, row, column]]
            mean = exact_sum(cell) / len(cell) if len(cell) else math.nan
            np.testing.assert_array_equal(over_time[row, column], mean)


def test_settings_give_the_bits_that_tags_in_the_files_give(tmp_path: Path) -> None:
    write(tmp_path / "plain"), write(tmp_path / "tagged", SCALE, OFFSET)
    by_settings = computed(local_source(tmp_path / "plain", scale=SCALE, offset=OFFSET))
    by_tags = computed(local_source(tmp_path / "tagged"))
    for stage, values in by_tags.items():
        for name in values:
            np.testing.assert_array_equal(by_settings[stage][name], values[name])


@pytest.mark.parametrize(
    ("changes", "scale"),
    [({"scale": 2.0}, (2, 5)), ({"offset": 0.0}, (3, 0)), ({"scale": 1.0, "offset": 0.0}, (1, 0)), ({}, (3, 5))],
)
def test_a_setting_wins_over_its_tag_alone(tmp_path: Path, changes: dict[str, object], scale: tuple[int, int]) -> None:
    write(tmp_path, 3, 5)
    stack = inputs_of(local_source(tmp_path, **changes)).stack
    assert stack.scenes[0].header.scale_of(1) == scale


def test_files_that_say_otherwise_are_named(tmp_path: Path) -> None:
    write(tmp_path, 3, 5)
    source = local_source(tmp_path, scale=2.0)
    inputs = inputs_of(source)
    assert inputs.notes[-1] == (
        "source.scale, source.offset: pixels are scaled by 2 and 5, although the files of 5 of 5 scenes say 3 and 5, "
        "such as 20200101"
    )
    assert "scaled" in describe_inputs(inputs, source)
    assert not inputs_of(local_source(tmp_path, scale=3.0)).notes


def test_files_without_a_scale_take_that_of_the_settings_without_a_word(tmp_path: Path) -> None:
    write(tmp_path)
    assert not inputs_of(local_source(tmp_path, scale=2.0)).notes


@pytest.mark.slow
def test_the_engine_of_reference_scales_alike(tmp_path: Path) -> None:
    write(tmp_path)
    source = local_source(tmp_path, scale=SCALE, offset=OFFSET)
    exact, reference = computed(source), computed(source, "engine=xarray")
    for stage, values in exact.items():
        for name in values:
            np.testing.assert_allclose(reference[stage][name], values[name], rtol=1e-12)
