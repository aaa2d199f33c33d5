"""Several bands of the same files, by one command."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from jobs import Cli
from multiband import write_bands

pytestmark = pytest.mark.slow  # each starts a run


@pytest.mark.parametrize(("bands", "names"), [("[red,nir]", ["red", "nir"]), ("all", ["blue", "green", "red", "nir"])])
def test_each_band_is_a_stack_of_its_own(cli: Cli, tmp_path: Path, bands: str, names: list[str]) -> None:
    numbers = {"blue": 1, "green": 2, "red": 3, "nir": 4}
    for day in (1, 2):
        write_bands(tmp_path / f"data/2020010{day}.tif", tuple(numbers))
    done = cli("source=local", "source.url=data/*.tif", f"source.bands={bands}", "output.dir=out")
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "out/spatial_mean.parquet")
    assert {*zip(table["band"], table["mean"], strict=True)} == {(name, 100.0 * numbers[name]) for name in names}
    assert len(table) == 2 * len(names)
    assert sorted(pd.read_parquet(tmp_path / "out/stacks.parquet")["band"]) == sorted(names)
    for name in names:
        with rasterio.open(tmp_path / f"out/stacks/{name}/temporal_mean.tif") as raster:
            np.testing.assert_array_equal(raster.read(1), np.full((20, 20), 100 * numbers[name], np.float32))


def test_a_band_of_a_run_is_the_run_of_that_band_alone(cli: Cli, tmp_path: Path) -> None:
    write_bands(tmp_path / "data/20200101.tif", ("red", "nir"))
    assert not cli("source=local", "source.url=data/*.tif", "source.bands=all", "output.dir=out").returncode
    assert not cli("source=local", "source.url=data/*.tif", "source.band=nir", "output.dir=alone").returncode
    for name in ("spatial_mean.parquet", "temporal_mean.tif"):
        together, alone = tmp_path / "out/stacks/nir" / name, tmp_path / "alone" / name
        assert together.read_bytes() == alone.read_bytes()


def test_a_band_that_one_stack_lacks_fails_that_stack(cli: Cli, tmp_path: Path) -> None:
    write_bands(tmp_path / "data/20200101.tif", ("red", "nir"))
    words = ["source=local", "source.url=data/*.tif", "source.bands=[red,swir]", "output.dir=out"]
    done = cli(*words, "archive.on_error=continue")
    assert done.returncode == 1
    assert "source.band=swir" in done.stderr
    assert [*pd.read_parquet(tmp_path / "out/stacks.parquet")["status"]] == ["COMPLETED", "FAILED"]
