"""Medians and quantiles of zones in whole runs: those of numpy and exactextract, however the work is cut."""

import json
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from jobs import compose, local_source
from passes import computed
from rasterio.features import geometry_mask
from scenes_on_disk import speckle, write_scene
from typed import typed
from zone_files import feature, write_zones
from zoned_scenes import ONLY_ZONES, SHAPE, THIN, scenes, stack_of, stars, write_scenes, zone_table

from runner.errors import ConfigError, PlanError
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.settings import ChunkSettings, JobSettings

QUANTILES = {"median": 0.5, "q05": 0.05, "q25": 0.25, "q99_9": 0.999}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes with holes, and zones on them that overlap, lie in part beyond them, or have no centre of a pixel."""
    folder = tmp_path_factory.mktemp("zones")
    write_scenes(folder)
    features = [*stars()]
    features.insert(3, feature(THIN, name="thin"))
    write_zones(folder / "zones.geojson", features)
    return folder


@pytest.fixture(scope="module")
def stack(folder: Path) -> Stack:
    return stack_of(local_source(folder / "data"))


def job_of(folder: Path, pixels: str, *words: str) -> JobSettings:
    zonal = ["stage@stages.zones=zonal", f"zones.file={folder / 'zones.geojson'}", f"zones.pixels={pixels}"]
    statistics = f"stages.zones.statistics=[{','.join(QUANTILES)},mean,count,range,cv]"
    return replace(compose(*zonal, statistics, *ONLY_ZONES, *words), source=local_source(folder / "data"))


def geometries(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "zones.geojson").read_text())["features"]


@pytest.mark.parametrize("pixels", ["center", pytest.param("all_touched", marks=pytest.mark.slow)])
def test_quantiles_of_zones_are_those_of_numpy(folder: Path, stack: Stack, pixels: str) -> None:
    found = zone_table(job_of(folder, pixels), stack)
    for scene, path in enumerate(scenes(folder)):
        with rasterio.open(path) as raster:
            values = raster.read(1)
            for zone, of_zone in enumerate(geometries(folder)):
                touched = pixels == "all_touched"
                inside = geometry_mask([of_zone["geometry"]], SHAPE, raster.transform, invert=True, all_touched=touched)
                valid = values[inside & (values != 0)].astype(float)
                assert found["count"][scene, zone] == valid.size
                for name, fraction in QUANTILES.items():
                    wanted = np.quantile(valid, fraction) if valid.size else np.nan
                    np.testing.assert_allclose(found[name][scene, zone], wanted, rtol=1e-14, err_msg=f"{name} {zone}")
                if valid.size:
                    np.testing.assert_allclose(found["range"][scene, zone], np.ptp(valid), rtol=1e-12)


def test_quantiles_by_fractions_are_those_of_the_cells_that_exactextract_covers(folder: Path, stack: Stack) -> None:
    exactextract = pytest.importorskip("exactextract")
    found = zone_table(job_of(folder, "fraction"), stack)
    for scene, path in enumerate(scenes(folder)):
        operations = ["values", "coverage", "median"]
        for zone, cells in enumerate(exactextract.exact_extract(str(path), geometries(folder), operations)):
            values, weights = (np.array(cells["properties"][name], float) for name in operations[:2])
            for name, fraction in QUANTILES.items():
                wanted = np.quantile(values, fraction, weights=weights, method="inverted_cdf")
                np.testing.assert_array_equal(found[name][scene, zone], wanted, err_msg=f"{name} {zone}")
            place = np.searchsorted(np.sort(values), found["median"][scene, zone])
            nearest = np.sort(values)[[max(0, place - 1), min(values.size - 1, place + 1)]]
            assert nearest[0] <= cells["properties"]["median"] <= nearest[1]  # it interpolates


@pytest.mark.slow
@pytest.mark.parametrize("pixels", ["center", "fraction"])
def test_bits_do_not_depend_on_chunks_readers_clusters_or_other_stages(folder: Path, stack: Stack, pixels: str) -> None:
    job = job_of(folder, pixels)
    wanted = zone_table(job, stack)
    others = [replace(job, chunks=ChunkSettings(2, "all", "all")), replace(job, reader=compose("reader=gdal").reader)]
    both = compose("statistics=median,mean", "stages.temporal_mean.statistics=[mean]").stages
    others.append(replace(job, stages={**both, **job.stages}))
    others.append(job_of(folder, pixels, "cluster@stages.zones.cluster=processes"))
    others.append(replace(job, stages={**job.stages, "more": job.stages["zones"]}))
    for other in others:
        for name, values in zone_table(other, stack).items():
            np.testing.assert_array_equal(values.view(np.int64), wanted[name].view(np.int64), err_msg=name)


def test_a_stage_with_a_median_of_zones_is_a_pass_of_whole_scenes(folder: Path, stack: Stack) -> None:
    job = job_of(folder, "center")
    beside = compose("stage@stages.spatial_mean=spatial_mean").stages
    plan = make_plan(replace(job, stages={**beside, **job.stages}), stack)
    assert [(one.name, one.chunks.time) for one in plan.passes] == [("spatial_mean+temporal_mean", 3), ("zones", 1)]
    with pytest.raises(ConfigError) as refused:
        make_plan(replace(job, chunks=ChunkSettings("auto", "block", "block")), stack)
    assert str(refused.value).endswith("of stages.zones need whole scenes; add stages.zones.chunks=scene")


def test_the_plan_counts_the_pixels_of_zones_that_are_ordered(folder: Path, tmp_path: Path) -> None:
    write_scene(tmp_path / "data/20200101.tif", np.ones((1500, 1500), np.float32), blockxsize=512, blockysize=512)
    write_zones(tmp_path / "zones.geojson", [feature([(0, 0), (1000, 0), (1000, 1000), (0, 1000)])])
    source = local_source(tmp_path / "data")
    stack = stack_of(source)
    words = "stages.zones.chunks=scene", "stages.zones.statistics=[mean]"
    ordered, summed = (
        make_plan(replace(job_of(tmp_path, "center", *more), source=source), stack).passes[0].worker_bytes
        for more in ((), words)
    )
    assert ordered is not None
    assert summed is not None
    assert ordered - summed >= 1000 * 1000 * (4 + 4 + 4 + 1)  # values, the valid ones, a part of them, flags


@pytest.mark.slow
def test_functions_of_values_alone_are_refused_by_fractions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wide(values: np.ndarray, axis: int) -> np.ndarray:
        return np.nanmax(values, axis) - np.nanmin(values, axis)

    group = "cog_stack_runner.statistics"
    monkeypatch.setattr(EntryPoint, "load", lambda point: wide)
    points = EntryPoints([EntryPoint("wide", "package:wide", group)])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: points)
    statistics = "stages.zones.statistics=[wide,range,mean]"
    with pytest.raises(ConfigError, match=r"statistics=wide: wanted zones.pixels=center or all_touched, since it"):
        job_of(folder, "fraction", statistics)
    source = local_source(folder / "data")
    found = zone_table(job_of(folder, "center", statistics), stack_of(source))
    np.testing.assert_allclose(found["wide"], found["range"], rtol=1e-12)


@pytest.mark.slow
def test_medians_beside_means_by_area_need_a_stage_without_weights(tmp_path: Path) -> None:
    degrees = {"crs": "EPSG:4326", "transform": rasterio.transform.from_origin(10, 50, 0.01, 0.01)}
    pixels = speckle((60, 80))
    write_scene(tmp_path / "data/20200101.tif", pixels, **degrees)
    corners = [[9, 40], [12, 40], [12, 51], [9, 51], [9, 40]]
    (tmp_path / "zones.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    source = local_source(tmp_path / "data")
    job = replace(job_of(tmp_path, "center"), source=source)
    with pytest.raises(PlanError, match=r"stages.zones: median, .* cannot be taken by area"):
        make_plan(job, stack_of(source))
    more = "+stage@stages.more=zonal", "stages.zones.weights=none"
    found = computed(replace(job_of(tmp_path, "center", *more), source=source), stack_of(source))
    valid = pixels[pixels != 0].astype(float)
    np.testing.assert_allclose(found["zones"]["median"], [np.median(valid)])
    np.testing.assert_allclose(found["zones"]["mean"], [valid.mean()])
    assert found["more"]["mean"][0] != found["zones"]["mean"][0]
    more = *more, "stages.zones.statistics=[median,count]"
    found = computed(replace(job_of(tmp_path, "fraction", *more), source=source), stack_of(source))
    assert found["zones"]["median"] == np.quantile(valid, 0.5, method="inverted_cdf")


@pytest.mark.slow
@pytest.mark.parametrize("pixels", ["center", "fraction"])
def test_a_run_with_medians_of_zones_is_verified_and_its_scenes_are_reused(
    folder: Path, tmp_path: Path, pixels: str
) -> None:
    words = ["source=local", f"source.url={folder}/data/*.tif", "stage@stages.zones=zonal", f"zones.pixels={pixels}"]
    words += [f"zones.file={folder / 'zones.geojson'}", "stages.zones.statistics=[median,q25,count,mean]", *ONLY_ZONES]
    words += ["output.keep_partials=true"]
    typed(tmp_path, *words, "source.limit=2", "output.dir=first", check=True)
    typed(tmp_path, *words, "reuse=first", "output.dir=second", check=True)
    typed(tmp_path, *words, "output.dir=anew", check=True)
    first, second, anew = (pd.read_parquet(tmp_path / name / "zones.parquet") for name in ("first", "second", "anew"))
    pd.testing.assert_frame_equal(second, anew)
    pd.testing.assert_frame_equal(second[: len(first)], first)
    reused = json.loads((tmp_path / "second/run.json").read_text())["passes"][0]
    assert reused["fetched"]["bytes"] < sum(path.stat().st_size for path in scenes(folder)) / 2
    done = typed(tmp_path, "log", "verify", "second")
    assert "zones: median: 3 of 3 scenes computed again" in done.stdout
    assert not done.returncode
