"""Scenes of unequal extents, and windows: the numbers are plain numpy's over scenes placed in a canvas of NaN."""

import itertools
import json
import tempfile
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobs import Typed, block_job, compose, found_stack, local_source
from marks import few_quick
from passes import computed
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from rasterio.warp import transform_bounds
from scenes_on_disk import speckle, write_scene

from runner.checkpoint.store import Partials
from runner.engine.compute import compute_pass
from runner.errors import ConfigError, PlanError, SourceError
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.read.header import Window
from runner.settings import (
    ChunkSettings,
    ClusterKind,
    ClusterSettings,
    EngineName,
    JobSettings,
    Over,
    ReaderName,
    SourceSettings,
    StackGrid,
    StageSettings,
)

pytestmark = pytest.mark.filterwarnings("ignore:All-NaN slice", "ignore:Mean of empty slice")  # of numpy's own

UTM = Affine(20, 0, 499980, 0, -20, 5300040)
GEOGRAPHIC = Affine(0.25, 0, 10, 0, -0.25, 50)
STATISTICS = ["mean", "count", "valid_fraction", "min", "max", "std"]


def stack_of(source: SourceSettings) -> Stack:
    return found_stack(source)


def write_scenes(folder: Path, windows: list[Window], transform: Affine = UTM, **profile: Any) -> list[np.ndarray]:
    """A scene a day, at these windows of one lattice; their pixels as float64, NaN where they are nodata."""
    dtype, nodata = profile.get("dtype", "float32"), profile.get("nodata", 0)
    layers = []
    for day, window in enumerate(windows, start=1):
        pixels = speckle((window.height, window.width), seed=day)
        pixels = pixels if dtype == "float32" else (pixels * 1000 % 120).astype(dtype)
        place = transform @ Affine.translation(window.column, window.row)
        write_scene(
            folder / f"202001{day:02}.tif",
            pixels,
            **{"blockxsize": 16, "blockysize": 32, **profile, "transform": place},
        )
        values = pixels.astype(np.float64)
        layers.append(np.where(pixels == nodata, np.nan, values) if nodata is not None else values)
    return layers


def on_canvas(layers: list[np.ndarray], windows: list[Window], extent: Window) -> np.ndarray:
    """The layers in a canvas of NaN, (time, y, x), of which the extent is cut out."""
    canvas = np.full((len(layers), 400, 400), np.nan)
    for layer, scene, window in zip(canvas, layers, windows, strict=True):
        layer[window.shifted(150, 150).slices] = scene
    return canvas[(slice(None), *extent.shifted(150, 150).slices)]


def hull(a: Window, b: Window) -> Window:
    row, column = min(a.row, b.row), min(a.column, b.column)
    below, right = max(a.row + a.height, b.row + b.height), max(a.column + a.width, b.column + b.width)
    return Window(row, column, below - row, right - column)


