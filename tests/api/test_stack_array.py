"""Values of a stack, however they are indexed: those of rasterio, NaN where it masks, whatever the file."""

import pickle
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from drawn_tiffs import CASES, Case, write
from hypothesis import given
from hypothesis import strategies as st
from jobs import compose
from masked_scenes import SAME, hidden_by, mask_settings, masked_stack, write_mask, write_pair
from scenes_on_disk import speckle, write_scene

from runner.api.stack_array import StackArray
from runner.model import Scene
from runner.planning.reading import make_reading
from runner.read.header import Window, read_header
from runner.settings import JobSettings, ReaderName, StackGrid
from runner.source.stack import make_stack

FEW = CASES[:15]


@cache
def job() -> JobSettings:
    return compose("source=local", "source.url=/nowhere/*.tif")


def array_of(paths: list[Path], reader: str = "auto", **source: Any) -> StackArray:
    settings = replace(job(), reader=ReaderName(reader), source=replace(job().source, **source))
    scenes = [scene_of(path, day) for day, path in enumerate(paths, start=1)]
    stack = make_stack(settings.source, scenes)
    return StackArray(stack, make_reading(settings, stack))


def scene_of(path: Path, day: int) -> Scene:
    content = path.read_bytes()
    header = read_header(lambda start, stop: content[start:stop], len(content), str(path))
    return Scene(path.stem, str(path), datetime(2020, 1, day, tzinfo=UTC), {}, len(content), None, None, header)


def rasterios(path: Path, band: int, dtype: np.dtype) -> np.ndarray:
    """The pixels of a band in a type; NaN where rasterio's mask hides them, if the type has it."""
    with rasterio.open(path) as dataset:
        pixels, visible = dataset.read(band), dataset.read_masks(band) != 0
    return np.where(visible, pixels, np.nan).astype(dtype) if dtype.kind == "f" else pixels


def check(path: Path, case: Case) -> None:
    write(path, case)
    for band in range(1, case.count + 1 - (case.mask == "alpha")):
        for reader in ("auto", "gdal"):
            array = array_of([path], reader, band=band)
            np.testing.assert_array_equal(array[:][0], rasterios(path, band, array.dtype))


@pytest.mark.parametrize("case", FEW, ids=str)
def test_values_are_rasterios(tmp_path: Path, case: Case) -> None:
    check(tmp_path / "a.tif", case)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[len(FEW) :: 3], ids=str)
def test_values_of_many_more_files_are_rasterios(tmp_path: Path, case: Case) -> None:
    check(tmp_path / "a.tif", case)


@pytest.mark.parametrize(
    ("dtype", "profile", "source", "wanted"),
    [
        ("float32", {}, {}, "float32"),
        ("float64", {}, {}, "float64"),
        ("uint16", {}, {}, "float32"),
        ("uint16", {"nodata": None}, {}, "uint16"),
        ("uint16", {"nodata": None}, {"valid_range": [0, 100]}, "float32"),
        ("int32", {}, {}, "float64"),
        ("int32", {"nodata": None}, {}, "int32"),
        ("uint16", {"nodata": None}, {"scale": 0.1}, "float64"),
    ],
)
def test_the_type_is_that_of_the_files_unless_it_has_to_hold_nan_or_fractions(
    dtype: str, profile: dict[str, Any], source: dict[str, Any], wanted: str, tmp_path: Path
) -> None:
    path = write_scene(tmp_path / "a.tif", np.arange(600, dtype=dtype).reshape(20, 30), **profile)
    array = array_of([path], **source)
    assert array.dtype == array[:].dtype == np.dtype(wanted)


def test_scaled_values_outside_of_the_valid_range_are_missing(tmp_path: Path) -> None:
    pixels = np.arange(600, dtype="uint16").reshape(20, 30)
    array = array_of([write_scene(tmp_path / "a.tif", pixels)], scale=0.5, offset=-3.0, valid_range=[0.0, 200.0])
    values = pixels * 0.5 - 3
    np.testing.assert_array_equal(
        array[:][0], np.where((pixels != 0) & (values >= 0) & (values <= 200), values, np.nan)
    )


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[StackArray, np.ndarray]:
    """Five scenes in tiles, and their values."""
    folder = tmp_path_factory.mktemp("scenes")
    pixels = [speckle((70, 50), seed=seed) for seed in range(5)]
    tiles = {"blockxsize": 16, "blockysize": 16}
    paths = [write_scene(folder / f"{number}.tif", scene, **tiles) for number, scene in enumerate(pixels)]
    stack = np.array(pixels)
    return array_of(paths), np.where(stack == 0, np.nan, stack)


def parts(size: int) -> st.SearchStrategy[int | slice]:
    return st.integers(-size, size - 1) | st.slices(size)


@given(index=st.tuples(parts(5), parts(70), parts(50)))
def test_any_index_of_numbers_and_slices_gives_what_numpy_gives(
    index: tuple[int | slice, ...], several: tuple[StackArray, np.ndarray]
) -> None:
    array, values = several
    np.testing.assert_array_equal(array[index], values[index])


def test_an_index_out_of_range_is_refused_as_numpy_does(several: tuple[StackArray, np.ndarray]) -> None:
    with pytest.raises(IndexError):
        several[0][5]


def test_a_copy_in_another_process_reads_the_same(several: tuple[StackArray, np.ndarray]) -> None:
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(several[0]))[1:3, 10:20], several[1][1:3, 10:20])


def test_pixels_that_a_scene_does_not_cover_are_missing(tmp_path: Path) -> None:
    windows = [Window(0, 0, 40, 30), Window(10, 5, 40, 30)]
    pixels = [np.random.default_rng(day).integers(1, 99, (40, 30), dtype=np.uint8) for day in (1, 2)]
    paths = [
        write_pair(tmp_path, day, window, scene, nodata=None)
        for day, window, scene in zip((1, 2), windows, pixels, strict=True)
    ]
    wanted = np.full((2, 50, 35), np.nan, np.float32)
    for scene, window, values in zip(wanted, windows, pixels, strict=True):
        scene[window.slices] = values
    np.testing.assert_array_equal(array_of(paths, grid=StackGrid.union)[:], wanted)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pixels_that_a_second_file_hides_are_missing(dtype: str, tmp_path: Path) -> None:
    scene, mask = Window(0, 0, 40, 30), mask_settings(values=[3])
    pixels = np.random.default_rng(1).integers(0, 9, (40, 30)).astype(dtype)
    codes = np.random.default_rng(2).integers(0, 5, (40, 30), dtype=np.uint8)
    write_pair(tmp_path, 1, scene, pixels, nodata=None)
    path = write_mask(tmp_path, 1, scene, codes)
    source = replace(job().source, url=f"{tmp_path}/*_B.tif")
    stack = masked_stack(source, mask)
    array = StackArray(stack, make_reading(replace(job(), source=source, mask=mask), stack))
    hidden = hidden_by(path, scene, mask, SAME)
    np.testing.assert_array_equal(array[:][0], np.where(hidden, np.nan, pixels))
