"""A run that fails leaves no results, not even those that were written before the one that could not be."""

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs import compose
from scenes_on_disk import speckle, write_scene

from runner.base.atomic import all_or_none, free_folder
from runner.errors import OutputError
from runner.job import run_job
from runner.record.recorded_run import recorded_run

LARGEST = 300 * 1024  # bytes of a file: more than the table and the record take, less than a raster


@pytest.fixture
def small_files() -> Iterator[None]:
    """The system refuses to let a file grow beyond `LARGEST`, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_no_result_stays_if_one_cannot_be_written(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for day in (1, 2):
        write_scene(tmp_path / f"data/s_2020010{day}.tif", speckle((512, 512), seed=day))
    job = compose("source=local", f"source.url={tmp_path}/data/*.tif", "cluster=sync")
    request.getfixturevalue("small_files")
    folder = tmp_path / "run"
    with pytest.raises(OutputError, match=r"temporal_mean\.tif"), recorded_run(folder, {}, [], []) as record:
        run_job(job, record)
    assert json.loads((folder / "run.json").read_text())["status"] == "FAILED"
    found = {path.name for path in folder.iterdir()}
    assert found.isdisjoint({"spatial_mean.parquet", "temporal_mean.tif", "outputs.json"})
    assert not [name for name in found if ".part" in name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_files_of_one_block_stay_together(tmp_path: Path, error: type[BaseException]) -> None:
    files = [tmp_path / name for name in "abc"]
    with all_or_none(files):
        files[0].touch()
    assert files[0].exists()
    with pytest.raises(error), all_or_none(files):
        files[1].touch()
        raise error
    assert not [file for file in files if file.exists()]


def test_a_folder_named_by_the_second_gets_a_number_where_another_run_has_it(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        folder = free_folder(tmp_path / "14-05-09_demo")
        folder.mkdir()
        names.append(folder.name)
    assert names == ["14-05-09_demo", "14-05-09_demo_2", "14-05-09_demo_3"]
