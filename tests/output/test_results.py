"""Results are whole, typed, georeferenced, and never half-written."""

import json
import warnings
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import rioxarray
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import local_source
from rasterio.errors import NotGeoreferencedWarning
from rio_cogeo.cogeo import cog_validate
from scenes_on_disk import speckle, write_scene

from runner.base.atomic import written_aside
from runner.errors import OutputError
from runner.model import Grid, Inputs, Stack
from runner.output.cog_file import Band, CogForm, WrittenCog, write_cog
from runner.output.inputs import write_inputs
from runner.output.names import raster_name
from runner.output.raster import write_raster
from runner.output.results import Destination, write_stage
from runner.output.table import scene_table, write_table
from runner.planning.memory import raster_dtype
from runner.planning.records import StagePlan
from runner.report.picture import read_bands
from runner.settings import OnError, OutputSettings, Over, RasterDtype, S3Settings
from runner.source.scenes import find_inputs
from runner.source.stores import Stores

GRID = Grid("EPSG:32610", "EPSG:32610", (20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0), 700, 600)


@pytest.fixture
def inputs(folder_of_scenes: Path) -> Inputs:
    regex = r"(?P<satellite>S1[AB])_(?P<date>\d{8})_(?P<orbit>ASC|DSC)"
    source = local_source(folder_of_scenes, datetime_regex=regex, limit=3)
    return find_inputs(source, Stores(S3Settings()), OnError.stop, lambda done, total: None)


@pytest.fixture
def stack(inputs: Inputs) -> Stack:
    return inputs.stack


@pytest.fixture
def table_path(tmp_path: Path, stack: Stack) -> Path:
    values = {"mean": np.array([0.5, np.nan, 2.0]), "count": np.array([3, 0, 7])}
    path = tmp_path / "spatial_mean.parquet"
    write_table(path, scene_table(stack, values, {"mean": {"units": "gamma0"}}, {"software": "x"}))
    return path


def test_the_table_has_one_typed_row_per_scene(table_path: Path) -> None:
    table = pq.read_table(table_path)
    assert dict(zip(table.column_names, map(str, table.schema.types), strict=True)) == {
        "stack": "string",
        "scene": "string",
        "href": "string",
        "datetime": "timestamp[us, tz=UTC]",
        "satellite": "string",
        "orbit": "string",
        "mean": "double",
        "count": "int64",
        "geometry": "binary",
    }
    assert table["satellite"].to_pylist() == ["S1A"] * 3
    assert table["mean"].to_pylist() == [0.5, None, 2.0]


def test_the_table_carries_units_and_provenance(table_path: Path) -> None:
    schema = pq.read_schema(table_path)
    assert schema.field("mean").metadata == {b"units": b"gamma0"}
    assert json.loads(schema.metadata[b"cog_stack_runner"]) == {"software": "x"}


def test_the_table_opens_in_pandas_and_duckdb(table_path: Path) -> None:
    frame = pd.read_parquet(table_path)
    assert str(frame["datetime"].dt.tz) == "UTC"
    query = f"select count(*), sum(count), count(mean) from '{table_path}' where year(datetime) = 2020"
    assert duckdb.sql(query).fetchall() == [(3, 10, 2)]


def test_a_named_group_gives_way_to_a_statistic_of_its_name(stack: Stack) -> None:
    scenes = tuple(replace(scene, groups={"mean": "x"}) for scene in stack.scenes)
    table = scene_table(replace(stack, scenes=scenes), {"mean": np.zeros(3)}, {}, {})
    assert table["mean_"].to_pylist() == ["x"] * 3
    assert table["mean"].to_pylist() == [0.0] * 3


def test_the_inputs_table_names_every_object_and_why_it_is_out(tmp_path: Path, inputs: Inputs) -> None:
    write_inputs(tmp_path / "inputs.parquet", inputs)
    frame = pd.read_parquet(tmp_path / "inputs.parquet")
    assert frame["used"].tolist() == [True, True, True, False]
    assert frame["reason"].dropna().tolist() == ["beyond source.limit=3"]
    assert frame["etag"][:3].notna().all()
    assert frame["crs"][0] == "EPSG:32610"
    assert list(frame["transform"][0]) == [20, 0, 499980, 0, -20, 5300040]
    assert frame["transform"][3] is None


def test_nodata_of_64_bits_goes_into_the_table_of_inputs(tmp_path: Path, inputs: Inputs) -> None:
    scenes = [replace(scene, header=replace(scene.header, nodatas=(2**64 - 1,))) for scene in inputs.stack.scenes]
    write_inputs(tmp_path / "inputs.parquet", replace(inputs, stack=replace(inputs.stack, scenes=tuple(scenes))))
    assert pd.read_parquet(tmp_path / "inputs.parquet")["nodata"][0] == 2.0**64


