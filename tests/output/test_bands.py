"""Bands of rasters: one file for each or all in one, in memory or on disk, with what GDAL and QGIS show of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rio_cogeo.cogeo import cog_validate
from run_folders import SMALL, made_inputs

from runner.host.spool import Spool
from runner.model import Grid, Stack
from runner.output.ahead import encoding_ahead
from runner.output.bands import describe_band
from runner.output.names import output_names
from runner.output.progress import blocks_of
from runner.output.results import Destination, write_stage
from runner.planning.records import Layer, StagePlan
from runner.read.header import Window
from runner.settings import Layout, OutputSettings, Over

STACK = made_inputs(SMALL, "s3://bucket/").stack
STAGE = StagePlan("temporal_mean", Over.time, ("mean", "std", "count"))


def stack_of(shape: tuple[int, int]) -> Stack:
    return replace(STACK, grid=Grid(STACK.grid.crs, "EPSG:32610", STACK.grid.transform, *shape))


def values_of(shape: tuple[int, int], names: tuple[str, ...] = STAGE.statistics) -> dict[str, Any]:
    random = np.random.default_rng(sum(shape))
    values: dict[str, Any] = {name: random.normal(size=shape).astype("float32") for name in names}
    for name in {"mean", "std"} & set(names):
        values[name][random.random(shape) < 0.2] = np.nan
    if "count" in names:
        values["count"] = random.integers(0, 9, shape, dtype=np.int8)
    return values


def on_disk(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    spools = {name: Spool(folder, array.shape, array.dtype) for name, array in values.items()}
    for name, spool in spools.items():
        spool[:] = values[name]
    return spools


@pytest.mark.parametrize("layout", Layout)
def test_rasters_on_disk_become_the_same_files_as_those_in_memory(tmp_path: Path, layout: Layout) -> None:
    compare_files(tmp_path, (601, 515), OutputSettings(layout=layout))


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(st.integers(16, 1500), st.integers(16, 1500), st.sampled_from(Layout), st.sampled_from(["zstd", "lzw", "none"]))
def test_so_they_do_of_any_shape(tmp_path: Path, height: int, width: int, layout: Layout, compression: str) -> None:
    compare_files(tmp_path, (height, width), OutputSettings(layout=layout, compression=compression))


def compare_files(folder: Path, shape: tuple[int, int], output: OutputSettings) -> None:
    (height, width), stack, values = shape, stack_of(shape), values_of(shape)
    in_memory = write_stage(Destination(folder, output, {}), STAGE, stack, dict(values))
    with encoding_ahead(output, stack.dtype) as ahead:
        spools = on_disk(values, folder)
        for top in range(0, height, 400):
            ahead.finished_stage([*spools.values()], Window(top, 0, min(400, height - top), width))
        assert in_memory == write_stage(Destination(folder, output, {}, ahead), STAGE, stack, spools)
    names = output_names(STAGE.name, Over.time, STAGE.statistics, output.layout)
    assert [facts.path.name for facts in in_memory] == names
    for facts in in_memory:
        with rasterio.open(facts.path) as raster:
            for number, stored in enumerate(facts.values, start=1):
                expected = values[stored.name].astype(raster.dtypes[0])
                np.testing.assert_array_equal(raster.read(number), expected)
        assert cog_validate(facts.path, quiet=True)[0]


def test_one_file_has_a_band_for_each_statistic(tmp_path: Path) -> None:
    values = values_of((1100, 700))
    (facts,) = write_stage(
        Destination(tmp_path, OutputSettings(layout=Layout.bands), {}), STAGE, stack_of((1100, 700)), dict(values)
    )
    assert [stored.name for stored in facts.values] == ["mean", "std", "count"]
    with rasterio.open(facts.path) as raster:
        assert facts.path.name == "temporal.tif"
        assert raster.dtypes == ("float32",) * 3
        assert raster.profile["interleave"] == "band"
        assert raster.overviews(3) == [2, 4]
        assert [raster.tags(band)["statistic"] for band in raster.indexes] == ["mean", "std", "count"]
        assert np.isnan(raster.nodata)
        assert (raster.read(3) == 0).any()  # a count of 0 is a count
        valid = values["std"][np.isfinite(values["std"])]
        assert float(raster.tags(2)["STATISTICS_MEAN"]) == pytest.approx(valid.mean(dtype="float64"))
        assert float(raster.tags(2)["STATISTICS_MAXIMUM"]) == valid.max()
        with rasterio.open(facts.path, overview_level=0) as half:
            np.testing.assert_array_equal(half.read(3), values["count"][::2, ::2])


@pytest.mark.parametrize("shape", [(1, 1), (512, 513), (1100, 700)])
@pytest.mark.parametrize("layout", Layout)
def test_progress_counts_every_block_once(tmp_path: Path, shape: tuple[int, int], layout: Layout) -> None:
    wrote: list[None] = []
    destination = Destination(tmp_path, OutputSettings(layout=layout), {}, wrote=lambda: wrote.append(None))
    write_stage(destination, STAGE, stack_of(shape), values_of(shape))
    assert len(wrote) == 3 * blocks_of(*shape)


def test_bands_that_are_all_counts_stay_whole_numbers(tmp_path: Path) -> None:
    stage, values = replace(STAGE, statistics=("count",)), values_of((30, 20), ("count",))
    destination = Destination(tmp_path, OutputSettings(layout=Layout.bands), {})
    (facts,) = write_stage(destination, stage, stack_of((30, 20)), values)
    with rasterio.open(facts.path) as raster:
        assert (raster.dtypes, raster.nodata) == (("int32",), 0)


@pytest.mark.parametrize("layout", Layout)
def test_a_band_says_what_it_is_of_and_its_unit(tmp_path: Path, layout: Layout) -> None:
    stage = replace(STAGE, statistics=("mean", "var", "count"))
    values = {"mean": np.ones((9, 9)), "var": np.ones((9, 9)), "count": np.ones((9, 9), np.int32)}
    stack = replace(stack_of((9, 9)), units="m")
    files = write_stage(Destination(tmp_path, OutputSettings(layout=layout), {}), stage, stack, values)
    descriptions, units = [], []
    for facts in files:
        with rasterio.open(facts.path) as raster:
            descriptions += raster.descriptions
            units += raster.units
    assert descriptions == [f"{name} of Gamma0_VV, 2020-01-06 to 2020-04-29" for name in ("mean", "var", "count")]
    assert units == ["m", "(m)^2", "1"]


def test_a_description_names_the_band_that_the_files_describe() -> None:
    first = STACK.scenes[0]
    described = replace(first, header=replace(first.header, descriptions=("nir",)))
    assert describe_band(Layer("q95"), None, replace(STACK, scenes=(described,))) == "q95 of nir, 2020-01-06"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("20200106/Gamma0_VV", "20200112/Gamma0_VV"), "Gamma0_VV"),
        (("S1A_20200106_VV", "S1A_20200112_VV"), "S1A_VV"),
        (("LC08_L2SP_046027_20200106_02_T1_SR_B4", "LC08_L2SP_046027_20200122_02_T2_SR_B4"), "LC08_L2SP_SR_B4"),
        (("20200106", "20200112"), "demo"),
        (("20200106_a", "20200106_a_b"), "a"),
        (("S1A_20200106_VV",), "demo"),
    ],
)
def test_or_what_the_names_of_the_files_share(names: tuple[str, ...], expected: str) -> None:
    scenes = tuple(replace(STACK.scenes[0], href=f"/data/{name}.tif") for name in names)
    assert describe_band(Layer("mean"), None, replace(STACK, scenes=scenes)) == f"mean of {expected}, 2020-01-06"


def test_pixels_taken_as_stored_give_rasters_with_the_scale_of_the_files(tmp_path: Path) -> None:
    names = ("mean", "median", "std", "var", "sum")
    header = replace(STACK.scenes[0].header, scales=(0.5,), offsets=(-3.0,))
    stack = replace(stack_of((9, 9)), scenes=tuple(replace(scene, header=header) for scene in STACK.scenes))
    values = {name: np.full((9, 9), 4.0, np.float32) for name in names}
    stage, output = replace(STAGE, statistics=names), OutputSettings(layout=Layout.bands)
    (facts,) = write_stage(Destination(tmp_path, output, {}, as_stored=True), stage, stack, dict(values))
    with rasterio.open(facts.path) as raster:
        assert raster.scales == (0.5, 0.5, 0.5, 0.25, 1.0)
        assert raster.offsets == (-3.0, -3.0, 0.0, 0.0, 0.0)
        assert raster.read(1)[0, 0] == 4.0
    (facts,) = write_stage(Destination(tmp_path, output, {}), stage, stack, dict(values))
    with rasterio.open(facts.path) as raster:
        assert set(raster.scales) == {1.0}
