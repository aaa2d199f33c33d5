"""Archives as new users bring them end right, or with one line that says what is missing and what to do."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import users_archives as archives
from jobs import ROOT, Cli


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


def test_a_landsat_band_is_dated_by_its_acquisition(cli: Cli, tmp_path: Path) -> None:
    archives.landsat(tmp_path / "landsat", one_extent=True)
    done = cli("source=local", "source.url=landsat/**/*_SR_B4.TIF", "output.dir=out")
    assert done.returncode == 0, done.stderr
    table = table_of(tmp_path / "out")
    assert [time.date() for time in table["datetime"]] == archives.LANDSAT_DAYS
    paths = sorted((tmp_path / "landsat").rglob("*_SR_B4.TIF"))
    np.testing.assert_allclose(table["mean"], masked_means(paths), rtol=1e-15)


def test_daily_rain_is_averaged_by_area_without_its_nodata(cli: Cli, tmp_path: Path) -> None:
    archives.rain(tmp_path / "rain")
    done = cli("source=local", "source.url=rain/**/*.tif", "output.dir=out")
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


def test_a_band_of_planetscope_is_read_from_its_file_of_four(cli: Cli, tmp_path: Path) -> None:
    archives.planet(tmp_path / "planet", one_extent=True)
    done = cli("source=local", "source.url=planet/**/*_SR_clip.tif", "source.band=4", "output.dir=out")
    assert done.returncode == 0, done.stderr
    table = table_of(tmp_path / "out")
    assert [time.date() for time in table["datetime"]] == archives.PLANET_DAYS
    paths = sorted((tmp_path / "planet").rglob("*_SR_clip.tif"))
    np.testing.assert_allclose(table["mean"], masked_means(paths, band=4), rtol=1e-15)


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
    cli: Cli, tmp_path: Path, archive: str, overrides: list[str], message: str
) -> None:
    getattr(archives, archive)(tmp_path / archive)
    done = cli("source=local", *overrides, "output.dir=out")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*.parquet"))
