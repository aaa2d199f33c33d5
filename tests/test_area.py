"""An area on a grid: the pixels that rasterio says, whatever window is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import geometry_mask
from rasterio.transform import Affine

from runner.area import Area
from runner.read.header import Window

WHOLE = Window(-20, -20, 80, 70)

seeds = st.integers(0, 2**32 - 1)
windows = st.builds(Window, st.integers(-20, 40), st.integers(-20, 30), st.integers(1, 19), st.integers(1, 19))


def star(random: np.random.Generator) -> list[np.ndarray]:
    """A polygon of any points around its middle, with a hole of the same form."""
    corners = int(random.integers(3, 12))
    angles, radii = np.sort(random.uniform(0, 2 * np.pi, corners)), random.uniform(0.1, 40, corners)
    middle = random.uniform(-30, 60, 2)
    outline = middle + np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    outline = np.vstack([outline, outline[:1]])
    return [outline, middle + 0.4 * (outline - middle)]


def stars(seed: int) -> list[list[np.ndarray]]:
    random = np.random.default_rng(seed)
    return [star(random) for _ in range(random.integers(1, 5))]


@given(seeds, windows)
def test_pixels_are_inside_as_rasterio_has_it(seed: int, window: Window) -> None:
    polygons = stars(seed)
    geometries = [{"type": "Polygon", "coordinates": [ring.tolist() for ring in rings]} for rings in polygons]
    corner = Affine.translation(window.column, window.row)
    expected = geometry_mask(geometries, (window.height, window.width), corner, invert=True)
    area = Area.of(polygons, "")
    np.testing.assert_array_equal(area.inside(window), expected)
    assert area.meets(window) == expected.any()
    assert area.pixels(window) == expected.sum()


@given(seeds, windows, st.booleans())
def test_a_pixel_is_inside_in_every_window_or_in_none(seed: int, window: Window, snapped: bool) -> None:
    polygons = [[np.round(2 * ring) / 2 if snapped else ring for ring in rings] for rings in stars(seed)]  # on centres
    area = Area.of(polygons, "")
    whole = area.inside(WHOLE)
    np.testing.assert_array_equal(area.inside(window), whole[window.shifted(20, 20).slices])
    moved = area.moved(window.row, window.column)
    np.testing.assert_array_equal(moved.inside(Window(0, 0, *window[2:])), area.inside(window))


@given(seeds)
def test_its_box_holds_all_pixels_that_are_inside(seed: int) -> None:
    area = Area.of(stars(seed), "")
    inside = area.inside(WHOLE)
    box = area.box and area.box.common(WHOLE)
    if box:
        inside[box.shifted(20, 20).slices] = False
    assert not inside.any()


THIN = np.array([[0.1, 0.1], [0.4, 0.1], [0.4, 0.4], [0.1, 0.1]])


@pytest.mark.parametrize("polygons", [[], [[]], [[THIN]]], ids=["none", "no ring", "thin"])
def test_an_area_without_the_centre_of_a_pixel_has_none(polygons: list[list[np.ndarray]]) -> None:
    area = Area.of(polygons, "")
    assert not area.inside(WHOLE).any()
    assert not area.meets(WHOLE)


def test_polygons_that_overlap_are_joined_and_a_shared_side_leaves_no_gap() -> None:
    left = np.array([[0, 0], [4.3, 0], [5.1, 10], [0, 10], [0, 0]], float)
    right = np.array([[4.3, 0], [9, 0], [9, 10], [5.1, 10], [4.3, 0]], float)
    over = np.array([[2, 2], [7, 2], [7, 7], [2, 7], [2, 2]], float)
    assert Area.of([[left], [right], [over]], "").inside(Window(0, 0, 10, 9)).all()


def test_a_long_outline_is_counted_in_strips() -> None:
    square = np.array([[0, 0], [9000, 0], [9000, 2000], [0, 2000], [0, 0]], float)
    assert Area.of([[square]], "").pixels(Window(-10, -10, 3000, 9500)) == 9000 * 2000
