"""The presets of providers, tried on their archives made small: one command each, and the bits of plain numpy.

What a preset says of names, types, nodata and scale is held against the files as rasterio reads them.
"""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import users_archives as archives
from jobs import Typed, compose

from runner.source.times import time_of_key

KEYS = {  # of each provider, as its documentation has them
    "landsat_c2": (
        "s3://usgs-landsat/collection02/level-2/standard/oli-tirs/2020/044/034/"
        "LC08_L2SP_044034_20200106_20200823_02_T1/LC08_L2SP_044034_20200106_20200823_02_T1_SR_B4.TIF",
        "2020-01-06 00:00:00",
        {"tile": "044034", "satellite": "LC08", "band": "SR_B4", "tier": "T1"},
    ),
    "sentinel2_cogs": (
        "s3://sentinel-cogs/sentinel-s2-l2a-cogs/10/T/EK/2020/6/S2A_10TEK_20200603_0_L2A/B04.tif",
        "2020-06-03 00:00:00",
        {"tile": "10TEK", "satellite": "S2A", "sequence": "0", "band": "B04"},
    ),
    "hls": (
        "/data/hls/HLS.L30.T10TEK.2020006T184524.v2.0/HLS.L30.T10TEK.2020006T184524.v2.0.B04.tif",
        "2020-01-06 18:45:24",
        {"tile": "10TEK", "product": "L30", "band": "B04"},
    ),
    "planet": (
        "/data/planet/files/20200704_183015_10_2231_3B_AnalyticMS_SR_clip.tif",
        "2020-07-04 18:30:15",
        {"satellite": "2231"},
    ),
    "sentinel1_rtc_archive": (
        "s3://sentinel-s1-rtc-indigo/tiles/RTC/1/IW/10/T/ET/2020/S1B_20200106_10TET_ASC/Gamma0_VH.tif",
        "2020-01-06 00:00:00",
        {"tile": "10TET", "satellite": "S1B", "orbit": "ASC", "band": "VH"},
    ),
    "precipitation": ("/data/chirps/p05/2020/chirps-v2.0.2020.01.31.tif", "2020-01-31 00:00:00", {}),
}


@pytest.mark.parametrize("preset", KEYS)
def test_a_preset_reads_the_date_and_the_groups_of_a_key(preset: str) -> None:
    key, date, groups = KEYS[preset]
    source = compose(f"source={preset}").source
    assert source.datetime_regex
    time, found, _ = time_of_key(source.datetime_regex, key)
    assert f"{time:%Y-%m-%d %H:%M:%S}" == date
    assert {name: found[name] for name in groups} == groups


@pytest.mark.parametrize("name", ["20200704_183015_10_2231", "20200704_183015_1006", "20200704_183015_0f15"])
def test_scenes_of_both_generations_of_planetscope_are_named(name: str) -> None:
    pattern = compose("source=planet").source.datetime_regex
    assert pattern
    assert time_of_key(pattern, f"/planet/{name}_3B_AnalyticMS_SR_8b_clip.tif")[1]["scene"] == name


# --- one command each -----------------------------------------------------------------------------------------------


def exact_mean(values: np.ndarray) -> float:
    """The exact sum, rounded once, divided by the number of values."""
    return float(sum(map(Fraction, values.tolist()), Fraction(0))) / len(values) if len(values) else math.nan


def values_of(path: Path, band: int = 1, scale: float = 1, offset: float = 0) -> np.ndarray:
    """The scaled pixels of a file in float64, NaN where they are nodata."""
    with rasterio.open(path) as raster:
        stored = raster.read(band)
        return np.where(stored == raster.nodata, np.nan, stored.astype(np.float64) * scale + offset)


def read_band(path: Path, band: int = 1) -> np.ndarray:
    with rasterio.open(path) as raster:
        pixels: np.ndarray = raster.read(band)
        return pixels


