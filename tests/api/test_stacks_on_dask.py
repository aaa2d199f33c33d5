"""A stack on worker processes of dask: the same values, read by workers that know nothing but the array."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from distributed import Client, LocalCluster
from masked_scenes import write_mask, write_pair
from scenes_on_disk import speckle, write_scene

import runner
from runner.demo.server import serve
from runner.read.header import Window

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Mean of empty slice")]  # of numpy's own

SHAPE = (600, 700)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bucket")
    for day in range(1, 9):
        write_scene(folder / f"scenes/202001{day:02}.tif", speckle(SHAPE, seed=day))
    return folder


def test_the_mean_of_workers_is_rasterios_and_the_runs(client: Client, bucket: Path, tmp_path: Path) -> None:
    layers = []
    for path in sorted(bucket.glob("scenes/*.tif")):
        with rasterio.open(path) as dataset:
            layers.append(dataset.read(1, masked=True).filled(np.nan))
    with serve(bucket) as endpoint:
        words = ["source=local", "source.url=s3://scenes/*.tif", "source.s3.anonymous=true"]
        words += [f"source.s3.endpoint_url={endpoint}", f"output.dir={tmp_path}/run"]
        stack = runner.open_stack([*words, "chunks.time=3", "chunks.y=256"])
        assert stack.data.npartitions == 9
        np.testing.assert_array_equal(client.compute(stack).result(), layers)
        mean = client.compute(stack.mean("time")).result()
        done = runner.run(words, progress=False)
    np.testing.assert_allclose(mean, np.nanmean(layers, axis=0), rtol=1e-6)
    np.testing.assert_allclose(mean, done.rasters.temporal_mean, rtol=1e-6)


def test_files_that_gdal_reads_in_workers_follow_the_settings_of_the_source(client: Client, tmp_path: Path) -> None:
    photo = np.random.default_rng(1).integers(1, 200, SHAPE, dtype=np.uint8)
    path = write_scene(tmp_path / "scenes/20200101.tif", photo, compress="jpeg", nodata=None)
    with rasterio.open(path) as dataset:
        wanted = dataset.read(1)
    with serve(tmp_path) as endpoint:
        words = ["source=local", "source.url=s3://scenes/*.tif", "source.s3.anonymous=true", "reader=gdal"]
        stack = runner.open_stack([*words, f"source.s3.endpoint_url={endpoint}"])
        assert stack.dtype == np.uint8
        np.testing.assert_array_equal(client.compute(stack).result()[0], wanted)
        np.testing.assert_array_equal(stack.compute(scheduler="threads")[0], wanted)


def test_masks_of_second_files_hide_pixels_in_workers(client: Client, tmp_path: Path) -> None:
    window = Window(0, 0, *SHAPE)
    for day in (1, 2):
        write_pair(tmp_path, day, window, speckle(SHAPE, seed=day), blockxsize=256, blockysize=256)
        write_mask(tmp_path, day, window, np.random.default_rng(day).integers(0, 4, SHAPE, dtype=np.uint8))
    words = ["source=local", f"source.url={tmp_path}/*_B.tif", r"mask.href.replace=['_B\.tif$',_QA.tif]"]
    stack = runner.open_stack([*words, "mask.values=[3]"])
    got = client.compute(stack).result()
    for layer, day in zip(got.values, (1, 2), strict=True):
        pixels = speckle(SHAPE, seed=day)
        hidden = np.random.default_rng(day).integers(0, 4, SHAPE, dtype=np.uint8) == 3
        np.testing.assert_array_equal(layer, np.where(hidden | (pixels == 0), np.nan, pixels))
