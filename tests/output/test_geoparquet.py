"""Footprints in tables: GeoPandas places them, other readers of Parquet pass over them."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from archive_folders import make_archive_folder
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from run_folders import SMALL, made_inputs
from shapely.geometry import shape

from runner.model import Grid, Inputs
from runner.output.footprint import footprint_of
from runner.output.geoparquet import wkb_of
from runner.output.inputs import write_inputs
from runner.output.table import scene_table, write_table
from runner.record.stacks import read_stacks

INPUTS = made_inputs(SMALL, "s3://bucket/")  # 320 x 300 pixels of 20 m, on UTM's zone 10
COUNT = len(INPUTS.stack.scenes)


def at(crs: str | None, west: float, north: float) -> Inputs:
    """The same scenes elsewhere."""
    wkt = CRS.from_user_input(crs).to_wkt() if crs else None
    grid = Grid(wkt, crs or "none", (20.0, 0.0, west, 0.0, -20.0, north), SMALL.height, SMALL.width)
    return replace(INPUTS, stack=replace(INPUTS.stack, grid=grid))


def stored(folder: Path, inputs: Inputs) -> Path:
    path = folder / "spatial_mean.parquet"
    write_table(path, scene_table(inputs.stack, {"mean": np.arange(float(COUNT))}, {}, {}))
    return path


@given(st.floats(-179, 179), st.floats(-60, 80), st.integers(1, 3000), st.integers(1, 3000), st.floats(1e-4, 1e-2))
def test_well_known_binary_is_the_footprint(west: float, north: float, height: int, width: int, pixel: float) -> None:
    footprint = footprint_of(Grid("EPSG:4326", "EPSG:4326", (pixel, 0.0, west, 0.0, -pixel, north), height, width))
    assert footprint is not None
    assert shapely.from_wkb(wkb_of(footprint)).equals(shape(footprint.geometry))


@pytest.mark.parametrize(
    ("inputs", "kind", "edges"),
    [
        (INPUTS, "Polygon", (-123.00027, 47.79609, -122.92006, 47.85370)),
        (at("EPSG:32660", 721000.0, 5300000.0), "MultiPolygon", (-180.0, 47.75577, 180.0, 47.81537)),
    ],
    ids=["a plain place", "across the antimeridian"],
)
def test_geopandas_places_the_scenes(tmp_path: Path, inputs: Inputs, kind: str, edges: tuple[float, ...]) -> None:
    path = stored(tmp_path, inputs)
    frame = geopandas.read_parquet(path)
    assert frame.crs == "EPSG:4326"
    assert set(frame.geom_type) == {kind}
    assert frame.is_valid.all()
    assert frame.total_bounds.tolist() == pytest.approx(edges, abs=1e-5)
    area = frame.to_crs(inputs.stack.grid.crs).area
    assert area.to_numpy() == pytest.approx(SMALL.height * SMALL.width * 400.0, rel=1e-4)
    geo = json.loads(pq.read_schema(path).metadata[b"geo"])["columns"]["geometry"]
    assert geo["geometry_types"] == [kind]
    assert geo["bbox"] == frame.total_bounds.tolist()


def test_a_row_has_the_part_of_the_grid_that_its_scene_covers(tmp_path: Path) -> None:
    first, second, third, *others = INPUTS.stack.scenes
    scenes = (first, replace(second, column=150), replace(third, row=-320), *others)
    inputs = replace(INPUTS, stack=replace(INPUTS.stack, scenes=scenes))
    areas = geopandas.read_parquet(stored(tmp_path, inputs)).to_crs("EPSG:32610").area
    assert areas[:2].to_list() == pytest.approx([320 * 300 * 400.0, 320 * 150 * 400.0], rel=1e-4)
    assert np.isnan(areas[2]) or areas[2] == 0
    write_inputs(tmp_path / "inputs.parquet", inputs)
    whole = geopandas.read_parquet(tmp_path / "inputs.parquet")
    assert whole[whole["used"]].to_crs("EPSG:32610").area.to_numpy() == pytest.approx(320 * 300 * 400.0, rel=1e-4)
    assert whole[~whole["used"]].geometry.isna().all()


def test_without_a_crs_no_footprint_is_known(tmp_path: Path) -> None:
    frame = geopandas.read_parquet(stored(tmp_path, at(None, 0.0, 0.0)))
    assert frame.geometry.isna().all()
    assert frame["mean"].to_list() == [*range(COUNT)]


def test_other_readers_have_bytes(tmp_path: Path) -> None:
    path = stored(tmp_path, INPUTS)
    table = pd.read_parquet(path)
    assert shapely.from_wkb(table["geometry"].iloc[0]).geom_type == "Polygon"
    assert duckdb.sql(f"select count(geometry), max(mean) from '{path}'").fetchall() == [(COUNT, COUNT - 1)]


def test_the_tables_of_an_archive_are_maps_too(tmp_path: Path) -> None:
    folder = make_archive_folder(
        tmp_path / "run", {"10TET_VV": "COMPLETED", "10TFT_VV": "FAILED", "10TGT_VV": "WAITING"}
    )
    stacks = geopandas.read_parquet(folder / "stacks.parquet")
    assert stacks.geometry.notna().to_list() == [True, True, False]
    assert [row.geometry is not None for row in read_stacks(folder)] == [True, True, False]
    scenes = geopandas.read_parquet(folder / "spatial_mean.parquet")
    assert scenes.crs == stacks.crs == "EPSG:4326"
    assert scenes.geometry.iloc[0].equals(stacks.geometry.iloc[0])
