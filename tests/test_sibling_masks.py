"""Masks in files of their own: the numbers are plain numpy's over rasterio, whatever the types, grids and tiles."""

import tempfile
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import block_job, local_source
from masked_scenes import MaskPlace, hidden_by, mask_settings, masked_stack, write_mask, write_pair
from passes import computed

from runner.engine.compute import compute_pass
from runner.planning.planner import make_plan
from runner.read.header import Window
from runner.settings import (
    ChunkSettings,
    ClusterKind,
    ClusterSettings,
    DecodeSettings,
    EngineName,
    Inflate,
    JobSettings,
    MaskSettings,
    Over,
    ReaderName,
    StackGrid,
    StageSettings,
)

pytestmark = pytest.mark.filterwarnings("ignore:All-NaN slice", "ignore:Mean of empty slice")  # of numpy's own

MEANS = ["mean", "count", "valid_fraction"]
ALL = [*MEANS, "min", "max", "std"]


@dataclass(frozen=True)
class Archive:
    """Scenes and their masks to be written."""

    dtype: str
    nodata: int | None
    places: list[Window]
    mask_dtype: str
    mask_nodata: int | None
    factor: int
    mask_margin: tuple[int, int]  # pixels by which masks begin above and left of their scenes
    mask_bands: int
    options: dict[str, Any]
    mask_options: dict[str, Any]


@dataclass(frozen=True)
class Way:
    """A way to compute."""

    test: dict[str, list[int]]
    statistics: list[str]
    chunks: ChunkSettings
    engine: EngineName
    reader: ReaderName
    fuse: bool
    inflate: Inflate


