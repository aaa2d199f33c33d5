"""Statistics over time by groups of scenes: those of plain numpy over the whole arrays, whatever the way to compute."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import Typed, block_job, compose, found_stack, local_source
from marks import few_quick
from passes import computed
from rasterio.transform import Affine
from scenes_on_disk import speckle, write_scene
from stack_archives import source_words, write_archive

from runner.checkpoint.store import Partials
from runner.engine.compute import compute_pass
from runner.errors import ConfigError, PlanError
from runner.model import Stack
from runner.output.names import refuse_equal_rasters
from runner.planning.chunking import cut
from runner.planning.memory import bytes_per_pixel, waiting_bytes
from runner.planning.planner import make_plan, plan_stages
from runner.planning.reading import make_reading
from runner.planning.records import Chunks, Workers
from runner.read.header import Window
from runner.settings import (
    ChunkSettings,
    ClusterKind,
    ClusterSettings,
    EngineName,
    JobSettings,
    Over,
    OwnMask,
    ReaderName,
    StackGrid,
    StageSettings,
)

pytestmark = pytest.mark.filterwarnings("ignore:All-NaN slice", "ignore:Mean of empty slice")  # of numpy's own

UTM: Final = Affine(20, 0, 499980, 0, -20, 5300040)
MEANS: Final = ["mean", "count"]
SUMMED: Final = ["mean", "count", "valid_fraction", "min", "max", "std"]
ORDERED: Final = [*SUMMED, "median"]


@dataclass(frozen=True)
class Archive:
    """Scenes, each at a place, on a day and of an orbit."""

    places: list[Window]
    days: list[int]
    orbits: list[str]
    dtype: str = "float32"
    scale: float | None = None


@dataclass(frozen=True)
class Way:
    """A way to compute."""

    by: list[list[str] | None]
    statistics: list[str] = field(default_factory=lambda: MEANS)
    min_count: int = 1
    chunks: ChunkSettings = field(default_factory=ChunkSettings)
    engine: EngineName = EngineName.block
    reader: ReaderName = ReaderName.auto
    own: OwnMask = OwnMask.nodata


@st.composite
def archives(draw: st.DrawFn) -> Archive:
    count = draw(st.integers(1, 9))
    same = Window(0, 0, draw(st.integers(1, 90)), draw(st.integers(1, 90)))
    windows = st.builds(Window, st.integers(-30, 30), st.integers(-30, 30), st.integers(1, 60), st.integers(1, 60))
    places = draw(st.one_of(st.just([same] * count), st.lists(windows, min_size=count, max_size=count)))
    days = sorted(draw(st.lists(st.integers(0, 800), min_size=count, max_size=count, unique=True)))
    orbits = draw(st.lists(st.sampled_from(["ASC", "DSC"]), min_size=count, max_size=count))
    dtype = draw(st.sampled_from(["float32", "float64", "uint8", "int16"]))
    return Archive(places, days, orbits, dtype, draw(st.sampled_from([None, None, 0.5])))


KEYS: Final[dict[str, Callable[[date, str], str]]] = {
    "month": lambda day, _: f"month-{day.month:02}",
    "season": lambda day, _: (
        {12: "DJF", 1: "DJF", 2: "DJF"}.get(day.month) or ("MAM", "JJA", "SON")[day.month // 3 - 1]
    ),
    "year": lambda day, _: f"{day.year}",
    "year_month": lambda day, _: day.isoformat()[:7],
    "date": lambda day, _: day.isoformat(),
    "orbit": lambda _, orbit: orbit,
}
ways = st.builds(
    Way,
    by=st.lists(
        st.none() | st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=2, unique=True), min_size=1, max_size=3
    ),
    statistics=st.sampled_from([MEANS, MEANS, SUMMED, ORDERED]),
    min_count=st.integers(0, 3),
    chunks=st.builds(
        ChunkSettings,
        st.sampled_from(["auto", 1, 2, "all"]),
        st.sampled_from(["auto", "block", "all", 17]),
        st.sampled_from(["auto", "block", "all", 23]),
        st.booleans(),
    ),
    engine=st.sampled_from([EngineName.block] * 5 + [EngineName.xarray]),
    reader=st.sampled_from([ReaderName.auto, ReaderName.auto, ReaderName.gdal]),
    own=st.sampled_from([OwnMask.nodata, OwnMask.nodata, OwnMask.both]),
)


def written(archive: Archive, folder: Path) -> list[np.ndarray]:
    """The scenes as files; their values as float64, NaN where they are nodata."""
    layers = []
    for number, (place, day, orbit) in enumerate(zip(archive.places, archive.days, archive.orbits, strict=True)):
        pixels = speckle((place.height, place.width), seed=number)
        pixels = pixels.astype(archive.dtype) if archive.dtype.startswith("f") else pixels * 1000 % 120
        pixels = pixels.astype(archive.dtype)
        path = folder / f"{on(day):%Y%m%d}_{orbit}.tif"
        transform = UTM @ Affine.translation(place.column, place.row)
        write_scene(path, pixels, blockxsize=16, blockysize=32, transform=transform)
        scale = 1 if archive.scale is None else archive.scale
        layers.append(np.where(pixels == 0, np.nan, pixels.astype(np.float64) * scale))
    return layers


def on(day: int) -> date:
    return date(2019, 11, 15) + timedelta(days=day)


def source_of(archive: Archive, folder: Path) -> Any:
    pattern = r"(?P<date>\d{8})_(?P<orbit>[A-Z]+)"
    return local_source(folder, grid=StackGrid.union, datetime_regex=pattern, scale=archive.scale)


def stack_of(job: JobSettings) -> Stack:
    return found_stack(job.source)


def job_of(archive: Archive, way: Way, folder: Path) -> JobSettings:
    """A stage for each way to group, and one over space that is read with them unless a median needs whole scenes."""
    ordered, cluster = "median" in way.statistics, ClusterSettings(ClusterKind.sync)
    chunks = replace(way.chunks, time="all") if ordered and way.engine is EngineName.block else way.chunks
    stages = {
        f"stage_{number}": StageSettings(
            Over.time, way.statistics, cluster, min_count=least_count(archive, way, by), group_by=by
        )
        for number, by in enumerate(way.by)
    }
    stages["spatial"] = StageSettings(Over.space, MEANS, cluster)
    base = block_job()
    return replace(
        base,
        source=source_of(archive, folder),
        mask=replace(base.mask, own=way.own),
        stages=stages,
        chunks=chunks,
        engine=way.engine,
        reader=way.reader,
        output=replace(base.output, raster_dtype=type(base.output.raster_dtype).float64),
    )


def labels_of(archive: Archive, by: list[str] | None) -> list[str]:
    """The label of each scene's group."""
    scenes = zip(archive.days, archive.orbits, strict=True)
    return ["_".join(KEYS[key](on(day), orbit) for key in by or []) for day, orbit in scenes]


