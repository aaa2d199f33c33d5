"""The hashes of outputs.json are those that anybody computes from the files with plain numpy."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import rasterio

from runner.model import Grid
from runner.output.digest import ValueDigest
from runner.output.raster import write_raster
from runner.output.table import write_table
from runner.settings import OutputSettings

GRID = Grid("EPSG:32610", "EPSG:32610", (20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0), 1500, 600)
FLOATS = np.where(
    np.arange(1500 * 600).reshape(1500, 600) % 7 == 0, np.nan, np.linspace(-1, 1, 1500 * 600).reshape(1500, 600)
)
COUNTS = (np.arange(1500 * 600, dtype=np.int32) % 5).reshape(1500, 600)


def sha256(values: np.ndarray) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("values", "count", "extremes", "nodata"),
    [
        (FLOATS.astype("<f4"), np.count_nonzero(~np.isnan(FLOATS)), (np.nanmin, np.nanmax), "nan"),
        (FLOATS, np.count_nonzero(~np.isnan(FLOATS)), (np.nanmin, np.nanmax), "nan"),
        (COUNTS, np.count_nonzero(COUNTS), (lambda _: 1, lambda _: 4), 0),
    ],
    ids=["float32", "float64", "counts"],
)
@pytest.mark.parametrize("compression", ["deflate", "zstd"])
def test_a_raster_is_described_by_what_rasterio_reads(
    tmp_path: Path, values: np.ndarray, count: int, extremes: tuple, nodata: object, compression: str
) -> None:
    path = tmp_path / "x_mean.tif"
    facts = write_raster(path, values, GRID, OutputSettings(compression=compression), {"statistic": "mean"})
    with rasterio.open(path) as raster:
        stored = raster.read(1)
    (one,) = facts.values
    assert (facts.bytes, facts.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert (one.name, one.sha256, one.dtype, one.shape) == ("mean", sha256(stored), values.dtype.name, values.shape)
    assert (one.count, one.nodata) == (count, nodata)
    assert (one.minimum, one.maximum) == tuple(float(pick(values)) for pick in extremes)


def test_a_table_is_described_column_by_column(tmp_path: Path) -> None:
    mean, count = np.array([0.5, np.nan, 2.0]), np.array([3, 0, 7])
    table = pa.table({"href": ["a", "b", "c"], "mean": pa.array(mean, mask=np.isnan(mean)), "count": count})
    facts = write_table(tmp_path / "x.parquet", table, ["mean", "count"])
    means, counts = facts.values
    assert facts.sha256 == hashlib.sha256((tmp_path / "x.parquet").read_bytes()).hexdigest()
    assert (means.sha256, counts.sha256) == (sha256(mean), sha256(count))
    assert (means.count, means.minimum, means.maximum, means.shape, means.nodata) == (2, 0.5, 2.0, (3,), None)
    assert (counts.count, counts.minimum, counts.maximum, counts.dtype) == (3, 0, 7, "int64")


def test_nothing_but_missing_values_has_no_extremes(tmp_path: Path) -> None:
    grid = replace(GRID, height=3, width=4)
    (floats,) = write_raster(tmp_path / "a.tif", np.full((3, 4), np.nan), grid, OutputSettings(), {}).values
    (counts,) = write_raster(tmp_path / "b.tif", np.zeros((3, 4), np.int32), grid, OutputSettings(), {}).values
    for facts in (floats, counts):
        assert (facts.count, facts.minimum, facts.maximum) == (0, None, None)


def digest(values: np.ndarray, *places: int) -> str:
    made = ValueDigest("x", values.dtype, values.shape)
    for part in np.split(values, places):
        made.add(part)
    return made.facts().sha256


def test_pieces_of_values_have_the_hash_of_the_whole() -> None:
    assert digest(FLOATS, 1, 700, 1499) == digest(FLOATS) == sha256(FLOATS)


def test_every_nan_is_the_same_and_byte_order_does_not_count() -> None:
    values = np.array([1.0, np.nan, -0.0])
    odd = values.copy()
    odd.view(np.uint64)[1] |= np.uint64(1 << 63 | 5)
    assert np.isnan(odd[1])
    assert digest(odd) == digest(values) == digest(values.astype(">f8")) == digest(np.repeat(values, 2)[::2])
    assert digest(values) != digest(np.abs(values))
