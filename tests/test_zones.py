"""Statistics of zones: those of exactextract, of rasterstats and of plain numpy, the same bits however it is cut."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rasterio
from jobs import compose, local_source
from masked_scenes import MaskPlace, hidden_by, mask_settings, masked_stack, write_mask, write_pair
from passes import computed
from rasterio.features import geometry_mask
from scenes_on_disk import speckle, write_scene
from zone_files import LEFT, SIZE, TOP, feature, write_zones
from zoned_scenes import ONLY_ZONES, SCENES, SHAPE, THIN, scenes, stack_of, stars, write_scenes, zone_table

from runner.errors import ConfigError, OutsideError, PlanError
from runner.model import Stack
from runner.output.zone_map import map_in, with_map
from runner.planning.planner import make_plan
from runner.planning.zones import describe_zones
from runner.read.header import Window
from runner.settings import ChunkSettings, JobSettings, ZonePixels, ZoneSettings

STATISTICS = ("count", "coverage", "sum", "mean", "min", "max", "var", "std")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes, and zones on them that overlap, lie in part or wholly beyond them, or have no centre of a pixel."""
    folder = tmp_path_factory.mktemp("zones")
    write_scenes(folder)
    far = [(500, 500), (510, 500), (510, 510)]
    write_zones(folder / "zones.geojson", [*stars(), feature(THIN, name="thin"), feature(far, name="far")])
    return folder


@pytest.fixture(scope="module")
def stack(folder: Path) -> Stack:
    return stack_of(local_source(folder / "data"))


def job_of(folder: Path, pixels: str, *words: str) -> JobSettings:
    file = folder / "zones.geojson"
    zonal = ["stage@stages.zones=zonal", f"zones.file={file}", "zones.id=name", f"zones.pixels={pixels}"]
    statistics = f"stages.zones.statistics=[{','.join(STATISTICS)}]"
    return replace(compose(*zonal, statistics, *ONLY_ZONES, *words), source=local_source(folder / "data"))


def geometries(folder: Path) -> list[dict[str, Any]]:
    """Those of the zones that have rows."""
    return json.loads((folder / "zones.geojson").read_text())["features"][:-1]