def test_nan_as_nodata_is_written_as_nan_and_no_nodata_as_null(tmp_path: Path) -> None:
    for name, nodata in (("nan", np.nan), ("none", None)):
        write_scene(tmp_path / name / "20200106.tif", speckle((64, 64)), nodata=nodata)
        inputs = find_inputs(
            local_source(tmp_path / name), Stores(S3Settings()), OnError.stop, lambda done, total: None
        )
        write_inputs(tmp_path / f"{name}.parquet", inputs)
    assert np.isnan(pq.read_table(tmp_path / "nan.parquet")["nodata"].to_pylist()).tolist() == [True]
    assert pq.read_table(tmp_path / "none.parquet")["nodata"].to_pylist() == [None]


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.list_(pa.float64())], ids=str)
def test_a_table_may_hold_nan_and_null(tmp_path: Path, kind: pa.DataType) -> None:
    values = [[np.nan, 1.0], None, [np.nan]] if pa.types.is_list(kind) else [np.nan, None, 1.0, -0.0]
    write_table(tmp_path / "a.parquet", pa.table({"a": pa.array(values, kind)}))
    assert str(pq.read_table(tmp_path / "a.parquet")["a"].to_pylist()) == str(values)


def test_a_table_that_is_read_back_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, other = pq.write_table, pa.table({"a": [0.0, 1.0]})
    monkeypatch.setattr(pq, "write_table", lambda table, path, **options: write(other, path, **options))
    with pytest.raises(OutputError, match="not what was written"):
        write_table(tmp_path / "a.parquet", pa.table({"a": [np.nan, 1.0]}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "nodata"),
    [
        (np.linspace(0, 1, 700 * 600, dtype=np.float32).reshape(700, 600), np.nan),
        (np.where(np.eye(700, 600) > 0, np.nan, 1.5), np.nan),
        (np.arange(700 * 600, dtype=np.int32).reshape(700, 600), 0),
        (np.full((700, 600), np.nan, np.float32), np.nan),
        (np.zeros((700, 600), np.int32), 0),
    ],
    ids=["float32", "float64 with holes", "counts", "all missing", "no counts"],
)
def test_a_raster_is_a_valid_cog_and_reads_back_the_same(tmp_path: Path, values: np.ndarray, nodata: float) -> None:
    path = tmp_path / "mean.tif"
    write_raster(path, values, GRID, OutputSettings(), {"statistic": "mean", "source": "s3://b/*"})
    valid, errors, warnings = cog_validate(path, strict=True)
    assert valid, (errors, warnings)
    with rioxarray.open_rasterio(path) as opened:
        np.testing.assert_array_equal(opened.values[0], values)
        assert opened.rio.crs.to_epsg() == 32610
        assert tuple(opened.rio.transform())[:6] == GRID.transform
    with rasterio.open(path) as raster:
        np.testing.assert_equal(raster.nodata, nodata)
        assert raster.overviews(1)
        assert raster.block_shapes == [(512, 512)]
        assert raster.tags()["source"] == "s3://b/*"


def test_a_raster_carries_its_statistics(tmp_path: Path) -> None:
    values = np.full((700, 600), 2.0, np.float32)
    values[0, 0] = 4
    write_raster(tmp_path / "mean.tif", values, GRID, OutputSettings(), {})
    with rasterio.open(tmp_path / "mean.tif") as raster:
        tags = raster.tags(1)
    assert (float(tags["STATISTICS_MINIMUM"]), float(tags["STATISTICS_MAXIMUM"])) == (2, 4)


@given(shape=st.tuples(st.integers(1, 40), st.integers(1, 40)), dtype=st.sampled_from(["float32", "float64", "int32"]))
def test_rasters_of_any_small_shape_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int], dtype: str
) -> None:
    path = tmp_path_factory.mktemp("raster") / "x.tif"
    values = np.arange(shape[0] * shape[1]).reshape(shape).astype(dtype)
    write_raster(path, values, replace(GRID, height=shape[0], width=shape[1]), OutputSettings(), {})
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(raster.read(1), values)


SPECKLE = np.random.default_rng(5).gamma(2, 0.1, (1300, 1100)).astype(np.float32)
SPECKLE[300:420, 100:333] = np.nan


