"""Runs from Python: the results that the command line leaves, in hand."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from jobs import ROOT
from scenes_on_disk import speckle, write_scene
from stack_archives import source_words, write_archive
from waiting import LONG

import runner
from runner.errors import ConfigError, OutputError, ReadError, RecordError, SourceError

pytestmark = pytest.mark.filterwarnings("ignore:Mean of empty slice")  # of numpy's own
BY_TILE, VV = "source.stack_by=[tile]", "source.where.band=VV"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for at, day in enumerate((6, 12, 18, 24)):
        write_scene(folder / f"S1A_202001{day:02}_ASC.tif", speckle((300, 500), seed=at))
    return folder


@pytest.fixture(scope="module")
def finished(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> runner.Run:
    return runner.run({**local(scenes), "output.dir": tmp_path_factory.mktemp("runs") / "first"}, progress=False)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def local(folder: Path) -> dict[str, object]:
    return {"source": "local", "source.url": f"{folder}/*.tif"}


def pixels_of(folder: Path) -> np.ndarray:
    """(time, y, x), float64, NaN where nodata."""
    layers = []
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as dataset:
            layers.append(dataset.read(1, masked=True).filled(np.nan).astype(np.float64))
    return np.array(layers)


# --- results ----------------------------------------------------------------------------------------------------------


def test_the_table_has_the_spatial_means(finished: runner.Run, scenes: Path) -> None:
    table = finished.table
    assert [*table["scene"]] == [path.stem for path in sorted(scenes.glob("*.tif"))]
    np.testing.assert_allclose(table["mean"], np.nanmean(pixels_of(scenes), axis=(1, 2)), rtol=1e-15)
    assert str(table["datetime"].iloc[0]) == "2020-01-06 00:00:00+00:00"
    assert [*finished.tables] == ["spatial_mean"]


def test_the_rasters_are_lazy_and_have_their_place(finished: runner.Run, scenes: Path) -> None:
    rasters = finished.rasters
    assert {*rasters} == {"temporal_mean", "temporal_count"}
    assert all(raster.chunks for raster in rasters.values())
    assert rasters.rio.crs == "EPSG:32610"
    with rasterio.open(min(scenes.glob("*.tif"))) as scene:
        assert rasters.temporal_mean.rio.transform() == scene.transform
    mean = np.nanmean(pixels_of(scenes), axis=0)
    np.testing.assert_array_equal(rasters.temporal_mean, mean.astype(np.float32))
    assert rasters.temporal_count.dtype.kind == "i"
    np.testing.assert_array_equal(rasters.temporal_count, np.isfinite(pixels_of(scenes)).sum(axis=0))


@pytest.mark.slow
def test_the_rasters_of_groups_are_one_array_along_the_groups(scenes: Path, tmp_path: Path) -> None:
    monthly = {"stages.temporal_mean.group_by": ["date", "year"], "output.dir": tmp_path / "groups"}
    rasters = runner.run({**local(scenes), **monthly}, progress=False).rasters
    assert {*rasters} == {"temporal_mean", "temporal_count"}
    assert rasters.temporal_mean.dims == ("date_year", "y", "x")
    assert rasters.rio.crs == "EPSG:32610"
    one = rasters.temporal_mean.sel(date_year="2020-01-12_2020")
    np.testing.assert_array_equal(one, pixels_of(scenes)[1].astype(np.float32))
    assert rasters.temporal_count.shape == (4, 300, 500)
    assert all(raster.chunks for raster in rasters.values())


def test_the_record_and_the_folder_are_those_of_a_command(finished: runner.Run) -> None:
    assert finished.status == "COMPLETED"
    assert finished.record.scenes == 4
    assert finished.record.command[0] == "cog-stack-runner"
    names = {path.name for path in finished.folder.iterdir()}
    assert {"run.json", "outputs.json", "inputs.parquet", "run.log", "report.html", ".hydra"} <= names
    assert "4 scenes" in (finished.folder / "run.log").read_text()


def test_a_notebook_shows_a_link_and_the_page(finished: runner.Run) -> None:
    assert f"<a href='{finished.folder}/report.html'" in finished._repr_html_()
    assert "COMPLETED" in repr(finished)
    page = finished.report._repr_html_()
    assert "<iframe srcdoc='&lt;!DOCTYPE html&gt;" in page
    assert Path(finished.report).read_text().startswith("<!DOCTYPE html>")


def test_a_run_is_opened_by_its_folder_or_its_name(finished: runner.Run, here: Path) -> None:
    opened = runner.open_run(finished.folder)
    assert opened.table.equals(finished.table)
    shutil.copytree(finished.folder, here / "outputs/mine")
    assert runner.open_run("mine").folder == here / "outputs/mine"


def test_what_is_not_there_is_said(finished: runner.Run, here: Path) -> None:
    with pytest.raises(RecordError, match="no folder, and no run below"):
        runner.open_run("nothing")
    with pytest.raises(RecordError, match="a run of one stack"):
        _ = finished.stacks
    with pytest.raises(RecordError, match="no table 'spatial_means'; did you mean 'spatial_mean'"):
        _ = finished.tables["spatial_means"]
    with pytest.raises(AttributeError) as unknown:
        _ = runner.runn
    assert (unknown.value.name, unknown.value.obj) == ("runn", runner)  # by which Python names the nearest


# --- ways to call -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nothing_is_printed_without_progress_and_news_alone_with_it(
    scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner.run(local(scenes), progress=False)
    assert capsys.readouterr() == ("", "")
    runner.run({**local(scenes), "stages.spatial_mean.statistics": ["count"]})
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "spatial_mean+temporal_mean: " in printed.err
    assert "wrote" not in printed.err


@pytest.mark.slow
def test_a_thread_may_run_a_job_and_runs_do_not_meet(scenes: Path) -> None:
    runs: list[runner.Run] = []
    threads = [
        threading.Thread(target=lambda: runs.append(runner.run(local(scenes), progress=False))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = runs
    assert first.folder != second.folder
    assert first.table["mean"].equals(second.table["mean"])


@pytest.mark.parametrize(
    ("overrides", "error", "problem"),
    [
        ({"source": "lokal"}, ConfigError, "did you mean 'local'"),
        ({"action": "plan"}, ConfigError, "runner.plan"),
        ({"source": "local", "source.url": "/nowhere/*.tif"}, SourceError, "no folder /nowhere"),
        ({"source": "local", "source.url": "data/*.tif", "output.dir": "taken"}, OutputError, "taken"),
        ({"source": "local", "source.url": "damaged/*.tif", "output.dir": "out"}, ReadError, "20200106.tif"),
    ],
)
def test_an_error_is_an_exception_of_its_kind(
    overrides: dict[str, object], error: type[Exception], problem: str, here: Path
) -> None:
    write_scene(here / "data/20200106.tif", speckle((20, 30)))
    path = write_scene(here / "damaged/20200106.tif", speckle((300, 300)))
    content = bytearray(path.read_bytes())
    content[-5000:-1000] = bytes(4000)
    path.write_bytes(content)
    (here / "taken").write_text("a file")
    with pytest.raises(error) as refused:
        runner.run(overrides, progress=False)
    assert problem in str(refused.value)


def test_a_run_that_failed_is_in_its_folder_and_has_no_results(here: Path) -> None:
    with pytest.raises(SourceError) as refused:
        runner.run({"source": "local", "source.url": "/nowhere/*.tif", "output.dir": "out"}, progress=False)
    assert refused.value.__notes__ == ["report: out/report.html"]
    failed = runner.open_run("out")
    assert failed.status == "FAILED"
    with pytest.raises(RecordError, match="out is FAILED and has no results: SourceError: source.url"):
        _ = failed.table


@pytest.mark.slow
def test_results_that_were_removed_are_named(scenes: Path) -> None:
    done = runner.run(local(scenes), progress=False)
    (done.folder / "temporal_mean.tif").unlink()
    with pytest.raises(RecordError, match="temporal_mean.tif"):
        _ = done.rasters


@pytest.mark.slow
def test_an_archive_has_its_stacks(here: Path) -> None:
    done = runner.run([*source_words(write_archive(here / "data", tiles=2)), BY_TILE, VV], progress=False)
    assert {*done.stacks} == {"10T00", "10T01"}
    assert len(done.table) == sum(len(stack.table) for stack in done.stacks.values())
    assert all(isinstance(stack.rasters, xr.Dataset) for stack in done.stacks.values())
    with pytest.raises(RecordError, match="its rasters are those of its stacks"):
        _ = done.rasters
    with pytest.raises(RecordError, match="no stack '10T02'; did you mean '10T01'"):
        _ = done.stacks["10T02"]


# --- what is loaded ---------------------------------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_else() -> None:
    program = "import sys, runner; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, timeout=LONG, cwd=ROOT)
    assert set(done.stdout.split()) - sys.stdlib_module_names == {"runner", "__main__"}


def test_every_name_is_there_and_no_other() -> None:
    assert {*runner.__all__} <= {*dir(runner)}
    assert all(hasattr(runner, name) for name in runner.__all__)
    assert not hasattr(runner, "rum")


# --- plans ------------------------------------------------------------------------------------------------------------


def test_a_plan_says_what_a_run_reads_and_prints_nothing(
    scenes: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned, done = runner.plan(local(scenes)), runner.run(local(scenes), progress=False)
    (pass_,) = done.record.passes
    assert planned.requests == pass_.planned.requests
    assert planned.stored_bytes == pass_.planned.stored_bytes
    assert (planned.scenes, planned.tasks, len(planned.passes)) == (4, pass_.tasks, 1)
    assert planned.memory_bytes is not None
    assert repr(planned).startswith("JobPlan(1 stack, 4 scenes, 1 pass of")
    assert capsys.readouterr() == ("", "")


def test_a_plan_leaves_no_file(scenes: Path, here: Path) -> None:
    runner.plan(local(scenes))
    assert not [*here.iterdir()]


def test_a_plan_of_an_archive_has_each_stack(here: Path) -> None:
    planned = runner.plan([*source_words(write_archive(here / "data", tiles=2)), BY_TILE, VV])
    assert [stack.name for stack in planned.stacks] == ["10T00", "10T01"]
    assert planned.scenes == sum(len(stack.stack.scenes) for stack in planned.stacks)


# --- stacks -----------------------------------------------------------------------------------------------------------


def by_rioxarray(folder: Path) -> xr.DataArray:
    layers: list[Any] = [rioxarray.open_rasterio(path, masked=True) for path in sorted(folder.glob("*.tif"))]
    return xr.concat([layer.squeeze("band", drop=True) for layer in layers], "time")


def test_a_stack_is_what_rioxarray_gives_with_its_times(scenes: Path) -> None:
    stack, wanted = runner.open_stack(local(scenes)), by_rioxarray(scenes)
    assert stack.dims == ("time", "y", "x")
    assert stack.dtype == np.float32
    np.testing.assert_array_equal(stack, wanted)
    np.testing.assert_allclose(stack.x, wanted.x, rtol=1e-15)
    np.testing.assert_allclose(stack.y, wanted.y, rtol=1e-15)
    assert stack.rio.crs == wanted.rio.crs
    assert stack.rio.transform() == wanted.rio.transform()
    assert np.isnan(stack.rio.nodata)
    assert [str(day) for day in stack.time.dt.day.values] == ["6", "12", "18", "24"]


def test_the_mean_of_a_stack_is_the_temporal_mean_of_a_run(scenes: Path, finished: runner.Run) -> None:
    mean = runner.open_stack(local(scenes)).mean("time")
    np.testing.assert_allclose(mean, finished.rasters.temporal_mean, rtol=3e-7)


def test_a_part_of_a_stack_reads_the_tiles_of_that_part(scenes: Path) -> None:
    stack = runner.open_stack(local(scenes), **{"chunks.time": 2, "chunks.y": 256, "chunks.x": 256})
    assert stack.chunks == ((2, 2), (256, 44), (256, 244))
    part = stack.isel(time=3, y=slice(250, 260)).sel(x=stack.x[300])
    np.testing.assert_array_equal(part, by_rioxarray(scenes).isel(time=3, y=slice(250, 260), x=300))


def test_groups_of_the_names_are_coordinates(scenes: Path) -> None:
    regex = r"source.datetime_regex=(?P<satellite>S1.)_(?P<date>\d{8})_(?P<orbit>\w+)"
    stack = runner.open_stack(["source=local", f"source.url={scenes}/*.tif", regex])
    assert {*stack.orbit.values} == {"ASC"}
    assert len(stack.groupby("satellite").mean().satellite) == 1


def test_the_same_source_has_the_same_name_for_dask_and_a_changed_one_another(scenes: Path, here: Path) -> None:
    first, second = runner.open_stack(local(scenes)), runner.open_stack(local(scenes))
    assert first.data.name == second.data.name
    assert runner.open_stack({**local(scenes), "mask": "none"}).data.name != first.data.name


def test_a_source_of_several_stacks_is_refused(here: Path) -> None:
    words = source_words(write_archive(here / "data", tiles=2))
    with pytest.raises(ConfigError, match="tile parts this source into several stacks"):
        runner.open_stack([*words, BY_TILE, VV])
    assert runner.open_stack([*words, "source.where.tile=10T00", VV]).sizes["time"] == 3


def test_scenes_that_are_skipped_are_warned_of(here: Path) -> None:
    write_scene(here / "data/20200106.tif", speckle((20, 30)))
    (here / "data/20200107.tif").write_bytes(b"no TIFF")
    with pytest.warns(UserWarning, match="left out: .*20200107.tif"):
        stack = runner.open_stack(["source=local", "source.url=data/*.tif", "on_error=skip"])
    assert stack.sizes["time"] == 1


def test_a_scene_that_is_replaced_meanwhile_is_an_error_of_its_kind(here: Path) -> None:
    path = write_scene(here / "data/20200106.tif", speckle((20, 30)))
    stack = runner.open_stack(["source=local", "source.url=data/*.tif"])
    write_scene(path, speckle((25, 30), seed=1))
    with pytest.raises(ReadError, match="20200106.tif"):
        stack.compute()


@pytest.mark.slow
def test_a_stack_through_gdal_from_a_bucket_has_the_same_values() -> None:
    stack = runner.open_stack(["source.limit=2"])
    np.testing.assert_array_equal(stack, runner.open_stack(["source.limit=2", "reader=gdal"]))
    assert stack.sizes["time"] == 2