def expected(
    canvas: np.ndarray, axis: tuple[int, ...], weights: np.ndarray | None = None, inside: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Each statistic in plain numpy; weights are those of rows. Over space valid fractions are of what is `inside`."""
    valid = ~np.isnan(canvas)
    rows = np.ones(canvas.shape[1]) if weights is None else weights
    each = np.broadcast_to(rows[:, np.newaxis], canvas.shape)
    seen, weight = (each if inside is None else each * inside).sum(axis), np.where(valid, each, 0).sum(axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(valid, canvas * each, 0).sum(axis) / weight
        off = np.where(valid, canvas - np.expand_dims(mean, axis), 0)
        counted = np.isfinite(mean)
        return {
            "mean": mean,
            "count": valid.sum(axis),
            "valid_fraction": weight / seen,
            "min": np.where(counted, np.where(valid, canvas, np.inf).min(axis), np.nan),
            "max": np.where(counted, np.where(valid, canvas, -np.inf).max(axis), np.nan),
            "std": np.sqrt((off**2 * each).sum(axis) / weight),
            "median": np.nanmedian(canvas, axis),
        }


@dataclass(frozen=True)
class Case:
    """A way to compute a stack."""

    grid: StackGrid = StackGrid.same
    box: Window | None = None  # on the lattice of the scenes
    chunks: ChunkSettings = field(default_factory=ChunkSettings)
    engine: EngineName = EngineName.block
    reader: ReaderName = ReaderName.auto
    ordered: bool = False
    fuse: bool = True
    dtype: str = "float32"
    nodata: int | None = 0
    star: int | None = None  # of which an area is made


windows = st.builds(Window, st.integers(-60, 60), st.integers(-60, 60), st.integers(1, 90), st.integers(1, 90))
cases = st.builds(
    Case,
    grid=st.sampled_from([StackGrid.union, StackGrid.union, StackGrid.first, StackGrid.intersection]),
    box=st.none() | windows,
    chunks=st.builds(
        ChunkSettings,
        st.sampled_from(["auto", 1, 2, "all"]),
        st.sampled_from(["auto", "block", "all", 17, 40]),
        st.sampled_from(["auto", "block", "all", 23]),
        st.booleans(),
    ),
    engine=st.sampled_from([EngineName.block] * 4 + [EngineName.xarray]),
    reader=st.sampled_from([ReaderName.auto, ReaderName.auto, ReaderName.gdal]),
    ordered=st.booleans(),
    fuse=st.booleans(),
    dtype=st.sampled_from(["float32", "uint8"]),
    nodata=st.sampled_from([0, None]),
    star=st.none() | st.integers(0, 2**32 - 1),
)


def job_of(case: Case, source: SourceSettings) -> JobSettings:
    """Both stages of this case, in this thread."""
    chunks, statistics = case.chunks, STATISTICS
    if case.ordered:
        statistics = [*STATISTICS, "median"]
        chunks = replace(chunks, time="all") if case.engine is EngineName.block else chunks
    whole = ChunkSettings("auto", "all", "all") if case.ordered else None
    cluster = ClusterSettings(ClusterKind.sync)
    stages = {
        "over_time": StageSettings(Over.time, statistics, cluster),
        "over_space": StageSettings(Over.space, statistics, cluster, chunks=whole),
    }
    base = block_job()
    return replace(
        base,
        source=source,
        stages=stages,
        chunks=chunks,
        engine=case.engine,
        reader=case.reader,
        fuse="auto" if case.fuse else False,
        output=replace(base.output, raster_dtype=type(base.output.raster_dtype).float64),
    )


def assert_close(actual: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for name, values in actual.items():
        np.testing.assert_allclose(values, wanted[name], rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("transform", [UTM, GEOGRAPHIC], ids=["equal weights", "by area"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(places=st.lists(windows, min_size=1, max_size=5), case=cases)
def test_statistics_are_those_of_scenes_in_a_canvas(transform: Affine, places: list[Window], case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        crs = "EPSG:32610" if transform is UTM else "EPSG:4326"
        if transform is GEOGRAPHIC:
            case = replace(case, ordered=False)
        profile: dict[str, Any] = {"crs": crs, "dtype": case.dtype, "nodata": case.nodata}
        layers = write_scenes(Path(folder), places, transform, **profile)
        origin = places[0]
        extent = {StackGrid.union: reduce(hull, places), StackGrid.first: origin}.get(case.grid)
        if case.grid is StackGrid.intersection:
            extent = reduce(lambda a, b: a and a.common(b), places)  # type: ignore[arg-type,return-value]
        area = None if case.star is None else write_star(Path(folder) / "area.geojson", case.star, transform, crs)
        changes = {"area": str(area)} if area else {}
        box = _bounds(transform, case.box)
        source = local_source(Path(folder), grid=case.grid, bbox_crs=None, bbox=box, **changes)
        cut = extent and (extent.common(case.box) if case.box else extent)
        inside = np.ones((400, 400), bool) if area is None else inside_of(area, transform)
        if cut is None or not inside[cut.shifted(150, 150).slices].any():
            with pytest.raises(SourceError):
                stack_of(source)
            return
        stack = stack_of(source)
        if area:
            cut = cut_to_area(cut, stack, places[0], inside)
        assert (stack.grid.height, stack.grid.width) == (cut.height, cut.width)
        origin_of_cut = transform @ Affine.translation(cut.column, cut.row)
        np.testing.assert_allclose(stack.grid.transform, origin_of_cut[:6], atol=1e-9)
        values = computed(job_of(case, source), stack)
        canvas = on_canvas(layers, places, cut)
        inside = inside[cut.shifted(150, 150).slices]
        canvas = np.where(inside, canvas, np.nan)
        assert_close(values["over_time"], expected(canvas, (0,)))
        weights = None if transform is UTM else _areas(stack)
        assert_close(values["over_space"], expected(canvas, (1, 2), weights, inside))


def write_star(path: Path, seed: int, transform: Affine, crs: str) -> Path:
    """A GeoJSON file of one polygon with any points around its middle, on the canvas."""
    random = np.random.default_rng(seed)
    corners = int(random.integers(3, 12))
    angles, radii = np.sort(random.uniform(0, 2 * np.pi, corners)), random.uniform(1, 120, corners)
    points = random.uniform(-60, 120, 2) + np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    ring = [transform @ tuple(point) for point in [*points, points[0]]]
    named = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring], "crs": named}))
    return path


def inside_of(area: Path, transform: Affine) -> np.ndarray:
    """The pixels of the canvas that rasterio finds inside."""
    corner = transform @ Affine.translation(-150, -150)
    return geometry_mask([json.loads(area.read_text())], (400, 400), corner, invert=True)


def cut_to_area(extent: Window, stack: Stack, first: Window, inside: np.ndarray) -> Window:
    """The window of the stack's grid, which holds all that is inside of the extent."""
    scene = stack.scenes[0]
    cut = Window(first.row - scene.row, first.column - scene.column, stack.grid.height, stack.grid.width)
    assert cut.common(extent) == cut
    assert inside[cut.shifted(150, 150).slices].sum() == inside[extent.shifted(150, 150).slices].sum()
    return cut


def _bounds(transform: Affine, box: Window | None) -> list[float] | None:
    if box is None:
        return None
    (west, north), (east, south) = (
        transform @ (box.column, box.row),
        transform @ (box.column + box.width, box.row + box.height),
    )
    return [west, south, east, north]


def _areas(stack: Stack) -> np.ndarray:
    from runner.planning.weights import row_areas

    return row_areas(stack.grid)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint64", "float64"])
def test_medians_of_a_union_count_no_pixel_outside_of_a_scene(tmp_path: Path, dtype: str) -> None:
    places = [Window(0, 0, 9, 7), Window(4, 3, 9, 7), Window(-2, 5, 6, 6)]
    layers = []
    for day, window in enumerate(places, start=1):
        layers.append(np.arange(window.height * window.width).reshape(window[2:]).astype(dtype))
        place = UTM @ Affine.translation(window.column, window.row)
        write_scene(tmp_path / f"2020010{day}.tif", layers[-1], transform=place, nodata=None)
    extent = reduce(hull, places)
    source = local_source(tmp_path, grid=StackGrid.union)
    values = computed(job_of(Case(ordered=True), source), stack_of(source))
    canvas = on_canvas(layers, places, extent)
    assert_close(values["over_time"], expected(canvas, (0,)))
    assert_close(values["over_space"], expected(canvas, (1, 2)))


def test_a_pixel_like_the_mark_of_missing_ones_is_refused(tmp_path: Path) -> None:
    for day, (column, value) in enumerate([(0, -(2**63)), (2, 5)], start=1):
        place = UTM @ Affine.translation(column, 0)
        write_scene(tmp_path / f"2020010{day}.tif", np.full((4, 4), value), transform=place, nodata=None)
    source = local_source(tmp_path, grid=StackGrid.union)
    with pytest.raises(PlanError, match="stands for hidden pixels of int64 files and for those outside of a scene"):
        computed(job_of(Case(ordered=True), source), stack_of(source))


# --- the same bits ------------------------------------------------------------------------------------------------

PLACES = [Window(0, 0, 90, 80), Window(-35, 20, 60, 70), Window(40, -50, 70, 90), Window(200, 150, 20, 30)]


CUTS = [
    ChunkSettings(2, 17, 23, snap=False),
    ChunkSettings(1, "block", "block"),
    ChunkSettings("all", "all", "all"),
    ChunkSettings(1, 64, "all"),
]
WAYS = ["threads", "by GDAL", "apart", "in an area", "processes"]
# Two cuts by threads and every way with one cut; workers take seconds to start.
QUICK = {*itertools.product([0, 1], WAYS[:1]), *itertools.product([0], WAYS[:-1])}
SLOW = {
    (2, "threads"),
    (3, "threads"),
    (1, "by GDAL"),
    (2, "apart"),
    (3, "in an area"),
    (0, "processes"),
    (3, "processes"),
}


@pytest.mark.parametrize(
    ("chunks", "way"),
    [
        pytest.param(CUTS[cut], way, marks=() if (cut, way) in QUICK else pytest.mark.slow, id=f"{way}-{CUTS[cut]}")
        for cut, way in sorted(QUICK | SLOW)
    ],
)
def test_bits_do_not_depend_on_chunks_clusters_or_readers(tmp_path: Path, chunks: ChunkSettings, way: str) -> None:
    write_scenes(tmp_path, PLACES, predictor=3, compress="deflate")
    area = write_star(tmp_path / "area.geojson", 3, UTM, "EPSG:32610") if way in ("in an area", "processes") else None
    source = local_source(tmp_path, grid=StackGrid.union, area=area and str(area))
    stack = stack_of(source)
    base = job_of(Case(), source)
    job = replace(base, chunks=chunks)
    kinds = {"threads": ClusterKind.threads, "in an area": ClusterKind.threads, "processes": ClusterKind.processes}
    if way in kinds:
        cluster = ClusterSettings(kinds[way], n_workers=2 if way == "processes" else None)
        job = replace(job, stages={name: replace(stage, cluster=cluster) for name, stage in job.stages.items()})
    job = replace(job, reader=ReaderName.gdal) if way == "by GDAL" else job
    job = replace(job, fuse=False) if way == "apart" else job
    expected_values, values = computed(base, stack), computed(job, stack)
    for stage, statistics in expected_values.items():
        for name, wanted in statistics.items():
            np.testing.assert_array_equal(values[stage][name], wanted, err_msg=f"{stage} {name}")


def test_finished_tasks_that_were_kept_serve_the_same_grid_only(tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", PLACES)
    source = local_source(tmp_path / "scenes", grid=StackGrid.union)
    case = Case(chunks=ChunkSettings(1, 64, 64))
    stack, job = stack_of(source), job_of(case, source)
    (tmp_path / "run").mkdir()
    (pass_,) = make_plan(job, stack).passes
    first = Partials(tmp_path / "run").of_pass(pass_, stack)
    values = compute_pass(pass_, stack, checkpoint=first)[0].values
    again = Partials(tmp_path / "run").of_pass(pass_, stack)
    assert not again.remaining.tasks
    restored = compute_pass(replace(pass_, tasks=()), stack, checkpoint=again)[0].values
    for stage, statistics in values.items():
        for name, wanted in statistics.items():
            np.testing.assert_array_equal(restored[stage][name], wanted, err_msg=f"{stage} {name}")
    other = stack_of(replace(source, grid=StackGrid.first))
    (pass_of_other,) = make_plan(job, other).passes
    reasons = {reason for _, reason in Partials(tmp_path / "run").of_pass(pass_of_other, other).refused}
    assert {reason.partition(" was ")[0] for reason in reasons} == {"the grid"}


# --- what is read -------------------------------------------------------------------------------------------------


def test_only_tiles_that_meet_a_box_are_read_and_the_plan_says_so(tmp_path: Path) -> None:
    write_scenes(tmp_path, [Window(0, 0, 320, 320)] * 2, blockxsize=64, blockysize=64)
    box = Window(70, 130, 50, 100)  # in tile row 1, in tile columns 2 and 3
    source = local_source(tmp_path, bbox=_bounds(UTM, box), bbox_crs=None)
    stack = stack_of(source)
    assert stack.grid.window == Window(0, 0, 50, 100)
    assert stack.grid.transform == (UTM @ Affine.translation(130, 70))[:6]
    case = Case()
    (pass_,) = make_plan(job_of(case, source), stack).passes
    fetched = compute_pass(pass_, stack)[0].fetched
    tiles = sum(int(scene.header.layout.byte_counts[0, 1, 2:4].sum()) for scene in stack.scenes)
    assert pass_.cost.stored_bytes == tiles
    assert pass_.cost.decoded_bytes == 2 * 50 * 100 * 4
    assert tiles <= fetched.bytes <= tiles + 2 * 64  # what lies between tiles of a range is fetched too
    assert fetched.requests == pass_.cost.requests == 2


@pytest.mark.parametrize("chunks", [ChunkSettings(), ChunkSettings(1, 96, 32), ChunkSettings("all", "block", "block")])
def test_only_tiles_that_meet_an_area_are_read_and_the_plan_says_so(tmp_path: Path, chunks: ChunkSettings) -> None:
    write_scenes(tmp_path, [Window(0, 0, 320, 320)] * 2, blockxsize=32, blockysize=32)
    area = write_star(tmp_path / "area.geojson", 15, UTM, "EPSG:32610")
    stack = stack_of(source := local_source(tmp_path, area=str(area)))
    (pass_,) = make_plan(job_of(Case(chunks=chunks), source), stack).passes
    fetched = compute_pass(pass_, stack)[0].fetched
    inside = inside_of(area, UTM)[150:, 150:][:250, :250]
    met = inside[:224, :224].reshape(7, 32, 7, 32).any(axis=(1, 3))
    assert inside.sum() == inside[:224, :224].sum()
    assert not met.all()
    tiles = sum(int(scene.header.layout.byte_counts[0, :7, :7][met].sum()) for scene in stack.scenes)
    assert pass_.cost.stored_bytes == tiles
    assert fetched.requests == pass_.cost.requests


def test_tasks_end_at_the_edges_of_tiles(tmp_path: Path) -> None:
    write_scenes(tmp_path, [Window(0, 0, 320, 320)], blockxsize=64, blockysize=64)
    source = local_source(tmp_path, bbox=_bounds(UTM, Window(70, 130, 200, 150)), bbox_crs=None)
    case = Case(
        StackGrid.same, None, ChunkSettings(1, 64, "all"), EngineName.block, ReaderName.auto, False, True, "", 0
    )
    (pass_,) = make_plan(job_of(case, source), stack_of(source)).passes
    assert [task.window.row for task in pass_.tasks] == [0, 58, 122, 186]
    assert pass_.cost.over_read == 1


@pytest.mark.parametrize(
    "chunks", few_quick([ChunkSettings(1, "block", "block"), ChunkSettings(), ChunkSettings(1, 64, 48)]), ids=str
)
def test_the_plan_of_a_union_counts_what_is_read(tmp_path: Path, chunks: ChunkSettings) -> None:
    write_scenes(tmp_path, PLACES)
    source = local_source(tmp_path, grid=StackGrid.union)
    stack = stack_of(source)
    (pass_,) = make_plan(job_of(Case(chunks=chunks), source), stack).passes
    result = compute_pass(pass_, stack)[0]
    assert pass_.cost.requests == result.fetched.requests
    assert pass_.cost.stored_bytes <= result.fetched.bytes  # with what lies between the tiles of a range
    if chunks == ChunkSettings():
        assert pass_.cost.over_read == 1
        assert result.fetched.bytes <= pass_.cost.stored_bytes * 1.01


def test_windows_are_high_if_tiles_do_not_lie_alike(tmp_path: Path) -> None:
    write_scenes(tmp_path, [Window(0, 0, 1100, 64), Window(3, 0, 1100, 64)], blockxsize=64, blockysize=256)
    heights = []
    for choice in (StackGrid.union, StackGrid.intersection, StackGrid.first):
        source = local_source(tmp_path, grid=choice)
        (pass_,) = make_plan(job_of(Case(), source), stack_of(source)).passes
        assert pass_.cost.over_read == 1
        heights.append(pass_.chunks.y)
    assert heights == [1103, 1097, 1100]


def test_scenes_that_do_not_meet_a_window_are_not_read(tmp_path: Path) -> None:
    write_scenes(tmp_path, [Window(0, 0, 64, 64), Window(100, 100, 64, 64)])
    source = local_source(tmp_path, grid=StackGrid.first)
    case = Case()
    stack = stack_of(source)
    (tmp_path / "20200102.tif").unlink()
    values = computed(job_of(case, source), stack)
    assert values["over_space"]["count"][1] == 0
    assert np.isnan(values["over_space"]["mean"][1])
    assert values["over_time"]["count"].max() == 1


# --- boxes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("west", "south", "east", "north", "wanted"),
    [
        (20, -80, 60, -40, Window(2, 1, 2, 2)),  # at the edges of pixels
        (20.001, -79.999, 59.999, -40.001, Window(2, 1, 2, 2)),
        (19.9, -80.1, 60.1, -39.9, Window(1, 0, 4, 4)),  # touches the pixels around
        (30, -50, 31, -49, Window(2, 1, 1, 1)),
        (-1e6, -1e6, 1e6, 1e6, Window(0, 0, 40, 30)),
        (500, -1e6, 1e6, 1e6, Window(0, 25, 40, 5)),
    ],
)
def test_a_box_takes_the_pixels_that_it_touches(
    tmp_path: Path, west: float, south: float, east: float, north: float, wanted: Window
) -> None:
    write_scenes(tmp_path, [Window(0, 0, 40, 30)])
    box = [UTM.c + west, UTM.f + south, UTM.c + east, UTM.f + north]
    for crs in (None, "EPSG:32610"):
        grid = stack_of(local_source(tmp_path, bbox=box, bbox_crs=crs)).grid
        assert grid.transform == (UTM @ Affine.translation(wanted.column, wanted.row))[:6]
        assert (grid.height, grid.width) == wanted[2:]


def test_a_box_in_degrees_is_transformed_with_its_sides(tmp_path: Path) -> None:
    write_scenes(tmp_path, [Window(0, 0, 300, 200)])
    whole = transform_bounds("EPSG:32610", "EPSG:4326", UTM.c, UTM.f - 6000, UTM.c + 4000, UTM.f)
    assert stack_of(local_source(tmp_path, bbox=list(whole))).grid.window == Window(0, 0, 300, 200)
    assert stack_of(local_source(tmp_path, bbox=[-180, -90, 180, 90])).grid.window == Window(0, 0, 300, 200)
    middle = transform_bounds("EPSG:32610", "EPSG:4326", UTM.c + 1000, UTM.f - 4000, UTM.c + 3000, UTM.f - 2000)
    grid = stack_of(local_source(tmp_path, bbox=list(middle))).grid
    assert 0 <= UTM.c + 1000 - grid.transform[2] <= 60
    assert 100 <= grid.height <= 106
    assert 100 <= grid.width <= 106


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"bbox": [10, 40, 11, 41]},
            SourceError,
            r"bbox=\[10, 40, 11, 41\]: it lies outside .* whose box is \[-123.* in EPSG:4326",
        ),
        (
            {"bbox": [0, 0, 9, 9], "bbox_crs": None},
            SourceError,
            r"whose box is \[499980, 5299240, 500580, 5300040\] in EPSG:32610",
        ),
        (
            {"bbox": [0, 0, 9, 9], "bbox_crs": "EPSG:99999"},
            ConfigError,
            "bbox_crs=EPSG:99999: wanted a CRS, such as EPSG:4326",
        ),
    ],
)
def test_a_box_without_a_pixel_is_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    write_scenes(tmp_path, [Window(0, 0, 40, 30)])
    with pytest.raises(error, match=message):
        stack_of(local_source(tmp_path, **changes))