@pytest.mark.parametrize("at_fault", ["first block", "last block", "values"])
def test_a_raster_in_which_gdal_finds_blocks_elsewhere_or_other_values_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_fault: str
) -> None:
    values = np.arange(700 * 600, dtype=np.int32).reshape(700, 600)

    def write_otherwise(path: Path, bands: list[Band], *about: Any) -> WrittenCog:
        (band,) = bands
        stored = band.raster._replace(values=band.raster.values + (at_fault == "values"))
        cog = write_cog(path, [replace(band, raster=stored)], *about)
        wrong = {"first block": 0, "last block": len(cog.spans) - 1}.get(at_fault)
        spans = [span._replace(offset=span.offset + (number == wrong)) for number, span in enumerate(cog.spans)]
        return cog._replace(spans=spans)

    monkeypatch.setattr("runner.output.raster.write_cog", write_otherwise)
    with pytest.raises(OutputError, match=r"GDAL (finds block|reads other values)"):
        write_raster(tmp_path / "x.tif", values, GRID, OutputSettings(), {})
    assert not list(tmp_path.iterdir())


def test_overviews_that_were_written_make_the_pictures_that_those_of_the_file_make(tmp_path: Path) -> None:
    grid = replace(GRID, height=SPECKLE.shape[0], width=SPECKLE.shape[1])
    for values in (SPECKLE, (np.nan_to_num(SPECKLE) * 30).astype(np.int64)):
        facts = write_raster(tmp_path / "x.tif", values, grid, OutputSettings(), {"statistic": "mean"})
        assert [band.shape for band in facts.overviews] == [(1, 650, 550), (1, 325, 275)]
        for sides, shape in ((900, 512), (650, 550)), ((512, 900), (325, 275)):
            (of_file,) = read_bands(facts.path, sides, pytest.fail)
            (written,) = read_bands(facts.path, sides, pytest.fail, facts.overviews)
            assert (of_file.picture_shape, written.picture_shape) == (shape, shape)
            assert (of_file.png, of_file.stretch, of_file.beyond) == (written.png, written.stretch, written.beyond)