def assert_means(table: pd.DataFrame, wanted: list[np.ndarray]) -> None:
    means = [exact_mean(values[~np.isnan(values)]) for values in wanted]
    np.testing.assert_array_equal(table["mean"], means)
    np.testing.assert_array_equal(table["count"], [(~np.isnan(values)).sum() for values in wanted])


def run(typed: Typed, *words: str) -> None:
    done = typed(*words, "output.dir=out", "output.raster_dtype=float64")
    assert done.returncode == 0, done.stderr


def on_one_grid(paths: list[Path], layers: list[np.ndarray]) -> np.ndarray:
    """Layers in their places on the union of their extents, NaN elsewhere."""
    corners = []
    for path in paths:
        with rasterio.open(path) as raster:
            corners.append((raster.transform.f, raster.transform.c, raster.transform.a))
    places = [
        (round((corners[0][0] - y) / size), round((x - corners[0][1]) / size), *layer.shape)
        for (y, x, size), layer in zip(corners, layers, strict=True)
    ]
    top, left = min(place[0] for place in places), min(place[1] for place in places)
    bottom, right = max(place[0] + place[2] for place in places), max(place[1] + place[3] for place in places)
    canvas = np.full((len(layers), bottom - top, right - left), np.nan)
    for target, layer, (row, column, height, width) in zip(canvas, layers, places, strict=True):
        target[row - top : row - top + height, column - left : column - left + width] = layer
    return canvas


def assert_raster(path: Path, canvas: np.ndarray) -> None:
    """A temporal mean, to the bit."""
    cells = canvas.reshape(len(canvas), -1).T
    wanted = np.array([exact_mean(cell[~np.isnan(cell)]) for cell in cells]).reshape(canvas.shape[1:])
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(np.where(raster.read_masks(1), raster.read(1), np.nan), wanted)


@pytest.mark.slow
def test_landsat_with_unequal_extents_and_its_quality_band(typed: Typed, tmp_path: Path) -> None:
    archives.landsat(tmp_path / "landsat")
    run(typed, "source=landsat_c2", "source.url=landsat/**/*_SR_B4.TIF", "mask=landsat_qa_pixel")
    paths = sorted((tmp_path / "landsat").rglob("*_SR_B4.TIF"))
    layers = []
    for path in paths:
        quality = read_band(Path(str(path).replace("SR_B4", "QA_PIXEL")))
        hidden = (quality & 0b11111) != 0
        layers.append(np.where(hidden, np.nan, values_of(path, scale=0.0000275, offset=-0.2)))
    table = pd.read_parquet(tmp_path / "out/spatial_mean.parquet")
    assert [time.date() for time in table["datetime"]] == archives.LANDSAT_DAYS
    assert_means(table, layers)
    assert_raster(tmp_path / "out/temporal_mean.tif", on_one_grid(paths, layers))


@pytest.mark.slow
def test_five_sentinel2_tiles_in_two_zones_with_classes_of_20_m(typed: Typed, tmp_path: Path) -> None:
    archives.sentinel2(tmp_path / "s2")
    run(typed, "source=sentinel2_cogs", "source.url=s2/**/B04.tif", "source.stack_by=[tile]", "mask=sentinel2_scl")
    stacks = pd.read_parquet(tmp_path / "out/stacks.parquet")
    assert sorted(stacks["tile"]) == sorted(archives.SENTINEL2_TILES)
    assert set(stacks["status"]) == {"COMPLETED"}
    table = pd.read_parquet(tmp_path / "out/spatial_mean.parquet")
    for tile in archives.SENTINEL2_TILES:
        paths = sorted((tmp_path / "s2").rglob(f"*_{tile}_*/B04.tif"))
        layers = []
        for path in paths:
            classes = read_band(path.with_name("SCL.tif")).repeat(2, axis=0).repeat(2, axis=1)
            layers.append(np.where(np.isin(classes, [0, 1, 3, 8, 9, 10]), np.nan, _sentinel2(path)))
        assert_means(table[table["tile"] == tile], layers)
        assert_raster(tmp_path / f"out/stacks/{tile}/temporal_mean.tif", np.stack(layers))