def test_a_box_in_degrees_is_refused_for_scenes_without_a_crs(tmp_path: Path) -> None:
    write_scenes(tmp_path, [Window(0, 0, 40, 30)], crs=None)
    with pytest.raises(ConfigError, match="the scenes have no CRS to transform the box to; wanted null"):
        stack_of(local_source(tmp_path, bbox=[1, 2, 3, 4]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["source.bbox=[1,2,3]"], r"source.bbox=\[1.0, 2.0, 3.0\]: wanted \[west, south, east, north\]"),
        (["source.bbox=[3,2,1,4]"], "west below east"),
        (["source.bbox=[1,2,3,nan]"], "west below east"),
        (["source.bbox=[1,2,3,4]", "source.georeference=none"], "source.georeference=none gives pixels no place"),
        (["source.grid=union", "source.georeference=none"], "source.grid=union: wanted same"),
    ],
)
def test_settings_that_no_stack_can_follow_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose(*overrides)


# --- lattices -----------------------------------------------------------------------------------------------------


def test_scenes_of_one_lattice_are_refused_with_the_union_as_a_way_out(tmp_path: Path) -> None:
    write_scenes(tmp_path, PLACES[:2])
    with pytest.raises(SourceError, match=r"2 grids .* set source.grid=union: they lie on one lattice"):
        stack_of(local_source(tmp_path))