def least_count(archive: Archive, way: Way, by: list[str] | None) -> int:
    """The min_count of a stage, which its largest group must have."""
    return min(way.min_count, max(Counter(labels_of(archive, by)).values()))


def on_canvas(archive: Archive, layers: list[np.ndarray]) -> np.ndarray:
    """The layers in the extent of all, NaN elsewhere."""
    top, left = min(place.row for place in archive.places), min(place.column for place in archive.places)
    below = max(place.row + place.height for place in archive.places)
    right = max(place.column + place.width for place in archive.places)
    canvas = np.full((len(layers), below - top, right - left), np.nan)
    for whole, layer, place in zip(canvas, layers, archive.places, strict=True):
        whole[place.shifted(-top, -left).slices] = layer
    return canvas


def expected(canvas: np.ndarray, min_count: int) -> dict[str, np.ndarray]:
    """Each statistic over time in plain numpy."""
    valid = ~np.isnan(canvas)
    count = valid.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(valid, canvas, 0).sum(0) / count
        off = np.where(valid, canvas - mean, 0)
        values = {
            "mean": mean,
            "min": np.where(valid, canvas, np.inf).min(0),
            "max": np.where(valid, canvas, -np.inf).max(0),
            "std": np.sqrt((off**2).sum(0) / count),
            "median": np.nanmedian(canvas, 0),
        }
    enough = (count >= min_count) & (count > 0)
    return {name: np.where(enough, of, np.nan) for name, of in values.items()} | {
        "count": count,
        "valid_fraction": valid.mean(0),
    }


def wanted_of(archive: Archive, by: list[str] | None, canvas: np.ndarray, way: Way) -> dict[str, np.ndarray]:
    """The layers of a stage in plain numpy, by their names."""
    named, min_count = labels_of(archive, by), least_count(archive, way, by)
    wanted = {}
    for label in sorted(set(named)):
        members = [number for number, name in enumerate(named) if name == label]
        for name, values in expected(canvas[members], min_count).items():
            if name in way.statistics:
                wanted[f"{name}_{label}" if label else name] = values
    return wanted