def _sentinel2(path: Path) -> np.ndarray:
    stored = read_band(path)
    return np.where(stored == 0, np.nan, stored.astype(np.float64) * 0.0001)


@pytest.mark.slow
def test_daily_precipitation_of_chirps_by_area(typed: Typed, tmp_path: Path) -> None:
    archives.chirps(tmp_path / "chirps")
    run(typed, "source=precipitation", "source.url=chirps/**/chirps-v2.0.*.tif")
    paths = sorted((tmp_path / "chirps").rglob("*.tif"))
    layers = [values_of(path) for path in paths]
    table = pd.read_parquet(tmp_path / "out/spatial_mean.parquet")
    assert [time.date() for time in table["datetime"]] == archives.RAIN_DAYS
    assert_raster(tmp_path / "out/temporal_mean.tif", np.stack(layers))
    latitudes = np.radians(50 - 0.05 * (np.arange(300) + 0.5))
    for mean, layer in zip(table["mean"], layers, strict=True):
        by_cosine = np.average(np.nanmean(layer, axis=1), weights=np.cos(latitudes))
        assert mean == pytest.approx(by_cosine, rel=1e-3)  # the ellipsoid differs from the sphere by less


@pytest.mark.slow
def test_planetscope_with_unequal_extents_and_its_usable_data_mask(typed: Typed, tmp_path: Path) -> None:
    archives.planet(tmp_path / "planet")
    run(typed, "source=planet", "source.url=planet/**/*_AnalyticMS_SR*.tif", "source.band=nir", "mask=planet_udm2")
    paths = sorted((tmp_path / "planet").rglob("*_SR_clip.tif"))
    layers = []
    for path in paths:
        clear = read_band(Path(str(path).replace("AnalyticMS_SR", "udm2"))) == 1
        layers.append(np.where(clear, values_of(path, band=4, scale=0.0001), np.nan))
    table = pd.read_parquet(tmp_path / "out/spatial_mean.parquet")
    assert [time.date() for time in table["datetime"]] == archives.PLANET_DAYS
    assert_means(table, layers)
    assert_raster(tmp_path / "out/temporal_mean.tif", on_one_grid(paths, layers))


@pytest.mark.slow
def test_hls_of_both_products_with_fmask(typed: Typed, tmp_path: Path) -> None:
    archives.hls_of_both(tmp_path / "hls")
    run(typed, "source=hls", "source.url=hls/**/HLS.*.T10TEK.*.v2.0.B04.tif", "mask=hls_fmask")
    paths = sorted((tmp_path / "hls").rglob("*.B04.tif"), key=lambda path: path.name.split(".")[3])
    layers = []
    for path in paths:
        quality = read_band(Path(str(path).replace(".B04.", ".Fmask.")))
        hidden = ((quality & 0b1110) != 0) | (quality == 255)
        layers.append(np.where(hidden, np.nan, values_of(path, scale=0.0001)))
    table = pd.read_parquet(tmp_path / "out/spatial_mean.parquet")
    assert [time.date() for time in table["datetime"]] == archives.LANDSAT_DAYS
    assert_means(table, layers)
    assert_raster(tmp_path / "out/temporal_mean.tif", np.stack(layers))


@pytest.mark.slow
def test_both_polarizations_of_two_sentinel1_tiles(typed: Typed, tmp_path: Path) -> None:
    archives.sentinel1(tmp_path / "s1")
    run(typed, "source=sentinel1_rtc_archive", "source.url=s1/tiles/RTC/1/IW/10/T/*/**/Gamma0_V?.tif")
    table = pd.read_parquet(tmp_path / "out/spatial_mean.parquet")
    assert {*zip(table["tile"], table["band"], strict=True)} == {
        (tile, band) for tile in ("10TET", "10TFT") for band in ("VV", "VH")
    }
    for (tile, band), rows in table.groupby(["tile", "band"]):
        paths = sorted((tmp_path / "s1").rglob(f"*_{tile}_ASC/Gamma0_{band}.tif"))
        assert_means(rows, [values_of(path) for path in paths])