@pytest.mark.parametrize("profile", [{"crs": "EPSG:32611"}, {"dtype": "int16"}, {"transform": UTM @ Affine.scale(2)}])
def test_the_union_is_no_way_out_of_other_differences(tmp_path: Path, profile: dict[str, Any]) -> None:
    write_scenes(tmp_path, PLACES[:2])
    pixels = np.ones((40, 30), profile.get("dtype", "float32"))
    write_scene(tmp_path / "20200103.tif", pixels, **{"transform": UTM, **profile})
    with pytest.raises(SourceError) as caught:
        stack_of(local_source(tmp_path))
    assert "source.grid=union" not in str(caught.value)


@pytest.mark.parametrize("choice", [StackGrid.union, StackGrid.intersection, StackGrid.first])
@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (UTM @ Affine.translation(10.25, 3.5), "2 off these by -?0.5 rows and 0.25 columns"),
        (UTM @ Affine.translation(0, 0.002), "2 off these by 0.002 rows and 0 columns"),
        (UTM @ Affine.scale(1.5), r"2 with pixels of 30 x -30 from \(499980, 5300040\) on"),
        (UTM @ Affine.rotation(3), "rotated by"),
    ],
)
def test_scenes_of_other_lattices_are_refused_with_their_number_and_shift(
    tmp_path: Path, choice: StackGrid, transform: Affine, message: str
) -> None:
    write_scenes(tmp_path, PLACES[:3])
    for day in ("04", "05"):
        write_scene(tmp_path / f"202001{day}.tif", np.ones((40, 30), "float32"), transform=transform)
    with pytest.raises(SourceError, match=message) as caught:
        stack_of(local_source(tmp_path, grid=choice))
    assert f"source.grid={choice.value}: 5 scenes lie on 2 lattices, not on one" in str(caught.value)
    assert "odc-stac and gdalwarp resample" in str(caught.value)