def check(archive: Archive, way: Way) -> None:
    """The values of a way to compute are numpy's."""
    with tempfile.TemporaryDirectory() as name:
        layers = written(archive, Path(name))
        job = job_of(archive, way, Path(name))
        values = computed(job, stack_of(job))
    canvas = on_canvas(archive, layers)
    for number, by in enumerate(way.by):
        found, wanted = values[f"stage_{number}"], wanted_of(archive, by, canvas, way)
        assert sorted(found) == sorted(wanted)
        for layer, actual in found.items():
            np.testing.assert_allclose(actual, wanted[layer], rtol=1e-6, atol=1e-9, err_msg=f"{by} {layer}")
    np.testing.assert_array_equal(values["spatial"]["count"], (~np.isnan(canvas)).sum((1, 2)))


@settings(max_examples=5)
@given(archives(), ways, st.sampled_from(["float32", "uint8"]))
def test_each_group_has_the_statistics_of_its_scenes(archive: Archive, way: Way, dtype: str) -> None:
    check(replace(archive, dtype=dtype), way)


@pytest.mark.slow
@settings(max_examples=8)
@given(archives(), ways)
def test_each_group_always_has_the_statistics_of_its_scenes(archive: Archive, way: Way) -> None:
    check(archive, way)


# --- the same bits --------------------------------------------------------------------------------------------------

DAILY: Final = Archive([Window(0, 0, 70, 50)] * 40, list(range(40)), ["ASC", "DSC", "DSC", "ASC"] * 10)
UNION: Final = replace(DAILY, places=[Window(3 * day % 7, 5 * day % 11, 70, 50) for day in range(40)])
BY: Final[list[list[str] | None]] = [None, ["year_month"], ["orbit", "month"]]


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for stage, layers in wanted.items():
        assert found[stage].keys() == layers.keys()
        for name, values in layers.items():
            np.testing.assert_array_equal(found[stage][name], values, err_msg=f"{stage} {name}")


