"""A run in an area, done again: its polygons are pinned as its scenes are."""

import json
from pathlib import Path

import pytest
from jobs import Typed
from scenes_on_disk import speckle, write_scene

pytestmark = pytest.mark.slow  # each starts several runs


def write_area(path: Path, right: float) -> None:
    ring = [(500000, 5299000), (right, 5299000), (right, 5300000), (500000, 5300000), (500000, 5299000)]
    named = {"type": "name", "properties": {"name": "EPSG:32610"}}
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring], "crs": named}))


@pytest.fixture
def run(typed: Typed, tmp_path: Path) -> Path:
    for day in (1, 2):
        write_scene(tmp_path / f"data/2020010{day}.tif", speckle((90, 80), seed=day))
    write_area(tmp_path / "area.geojson", 501000)
    done = typed("source=local", "source.url=data/*.tif", "source.area=area.geojson", "output.dir=out")
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


def test_its_polygons_are_recorded_and_pinned(typed: Typed, run: Path) -> None:
    assert len(json.loads((run / "run.json").read_text())["stack"]["area_sha256"]) == 64
    done = typed("log", "rerun", "out", "--", "chunks=row")
    assert done.returncode == 0, done.stderr
    assert "the same bits" in done.stdout
    write_area(run.parent / "area.geojson", 500900)
    done = typed("log", "rerun", "out")
    assert done.returncode == 1
    assert "source.area=area.geojson: its polygons have changed since they were recorded" in done.stderr
    assert "Traceback" not in done.stderr
    done = typed("log", "rerun", "out", "--unpinned")
    assert done.returncode == 1
    assert "values differ" in done.stdout


def test_another_file_is_taken_where_it_is_named(typed: Typed, run: Path) -> None:
    write_area(run.parent / "other.geojson", 500900)
    done = typed("log", "rerun", "out", "--", "source.area=other.geojson")
    assert "values differ" in done.stdout, done.stderr


def test_verify_computes_values_in_the_area_again(typed: Typed, run: Path) -> None:
    done = typed("log", "verify", "out")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_by_worker_processes_has_the_same_bits(typed: Typed, run: Path) -> None:
    words = ["source=local", "source.url=data/*.tif", "source.area=area.geojson", "cluster=processes", "chunks=block"]
    assert not typed(*words, "output.dir=by_processes").returncode
    for name in ("temporal_mean.tif", "spatial_mean.parquet"):
        assert (run / name).read_bytes() == (run.parent / "by_processes" / name).read_bytes()
