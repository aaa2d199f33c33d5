"""STAC items and collections: valid, the same for the same results, opened by pystac and odc-stac."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
from jobs import compose
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rasterio.crs import CRS
from run_folders import SMALL, made_inputs, written_stages

from runner.model import Inputs
from runner.output.inputs import write_inputs
from runner.publish.collection import write_collection
from runner.publish.item import MOST_LINKS, Described, write_item
from runner.record.stacks import FOLDER

TINY = replace(SMALL, scenes=4, height=32, width=48, left_out=0)


def inputs_of(scenes: int = 4, crs: str | None = "EPSG:32610") -> Inputs:
    inputs = made_inputs(replace(TINY, scenes=scenes), "s3://bucket/")
    wkt = crs and CRS.from_user_input(crs).to_wkt()
    name = crs if crs and crs.startswith("EPSG") else "a CRS without a name"
    return replace(inputs, stack=replace(inputs.stack, grid=replace(inputs.stack.grid, crs=wkt, crs_name=name)))


def described(folder: Path, inputs: Inputs, *, archived: bool = False) -> dict[str, Any]:
    """The item that is written beside results."""
    folder.mkdir(parents=True, exist_ok=True)
    write_inputs(folder / "inputs.parquet", inputs)
    stages = written_stages(folder, replace(TINY, scenes=len(inputs.stack.scenes)), inputs.stack)
    write_item(folder / "item.json", Described(folder.name, inputs, stages, "ab" * 32, archived))
    item: dict[str, Any] = json.loads((folder / "item.json").read_text())
    return item


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stac") / "10TET_VV"
    described(path, inputs_of())
    return path


def validate(tree: dict[str, Any], kind: pystac.STACObjectType) -> None:
    """Raises STACValidationError. The schemas of STAC itself come with pystac; those of extensions lie on the web."""
    JsonSchemaSTACValidator().validate_core(tree, kind, "1.1.0", None)


@pytest.mark.parametrize(
    ("crs", "scenes"),
    [("EPSG:32610", 4), (None, 4), ("+proj=laea +lat_0=52 +lon_0=10", 4), ("EPSG:32610", MOST_LINKS + 1)],
    ids=["EPSG", "no CRS", "a CRS without a code", "many scenes"],
)
def test_an_item_is_valid(tmp_path: Path, crs: str | None, scenes: int) -> None:
    item = described(tmp_path / "run", inputs_of(scenes, crs))
    validate(item, pystac.STACObjectType.ITEM)
    assert (item["geometry"] is None) == (crs is None)
    assert ("bbox" in item) == (crs is not None)
    assert ("proj:wkt2" in item["properties"]) == (crs is not None and not crs.startswith("EPSG"))


def test_the_validator_would_find_a_fault(folder: Path) -> None:
    item = json.loads((folder / "item.json").read_text())
    del item["properties"]["start_datetime"]
    with pytest.raises(pystac.errors.STACValidationError):
        validate(item, pystac.STACObjectType.ITEM)


def test_pystac_reads_what_the_extensions_say(folder: Path) -> None:
    item = pystac.Item.from_file(str(folder / "item.json"))
    projection = ProjectionExtension.ext(item)
    with rasterio.open(folder / "temporal_mean.tif") as raster:
        assert projection.code == raster.crs.to_string()
        assert projection.shape == list(raster.shape)
        assert projection.transform == list(raster.transform)[:6]
        assert projection.bbox == list(raster.bounds)
    for name in ("temporal_mean", "temporal_count", "spatial_mean", "inputs"):
        asset = item.assets[name]
        content = Path(asset.get_absolute_href() or "").read_bytes()
        about = FileExtension.ext(asset)
        assert about.size == len(content)
        assert about.checksum == f"1220{hashlib.sha256(content).hexdigest()}"


def test_its_statistics_are_those_of_the_pixels(folder: Path) -> None:
    item = json.loads((folder / "item.json").read_text())
    for name in ("temporal_mean", "temporal_count"):
        with rasterio.open(folder / f"{name}.tif") as raster:
            pixels = raster.read(1, masked=True)
        (band,) = item["assets"][name]["bands"]
        assert band["data_type"] == pixels.dtype.name
        assert band["statistics"]["minimum"] == pytest.approx(float(pixels.min()))
        assert band["statistics"]["maximum"] == pytest.approx(float(pixels.max()))
        assert band["statistics"]["valid_percent"] == pytest.approx(100 * pixels.count() / pixels.size, abs=1e-3)


@pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")  # of odc-geo
def test_odc_stac_loads_the_very_pixels(folder: Path) -> None:
    loaded = odc.stac.load([pystac.Item.from_file(str(folder / "item.json"))])
    assert set(loaded.data_vars) == {"temporal_mean", "temporal_count"}
    for name, array in loaded.data_vars.items():
        with rasterio.open(folder / f"{name}.tif") as raster:
            np.testing.assert_array_equal(array.to_numpy()[0], raster.read(1))
            assert array.dtype == raster.dtypes[0]


def test_the_same_results_have_the_same_item(folder: Path, tmp_path: Path) -> None:
    described(tmp_path / folder.name, inputs_of())
    assert (tmp_path / folder.name / "item.json").read_bytes() == (folder / "item.json").read_bytes()


def test_it_links_its_scenes_as_far_as_a_reader_can_take_in(tmp_path: Path) -> None:
    few, many = (described(tmp_path / str(scenes), inputs_of(scenes)) for scenes in (MOST_LINKS, MOST_LINKS + 1))
    hrefs = [link["href"] for link in few["links"] if link["rel"] == "derived_from"]
    assert hrefs == [scene.href for scene in inputs_of(MOST_LINKS).stack.scenes]
    assert not many["links"]
    assert "inputs.parquet is the list" in many["properties"]["processing:lineage"]
    assert many["assets"]["inputs"]["href"] == "./inputs.parquet"


def link_to(folder: Path, path: str) -> str:
    """The link of an item in a folder to its scene at a path."""
    inputs = inputs_of(2)
    stack = replace(inputs.stack, scenes=tuple(replace(scene, href=path) for scene in inputs.stack.scenes))
    links = described(folder, replace(inputs, stack=stack))["links"]
    (link, _) = (link for link in links if link["rel"] == "derived_from")
    return str(link["href"])


@pytest.mark.parametrize("path", ["/data/a.tif", "/a.tif", "/d ä/50 % #1?.tif", "data/a.tif"])
def test_files_of_this_machine_are_linked_as_pathlib_writes_them(tmp_path: Path, path: str) -> None:
    assert link_to(tmp_path, path) == Path(path).absolute().as_uri()


def test_a_link_follows_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for here in (tmp_path / "a", tmp_path / "b"):
        here.mkdir()
        monkeypatch.chdir(here)
        assert link_to(here / "run", "data/c.tif") == (here / "data/c.tif").as_uri()


def test_an_archive_is_a_collection_of_its_items(tmp_path: Path) -> None:
    job = compose("source=local", "source.url=/data", "source.stack_by=[tile]")
    early = inputs_of(2)
    for name, inputs in (("10TET", inputs_of()), ("10TFT", early)):
        described(tmp_path / FOLDER / name, inputs, archived=True)
    assert write_collection(job, tmp_path, ["10TET", "10TFT", "11TLN"]) == ["collection.json"]
    validate(json.loads((tmp_path / "collection.json").read_text()), pystac.STACObjectType.COLLECTION)
    collection = pystac.Collection.from_file(str(tmp_path / "collection.json"))
    items = list(collection.get_items())
    assert [item.id for item in items] == ["10TET", "10TFT"]
    assert all(item.get_collection() is not None for item in items)
    assert collection.extent.spatial.bboxes == [items[0].bbox]
    times = [scene.time for scene in inputs_of().stack.scenes]
    assert collection.extent.temporal.intervals == [[times[0], times[-1]]]


def test_an_archive_without_items_has_no_collection(tmp_path: Path) -> None:
    job = compose("source=local", "source.url=/data", "source.stack_by=[tile]")
    assert not write_collection(job, tmp_path, ["10TET"])
    assert not (tmp_path / "collection.json").exists()
