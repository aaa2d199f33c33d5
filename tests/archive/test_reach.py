"""What the workers of an archive must reach: a scene and a mask of each place, and the files of polygons."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jobs import compose
from scenes_on_disk import speckle, write_boxes, write_scene

from runner.archive.reach import probe_of
from runner.errors import ClusterError
from runner.preview import stores_of
from runner.source.outlines import outlines_of
from runner.source.scenes import list_stacks

NEEDED = [
    "mask.href.replace=['/scenes/','/masks/','.tif$','_qa.tif']", "mask.keep=[1]",
    "source.area=area.geojson", "stage@stages.zones=zonal", "zones.file=zones.geojson",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scenes of two tiles, masks in a folder of their own, and two files of polygons, in the folder of this process."""
    monkeypatch.chdir(tmp_path)
    for tile in ("A", "B"):
        name = f"S1A_20200106_{tile}"
        write_scene(tmp_path / f"scenes/{name}.tif", speckle((32, 32)), blockxsize=16, blockysize=16)
        write_scene(tmp_path / f"masks/{name}_qa.tif", np.ones((32, 32), np.uint8), blockxsize=16, blockysize=16)
    for name in ("area", "zones"):
        write_boxes(tmp_path / f"{name}.geojson", [(0, 0, 16, 16)])
    return tmp_path


def probe(folder: Path) -> Callable[[], object]:
    """What a worker gets and calls, made where everything is there."""
    pattern = r"S1A_(?P<date>\d{8})_(?P<tile>\w)"
    source = ["source=local", f"source.url={folder}/scenes/*.tif", f"source.datetime_regex={pattern}"]
    job = compose(*source, "source.stack_by=[tile]", *NEEDED)
    stores = stores_of(job)
    _, parts = list_stacks(job.source, stores, job.mask)
    sent: Callable[[], object] = pickle.loads(pickle.dumps(probe_of(job, stores, parts, outlines_of(job, stores))))
    return sent


def test_a_worker_in_another_folder_reaches_what_its_paths_name(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = probe(folder)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    call()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("scenes", r"it cannot read .*/scenes/S1A_20200106_A\.tif: .*; .* give both the same folders"),
        ("masks", r"it cannot read .*/masks/S1A_20200106_A_qa\.tif: .*; .* give both the same folders"),
        ("area.geojson", r"it cannot read source\.area=.*: there is no such file; .* the same files"),
        ("zones.geojson", r"it cannot read zones\.file=.*: there is no such file; .* the same files"),
    ],
)
def test_a_worker_that_lacks_something_says_what(folder: Path, path: str, message: str) -> None:
    call, lacking = probe(folder), folder / path
    shutil.rmtree(lacking) if lacking.is_dir() else lacking.unlink()
    with pytest.raises(ClusterError, match=message):
        call()


@pytest.mark.parametrize(("name", "key"), [("area", "source.area"), ("zones", "zones.file")])
def test_a_worker_with_other_polygons_is_refused(folder: Path, name: str, key: str) -> None:
    call = probe(folder)
    write_boxes(folder / f"{name}.geojson", [(0, 0, 16, 24)])
    with pytest.raises(ClusterError, match=rf"{key}=.*{name}\.geojson has other polygons there"):
        call()
