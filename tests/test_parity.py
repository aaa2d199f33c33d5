"""The numbers are plain numpy's: whatever the engine, cluster, chunks, mask, reader, server or signature."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import rasterio
from distributed import LocalCluster
from faulty_server import FaultyServer, at_first, faulty_server
from jobs import found_stack
from marks import few_quick
from moto import moto_server
from scenes_on_disk import write_scene

from runner.cluster.open import Clusters, Prepare, SharedClusters, open_cluster
from runner.cluster.workers import Cluster
from runner.demo.archive import ArchiveSpec, ensure_archive
from runner.demo.server import serve
from runner.engine import block_engine
from runner.engine.compute import compute_pass
from runner.engine.observer import Observer
from runner.engine.results import Values
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.read.fetch import FetchCounts
from runner.settings import (
    ChunkSettings,
    ClusterKind,
    ClusterSettings,
    EngineName,
    JobSettings,
    MaskSettings,
    Over,
    OwnMask,
    RasterDtype,
    ReaderName,
    S3Settings,
    SourceKind,
    SourceSettings,
    StageSettings,
)
from runner.summary import describe_beyond

Results = dict[str, dict[str, Values]]
BUCKET = "demo-sentinel1-rtc"
KEYS = ("AKIAEXAMPLE", "example-secret-key")
CHUNKS = {
    "block": ChunkSettings(1, "block", "block"),
    "row of all scenes": ChunkSettings("all", "block", "all"),
    "odd": ChunkSettings(3, 437, 301, snap=False),
    "auto": ChunkSettings(),
    "whole": ChunkSettings("all", "all", "all"),
    "uneven in time": ChunkSettings(2, 512, 512),
}


@dataclass(frozen=True)
class Archive:
    """A small archive and what plain numpy makes of it."""

    root: Path
    cube: np.ndarray  # (time, y, x) float32

    def expected(self, mask: OwnMask) -> dict[str, np.ndarray]:
        cube = self.cube.astype(np.float64)
        valid = ~np.isnan(cube) & ((cube != 0) | (mask is OwnMask.none))
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
def scheduler() -> Iterator[Callable[[], str]]:
    """The address of a dask scheduler that somebody else runs, who starts it when it is first asked for."""
    with ExitStack() as started:

        @cache
        def address() -> str:
            cluster = LocalCluster(1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0")
            return started.enter_context(cluster).scheduler_address

        yield address


def cluster_settings(kind: str, scheduler: Callable[[], str]) -> ClusterSettings:
    return ClusterSettings(ClusterKind[kind], address=scheduler() if kind == "address" else None)


def make_job(
    endpoint: str, cluster: ClusterSettings, chunks: ChunkSettings, mask: OwnMask, **changes: Any
) -> JobSettings:
    s3 = S3Settings(endpoint_url=endpoint, anonymous=changes.pop("anonymous", True))
    regex = r"(?P<scene>S1[AB]_(?P<date>\d{8})_\w+)"
    source = SourceSettings("demo", SourceKind.glob, f"s3://{BUCKET}/**/Gamma0_VV.tif", regex, s3=s3)
    statistics = changes.pop("statistics", ["mean", "count"])
    stages = {over.name: StageSettings(over, statistics, cluster) for over in (Over.space, Over.time)}
    return JobSettings(source=source, chunks=chunks, stages=stages, mask=MaskSettings(mask), **changes)


def stack_of(job: JobSettings) -> Stack:
    return found_stack(job.source)


def compute(job: JobSettings, clusters: Clusters | None = None) -> Results:
    """Every stage's statistics, as a run computes them."""
    stack = stack_of(job)
    values: Results = {}
    for one in make_plan(job, stack).passes:
        values |= compute_pass(one, stack, clusters=clusters)[0].values
    return values


class KeptClusters(SharedClusters):
    """Clusters that stay open for the passes of all tests that follow."""

    def opened(
        self, settings: ClusterSettings, options: Mapping[str, str], prepare: Prepare | None = None
    ) -> AbstractContextManager[Cluster]:
        self.open(settings, options, prepare)
        return super().opened(settings, options, prepare)


@pytest.fixture(scope="module")
def kept() -> Iterator[Clusters]:
    with KeptClusters() as clusters:
        yield clusters


def assert_equal_to_numpy(results: Results, expected: dict[str, np.ndarray]) -> None:
    for over in ("space", "time"):
        np.testing.assert_array_equal(results[over]["count"], expected[f"{over} count"])
        mean, wanted = results[over]["mean"].astype(np.float32), expected[f"{over} mean"].astype(np.float32)
        np.testing.assert_array_equal(np.isnan(mean), np.isnan(wanted))
        np.testing.assert_array_max_ulp(np.nan_to_num(mean), np.nan_to_num(wanted), maxulp=1)