def test_a_lattice_equal_within_a_thousandth_of_a_pixel_is_the_same(tmp_path: Path) -> None:
    write_scenes(tmp_path, [Window(0, 0, 40, 30)])
    near = UTM @ Affine.translation(7.0008, -4.0008)
    write_scene(tmp_path / "20200102.tif", np.ones((40, 30), "float32"), transform=near)
    stack = stack_of(local_source(tmp_path, grid=StackGrid.union))
    assert [scene.window for scene in stack.scenes] == [Window(4, 0, 40, 30), Window(0, 7, 40, 30)]


def test_scenes_without_a_pixel_in_common_have_no_intersection(tmp_path: Path) -> None:
    write_scenes(tmp_path, PLACES)
    with pytest.raises(SourceError, match=r"the first 3 scenes have no pixel in common; set source.grid=union"):
        stack_of(local_source(tmp_path, grid=StackGrid.intersection))


# --- by the command line ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_union_is_written_verified_and_run_again_without_a_damaged_scene(typed: Typed, tmp_path: Path) -> None:
    layers = write_scenes(tmp_path / "scenes", PLACES)
    damaged = tmp_path / "scenes/20200104.tif"
    content = bytearray(damaged.read_bytes())
    content[-60:] = bytes(60)
    damaged.write_bytes(content)
    words = ["source=local", "source.url=scenes/*.tif", "source.grid=union"]
    assert typed(*words, "output.dir=whole").returncode == 1
    done = typed(*words, "on_error=skip", "output.dir=out")
    assert done.returncode == 0, done.stderr
    extent = reduce(hull, PLACES[:3])
    canvas = on_canvas(layers[:3], PLACES[:3], extent)
    with rasterio.open(tmp_path / "out/temporal_mean.tif") as raster:
        assert raster.transform == UTM @ Affine.translation(extent.column, extent.row)
        np.testing.assert_allclose(raster.read(1), np.nanmean(canvas, axis=0), rtol=1e-6)
    table = pd.read_parquet(tmp_path / "out/spatial_mean.parquet")
    np.testing.assert_allclose(table["mean"], np.nanmean(canvas, axis=(1, 2)), rtol=1e-12)
    assert list(table["count"]) == [np.count_nonzero(~np.isnan(layer)) for layer in layers[:3]]
    verified = typed("log", "verify", "out")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    again = typed("log", "rerun", "out")
    assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.slow
def test_a_box_is_planned_and_written(typed: Typed, tmp_path: Path) -> None:
    layers = write_scenes(tmp_path / "scenes", [Window(0, 0, 300, 200)] * 3)
    box = transform_bounds("EPSG:32610", "EPSG:4326", UTM.c + 1000, UTM.f - 4000, UTM.c + 3000, UTM.f - 2000)
    words = ["source=local", "source.url=scenes/*.tif", f"source.bbox=[{','.join(map(str, box))}]"]
    plan = typed(*words, "action=plan")
    assert plan.returncode == 0, plan.stderr
    assert "cut by source.bbox" in plan.stdout + plan.stderr
    assert typed(*words, "output.dir=out").returncode == 0
    with rasterio.open(tmp_path / "out/temporal_mean.tif") as raster:
        column, row = (round(place) for place in ~UTM @ (raster.transform.c, raster.transform.f))
        rows, columns = Window(row, column, raster.height, raster.width).slices
        assert (rows.start <= 100, rows.stop >= 200, columns.start <= 50, columns.stop >= 150) == (True,) * 4
        wanted = np.nanmean(np.stack(layers)[:, rows, columns], axis=0)
        np.testing.assert_allclose(raster.read(1), wanted, rtol=1e-6)