@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("compression", ["deflate", "zstd", "lzw", "none"])
@pytest.mark.parametrize("values", [SPECKLE, np.nan_to_num(SPECKLE * 1000).astype(np.int32)], ids=["floats", "counts"])
def test_every_compression_gives_a_cog_that_gdal_knows_as_one(
    tmp_path: Path, values: np.ndarray, compression: str, big: bool
) -> None:
    place = {"crs": GRID.crs, "transform": rasterio.Affine(*GRID.transform), "nodata": 0}
    write_cog(tmp_path / "x.tif", values, place, {"statistic": "q"}, CogForm(compression, 3, big))
    valid, errors, warnings = cog_validate(tmp_path / "x.tif", strict=True)
    assert valid, (errors, warnings)
    with rasterio.open(tmp_path / "x.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), values)
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.compression is None if compression == "none" else raster.compression.name == compression
        assert raster.descriptions == ("q",)
    assert (tmp_path / "x.tif").read_bytes()[:4] == (b"II+\0" if big else b"II*\0")


@pytest.mark.slow
@settings(max_examples=8)
@given(shape=st.tuples(st.integers(500, 1100), st.integers(500, 1100)), seed=st.integers(0, 9))
def test_overviews_are_means_of_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int], seed: int
) -> None:
    path, random = tmp_path_factory.mktemp("raster") / "x.tif", np.random.default_rng(seed)
    values = random.normal(size=shape)
    values[random.random(shape) < 0.4] = np.nan
    grid = replace(GRID, height=shape[0], width=shape[1])
    write_raster(path, values, grid, OutputSettings(), {})
    expected = values
    for level in range((max(shape) - 1) // 512):
        padded = np.pad(expected, ((0, expected.shape[0] % 2), (0, expected.shape[1] % 2)), constant_values=np.nan)
        fours = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
        with np.errstate(invalid="ignore"):
            expected = np.nansum(fours, axis=(1, 3)) / np.sum(~np.isnan(fours), axis=(1, 3))
        with rasterio.open(path, overview_level=level) as raster:
            np.testing.assert_allclose(raster.read(1), expected, rtol=1e-12, atol=1e-12)


def test_overviews_of_counts_are_counts(tmp_path: Path) -> None:
    values = np.arange(700 * 601, dtype=np.int32).reshape(700, 601)
    write_raster(tmp_path / "x.tif", values, replace(GRID, width=601), OutputSettings(), {})
    with rasterio.open(tmp_path / "x.tif", overview_level=0) as raster:
        np.testing.assert_array_equal(raster.read(1), values[::2, ::2])


@settings(max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    missing=st.sampled_from([0.0, 0.5, 1.0]),
    offset=st.sampled_from([0.0, 1e6]),
    integers=st.booleans(),
)
def test_statistics_are_those_that_gdal_finds(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int], missing: float, offset: float, integers: bool
) -> None:
    path, random = tmp_path_factory.mktemp("raster") / "x.tif", np.random.default_rng(1)
    values = offset + random.gamma(2, 5, shape)
    values[random.random(shape) < missing] = 0 if integers else np.nan
    values = values.astype(np.int32) if integers else values
    write_raster(path, values, replace(GRID, height=shape[0], width=shape[1]), OutputSettings(), {})
    counted = values[values != 0] if integers else values[~np.isnan(values)]
    with rasterio.open(path) as raster:
        tags = raster.tags(1)
        if not counted.size:
            assert "STATISTICS_MEAN" not in tags
            return
        found = [float(tags[f"STATISTICS_{name}"]) for name in ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV")]
        data = raster.read(1)
    expected = [counted.min(), counted.max(), counted.mean(), counted.std()]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    twin = tmp_path_factory.mktemp("raster") / "twin.tif"
    place = {"crs": GRID.crs, "transform": rasterio.Affine(*GRID.transform), "nodata": 0 if integers else np.nan}
    with rasterio.open(twin, "w", driver="GTiff", **_shape(data), **place) as raster:
        raster.write(data, 1)
    with rasterio.open(twin) as raster:
        (gdal,) = raster.stats(approx=False)
    np.testing.assert_allclose(found, [gdal.min, gdal.max, gdal.mean, gdal.std], rtol=1e-6, atol=1e-6)


def test_statistics_say_nothing_of_a_mean_that_float64_does_not_hold(tmp_path: Path) -> None:
    values = np.where(np.eye(700, 600) > 0, -1.7e308, 1.7e308)
    write_raster(tmp_path / "x.tif", values, GRID, OutputSettings(), {})
    with rasterio.open(tmp_path / "x.tif") as raster:
        tags = {name: value for name, value in raster.tags(1).items() if name.startswith("STATISTICS")}
    assert tags == {
        "STATISTICS_MINIMUM": "-1.7e+308",
        "STATISTICS_MAXIMUM": "1.7e+308",
        "STATISTICS_VALID_PERCENT": "100",
    }


def _shape(values: np.ndarray) -> dict[str, object]:
    return {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype.name}


@pytest.mark.parametrize(
    ("choice", "source", "expected"),
    [
        ("auto", "float32", "float32"),
        ("auto", "uint16", "float32"),
        ("auto", "float64", "float64"),
        ("auto", "int32", "float64"),
        ("float64", "float32", "float64"),
        ("float32", "float64", "float32"),
    ],
)
def test_a_raster_is_as_wide_as_its_source_needs(choice: str, source: str, expected: str) -> None:
    assert raster_dtype(RasterDtype[choice], np.dtype(source)) == expected


@pytest.mark.parametrize("turned", [1.0, -1.0])
def test_scenes_without_a_georeference_give_rasters_without_one_and_no_warning(
    tmp_path: Path, stack: Stack, turned: float
) -> None:
    bare = replace(stack, grid=Grid(None, "no CRS", (1.0, 0.0, 0.0, 0.0, turned, 0.0), 300, 500))
    stage = StagePlan("temporal_mean", Over.time, ("mean", "count"))
    values = {"mean": np.ones((300, 500), np.float32), "count": np.ones((300, 500), np.int32)}
    first, _ = write_stage(Destination(tmp_path, OutputSettings(), {}), stage, bare, values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(first.path) as raster:
            assert (raster.crs, tuple(raster.transform)[:6]) == (None, bare.grid.transform)


@pytest.mark.parametrize(
    ("stage", "statistic", "name"),
    [
        ("temporal_mean", "mean", "temporal_mean.tif"),
        ("temporal_mean", "count", "temporal_count.tif"),
        ("winter", "mean", "winter_mean.tif"),
    ],
)
def test_a_raster_is_named_by_its_stage_and_statistic(stage: str, statistic: str, name: str) -> None:
    assert raster_name(stage, statistic) == name


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    final = tmp_path / "out.txt"
    final.write_text("old")
    with pytest.raises(OutputError, match="cannot be written: No space left"), written_aside(final) as aside:
        aside.write_text("half")
        raise OSError(28, "No space left on device")
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize(
    ("written", "on_disk", "equal"),
    [
        ([1.0, np.nan], [1.0, np.nan], True),
        ([0.0], [-0.0], False),
        ([[1.0, np.nan]], [[1.0, np.nan]], True),
        ([[0.0]], [[-0.0]], False),
        (["a"], ["b"], False),
    ],
    ids=["NaN", "signs", "NaN in lists", "signs in lists", "texts"],
)
def test_a_table_is_read_back_and_compared_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: list[object], on_disk: list[object], equal: bool
) -> None:
    path, write = tmp_path / "x.parquet", pq.write_table
    damaged = pa.table({"x": pa.array(on_disk)})
    monkeypatch.setattr(pq, "write_table", lambda _, *args, **options: write(damaged, *args, **options))
    with nullcontext() if equal else pytest.raises(OutputError, match="read back, the table is not what was written"):
        write_table(path, pa.table({"x": pa.array(written)}))
    assert path.exists() == equal