def same_bits(one: Results, other: Results) -> bool:
    return all(
        values.tobytes() == other[stage][name].tobytes()
        for stage, statistics in one.items()
        for name, values in statistics.items()
    )


KINDS = ["sync", "threads", "processes", "address"]
MASKS = [*OwnMask]
WAYS = [*itertools.product(EngineName, KINDS, ["block", "row of all scenes", "odd"])]
# Both engines, every cluster and every chunking, and each of them with every mask. Workers take seconds to start, and
# the reference a second for each case.
QUICK = {
    *itertools.product([EngineName.block], ["threads"], ["block", "row of all scenes", "odd"], OwnMask),
    *itertools.product([EngineName.xarray], ["threads"], ["block"], OwnMask),
    (EngineName.block, "sync", "odd", OwnMask.nodata),
    (EngineName.block, "processes", "odd", OwnMask.nodata),
}
SLOW = [(*way, MASKS[(number // 3 + number) % 3]) for number, way in enumerate(WAYS)]
CASES = [*sorted(QUICK, key=str), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW if case not in QUICK)]


@pytest.mark.parametrize(("engine", "kind", "chunks", "mask"), CASES)
def test_means_and_counts_are_plain_numpys(
    archive: Archive,
    own_server: str,
    scheduler: Callable[[], str],
    kept: Clusters,
    engine: EngineName,
    kind: str,
    chunks: str,
    mask: OwnMask,
) -> None:
    job = make_job(own_server, cluster_settings(kind, scheduler), CHUNKS[chunks], mask, engine=engine)
    clusters = kept if kind in {"processes", "address"} else None
    assert_equal_to_numpy(compute(job, clusters), archive.expected(mask))


@pytest.mark.parametrize("engine", EngineName)
def test_a_raster_too_narrow_for_a_value_is_named_with_what_holds_it(tmp_path: Path, engine: EngineName) -> None:
    for day in range(1, 6):
        write_scene(tmp_path / f"2020010{day}.tif", np.full((64, 64), 2e38, np.float32))
    source = SourceSettings(url=f"{tmp_path}/*.tif", datetime_regex=r"(?P<date>\d{8})")
    sync = ClusterSettings(ClusterKind.sync)
    stages = {over.name: StageSettings(over, ["sum", "mean"], sync) for over in (Over.space, Over.time)}
    job = JobSettings(source=source, engine=engine, stages=stages)
    stack = stack_of(job)
    passes = make_plan(job, stack).passes
    beyond = {name for one in passes for name in compute_pass(one, stack)[0].beyond}
    (line,) = describe_beyond(beyond, np.dtype(np.float32))
    assert line.startswith("time_sum.tif: some values are beyond float32")
    assert line.endswith("output.raster_dtype=float64 holds them")
    job.output.raster_dtype = RasterDtype.float64
    for one in make_plan(job, stack).passes:
        result = compute_pass(one, stack)[0]
        assert not result.beyond
        for statistics in result.values.values():
            assert np.isfinite(statistics["sum"]).all()


EVERY_STATISTIC = ["count", "valid_fraction", "sum", "mean", "min", "max", "var", "std"]


@pytest.fixture(scope="module")
def reference(own_server: str) -> Results:
    """One scene after the other, in one thread, each stage on its own."""
    cluster = ClusterSettings(ClusterKind.sync)
    chunks = ChunkSettings(1, "block", "block")
    return compute(make_job(own_server, cluster, chunks, OwnMask.nodata, fuse=False, statistics=EVERY_STATISTIC))


# --- the same bits, however it is cut and run, and however often its requests fail --------------------------------

TINY_CHUNKS = {**CHUNKS, "odd": ChunkSettings(3, 77, 101, snap=False), "uneven in time": ChunkSettings(2, 128, 256)}
FAULTS = ("503", "500", "reset", "cut", "short")


@dataclass(frozen=True)
class Tiny:
    """Scenes of two by three blocks on a server that can be told to fail, and what they come to without faults."""

    server: FaultyServer
    stack: Stack
    reference: Results


def tiny_job(server: FaultyServer, cluster: ClusterSettings, chunks: str, fuse: bool) -> JobSettings:
    changes = {"fuse": fuse, "statistics": EVERY_STATISTIC}
    return make_job(server.endpoint, cluster, TINY_CHUNKS[chunks], OwnMask.nodata, **changes)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    spec = ArchiveSpec(scenes=5, width=300, height=200, block=128)
    with faulty_server(ensure_archive(tmp_path_factory.mktemp("tiny"), spec)) as server:
        job = tiny_job(server, ClusterSettings(ClusterKind.sync), "block", fuse=False)
        yield Tiny(server, stack_of(job), compute(job))


@pytest.fixture(scope="module")
def clusters(scheduler: Callable[[], str]) -> Iterator[Callable[[str], Cluster]]:
    """One cluster of a kind for the whole matrix, since worker processes take seconds to start."""
    with ExitStack() as opened:
        yield cache(lambda kind: opened.enter_context(open_cluster(cluster_settings(kind, scheduler), {})))


def compute_on(cluster: Cluster, job: JobSettings, stack: Stack) -> tuple[Results, FetchCounts]:
    """Every stage's statistics from the block engine on a cluster that is open; retries hardly wait."""
    values: Results = {}
    counts = FetchCounts()
    for one in make_plan(job, stack).passes:
        reading = replace(one.reading, fetch=replace(one.reading.fetch, backoff_seconds=0.001))
        result = block_engine.run_pass(replace(one, reading=reading), stack, cluster, Observer())
        assert result.fetched is not None
        counts.add(result.fetched)
        values |= result.values
    return values, counts


@pytest.mark.parametrize(("kind", "seed"), few_quick([("threads", 1), ("address", 1), ("sync", 2), ("processes", 3)]))
@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "not fused"])
@pytest.mark.parametrize("chunks", TINY_CHUNKS)
def test_the_block_engine_gives_the_same_bits_however_it_is_cut_and_run_and_however_often_requests_fail(
    tiny: Tiny,
    clusters: Callable[[str], Cluster],
    scheduler: Callable[[], str],
    kind: str,
    chunks: str,
    fuse: bool,
    seed: int,
) -> None:
    tiny.server.begin(at_first(0.7, *FAULTS, seed=seed))
    job = tiny_job(tiny.server, cluster_settings(kind, scheduler), chunks, fuse)
    values, counts = compute_on(clusters(kind), job, tiny.stack)
    assert same_bits(values, tiny.reference)
    assert counts.retries == tiny.server.met.total() > 0


@pytest.mark.parametrize("reader", few_quick(list(ReaderName)), ids=lambda reader: reader.name)
def test_every_reader_gives_the_same_bits(own_server: str, reference: Results, reader: ReaderName) -> None:
    cluster = ClusterSettings(ClusterKind.threads)
    job = make_job(own_server, cluster, CHUNKS["auto"], OwnMask.nodata, reader=reader, statistics=EVERY_STATISTIC)
    assert same_bits(compute(job), reference)


def test_sums_are_fsum_and_means_its_quotient(archive: Archive, reference: Results) -> None:
    cube = archive.cube.astype(np.float64)
    sums = [math.fsum(scene[scene != 0].tolist()) for scene in cube]
    assert reference["space"]["sum"].tolist() == sums
    assert reference["space"]["mean"].tolist() == [
        total / count for total, count in zip(sums, reference["space"]["count"], strict=True)
    ]
    columns = cube.reshape(len(cube), -1)
    picks = np.random.default_rng(0).integers(0, columns.shape[1], 2000)
    over_time = [math.fsum(columns[:, pick][columns[:, pick] != 0].tolist()) for pick in picks]
    assert reference["time"]["sum"].ravel()[picks].tolist() == np.float32(over_time).tolist()


def test_ordered_statistics_are_plain_numpys_in_both_engines(archive: Archive, own_server: str) -> None:
    cube = np.where(archive.cube == 0, np.nan, archive.cube.astype(np.float64))
    for engine in EngineName:
        job = make_job(
            own_server, ClusterSettings(ClusterKind.threads), CHUNKS["auto"], OwnMask.nodata, engine=engine,
            statistics=["median", "q05", "mean"],
        )  # fmt: skip
        results = compute(job)
        flat = cube.reshape(len(cube), -1)
        np.testing.assert_array_equal(results["space"]["median"], np.nanmedian(flat, axis=1))
        np.testing.assert_allclose(results["space"]["q05"], np.nanquantile(flat, 0.05, axis=1), rtol=1e-15)
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            median = np.nanmedian(cube, axis=0)
        np.testing.assert_array_equal(results["time"]["median"].astype(np.float32), median.astype(np.float32))


@pytest.mark.slow
def test_both_servers_give_the_same(archive: Archive, moto_with_archive: str) -> None:
    job = make_job(moto_with_archive, ClusterSettings(ClusterKind.threads), CHUNKS["block"], OwnMask.nodata)
    assert_equal_to_numpy(compute(job), archive.expected(OwnMask.nodata))


@pytest.mark.parametrize(
    ("server", "kind", "engine"),
    few_quick(
        [
            *itertools.product(["signed_server", "moto_with_archive"], ["threads"], EngineName),
            ("signed_server", "processes", EngineName.xarray),
            ("moto_with_archive", "processes", EngineName.block),
        ],
        quick=2,
    ),
)
def test_signed_requests_give_the_same(
    archive: Archive,
    server: str,
    kind: str,
    engine: EngineName,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
    endpoint = request.getfixturevalue(server)
    job = make_job(
        endpoint, cluster_settings(kind, str), CHUNKS["block"], OwnMask.nodata, anonymous=False, engine=engine
    )
    assert_equal_to_numpy(compute(job), archive.expected(OwnMask.nodata))