@pytest.mark.parametrize("archive", few_quick([DAILY, UNION]), ids=["one extent", "many extents"])
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"chunks": ChunkSettings(1, 32, 16)}, ClusterKind.threads),
        ({"chunks": ChunkSettings(7, 17, "all", snap=False)}, ClusterKind.threads),
        ({"reader": ReaderName.gdal}, ClusterKind.threads),
        ({"fuse": False}, ClusterKind.sync),
        pytest.param({"chunks": ChunkSettings(7, "auto", "auto")}, ClusterKind.processes, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_bits_do_not_depend_on_chunks_clusters_or_readers(
    tmp_path: Path, archive: Archive, changes: dict[str, Any], kind: ClusterKind
) -> None:
    written(archive, tmp_path)
    job = job_of(archive, Way(BY), tmp_path)
    stack, cluster = stack_of(job), ClusterSettings(kind, n_workers=2 if kind is ClusterKind.processes else None)
    stages = {name: replace(stage, cluster=cluster) for name, stage in job.stages.items()}
    assert_same(computed(replace(job, stages=stages, **changes), stack), computed(job, stack))


def test_a_stage_without_groups_is_the_same_beside_one_with_groups(tmp_path: Path) -> None:
    written(UNION, tmp_path)
    alone, both = (job_of(UNION, Way(by), tmp_path) for by in ([None], BY))
    stack = stack_of(alone)
    found, wanted = computed(both, stack), computed(alone, stack)
    assert_same({name: found[name] for name in wanted}, wanted)


# --- resuming -------------------------------------------------------------------------------------------------------


def kept_and_restored(tmp_path: Path, first: JobSettings, second: JobSettings) -> tuple[int, list[str]]:
    """The tasks that the second job runs after the first kept all its own, and why kept ones do not serve."""
    stack = stack_of(first)
    (tmp_path / "run").mkdir()
    (pass_,) = make_plan(first, stack).passes
    compute_pass(pass_, stack, checkpoint=Partials(tmp_path / "run").of_pass(pass_, stack))
    (again,) = make_plan(second, stack).passes
    checkpoint = Partials(tmp_path / "run").of_pass(again, stack)
    remaining = replace(again, tasks=checkpoint.remaining.tasks)
    restored = compute_pass(remaining, stack, checkpoint=checkpoint)[0].values
    assert_same(restored, computed(second, stack))
    return len(remaining.tasks), [reason for _, reason in checkpoint.refused]


@pytest.mark.parametrize(
    ("earlier", "later", "serves"),
    few_quick(
        [
            (BY, BY, True),
            ([["orbit", "month"]], [["orbit"]], True),  # sums of fewer scenes add up
            ([["orbit", "month"]], [None], True),
            ([["orbit"]], [["orbit", "month"]], False),
            ([None], [["orbit"]], False),
        ],
        2,
    ),
    ids=str,
)
def test_kept_sums_serve_groups_that_are_made_of_them(
    tmp_path: Path, earlier: list[list[str] | None], later: list[list[str] | None], serves: bool
) -> None:
    written(UNION, tmp_path / "scenes")
    jobs = [
        job_of(UNION, Way(by, chunks=ChunkSettings(time, 32, "all")), tmp_path / "scenes")
        for by, time in ((earlier, 7), (later, 11))
    ]
    tasks, reasons = kept_and_restored(tmp_path, *jobs)
    assert (tasks == 0) is serves
    assert serves or set(reasons) == {"stages over time now need other groups"}


@pytest.mark.parametrize("statistics", [MEANS, ORDERED], ids=["sums", "ordered"])
def test_kept_windows_of_all_scenes_serve_the_same_groups_only(tmp_path: Path, statistics: list[str]) -> None:
    written(UNION, tmp_path / "scenes")
    way = Way([["month"]], statistics, chunks=ChunkSettings("all", 32, "all"))
    first, other = (job_of(UNION, replace(way, by=[by]), tmp_path / "scenes") for by in (["month"], ["orbit"]))
    rows = replace(first, chunks=ChunkSettings("all", 48, "all", snap=False))
    assert kept_and_restored(tmp_path, first, rows)[0] == 0
    (tmp_path / "other").mkdir()
    assert kept_and_restored(tmp_path / "other", first, other)[0] > 0


# --- the plan -------------------------------------------------------------------------------------------------------


def test_the_plan_states_the_memory_of_all_groups(tmp_path: Path) -> None:
    written(DAILY, tmp_path)
    few, many = (job_of(DAILY, Way([[by]]), tmp_path) for by in ("year", "date"))
    stack = stack_of(few)
    (of_few,), (of_many,) = make_plan(few, stack).passes, make_plan(many, stack).passes
    assert of_many.worker_bytes - of_few.worker_bytes > 38 * 2 * 4 * stack.grid.pixels  # rasters alone


def test_a_lot_of_one_scene_is_counted_once_whether_it_is_at_work_or_waits(tmp_path: Path) -> None:
    """The sums of all days take as much memory in one task as in tasks of some days each."""
    written(DAILY, tmp_path)
    job = job_of(DAILY, Way([["date"]]), tmp_path)
    stack = stack_of(job)
    stages, rule = tuple(plan_stages(job, stack).values()), make_reading(job, stack).rule
    one, two = (bytes_per_pixel(stages, stack, rule, most) for most in (1, 2))
    for most in (10, 20):
        tasks = cut(stack, Chunks(most, *stack.grid.window[2:]))
        waiting = waiting_bytes(stages, stack, rule, tasks, Workers(1, 2, None)) / stack.grid.pixels
        held = waiting + 2 * bytes_per_pixel(stages, stack, rule, most)
        assert 0 <= held - len(stack.scenes) * (two - one) < 2 * one


def test_a_job_whose_groups_do_not_fit_is_refused_with_their_number(tmp_path: Path) -> None:
    written(DAILY, tmp_path)
    job = job_of(DAILY, Way([["date"]]), tmp_path)
    small = ClusterSettings(ClusterKind.threads, memory_limit="516MiB")
    job.stages = {name: replace(stage, cluster=small) for name, stage in job.stages.items()}
    with pytest.raises(PlanError, match=r"it may have 516 MiB; .*, or group by another key, since .*=date makes 40 gr"):
        make_plan(job, stack_of(job))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stages.spatial_mean.group_by=month"], "stages.spatial_mean.group_by=month: wanted null, since a stage over"),
        (["stages.temporal_mean.group_by=[year,year]"], "stages.temporal_mean.group_by=year,year: wanted each group"),
        (["stages.temporal_mean.group_by=7"], "stages.temporal_mean.group_by=7: wanted month, year_month or the like"),
        (["stages.temporal_mean.group_by=[]"], r"stages.temporal_mean.group_by=\[\]: wanted"),
    ],
)
def test_settings_that_make_no_groups_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose(*overrides)