DTYPES = ["float32", "float32", "float64", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
LAYOUTS = [
    {"blockxsize": 16, "blockysize": 16},
    {"blockxsize": 32, "blockysize": 16, "predictor": 2},
    {"tiled": False, "blockxsize": None, "blockysize": 3},
    {"blockxsize": 16, "blockysize": 32, "compress": "none"},
    {"blockxsize": 16, "blockysize": 16, "sparse_ok": True, "compress": "lzw"},
]
windows = st.builds(Window, st.integers(-30, 30), st.integers(-30, 30), st.integers(1, 70), st.integers(1, 70))
archives = st.builds(
    Archive,
    dtype=st.sampled_from(DTYPES),
    nodata=st.sampled_from([None, None, 0, 7]),
    places=st.lists(windows, min_size=1, max_size=10),
    mask_dtype=st.sampled_from(["uint8", "uint8", "uint16", "int16", "uint32"]),
    mask_nodata=st.sampled_from([None, 0, 1]),
    factor=st.sampled_from([1, 1, 2, 3]),
    mask_margin=st.sampled_from([(0, 0), (0, 0), (1, 4), (17, 0)]),
    mask_bands=st.sampled_from([1, 1, 3]),
    options=st.sampled_from(LAYOUTS),
    mask_options=st.sampled_from(LAYOUTS),
)
ways = st.builds(
    Way,
    test=st.sampled_from([{"bits": [1]}, {"bits": [0, 2]}, {"values": [0, 3]}, {"keep": [1, 2, 4]}, {"keep": [9]}]),
    statistics=st.sampled_from([MEANS, MEANS, ["mean"], ["count"], ALL, [*ALL, "median"]]),
    chunks=st.builds(
        ChunkSettings,
        st.sampled_from(["auto", 1, 2, "all"]),
        st.sampled_from(["auto", "block", 17, 40]),
        st.sampled_from(["auto", "block", "all", 23]),
        st.booleans(),
    ),
    engine=st.sampled_from([EngineName.block] * 4 + [EngineName.xarray]),
    reader=st.sampled_from([ReaderName.auto, ReaderName.auto, ReaderName.gdal]),
    fuse=st.booleans(),
    inflate=st.sampled_from([Inflate.auto, Inflate.auto, Inflate.lanes]),
)


def written(archive: Archive, folder: Path, mask: MaskSettings) -> list[np.ndarray]:
    """The scenes as float64, NaN where hidden or nodata."""
    layers = []
    for day, window in enumerate(archive.places, start=1):
        chance = np.random.default_rng(day)
        pixels = (chance.gamma(2, 20, window[2:]) % 120).astype(archive.dtype)
        pixels[chance.random(window[2:]) < 0.2] = 7
        write_pair(folder, day, window, pixels, nodata=archive.nodata, **_options(archive.options, archive.dtype))
        place = MaskPlace(archive.factor, -archive.mask_margin[0], -archive.mask_margin[1])
        shape = place.shape(window)
        codes = chance.integers(0, 5, (archive.mask_bands, *shape)).astype(archive.mask_dtype)
        codes[:, : shape[0] // 2] = day % 5  # tiles that are hidden as a whole, and others that are not
        options = _options(archive.mask_options, archive.mask_dtype)
        if archive.mask_bands > 1:
            options = {"interleave": "pixel" if day % 2 else "band"}
        codes = codes if archive.mask_bands > 1 else codes[0]
        path = write_mask(folder, day, window, codes, place, nodata=archive.mask_nodata, **options)
        shown = ~hidden_by(path, window, mask, place) & (
            pixels != archive.nodata if archive.nodata is not None else True
        )
        layers.append(np.where(shown, pixels.astype(np.float64), np.nan))
    return layers


def _options(options: dict[str, Any], dtype: str) -> dict[str, Any]:
    plain = dtype.startswith("f") or options.get("compress") == "none"
    return {name: value for name, value in options.items() if not (plain and name == "predictor")}


def on_canvas(layers: list[np.ndarray], places: list[Window]) -> np.ndarray:
    """The layers in the union of their places, NaN outside."""
    extent = reduce(hull, places)
    canvas = np.full((len(layers), extent.height, extent.width), np.nan)
    for whole, layer, place in zip(canvas, layers, places, strict=True):
        whole[place.shifted(-extent.row, -extent.column).slices] = layer
    return canvas


def hull(a: Window, b: Window) -> Window:
    row, column = min(a.row, b.row), min(a.column, b.column)
    below, right = max(a.row + a.height, b.row + b.height), max(a.column + a.width, b.column + b.width)
    return Window(row, column, below - row, right - column)


def expected(canvas: np.ndarray, axis: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Each statistic in plain numpy."""
    valid = ~np.isnan(canvas)
    counts = valid.sum(axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(valid, canvas, 0).sum(axis) / counts
        off = np.where(valid, canvas - np.expand_dims(mean, axis), 0)
        return {
            "mean": mean,
            "count": counts,
            "valid_fraction": valid.mean(axis),
            "min": np.where(counted := counts > 0, np.where(valid, canvas, np.inf).min(axis), np.nan),
            "max": np.where(counted, np.where(valid, canvas, -np.inf).max(axis), np.nan),
            "std": np.sqrt((off**2).sum(axis) / counts),
            "median": np.nanmedian(canvas, axis),
        }


def job_of(way: Way, folder: Path, mask: MaskSettings) -> JobSettings:
    """Both stages, in this thread."""
    chunks, ordered = way.chunks, "median" in way.statistics
    if ordered and way.engine is EngineName.block:
        chunks = replace(chunks, time="all")
    whole = ChunkSettings("auto", "all", "all") if ordered else None
    stages = {
        "over_time": StageSettings(Over.time, way.statistics, ClusterSettings(ClusterKind.sync)),
        "over_space": StageSettings(Over.space, way.statistics, ClusterSettings(ClusterKind.sync), chunks=whole),
    }
    base = block_job()
    return replace(
        base,
        source=local_source(folder, url=f"{folder}/*_B.tif", grid=StackGrid.union),
        mask=mask,
        stages=stages,
        chunks=chunks,
        engine=way.engine,
        reader=way.reader,
        fuse="auto" if way.fuse else False,
        decode=DecodeSettings(way.inflate),
        output=replace(base.output, raster_dtype=type(base.output.raster_dtype).float64),
    )


def check(archive: Archive, way: Way) -> None:
    """The values of a way to compute are numpy's."""
    mask = mask_settings(**way.test, band=archive.mask_bands)
    with tempfile.TemporaryDirectory() as name:
        layers = written(archive, Path(name), mask)
        job = job_of(way, Path(name), mask)
        values = computed(job, masked_stack(job.source, mask))
    canvas = on_canvas(layers, archive.places)
    for stage, axis in (("over_time", (0,)), ("over_space", (1, 2))):
        wanted = expected(canvas, axis)
        for statistic, actual in values[stage].items():
            np.testing.assert_allclose(actual, wanted[statistic], rtol=1e-6, atol=1e-9, err_msg=f"{stage} {statistic}")


@settings(max_examples=6)
@given(archives, ways, st.sampled_from(["float32", "uint16"]))
def test_hidden_pixels_do_not_count(archive: Archive, way: Way, dtype: str) -> None:
    check(replace(archive, dtype=dtype), replace(way, inflate=Inflate.libdeflate))


@pytest.mark.slow
@settings(max_examples=8)
@given(archives, ways)
def test_hidden_pixels_never_count(archive: Archive, way: Way) -> None:
    check(archive, way)


# --- the same bits, and the plan ------------------------------------------------------------------------------------

LARGE = [Window(7 * day, -11 * day, 90, 80) for day in range(10)]
ARCHIVE = Archive("float32", 7, LARGE, "uint8", 0, 2, (1, 4), 1, LAYOUTS[0], LAYOUTS[0])
WAY = Way({"bits": [1]}, MEANS, ChunkSettings(), EngineName.block, ReaderName.auto, True, Inflate.auto)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of many tiles with masks."""
    folder = tmp_path_factory.mktemp("large")
    written(ARCHIVE, folder, mask_settings(bits=[1]))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"chunks": ChunkSettings(5, 33, 70, snap=False)},
        {"reader": ReaderName.gdal},
        pytest.param({"chunks": ChunkSettings(1, "block", "block")}, marks=pytest.mark.slow),
        pytest.param({"fuse": False}, marks=pytest.mark.slow),
        pytest.param({"inflate": Inflate.lanes}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_the_bits_are_the_same_over_chunks_and_readers(large: Path, changes: dict[str, Any]) -> None:
    mask = mask_settings(bits=[1])
    stack = masked_stack(job_of(WAY, large, mask).source, mask)
    first, other = (computed(job_of(way, large, mask), stack) for way in (WAY, replace(WAY, **changes)))
    for stage, values in first.items():
        for name, array in values.items():
            assert array.tobytes() == other[stage][name].tobytes(), (stage, name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ClusterKind.threads, ClusterKind.processes])
def test_the_bits_are_the_same_over_clusters(large: Path, kind: ClusterKind) -> None:
    mask = mask_settings(bits=[1])
    job = job_of(WAY, large, mask)
    cluster = ClusterSettings(kind, n_workers=None if kind is ClusterKind.threads else 2)
    elsewhere = replace(job, stages={name: replace(stage, cluster=cluster) for name, stage in job.stages.items()})
    stack = masked_stack(job.source, mask)
    first, other = computed(job, stack), computed(elsewhere, stack)
    for stage, values in first.items():
        for name, array in values.items():
            assert array.tobytes() == other[stage][name].tobytes(), (stage, name)


@pytest.mark.parametrize("chunks", [ChunkSettings(), ChunkSettings(1, "block", "block"), ChunkSettings(5, 48, 96)])
def test_the_plan_counts_the_requests_and_the_bytes_of_masks(large: Path, chunks: ChunkSettings) -> None:
    mask = mask_settings(bits=[1])
    job = job_of(replace(WAY, chunks=chunks), large, mask)
    stack = masked_stack(job.source, mask)
    (pass_,) = make_plan(job, stack).passes
    (plain,) = make_plan(replace(job, mask=MaskSettings()), masked_stack(job.source, MaskSettings())).passes
    fetched = compute_pass(pass_, stack)[0].fetched
    assert fetched
    assert pass_.cost.requests == fetched.requests
    assert pass_.cost.mask_requests == fetched.requests - (plain.cost.requests or 0) > 0
    assert pass_.cost.stored_bytes == plain.cost.stored_bytes + pass_.cost.mask_bytes
    files = sum(int(file.header.layout.byte_counts.sum()) for file in stack.masks)
    assert files <= pass_.cost.mask_bytes < 9 * files
    assert plain.worker_bytes
    assert pass_.worker_bytes
    assert pass_.worker_bytes > plain.worker_bytes
