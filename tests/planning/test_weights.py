"""Means by area: exact whatever the tiles, and those of plain fractions; the area is the ellipsoid's."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marks import few_quick
from rasterio.crs import CRS

from runner.errors import PlanError
from runner.model import Grid
from runner.planning.weights import is_mercator, row_areas, stage_weights
from runner.reduce.partial import Needs, Partial, among, combine
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish, needs
from runner.settings import Over, StageSettings, Weights

NAMES = ["count", "valid_fraction", "sum", "mean", "min", "max", "var", "std"]
DTYPES = ["f4", "i2", "u1", "u2", "i4", "u4", "i8", "u8", "f8"]
Rows = npt.NDArray[np.float64]


def grid_of(transform: tuple[float, ...], shape: tuple[int, int], crs: str = "EPSG:4326") -> Grid:
    a, b, c, d, e, f = transform
    return Grid(CRS.from_user_input(crs).to_wkt(), crs, (a, b, c, d, e, f), *shape)


def by_fractions(scene: npt.NDArray[Any], nodata: float, weights: Rows) -> dict[str, float]:
    """The statistics of one scene in exact arithmetic, rounded once."""
    pairs = [
        (Fraction(weight), Fraction(pixel))
        for row, weight in zip(scene.tolist(), weights.tolist(), strict=True)
        for pixel in row
        if pixel != nodata
    ]
    whole = sum(Fraction(weight) for weight in weights.tolist()) * scene.shape[1]
    valid = sum(weight for weight, _ in pairs)
    if not pairs:
        return {**dict.fromkeys(NAMES, math.nan), "count": 0, "valid_fraction": 0.0}
    mean = sum(weight * pixel for weight, pixel in pairs) / valid
    variance = sum(weight * pixel**2 for weight, pixel in pairs) / valid - mean**2
    return {
        "count": len(pairs),
        "valid_fraction": float(valid / whole),
        "sum": float(sum(pixel for _, pixel in pairs)),
        "mean": float(mean),
        "min": float(min(pixel for _, pixel in pairs)),
        "max": float(max(pixel for _, pixel in pairs)),
        "var": float(variance),
        "std": math.sqrt(float(variance)),
    }


def added(scenes: npt.NDArray[Any], weights: Rows, places: Sequence[Place], of: Pixels) -> Partial:
    """The scenes, in tiles at these places of the window."""
    sums = SpatialSums(len(scenes), of, needs(NAMES, Weights.area), weights)
    for number, scene in enumerate(scenes):
        for place in places:
            sums.add_tile(number, scene[place.of_window()].copy(), place)
    return sums.partial()


def places_of(rows: Sequence[int], columns: Sequence[int]) -> list[Place]:
    """Tiles between these edges."""
    return [
        Place(0, 0, top, left, bottom - top, right - left)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]


def scenes_of(dtype: str, magnitudes: int = 3, shape: tuple[int, int, int] = (3, 17, 71)) -> npt.NDArray[Any]:
    """Pixels of many magnitudes, a quarter nodata, one scene without any other."""
    random = np.random.default_rng(magnitudes)
    if dtype[0] == "f":
        stack = random.normal(size=shape) * 10.0 ** random.integers(-magnitudes, magnitudes + 1, shape)
    else:
        info = np.iinfo(dtype)
        stack = random.integers(info.min, info.max, shape, dtype, endpoint=True)
    stack = stack.astype(dtype)
    stack[random.random(shape) < 0.25] = 1
    stack[2] = 1
    return stack


@pytest.mark.parametrize("dtype", few_quick(DTYPES, 2))
@pytest.mark.parametrize("magnitudes", [0, 3, 30])
def test_every_statistic_by_area_is_the_true_value_rounded_once(dtype: str, magnitudes: int) -> None:
    stack = scenes_of(dtype, magnitudes)
    weights = np.random.default_rng(1).uniform(0.1, 1e9, stack.shape[1])
    partial = added(stack, weights, places_of([0, 17], [0, 71]), Pixels(stack.dtype, 1))
    found = finish(partial, NAMES, weights=Weights.area)
    for number, scene in enumerate(stack):
        for name, value in by_fractions(scene, 1, weights).items():
            np.testing.assert_equal(found[name][number], value, err_msg=name)


cuts = st.lists(st.integers(1, 16), max_size=4, unique=True)


@pytest.mark.slow
@settings(max_examples=50)
@given(st.sampled_from(["i2", "f4", "f8"]), cuts, cuts, st.randoms(), st.integers(0, 30))
def test_tiles_and_their_order_change_no_bit(
    dtype: str, rows: list[int], columns: list[int], shuffle: Any, magnitudes: int
) -> None:
    stack = scenes_of(dtype, magnitudes)
    weights = np.random.default_rng(2).uniform(0.1, 1e9, 17)
    places = places_of([0, *sorted(rows), 17], [0, *(4 * cut for cut in sorted(columns)), 71])
    shuffle.shuffle(places)
    pixels = Pixels(stack.dtype, 1)
    half = len(places) // 2
    parts = [added(stack, weights, some, pixels) for some in (places[:half], places[half:])]
    read_back = [Partial.from_arrays(part.arrays()) for part in parts]
    whole = added(stack, weights, places_of([0, 17], [0, 71]), pixels)
    ours, theirs = (finish(part, NAMES, weights=Weights.area) for part in (combine(read_back), whole))
    assert {name: values.tobytes() for name, values in ours.items()} == {
        name: values.tobytes() for name, values in theirs.items()
    }


@pytest.mark.parametrize(
    ("pixels", "mean"),
    [
        ([1, np.inf], np.inf),
        ([-np.inf, 2], -np.inf),
        ([np.inf, -np.inf], np.nan),
        ([np.nan, 3], 3),
        ([1e308, 1e308], 1e308),
    ],
)
def test_infinite_pixels_and_the_largest_ones(pixels: list[float], mean: float) -> None:
    stack = np.array([[pixels]])
    partial = added(stack, np.array([1e9]), places_of([0, 1], [0, 2]), Pixels(stack.dtype))
    found = finish(partial, ["mean", "var"], weights=Weights.area)
    np.testing.assert_equal(found["mean"], [mean])
    np.testing.assert_equal(found["var"], [0.0 if np.isfinite(mean) else np.nan])


def test_one_value_everywhere_is_its_own_mean() -> None:
    stack = np.full((1, 17, 71), 0.1, np.float32)
    weights = np.random.default_rng(3).uniform(0.1, 1e9, 17)
    partial = added(stack, weights, places_of([0, 17], [0, 71]), Pixels(stack.dtype))
    found = finish(partial, ["mean", "std", "valid_fraction"], weights=Weights.area)
    assert {name: values.tolist() for name, values in found.items()} == {
        "mean": [float(np.float32(0.1))],
        "std": [0.0],
        "valid_fraction": [1.0],
    }


def test_sums_by_area_find_their_scene_among_more() -> None:
    stack = scenes_of("f4")[:1]
    weights = np.linspace(1, 2, 17)
    partial = added(stack, weights, places_of([0, 17], [0, 71]), Pixels(stack.dtype, 1))
    placed = finish(among(partial, 1, 3), ["mean"], weights=Weights.area)["mean"]
    assert placed[1] == finish(partial, ["mean"], weights=Weights.area)["mean"][0]
    assert np.isnan(placed[[0, 2]]).all()


def test_sums_by_area_want_weights() -> None:
    with pytest.raises(ValueError, match="wanted one for each row of the window"):
        SpatialSums(1, Pixels(np.dtype("f4")), Needs(weights=True))


# --- the area of a pixel ----------------------------------------------------------------------------------------------


def authalic(latitude: float, eccentricity: float) -> float:
    """Snyder (1987), (3-12): twice the area below a latitude, by 2 pi, in squares of the semi-major axis."""
    e, s = eccentricity, math.sin(math.radians(latitude))
    return (1 - e * e) * (s / (1 - e * e * s * s) + math.log((1 + e * s) / (1 - e * s)) / (2 * e))


@pytest.mark.parametrize("height", [1, 2, 18, 180])
def test_the_area_of_rows_is_snyders(height: int) -> None:
    areas = row_areas(grid_of((1, 0, -180, 0, -180 / height, 90), (height, 360)))
    flattening = 1 / 298.257223563
    e = math.sqrt(flattening * (2 - flattening))
    edges = [90 - 180 / height * row for row in range(height + 1)]
    wanted = [
        6378137**2 * math.radians(1) * (authalic(top, e) - authalic(bottom, e)) / 2 for top, bottom in pairwise(edges)
    ]
    np.testing.assert_allclose(areas, wanted, rtol=1e-11)
    np.testing.assert_allclose(areas.sum() * 360, 510065621724088.5, rtol=1e-14)  # the surface of WGS 84 (EPSG:7030)


def test_the_area_on_a_sphere_is_the_difference_of_sines() -> None:
    crs = "+proj=longlat +R=1000 +no_defs"
    areas = row_areas(grid_of((2, 0, 0, 0, 10, -90), (18, 4), crs))
    edges = np.radians(np.arange(-90, 91, 10))
    np.testing.assert_allclose(areas, 1e6 * math.radians(2) * np.diff(np.sin(edges)), rtol=1e-13)


def test_neighbouring_rows_of_small_pixels_differ_as_their_latitudes_do() -> None:
    areas = row_areas(grid_of((1e-4, 0, 10, 0, -1e-4, 60), (3000, 5)))
    assert (np.diff(areas) > 0).all()
    ratio = np.cos(np.radians(60 - 1e-4 * (np.arange(3000) + 0.5)))
    np.testing.assert_allclose(areas / areas[0], ratio / ratio[0], rtol=1e-4)


def test_what_lies_beyond_a_pole_has_no_area() -> None:
    areas = row_areas(grid_of((1, 0, 0, 0, -1, 90.5), (181, 360)))
    np.testing.assert_allclose(areas.sum() * 360, 510065621724088.5, rtol=1e-13)
    assert areas[0] == pytest.approx(areas[1] / 8, rel=0.01)


DEGREES = (0.1, 0, 10, 0, -0.1, 50)


@pytest.mark.parametrize(
    ("weights", "over", "crs", "wanted"),
    [
        ("auto", "space", "EPSG:4326", "area"),
        ("area", "space", "EPSG:4326", "area"),
        ("auto", "space", "EPSG:4258", "area"),
        ("none", "space", "EPSG:4326", "none"),
        ("auto", "space", "EPSG:32633", "none"),
        ("auto", "space", "EPSG:3857", "none"),
        ("auto", "time", "EPSG:4326", "none"),
    ],
)
def test_pixels_of_a_geographic_crs_count_by_area_unless_told_otherwise(
    weights: str, over: str, crs: str, wanted: str
) -> None:
    stage = StageSettings(Over[over], weights=Weights[weights])
    assert stage_weights("a", stage, grid_of(DEGREES, (4, 5), crs)) is Weights[wanted]


@pytest.mark.parametrize(
    ("crs", "wanted"),
    [("EPSG:3857", True), ("EPSG:3395", True), ("EPSG:32633", False), ("EPSG:4326", False), ("EPSG:6933", False)],
)
def test_a_mercator_projection_is_known_as_such(crs: str, wanted: bool) -> None:
    assert is_mercator(grid_of((10, 0, 0, 0, -10, 0), (2, 2), crs)) is wanted
    of_2019 = Grid(CRS.from_user_input(crs).to_wkt(version="WKT2_2019"), crs, (1, 0, 0, 0, -1, 0), 2, 2)
    assert is_mercator(of_2019) is wanted


def test_scenes_without_a_crs_count_the_same() -> None:
    grid = Grid(None, "no CRS", (1, 0, 0, 0, -1, 0), 4, 5)
    assert stage_weights("a", StageSettings(), grid) is Weights.none
    with pytest.raises(PlanError, match="no CRS, so the area of a pixel is unknown"):
        stage_weights("a", StageSettings(weights=Weights.area), grid)


@pytest.mark.parametrize(
    ("stage", "grid", "message"),
    [
        (
            StageSettings(statistics=["mean", "median", "q05"]),
            grid_of(DEGREES, (4, 5)),
            "stages.a: median, q05 cannot be taken by area, as weights=auto means on EPSG:4326; set "
            "stages.a.weights=none",
        ),
        (
            StageSettings(weights=Weights.area),
            grid_of(DEGREES, (4, 5), "EPSG:32633"),
            "stages.a.weights=area: EPSG:32633 is not a geographic CRS",
        ),
        (
            StageSettings(Over.time, weights=Weights.area),
            grid_of(DEGREES, (4, 5)),
            "stages.a.weights=area: over time all values of a pixel have the same area; wanted none or auto",
        ),
        (
            StageSettings(),
            grid_of((0.1, 0.01, 10, 0.01, -0.1, 50), (4, 5)),
            "stages.a.weights=auto: the grid is rotated, so a row does not have a single latitude; "
            "set stages.a.weights=none",
        ),
        (
            StageSettings(),
            grid_of((0.1, 0, 10, 0, -0.1, 92), (40, 5)),
            "stages.a.weights=auto: some rows lie beyond a pole; set stages.a.weights=none",
        ),
    ],
    ids=["order statistics", "projected", "over time", "rotated", "beyond a pole"],
)
def test_weights_that_cannot_be_are_refused_with_the_way_out(stage: StageSettings, grid: Grid, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        stage_weights("a", stage, grid)
    assert str(caught.value).startswith(message)