def test_min_count_is_of_a_group(tmp_path: Path) -> None:
    written(DAILY, tmp_path)
    job = job_of(DAILY, Way([["year_month"]]), tmp_path)
    stack = stack_of(job)
    job.stages["stage_0"].min_count = 32
    with pytest.raises(PlanError, match=r"min_count=32: there are 24 scenes in the largest group"):
        make_plan(job, stack)


def test_stages_that_would_write_the_same_raster_are_refused(tmp_path: Path) -> None:
    written(DAILY, tmp_path)
    job = job_of(DAILY, Way([["year"]]), tmp_path)
    job.stages = dict.fromkeys(("monthly", "monthly_mean"), job.stages["stage_0"])
    with pytest.raises(PlanError, match=r"stages.monthly and stages.monthly_mean would both write monthly_mean_2019"):
        refuse_equal_rasters(make_plan(job, stack_of(job)).stages, job.output.layout)


# --- by the command line --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_monthly_means_are_written_recorded_verified_and_run_again(typed: Typed, tmp_path: Path) -> None:
    layers = written(DAILY, tmp_path / "scenes")
    words = [
        "source=local", "source.url=scenes/*.tif", r"source.datetime_regex=(?P<date>\d{8})_(?P<orbit>[A-Z]+)",
        "source.nodata=0", "+stage@stages.monthly=temporal_mean", "stages.monthly.group_by=year_month",
    ]  # fmt: skip
    plan = typed(*words, "action=plan")
    assert "monthly: 2 groups by year_month, of 16 to 24 scenes each, 4 rasters" in plan.stdout, plan.stderr
    done = typed(*words, "output.dir=out")
    assert done.returncode == 0, done.stderr
    assert "wrote out/monthly_mean_2019-11.tif to monthly_mean_2019-12.tif, 2 rasters" in done.stdout
    canvas = on_canvas(DAILY, layers)
    months = [on(day).month for day in DAILY.days]
    for month in (11, 12):
        with rasterio.open(tmp_path / f"out/monthly_mean_2019-{month}.tif") as raster:
            members = [number for number, of in enumerate(months) if of == month]
            np.testing.assert_allclose(raster.read(1), np.nanmean(canvas[members], axis=0), rtol=1e-6)
            tags = raster.tags()
            assert (tags["group"], tags["group_scenes"]) == (f"2019-{month}", str(len(members)))
            assert tags["group_first_datetime"].startswith(on(members[0]).isoformat())
    files = json.loads((tmp_path / "out/outputs.json").read_text())["files"]
    groups = {file["name"]: file["values"][0].get("group") for file in files}
    assert groups["monthly_count_2019-12.tif"] == "2019-12"
    assert groups["temporal_mean.tif"] is None
    item = json.loads((tmp_path / "out/item.json").read_text())
    assert item["assets"]["monthly_mean_2019-11"]["title"] == "Temporal mean of 2019-11"
    page = (tmp_path / "out/report.html").read_text("utf-8")
    assert "<h3>monthly: mean by year_month</h3>" in page
    assert [page.count(f"<figcaption>2019-{month}</figcaption>") for month in (11, 12)] == [2, 2]  # mean and count
    verified = typed("log", "verify", "out")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    again = "monthly: mean of 2019-11: 4 of 4 windows computed again, 3,500 values as stored; so are 1 more"
    assert again in verified.stdout, verified.stdout
    again = typed("log", "rerun", "out", "--", "chunks.time=3")
    assert again.returncode == 0, again.stdout + again.stderr
    other = typed(*words, "output.dir=other", "source.exclude=20191115*")
    assert other.returncode == 0, other.stderr
    differences = typed("log", "diff", "out", "other", "--only", "values").stdout
    assert "monthly: mean of 2019-11" in differences
    assert "monthly: mean of 2019-12" not in differences


@pytest.mark.slow
def test_each_stack_of_an_archive_has_its_groups(typed: Typed, tmp_path: Path) -> None:
    write_archive(tmp_path / "scenes", tiles=2)
    words = [*source_words(tmp_path / "scenes"), "source.stack_by=[tile,band]", "output.dir=out"]
    done = typed(*words, "stages.temporal_mean.group_by=[orbit,date]")
    assert done.returncode == 0, done.stderr
    assert "out/stacks/*/temporal_mean_*.tif" in done.stdout
    stacks = sorted((tmp_path / "out/stacks").iterdir())
    assert [len([*stack.glob("temporal_mean_*_2020-01-*.tif")]) for stack in stacks] == [3] * 4
    verified = typed("log", "verify", "out")
    assert verified.returncode == 0, verified.stdout + verified.stderr
