"""A run whose statistics over time are bands of one file: everything that reads results finds them there."""

import json
from pathlib import Path

import geopandas
import pytest
import rasterio
from numpy.testing import assert_array_equal
from scenes_on_disk import speckle, write_scene
from stack_archives import BY, source_words, write_archive

import runner
from runner.compare.values import differing_values
from runner.log.check import Verdict
from runner.log.verify import _checks, _job
from runner.record.run_folder import RunFolder, read_run
from runner.report.archive_folder import read_archive
from runner.report.gather import read_folder

STATISTICS = "stages.temporal_mean.statistics=[std,mean,count]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of four scenes, in `files` and in `bands`."""
    folder = tmp_path_factory.mktemp("layouts")
    for at, day in enumerate((6, 12, 18, 24)):
        write_scene(folder / f"data/S1A_202001{day:02}.tif", speckle((600, 520), seed=at))
    for layout in ("files", "bands"):
        words = ["source=local", f"source.url={folder}/data/*.tif", STATISTICS, f"output.layout={layout}"]
        runner.run([*words, f"output.dir={folder / layout}"], progress=False)
    return folder


def run_of(folder: Path, layout: str) -> RunFolder:
    return read_run(folder / layout)


def test_one_file_has_all_statistics_and_says_so(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "bands").glob("*.tif")) == ["temporal.tif"]
    (file,) = (file for file in run_of(folder, "bands").outputs() if file.over == "time")
    assert [value.name for value in file.values] == ["std", "mean", "count"]
    bands = json.loads((folder / "bands/item.json").read_text())["assets"]["temporal"]["bands"]
    assert [band["description"] for band in bands] == [
        f"{name} of S1A, 2020-01-06 to 2020-01-24" for name in ("std", "mean", "count")
    ]
    with rasterio.open(folder / "bands/temporal.tif") as raster:
        assert [band["description"] for band in bands] == [*raster.descriptions]


def test_python_has_the_same_variables_in_either_layout(folder: Path) -> None:
    files, bands = (runner.open_run(folder / layout).rasters for layout in ("files", "bands"))
    assert {*files} == {*bands} == {"temporal_std", "temporal_mean", "temporal_count"}
    for name, raster in bands.items():
        assert_array_equal(raster, files[name])
        assert raster.attrs["long_name"] == files[name].attrs["long_name"]
        assert raster.rio.crs == "EPSG:32610"


def test_it_is_verified_against_its_digests_and_its_source(folder: Path) -> None:
    run = run_of(folder, "bands")
    checks = {check.what: check for check in _checks(run, _job(run, []), 99, 1)}
    assert {check.verdict.value for check in checks.values()} == {"ok"}
    assert checks["temporal.tif: count"].text.startswith("312,000 values as written")
    assert checks["temporal_mean: std"].text.endswith("312,000 values as stored")


def test_it_differs_from_files_by_the_type_of_its_counts_alone(folder: Path) -> None:
    section = differing_values(run_of(folder, "files"), run_of(folder, "bands"))
    assert [(one.what, one.text) for one in section.differences] == [
        ("temporal_mean: count", "pixels are int32 and float32")
    ]
    assert not differing_values(run_of(folder, "bands"), run_of(folder, "bands")).differences


def test_its_page_has_a_picture_of_each_band(folder: Path) -> None:
    rasters = read_folder(folder / "bands").rasters
    assert [(raster.file, raster.statistic) for raster in rasters] == [
        ("temporal.tif, band 1", "std"),
        ("temporal.tif, band 2", "mean"),
        ("temporal.tif, band 3", "count"),
    ]
    page = (folder / "bands/report.html").read_text()
    assert all(f"temporal.tif, band {number}" in page for number in (1, 2, 3))


@pytest.mark.slow
def test_an_archive_has_it_in_every_stack(tmp_path: Path) -> None:
    words = [*source_words(write_archive(tmp_path / "data")), BY, STATISTICS, "output.layout=bands"]
    run = runner.run([*words, f"output.dir={tmp_path / 'run'}"], progress=False)
    assert len(run.stacks) == 6
    for stack in run.stacks.values():
        assert {*stack.rasters} == {"temporal_std", "temporal_mean", "temporal_count"}
        assert [check.text for check in _checks(stack._read, None, 0, 1) if check.verdict is not Verdict.ok] == []
    pictures = read_archive(run.folder).pictures
    assert [picture.statistic for _, picture in pictures] == ["mean"] * 6
    footprints = geopandas.read_parquet(run.folder / "stacks.parquet")
    scenes = geopandas.read_parquet(run.folder / "spatial_mean.parquet")
    assert len(scenes.sjoin(footprints[footprints["tile"] == "10T00"], predicate="within")) >= 6
