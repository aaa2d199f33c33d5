"""The fractions of pixels that polygons cover, against shapely's intersections."""

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from zone_files import star

from runner.reduce.zone_runs import ZoneRuns
from runner.source import coverage
from runner.source.coverage import covered_runs

SHAPE = 11, 14
ROUNDED = 2.0**-24  # of a fraction, to float32
PIXELS = shapely.box(*np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0])),
                     *np.meshgrid(np.arange(1, SHAPE[1] + 1), np.arange(1, SHAPE[0] + 1)))  # fmt: skip

Polygons = list[list[np.ndarray]]


def fractions(runs: ZoneRuns, zone: int) -> np.ndarray:
    """Those of a zone, (rows, columns); the runs of a zone must not overlap."""
    found = np.zeros(SHAPE)
    for run in np.flatnonzero(runs.zone == zone):
        row = found[runs.row_numbers()[run], runs.start[run] : runs.stop[run]]
        assert not row.any()
        row[:] = runs.fraction[run]
    return found


def ring(*corners: tuple[float, float]) -> np.ndarray:
    return np.array([*corners, corners[0]], float)


def shape_of(polygons: Polygons) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([shapely.Polygon(rings[0], rings[1:]) for rings in polygons])


def check(zones: list[Polygons]) -> None:
    runs = covered_runs(zones, SHAPE)
    for zone, polygons in enumerate(zones):
        wanted = shapely.area(shapely.intersection(shape_of(polygons), PIXELS))
        np.testing.assert_allclose(fractions(runs, zone), wanted, rtol=0, atol=ROUNDED)


def drawn_zone(random: np.random.Generator) -> Polygons:
    """A polygon with a hole, in any direction, that may reach beyond the grid; some have corners between pixels."""
    middle = random.uniform(-3, 15), random.uniform(-3, 15)
    outline = ring(*star(random, middle, random.uniform(0.3, 9)))
    if random.random() < 0.3:
        outline = np.round(outline)
    hole = middle + (outline - middle) * random.uniform(0.1, 0.9)
    return [[points[:: random.choice([1, -1])] for points in (outline, hole)[: random.integers(1, 3)]]]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_fractions_are_the_areas_of_intersections(seed: int) -> None:
    random = np.random.default_rng(seed)
    zones = [drawn_zone(random) for _ in range(random.integers(1, 4))]
    assume(all(shape_of(polygons).is_valid for polygons in zones))
    check(zones)


@pytest.mark.parametrize(
    "polygon",
    [
        ring((2, 3), (5, 3), (5, 6), (2, 6)),
        ring((2.5, 3.25), (5.5, 3.25), (5.5, 6.75), (2.5, 6.75)),
        ring((4, 4), (4.25, 4), (4.25, 4.5), (4, 4.5)),
        ring((-2e6, -3e5), (4e6, -3e5), (4e6, 5e5), (-2e6, 5e5)),
        ring((-50, 2), (-20, 9), (-30, 1)),
        ring((20, 2), (50, 9), (30, 1)),
        ring((2, -20), (9, -5), (3, -2)),
        ring((-1e3, 5.2), (1e3, 5.3), (1e3, 5.4)),
    ],
    ids=["whole pixels", "level edges", "in one pixel", "around the grid", "left", "right", "above", "nearly level"],
)
@pytest.mark.parametrize("step", [1, -1])
def test_outlines_of_every_place_and_direction_have_their_fractions(polygon: np.ndarray, step: int) -> None:
    check([[[polygon[::step]]]])


def test_pixels_of_neighbours_add_up_to_one() -> None:
    random = np.random.default_rng(3)
    points = np.concatenate([random.uniform(0, 11, (30, 2)), [(-1, -1), (15, -1), (-1, 12), (15, 12)]])
    triangles = shapely.delaunay_triangles(shapely.MultiPoint(points)).geoms
    runs = covered_runs([[[np.array(triangle.exterior.coords)]] for triangle in triangles], SHAPE)
    total = sum(fractions(runs, zone) for zone in range(len(triangles)))
    np.testing.assert_allclose(total, 1, rtol=0, atol=10 * ROUNDED)


def test_fractions_do_not_depend_on_the_zones_that_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    zones = [drawn_zone(random) for _ in range(20)]
    together = covered_runs(zones, SHAPE)
    monkeypatch.setattr(coverage, "_PIECES", 1)
    for ours, theirs in zip(together, covered_runs(zones, SHAPE), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_whole_pixels_are_one_run_and_nothing_else_is_in_a_zone() -> None:
    runs = covered_runs([[[ring((2, 3), (5, 3), (5, 6), (2, 6))]], []], SHAPE)
    assert (runs.start.tolist(), runs.stop.tolist(), runs.fraction.tolist()) == ([2] * 3, [5] * 3, [1.0] * 3)
    assert not covered_runs([[]], SHAPE).pixels
