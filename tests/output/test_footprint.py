"""Footprints in longitude and latitude: closed rings that turn left, cut at the antimeridian, around poles."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import transform as reproject

from runner.model import Grid
from runner.output.footprint import Footprint, footprint_of


def grid(crs: str, corner: tuple[float, float], pixel: float, shape: tuple[int, int]) -> Grid:
    west, north = corner
    return Grid(CRS.from_user_input(crs).to_wkt(), crs, (pixel, 0.0, west, 0.0, -pixel, north), *shape)


def found(place: Grid) -> Footprint:
    footprint = footprint_of(place)
    assert footprint is not None
    return footprint


def rings(footprint: Footprint) -> list[list[list[float]]]:
    geometry = footprint.geometry
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return [ring for (ring,) in polygons]


def area(ring: list[list[float]]) -> float:
    """Of a closed ring in square degrees; positive if it turns left."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2


@pytest.mark.parametrize(
    ("place", "bbox"),
    [
        (grid("EPSG:4326", (-123.0, 48.0), 0.01, (50, 100)), [-123.0, 47.5, -122.0, 48.0]),
        (grid("EPSG:4326", (-180.0, 90.0), 1.0, (180, 360)), [-180.0, -90.0, 180.0, 90.0]),
        (grid("EPSG:4326", (0.0, 90.0), 1.0, (180, 360)), [-180.0, -90.0, 180.0, 90.0]),
        (grid("EPSG:4326", (175.0, 10.0), 0.1, (100, 100)), [175.0, 0.0, -175.0, 10.0]),
        (grid("EPSG:4326", (-185.0, 10.0), 0.1, (100, 100)), [175.0, 0.0, -175.0, 10.0]),
        (grid("EPSG:4326", (170.0, 10.0), 0.1, (100, 100)), [170.0, 0.0, 180.0, 10.0]),
        (grid("EPSG:4326", (358.0, 10.0), 0.1, (10, 10)), [-2.0, 9.0, -1.0, 10.0]),
    ],
    ids=["plain", "the Earth", "the Earth from 0", "across 180", "across -180", "to 180", "beyond 180"],
)
def test_a_box_in_degrees_is_its_own_bbox(place: Grid, bbox: list[float]) -> None:
    assert found(place).bbox == pytest.approx(bbox, abs=1e-6)


@pytest.mark.parametrize("corner", [-180.00000000000003, 170.00000000000003])
def test_an_edge_that_lies_beyond_the_antimeridian_by_rounding_lies_on_it(corner: float) -> None:
    footprint = found(grid("EPSG:4326", (corner, 10.0), 0.1, (100, 100)))
    assert footprint.bbox == pytest.approx([round(corner), 0.0, round(corner) + 10, 10.0])
    assert footprint.geometry["type"] == "Polygon"


def test_a_grid_across_the_antimeridian_has_a_polygon_on_either_side() -> None:
    east, west = sorted(rings(found(grid("EPSG:4326", (175.0, 10.0), 0.1, (100, 100)))), key=lambda ring: -ring[0][0])
    assert (min(x for x, _ in east), max(x for x, _ in east)) == (175.0, 180.0)
    assert (min(x for x, _ in west), max(x for x, _ in west)) == (-180.0, -175.0)
    assert area(east) + area(west) == pytest.approx(100)


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3995", 90.0), ("EPSG:3031", -90.0)])
def test_a_grid_around_a_pole_has_all_longitudes_up_to_it(crs: str, pole: float) -> None:
    west, south, east, north = found(grid(crs, (-1e6, 1e6), 1000.0, (2000, 2000))).bbox
    assert (west, east) == (-180.0, 180.0)
    assert pole in (south, north)
    assert 70 < abs(south + north - pole) < 90


@given(st.integers(1, 60), st.booleans(), st.integers(1, 400), st.integers(1, 400), st.floats(166_000, 834_000))
def test_every_pixel_of_an_utm_grid_lies_in_its_bbox(
    zone: int, south: bool, height: int, width: int, easting: float
) -> None:
    place = grid(f"EPSG:{(32700 if south else 32600) + zone}", (easting, 5_000_000), 20.0, (height, width))
    footprint = found(place)
    for ring in rings(footprint):
        assert ring[0] == ring[-1]
        assert area(ring) > 0
        assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in ring)
    west, low, east, high = footprint.bbox
    columns, rows = np.meshgrid(np.linspace(0, width, 5), np.linspace(0, height, 5))
    xs, ys = easting + 20 * columns.ravel(), 5_000_000 - 20 * rows.ravel()
    longitudes, latitudes = reproject(place.crs, "EPSG:4326", xs.tolist(), ys.tolist())
    within = 1e-4  # of a degree, by which an edge bends between two of its points
    assert all(low - within <= y <= high + within for y in latitudes)
    if west <= east:
        assert all(west - within <= x <= east + within for x in longitudes)
    else:
        assert all(x >= west - within or x <= east + within for x in longitudes)


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["site",UNIT["metre",1]]'], ids=["none", "a site's own"])
def test_a_grid_without_a_way_to_degrees_has_none(crs: str | None) -> None:
    assert footprint_of(Grid(crs, "none", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), 10, 10)) is None


def test_the_footprint_of_equal_grids_is_found_once() -> None:
    first, second = (grid("EPSG:32610", (500000.0, 5200000.0), 20.0, (30, 40)) for _ in range(2))
    assert footprint_of(first) is footprint_of(second)
