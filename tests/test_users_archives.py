"""Archives as new users bring them end right, or with one line that says what is missing and what to do."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import users_archives as archives
from jobs import ROOT, Typed


@pytest.mark.parametrize("name", ["users_archives", "scenes_on_disk"])
def test_the_archives_are_written_without_the_tests_packages(name: str) -> None:
    code = ast.parse((ROOT / "tests/helpers" / f"{name}.py").read_text())
    imports = [node for node in ast.walk(code) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {one.name for node in imports for one in node.names} | {getattr(node, "module", "") for node in imports}
    assert not names & {"pytest", "conftest", "hypothesis", "moto"}


pytestmark = pytest.mark.slow  # each starts a run, and most compile for a pixel type


def masked_means(paths: list[Path], band: int = 1) -> list[float]:
    """Plain rasterio and numpy: the mean of each file's valid pixels."""
    means = []
    for path in paths:
        with rasterio.open(path) as raster:
            means.append(float(raster.read(band, masked=True).mean(dtype=np.float64)))
    return means


def table_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "spatial_mean.parquet")


def test_a_landsat_band_is_dated_by_its_acquisition(typed: Typed, tmp_path: Path) -> None:
    archives.landsat(tmp_path / "landsat", one_extent=True)
    done = typed("source=local", "source.url=landsat/**/*_SR_B4.TIF", "output.dir=out")
    assert done.returncode == 0, done.stderr
    table = table_of(tmp_path / "out")
    assert [time.date() for time in table["datetime"]] == archives.LANDSAT_DAYS
    paths = sorted((tmp_path / "landsat").rglob("*_SR_B4.TIF"))
    np.testing.assert_allclose(table["mean"], masked_means(paths), rtol=1e-15)


def test_daily_rain_is_averaged_by_area_without_its_nodata(typed: Typed, tmp_path: Path) -> None:
    archives.rain(tmp_path / "rain")
    done = typed("source=local", "source.url=rain/**/*.tif", "output.dir=out")
    assert done.returncode == 0, done.stderr
    assert "area" in done.stdout + done.stderr
    table = table_of(tmp_path / "out")
    assert [time.date() for time in table["datetime"]] == archives.RAIN_DAYS
    assert (table["count"] == 300 * 36).all()
    latitudes = 60 - 0.1 * (np.arange(300) + 0.5)
    for mean, path in zip(table["mean"], sorted((tmp_path / "rain").rglob("*.tif")), strict=True):
        with rasterio.open(path) as raster:
            rows = raster.read(1)[:, 4:].mean(axis=1, dtype=np.float64)
        by_cosine = np.average(rows, weights=np.cos(np.radians(latitudes)))
        assert mean == pytest.approx(by_cosine, rel=1e-3)  # the ellipsoid differs from the sphere by less


def test_a_band_of_planetscope_is_read_from_its_file_of_four(typed: Typed, tmp_path: Path) -> None:
    archives.planet(tmp_path / "planet", one_extent=True)
    done = typed("source=local", "source.url=planet/**/*_SR_clip.tif", "source.band=4", "output.dir=out")
    assert done.returncode == 0, done.stderr
    table = table_of(tmp_path / "out")
    assert [time.date() for time in table["datetime"]] == archives.PLANET_DAYS
    paths = sorted((tmp_path / "planet").rglob("*_SR_clip.tif"))
    np.testing.assert_allclose(table["mean"], masked_means(paths, band=4), rtol=1e-15)


def clear_means(paths: list[Path], masks: list[Path], test: Callable[[np.ndarray], np.ndarray]) -> list[float]:
    """Plain rasterio and numpy: the mean of each file's valid pixels that a mask, of band 1, does not hide."""
    means = []
    for path, mask in zip(paths, masks, strict=True):
        with rasterio.open(path) as raster, rasterio.open(mask) as quality:
            pixels, codes = raster.read(raster.count, masked=True), quality.read(1)
        factor = pixels.shape[0] // codes.shape[0]
        shown = np.kron(test(codes), np.ones((factor, factor), bool)) & ~np.ma.getmaskarray(pixels)
        means.append(float(pixels.data[shown].mean(dtype=np.float64)))
    return means


@pytest.mark.parametrize(
    ("archive", "url", "preset", "replaced", "is_clear"),
    [
        ("landsat", "landsat/**/*_SR_B4.TIF", "landsat_qa_pixel", ("SR_B4", "QA_PIXEL"), lambda codes: codes & 31 == 0),
        ("sentinel2", "sentinel2/10/T/EK/**/B04.tif", "sentinel2_scl", ("B04", "SCL"),
         lambda codes: np.isin(codes, [2, 4, 5, 6, 7, 11])),
        ("hls", "hls/**/*.B04.tif", "hls_fmask", ("B04", "Fmask"), lambda codes: (codes & 14 == 0) & (codes != 255)),
        ("planet", "planet/**/*_SR_clip.tif", "planet_udm2", ("AnalyticMS_SR", "udm2"), lambda codes: codes == 1),
    ],
)  # fmt: skip
def test_masks_of_providers_hide_what_is_not_clear(
    typed: Typed, tmp_path: Path, archive: str, url: str, preset: str, replaced: tuple[str, str], is_clear: Any
) -> None:
    options = {"one_extent": True} if archive in ("landsat", "planet") else {}
    getattr(archives, archive)(tmp_path / archive, **options)
    band = ["source.band=4"] if archive == "planet" else []
    done = typed("source=local", f"source.url={url}", f"mask={preset}", "output.dir=out", *band)
    assert done.returncode == 0, done.stderr
    paths = sorted(tmp_path.glob(url))
    masks = [path.with_name(path.name.replace(*replaced)) for path in paths]
    np.testing.assert_allclose(table_of(tmp_path / "out")["mean"], clear_means(paths, masks, is_clear), rtol=1e-15)


@pytest.mark.parametrize(
    ("archive", "overrides", "message"),
    [
        ("landsat", ["source.url=landsat/**/*_SR_B?.TIF"], "source.duplicates=keep"),
        ("landsat", ["source.url=landsat/**/*_SR_B4.TIF"], "3 grids"),
        ("sentinel2", ["source.url=sentinel2/**/B04.tif", "source.duplicates=keep"], "5 grids"),
        ("planet", ["source.url=planet/**/*_SR_clip.tif"], "4 grids"),
        ("planet", ["source.url=planet/**/*.tif"], "source.duplicates=keep"),
    ],
)
def test_what_is_no_single_stack_is_refused_in_one_line(
    typed: Typed, tmp_path: Path, archive: str, overrides: list[str], message: str
) -> None:
    getattr(archives, archive)(tmp_path / archive)
    done = typed("source=local", *overrides, "output.dir=out")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*.parquet"))
