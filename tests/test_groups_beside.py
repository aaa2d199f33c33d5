"""Groups beside all else: trends, decibels, zones, rasters on disk, kept sums and bands of one file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from jobs import compose, found_stack, local_source
from passes import computed
from scenes_on_disk import speckle, write_scene
from zone_files import feature, write_zones

import runner
from runner.checkpoint.pass_tasks import PassTasks
from runner.checkpoint.store import Partials
from runner.compare.values import differing_values
from runner.engine.compute import compute_pass
from runner.log.verify import _checks, _job
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.record.run_folder import read_run
from runner.report.gather import read_folder
from runner.settings import JobSettings

DAYS = ("20200106_A", "20200112_B", "20200118_A", "20200205_B", "20200211_A", "20200217_B", "20200304_A", "20200310_A")
NAMES = r"(?P<date>\d{8})_(?P<orbit>[A-Z])"
SUMMED = ("mean", "count", "std", "slope", "slope_stderr", "first", "last")
ORDERED = (*SUMMED, "median", "theil_sen", "mann_kendall")
Values = dict[str, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("groups")
    for seed, name in enumerate(DAYS):
        write_scene(folder / f"data/{name}.tif", speckle((40, 50), seed), blockxsize=16, blockysize=16)
    write_zones(folder / "zones.geojson", [feature([(3, 3), (40, 5), (20, 35)], name="one")])
    return folder


def job_of(data: Path, by: str | None, *words: str, statistics: tuple[str, ...] = SUMMED) -> JobSettings:
    job = compose(
        "engine=block",
        f"stages.temporal_mean.statistics=[{','.join(statistics)}]",
        f"stages.temporal_mean.group_by={by or 'null'}",
        *words,
    )
    return replace(job, source=local_source(data / "data", datetime_regex=NAMES))


def stack_of(job: JobSettings, *without: str) -> Stack:
    stack = found_stack(job.source)
    return replace(stack, scenes=tuple(scene for scene in stack.scenes if scene.name not in without))


def alone(data: Path, by: str, *words: str, statistics: tuple[str, ...] = SUMMED) -> dict[str, np.ndarray]:
    """The layers of each group, computed of a stack that has its scenes alone."""
    grouped, plain = (job_of(data, key, *words, statistics=statistics) for key in (by, None))
    stack = stack_of(grouped)
    (groups,) = (stage.groups for stage in make_plan(grouped, stack).stages if stage.groups)
    layers: dict[str, np.ndarray] = {}
    for number, label in enumerate(groups.labels):
        own = replace(stack, scenes=tuple(stack.scenes[member] for member in groups.members(number)))
        values = computed(plain, own)["temporal_mean"]
        layers |= {f"{name}_{label}": of_name for name, of_name in values.items()}
    return layers


def assert_same(found: dict[str, Any], wanted: dict[str, np.ndarray]) -> None:
    assert {*found} == {*wanted}
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name][:], values, err_msg=name)


@pytest.mark.parametrize("by", ["year_month", pytest.param("orbit", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("statistics", "words"),
    [(SUMMED, ["chunks.time=3", "chunks.y=17", "chunks.snap=false"]), (ORDERED, []), (SUMMED, ["output.scale=db"]),
     (SUMMED, ["stages.temporal_mean.min_count=2"]),
     pytest.param(("mean", "slope"), ["engine=xarray"], marks=pytest.mark.slow)],
    ids=["cut", "ordered", "decibels", "min_count", "reference"],
)  # fmt: skip
def test_a_group_has_the_values_that_its_scenes_have_alone(
    data: Path, by: str, statistics: tuple[str, ...], words: list[str]
) -> None:
    job = job_of(data, by, *words, statistics=statistics)
    found = computed(job, stack_of(job))["temporal_mean"]
    assert_same(found, alone(data, by, *words, statistics=statistics))


def test_zones_in_the_same_pass_know_nothing_of_groups(data: Path) -> None:
    words = ["stage@stages.zones=zonal", f"zones.file={data / 'zones.geojson'}", "zones.id=name"]
    grouped, plain = job_of(data, "year_month", *words), job_of(data, None, *words)
    stack = stack_of(grouped)
    (one,) = make_plan(grouped, stack).passes
    assert {stage.name for stage in one.stages} == {"spatial_mean", "temporal_mean", "zones"}
    found, wanted = computed(grouped, stack), computed(plain, stack)
    for stage in ("zones", "spatial_mean"):
        assert_same(found[stage], wanted[stage])
    assert_same(found["temporal_mean"], alone(data, "year_month"))


def test_rasters_of_groups_may_lie_on_disk(data: Path, tmp_path: Path) -> None:
    job = job_of(data, "year_month")
    stack = stack_of(job)
    (plan,) = make_plan(job, stack).passes
    spooled = replace(plan, spool_bytes=1, folder=tmp_path)
    assert_same(compute_pass(spooled, stack)[0].values["temporal_mean"], computed(job, stack)["temporal_mean"])


def kept_run(job: JobSettings, stack: Stack, folder: Path, reused: Path | None = None) -> tuple[Values, PassTasks]:
    """The values of a run that keeps its tasks and may reuse those of another."""
    folder.mkdir()
    partials = Partials(folder, keeps=True, reused=reused)
    (plan,) = make_plan(job, stack).passes
    tasks = partials.of_pass(plan, stack)
    values = compute_pass(replace(plan, tasks=tasks.remaining.tasks), stack, checkpoint=tasks)[0].values
    partials.complete()
    return values, tasks


@pytest.mark.parametrize(
    "new", ["20200112_B", *(pytest.param(new, marks=pytest.mark.slow) for new in ("20200211_A", "20200310_A"))]
)
@pytest.mark.parametrize("kept", [2, pytest.param(32, marks=pytest.mark.slow)])
def test_a_later_run_reads_a_new_scene_alone_and_has_the_same_bits(
    data: Path, tmp_path: Path, new: str, kept: int
) -> None:
    job = job_of(data, "orbit", "output.keep_partials=true", f"output.kept_scenes={kept}")
    kept_run(job, stack_of(job, new), tmp_path / "earlier")
    stack = stack_of(job)
    for number, reused in enumerate(("earlier", "later0")):
        values, tasks = kept_run(job, stack, tmp_path / f"later{number}", tmp_path / reused)
        read = {n for task in tasks.remaining.tasks for n in range(task.start, task.stop)}
        assert {stack.scenes[n].name for n in read} == ({new} if number == 0 else set())
        for stage, layers in computed(job, stack).items():
            assert_same(values[stage], layers)


def test_kept_sums_that_groups_would_cut_are_refused_with_the_reason(data: Path, tmp_path: Path) -> None:
    words = ["output.keep_partials=true"]
    earlier, later = job_of(data, "year_month", *words), job_of(data, "date", *words)
    stack = stack_of(earlier)
    kept_run(earlier, stack, tmp_path / "earlier")
    values, tasks = kept_run(later, stack, tmp_path / "later", tmp_path / "earlier")
    assert {reason for _, reason in tasks.refused} == {"stages over time now need other groups"}
    assert_same(values["temporal_mean"], computed(later, stack)["temporal_mean"])


def test_stages_of_other_groups_with_equal_labels_are_kept_apart(data: Path, tmp_path: Path) -> None:
    """An ordered value is kept by its name, and two stages may have groups of one name and of other scenes."""
    words = ["+stage@stages.other=temporal_mean", "stages.other.statistics=[median]", "stages.other.group_by=campaign"]
    job = job_of(data, "year", *words, statistics=("median",))
    stack = stack_of(job)
    scenes = tuple(
        replace(scene, groups={**scene.groups, "campaign": "2020" if scene.groups["orbit"] == "A" else "2021"})
        for scene in stack.scenes
    )
    stack = replace(stack, scenes=scenes)
    kept_run(job, stack, tmp_path / "earlier")
    values, tasks = kept_run(job, stack, tmp_path / "later", tmp_path / "earlier")
    assert not tasks.remaining.tasks
    for stage, layers in computed(job, stack).items():
        assert_same(values[stage], layers)


def test_times_that_have_changed_spoil_kept_sums_of_times(data: Path, tmp_path: Path) -> None:
    job = job_of(data, None, "output.keep_partials=true")
    stack = stack_of(job)
    kept_run(job, stack, tmp_path / "earlier")
    scenes = tuple(replace(scene, time=scene.time.replace(hour=7)) for scene in stack.scenes)
    _, tasks = kept_run(job, replace(stack, scenes=scenes), tmp_path / "later", tmp_path / "earlier")
    assert not tasks.taken
    assert "has changed: it was" in tasks.refused[0][1]


@pytest.mark.slow
def test_the_groups_are_bands_of_one_file_and_everything_finds_them(data: Path, tmp_path: Path) -> None:
    for layout in ("files", "bands"):
        words = ["source=local", f"source.url={data}/data/*.tif", f"source.datetime_regex={NAMES}",
                 "stages.temporal_mean.group_by=year_month", "stages.temporal_mean.statistics=[mean,count,slope]",
                 f"output.layout={layout}", "output.scale=db", f"output.dir={tmp_path / layout}"]  # fmt: skip
        runner.run(words, progress=False)
    assert sorted(path.name for path in (tmp_path / "bands").glob("*.tif")) == ["temporal.tif"]
    with rasterio.open(tmp_path / "bands/temporal.tif") as raster:
        assert raster.count == 9
        assert raster.descriptions[1] == "mean of local, 2020-02: 2020-02-05 to 2020-02-17"
        assert (raster.tags(2)["group"], raster.tags(2)["group_scenes"]) == ("2020-02", "3")
    files, bands = (runner.open_run(tmp_path / layout).rasters for layout in ("files", "bands"))
    assert {*files} == {*bands} == {"temporal_mean", "temporal_count", "temporal_slope"}
    for name, array in bands.items():
        assert array.dims == ("year_month", "y", "x")
        np.testing.assert_array_equal(array, files[name])
    run, other = (read_run(tmp_path / layout) for layout in ("bands", "files"))
    assert {check.verdict.value for check in _checks(run, _job(run, []), 99, 1)} == {"ok"}
    section = differing_values(run, other)
    assert not [one for one in section.differences if "count" not in str(one)]  # counts are floats in bands
    assert [(one.statistic, len(one.members), len(one.shown)) for one in read_folder(run.path).multiples] == [
        ("mean", 3, 3), ("count", 3, 3), ("slope", 3, 3),
    ]  # fmt: skip