def in_numpy(pixels: np.ndarray, valid: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """The statistics of a scene in a zone, whose pixels count by their weights."""
    values, parts = pixels[valid & (weights > 0)].astype(float), weights[valid & (weights > 0)]
    if not values.size:
        return {"count": 0, "coverage": 0.0 if weights.any() else np.nan} | dict.fromkeys(STATISTICS[2:], np.nan)
    mean = np.average(values, weights=parts)
    var = np.average((values - mean) ** 2, weights=parts)
    return {
        "count": values.size,
        "coverage": parts.sum() / weights.sum(),
        "sum": (values * parts).sum(),
        "mean": mean,
        "min": values.min(),
        "max": values.max(),
        "var": var,
        "std": np.sqrt(var),
    }


@pytest.mark.parametrize("pixels", ["center", "all_touched"])
def test_pixels_are_those_that_rasterio_masks(folder: Path, stack: Stack, pixels: str) -> None:
    found = zone_table(job_of(folder, pixels), stack)
    assert found["mean"].shape == (SCENES, len(geometries(folder)))
    for scene, path in enumerate(scenes(folder)):
        with rasterio.open(path) as raster:
            values = raster.read(1)
            for zone, of_zone in enumerate(geometries(folder)):
                touched = pixels == "all_touched"
                inside = geometry_mask([of_zone["geometry"]], SHAPE, raster.transform, invert=True, all_touched=touched)
                wanted = in_numpy(values, values != 0, inside.astype(float))
                for name, value in wanted.items():
                    np.testing.assert_allclose(found[name][scene, zone], value, rtol=1e-12, err_msg=f"{name} {zone}")


def test_fractions_are_those_of_exactextract(folder: Path, stack: Stack) -> None:
    exactextract = pytest.importorskip("exactextract")
    found = zone_table(job_of(folder, "fraction"), stack)
    operations = ["count", "sum", "mean", "min", "max", "variance", "stdev"]
    names = dict(zip(operations[1:], STATISTICS[2:], strict=True))
    for scene, path in enumerate(scenes(folder)):
        theirs = exactextract.exact_extract(str(path), geometries(folder), operations)
        for zone, of_zone in enumerate(theirs):
            for operation, name in names.items():
                value = of_zone["properties"][operation]
                np.testing.assert_allclose(found[name][scene, zone], value, rtol=1e-6, err_msg=f"{name} {zone}")


def test_means_are_those_of_rasterstats(folder: Path, stack: Stack) -> None:
    rasterstats = pytest.importorskip("rasterstats")
    for pixels in ("center", "all_touched"):
        found = zone_table(job_of(folder, pixels), stack)
        for scene, path in enumerate(scenes(folder)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a zone without pixels, and of what is deprecated in it
                names = ["count", "mean", "min", "max", "std"]
                theirs = rasterstats.zonal_stats(
                    geometries(folder), str(path), stats=names, all_touched=pixels == "all_touched"
                )
            for zone, of_zone in enumerate(theirs):
                for name in names:
                    value = np.nan if of_zone[name] is None else of_zone[name]
                    np.testing.assert_allclose(found[name][scene, zone], value, rtol=1e-6, err_msg=f"{name} {zone}")


CHUNKS = [ChunkSettings(1, "block", "block"), ChunkSettings(2, 17, 50, snap=False), ChunkSettings("all", "all", "all")]


@pytest.mark.parametrize("pixels", ["center", "fraction"])
def test_bits_do_not_depend_on_chunks_or_on_other_stages(folder: Path, stack: Stack, pixels: str) -> None:
    job = job_of(folder, pixels)
    wanted = zone_table(job, stack)
    others = [replace(job, chunks=chunks) for chunks in CHUNKS]
    beside = compose("statistics=mean,count").stages
    others.append(replace(job, stages={**beside, **job.stages}))
    others.append(replace(job, reader=compose("reader=gdal").reader))
    for other in others:
        for name, values in zone_table(other, stack).items():
            np.testing.assert_array_equal(values.view(np.int64), wanted[name].view(np.int64), err_msg=name)


def test_a_zone_of_all_pixels_has_the_spatial_mean_to_the_bit(folder: Path, tmp_path: Path) -> None:
    degrees = {"crs": "EPSG:4326", "transform": rasterio.transform.from_origin(10, 50, 0.01, 0.01)}
    for day in (1, 2):
        write_scene(tmp_path / f"data/2020010{day}.tif", speckle((60, 80), seed=day), **degrees)
    corners = [[9, 40], [12, 40], [12, 51], [9, 51], [9, 40]]
    (tmp_path / "all.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    names = "[mean,valid_fraction,sum,var,std,min,max,count]"
    words = [f"stages.spatial_mean.statistics={names}", f"stages.zones.statistics={names}"]
    zones = ["stage@stages.zones=zonal", f"zones.file={tmp_path / 'all.geojson'}"]
    source = local_source(tmp_path / "data")
    for pixels in ("center", "fraction"):
        job = replace(compose(*zones, *words, f"zones.pixels={pixels}"), source=source)
        values = computed(job, stack_of(source))
        for name, of_scenes in values["spatial_mean"].items():
            np.testing.assert_array_equal(values["zones"][name], of_scenes, err_msg=name)


def test_an_area_cuts_zones_too(folder: Path, tmp_path: Path) -> None:
    corners = [(10, 10), (80, 10), (80, 60), (10, 60)]
    write_zones(tmp_path / "area.geojson", [feature(corners)])
    job = job_of(folder, "center")
    source = local_source(folder / "data", area=str(tmp_path / "area.geojson"))
    found = zone_table(replace(job, source=source), stack_of(source))
    rows = [np.s_[10:60, 10:80]]
    with rasterio.open(scenes(folder)[0]) as raster:
        values = raster.read(1)
        inside = geometry_mask([geometries(folder)[0]["geometry"]], SHAPE, raster.transform, invert=True)
    kept = np.zeros(SHAPE, bool)
    kept[rows[0]] = True
    wanted = in_numpy(values, values != 0, (inside & kept).astype(float))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name][0, 0], value, rtol=1e-12)


def test_what_lies_beyond_the_grid_and_what_is_empty_is_said(folder: Path, stack: Stack) -> None:
    job = job_of(folder, "center")
    plan = make_plan(job, stack)
    (zones,) = {stage.zones for stage in plan.stages}
    assert zones is not None
    assert zones.names.tolist() == [*(f"zone {number}" for number in range(7)), "thin"]
    beyond, empty = describe_zones(job.zones, plan.stages)
    assert "3 lie partly beyond the grid" in beyond
    assert "1 lies wholly beyond it and has no rows: far" in beyond
    assert "1 zone is empty, since no pixel has its centre inside: thin; count 0, the rest missing" in empty
    assert "zones.pixels=all_touched or fraction gives it some" in empty
    assert plan.passes[0].worker_bytes


def test_a_picture_of_zones_has_their_numbers(folder: Path, stack: Stack) -> None:
    (zones,) = {stage.zones for stage in make_plan(job_of(folder, "center"), stack).stages}
    assert zones is not None
    drawn, expected = zones.picture(max(SHAPE)), np.full(SHAPE, -1)
    with rasterio.open(scenes(folder)[0]) as raster:
        for number, zone in enumerate(
            geometries(folder)[: len(zones.names)]
        ):  # of zones that overlap, the last is seen
            expected[geometry_mask([zone["geometry"]], SHAPE, raster.transform, invert=True)] = number
    np.testing.assert_array_equal(drawn, expected)
    assert zones.picture(30).shape == (22, 30)
    grid = stack.grid
    table = with_map(pa.table({"mean": [1.0]}), zones, grid)
    found = map_in(table.schema.metadata)
    assert found is not None
    assert found[1:] == (SHAPE, grid.transform, grid.crs_name)
    np.testing.assert_array_equal(found.zones, zones.picture(240))


def test_stages_over_zones_weigh_fractions_of_pixels_alike(folder: Path, tmp_path: Path) -> None:
    degrees = {"crs": "EPSG:4326", "transform": rasterio.transform.from_origin(10, 50, 0.01, 0.01)}
    write_scene(tmp_path / "data/20200101.tif", speckle((60, 80)), **degrees)
    (tmp_path / "all.geojson").write_text(
        json.dumps({"type": "Polygon", "coordinates": [[[9, 40], [12, 40], [12, 51], [9, 51]]]})
    )
    source = local_source(tmp_path / "data")
    both = ["stage@stages.zones=zonal", "+stage@stages.more=zonal", "stages.more.weights=none"]
    words = [*both, f"zones.file={tmp_path / 'all.geojson'}", "zones.pixels=fraction"]
    with pytest.raises(
        PlanError, match=r"stages.zones weighs pixels by area, stages.more by none; wanted equal weights"
    ):
        make_plan(replace(compose(*words), source=source), stack_of(source))


def test_zones_none_of_which_is_on_the_grid_are_refused(folder: Path, stack: Stack, tmp_path: Path) -> None:
    write_zones(tmp_path / "far.geojson", [feature([(500, 500), (510, 500), (510, 510)])])
    job = replace(job_of(folder, "center"), zones=ZoneSettings(str(tmp_path / "far.geojson")))
    with pytest.raises(OutsideError, match=r"far.geojson: none of its 1 zone has a pixel on the grid"):
        make_plan(job, stack)


@pytest.mark.parametrize("furthest", [1e12, 1e16, 1e300])
@pytest.mark.parametrize("pixels", ZonePixels)
def test_a_point_too_far_away_to_lie_right_is_refused(
    folder: Path, stack: Stack, tmp_path: Path, furthest: float, pixels: ZonePixels
) -> None:
    write_zones(tmp_path / "far.geojson", [feature([(0, 0), (furthest, 0), (0, 50)])])
    job = replace(job_of(folder, "center"), zones=ZoneSettings(str(tmp_path / "far.geojson"), pixels=pixels))
    with pytest.raises(
        ConfigError, match=r"far.geojson: a polygon has a point .* pixels from the scenes, wanted at most"
    ):
        make_plan(job, stack)


def test_zones_in_degrees_are_moved_to_the_scenes(folder: Path, stack: Stack, tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    here = geopandas.GeoDataFrame.from_features(geometries(folder), crs="EPSG:32610")
    dense = here.set_geometry(here.segmentize(SIZE))  # so that straight edges stay where they were
    (tmp_path / "degrees.geojson").write_text(dense.to_crs("EPSG:4326").to_json())
    job = job_of(folder, "fraction")
    wanted = zone_table(job, stack)
    moved = ZoneSettings(str(tmp_path / "degrees.geojson"), None, "name", ZonePixels.fraction)
    found = zone_table(replace(job, zones=moved), stack)
    np.testing.assert_allclose(found["mean"], wanted["mean"], rtol=1e-4)


@pytest.mark.parametrize("scale", [None, 0.01])
def test_pixels_that_masks_hide_are_in_no_zone(tmp_path: Path, scale: float | None) -> None:
    random = np.random.default_rng(5)
    scene, mask = Window(0, 0, *SHAPE), mask_settings(bits=[1])
    pixels = random.integers(1, 9000, SHAPE).astype(np.uint16)
    write_pair(tmp_path, 1, scene, pixels, blockxsize=32, blockysize=16)
    codes = random.integers(0, 4, MaskPlace().shape(scene), dtype=np.uint8)
    path = write_mask(tmp_path, 1, scene, codes, MaskPlace(), blockxsize=32, blockysize=16)
    corners = [(10.2, 5.1), (100.7, 40.3), (30.4, 80.9)]
    write_zones(tmp_path / "zones.geojson", [feature(corners, name="a"), feature(corners[::-1], name="b")])
    source = local_source(tmp_path, url=f"{tmp_path}/*_B.tif", scale=scale)
    job = replace(job_of(tmp_path, "center", "stages.zones.statistics=[count,coverage,mean]"), source=source, mask=mask)
    job = replace(job, stages={**compose("statistics=mean,count").stages, **job.stages})
    found = {name: values.reshape(1, 2) for name, values in computed(job, masked_stack(source, mask))["zones"].items()}
    geometry = feature(corners)["geometry"]
    inside = geometry_mask([geometry], SHAPE, rasterio.Affine(SIZE, 0, LEFT, 0, -SIZE, TOP), invert=True)
    shown = ~hidden_by(path, scene, mask, MaskPlace())
    wanted = in_numpy(pixels * (scale or 1.0), shown, inside.astype(float))
    for name in ("count", "coverage", "mean"):
        np.testing.assert_allclose(found[name], [[wanted[name]] * 2], rtol=1e-12)
