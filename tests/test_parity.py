"""The numbers are plain numpy's: whatever the cluster, the chunks, the mask, the server, the signature."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import numpy as np
import pytest
import rasterio
from conftest import moto_server
from distributed import LocalCluster

from runner.cluster import open_cluster
from runner.engine.xarray_engine import StageResult, run_stage
from runner.model import Stack
from runner.plan import make_plan
from runner.settings import (
    ChunkSettings,
    ClusterKind,
    ClusterSettings,
    JobSettings,
    Mask,
    OnError,
    Over,
    S3Settings,
    SourceKind,
    SourceSettings,
    StageSettings,
)
from runner.source.archive import ArchiveSpec, ensure_archive
from runner.source.scenes import find_inputs
from runner.source.server import serve
from runner.source.stores import Stores, gdal_s3_options

BUCKET = "demo-sentinel1-rtc"
KEYS = ("AKIAEXAMPLE", "example-secret-key")
CHUNKS = {
    "block": ChunkSettings(1, "block", "block"),
    "row of all scenes": ChunkSettings("all", "block", "all"),
    "odd": ChunkSettings(3, 437, 301),
}


@dataclass(frozen=True)
class Archive:
    """A small archive and what plain numpy makes of it."""

    root: Path
    cube: np.ndarray  # (time, y, x) float32

    def expected(self, mask: Mask) -> dict[str, np.ndarray]:
        cube = self.cube.astype(np.float64)
        valid = ~np.isnan(cube) & ((cube != 0) | (mask is Mask.none))
        cube = np.where(valid, cube, 0)
        with np.errstate(invalid="ignore"):
            return {
                "space count": valid.sum((1, 2)),
                "space mean": cube.sum((1, 2)) / valid.sum((1, 2)),
                "time count": valid.sum(0),
                "time mean": cube.sum(0) / valid.sum(0),
            }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    root = ensure_archive(tmp_path_factory.mktemp("archive"), ArchiveSpec(scenes=5, width=700, height=900))
    paths = sorted((root / BUCKET).rglob("*.tif"), key=lambda path: path.parent.name.split("_")[1])
    layers = []
    for path in paths:
        with rasterio.open(path) as raster:
            layers.append(raster.read(1))
    return Archive(root, np.stack(layers))


@pytest.fixture(scope="module")
def own_server(archive: Archive) -> Iterator[str]:
    with serve(archive.root, page_size=2) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def signed_server(archive: Archive) -> Iterator[str]:
    with serve(archive.root, credentials=KEYS) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def moto_with_archive(archive: Archive) -> Iterator[str]:
    with moto_server() as endpoint:
        _fill(endpoint, archive)
        yield endpoint


def _fill(endpoint: str, archive: Archive) -> None:
    s3 = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    s3.create_bucket(Bucket=BUCKET, ACL="public-read-write")
    for path in (archive.root / BUCKET).rglob("*.tif"):
        s3.upload_file(str(path), BUCKET, str(path.relative_to(archive.root / BUCKET)), {"ACL": "public-read"})
    s3.close()


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A dask scheduler that somebody else runs."""
    with LocalCluster(1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


def cluster_settings(kind: str, scheduler: str) -> ClusterSettings:
    return ClusterSettings(ClusterKind[kind], address=scheduler if kind == "address" else None)


def compute(
    endpoint: str, cluster: ClusterSettings, chunks: ChunkSettings, mask: Mask, anonymous: bool = True
) -> dict[str, StageResult]:
    s3 = S3Settings(endpoint_url=endpoint, anonymous=anonymous)
    regex = r"(?P<scene>S1[AB]_(?P<date>\d{8})_\w+)"
    source = SourceSettings("demo", SourceKind.glob, f"s3://{BUCKET}/**/Gamma0_VV.tif", regex, s3=s3)
    stages = {over.name: StageSettings(over, ["mean", "count"], cluster) for over in Over}
    stack = find_inputs(source, Stores(s3), OnError.stop, lambda done, total: None).stack
    plan = make_plan(JobSettings(source=source, chunks=chunks, stages=stages), stack)
    return {stage.name: _run(stage, stack, mask, s3) for stage in plan.stages}


def _run(stage, stack: Stack, mask: Mask, s3: S3Settings) -> StageResult:  # type: ignore[no-untyped-def]
    nodata = stack.nodata if mask is Mask.nodata else None
    with open_cluster(stage.cluster, gdal_s3_options(s3)) as cluster:
        return run_stage(stage, stack, 1, nodata, cluster, lambda done, total: None)


def assert_equal_to_numpy(results: dict[str, StageResult], expected: dict[str, np.ndarray]) -> None:
    for over in ("space", "time"):
        np.testing.assert_array_equal(results[over].values["count"], expected[f"{over} count"])
        mean, wanted = results[over].values["mean"].astype(np.float32), expected[f"{over} mean"].astype(np.float32)
        np.testing.assert_array_equal(np.isnan(mean), np.isnan(wanted))
        np.testing.assert_array_max_ulp(np.nan_to_num(mean), np.nan_to_num(wanted), maxulp=1)


@pytest.mark.parametrize("mask", list(Mask), ids=lambda mask: f"mask {mask.name}")
@pytest.mark.parametrize("chunks", list(CHUNKS))
@pytest.mark.parametrize("kind", ["sync", "threads", "processes", "address"])
def test_means_and_counts_are_plain_numpys(
    archive: Archive, own_server: str, scheduler: str, kind: str, chunks: str, mask: Mask
) -> None:
    results = compute(own_server, cluster_settings(kind, scheduler), CHUNKS[chunks], mask)
    assert_equal_to_numpy(results, archive.expected(mask))


def test_both_servers_give_the_same(archive: Archive, moto_with_archive: str) -> None:
    results = compute(moto_with_archive, ClusterSettings(ClusterKind.threads), CHUNKS["block"], Mask.nodata)
    assert_equal_to_numpy(results, archive.expected(Mask.nodata))


@pytest.mark.parametrize("kind", ["threads", "processes"])
@pytest.mark.parametrize("server", ["signed_server", "moto_with_archive"])
def test_signed_requests_give_the_same(
    archive: Archive, server: str, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
    endpoint = request.getfixturevalue(server)
    results = compute(endpoint, cluster_settings(kind, ""), CHUNKS["block"], Mask.nodata, anonymous=False)
    assert_equal_to_numpy(results, archive.expected(Mask.nodata))
