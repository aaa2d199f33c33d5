"""A statistic of somebody else's package works like ours, in both engines."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from jobs import Cli

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "mine"
version = "1"
[project.entry-points."cog_stack_runner.statistics"]
spread = "mine:spread"
strongest = "mine:STRONGEST"
"""
MODULE = """
import numpy as np
from runner.reduce.statistics import Statistic

def spread(values, axis):
    '''The distance from the lowest to the highest value; values are float64, NaN where missing.'''
    return np.nanmax(values, axis) - np.nanmin(values, axis)

def strongest(values, valid, dims):
    '''Any function of DataArrays will do for engine=xarray.'''
    return values.where(valid).max(dims).rename("strongest")

STRONGEST = Statistic(name="strongest", reference=strongest)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python that has the package `mine`."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "mine.py").write_text(MODULE)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(folder)]  # uv makes venvs without pip
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return {**os.environ, "PYTHONPATH": str(folder / "site")}


@pytest.mark.parametrize("engine", ["block", pytest.param("xarray", marks=pytest.mark.slow)])
def test_a_function_of_values_is_a_statistic_of_both_stages(
    cli: Cli, installed: dict[str, str], folder_of_scenes: Path, tmp_path: Path, engine: str
) -> None:
    words = [f"stages.{stage}.statistics=[mean,spread]" for stage in ("spatial_mean", "temporal_mean")]
    done = cli("source=local", f"source.url={folder_of_scenes}/*.tif", f"engine={engine}", *words, "output.dir=out",
               env=installed)  # fmt: skip
    assert done.returncode == 0, done.stderr
    layers = []
    for path in sorted(folder_of_scenes.glob("*.tif")):
        with rasterio.open(path) as raster:
            layers.append(raster.read(1, masked=True).astype("float64"))
    cube = np.ma.stack(layers)
    spread = cube.max((1, 2)) - cube.min((1, 2))
    assert pd.read_parquet(tmp_path / "out/spatial_mean.parquet")["spread"].tolist() == spread.tolist()
    with rasterio.open(tmp_path / "out/temporal_spread.tif") as raster:
        over_time = (cube.max(0) - cube.min(0)).filled(np.nan)
        np.testing.assert_array_equal(raster.read(1), over_time.astype(np.float32))


@pytest.mark.slow
def test_a_function_of_data_arrays_needs_the_xarray_engine(
    cli: Cli, installed: dict[str, str], folder_of_scenes: Path, tmp_path: Path
) -> None:
    words = ["source=local", f"source.url={folder_of_scenes}/*.tif", "stages.spatial_mean.statistics=[strongest,max]"]
    refused = cli(*words, env=installed)
    assert refused.returncode == 1
    assert "strongest is a function of DataArrays; set engine=xarray" in refused.stderr
    done = cli(*words, "engine=xarray", "output.dir=out", env=installed)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "out/spatial_mean.parquet")
    assert table["strongest"].tolist() == table["max"].tolist()
