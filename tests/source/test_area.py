"""The area of a stack: in its CRS, cut to its polygons, recorded by what they are."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import found_stack, local_source
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from rasterio.warp import transform, transform_geom
from scenes_on_disk import speckle, write_scene

from runner.errors import ConfigError, SourceError
from runner.model import Stack
from runner.read.header import Window
from runner.settings import OnError, S3Settings, StackGrid
from runner.source.area import area_digest
from runner.source.pixel_rings import clip
from runner.source.scenes import find_inputs, list_archive
from runner.source.stores import Stores

UTM = Affine(20, 0, 499980, 0, -20, 5300040)


def stack_of(folder: Path, area: object, **changes: object) -> Stack:
    """The stack of a folder's scenes in an area, a GeoJSON object."""
    (folder / "area.geojson").write_text(json.dumps(area))
    source = local_source(folder, area=str(folder / "area.geojson"), **changes)
    return found_stack(source)


def polygon(*rings: object, crs: str = "EPSG:32610") -> dict[str, object]:
    return {"type": "Polygon", "coordinates": rings, "crs": {"type": "name", "properties": {"name": crs}}}


def box(row: float, column: float, below: float, right: float) -> list[tuple[float, float]]:
    """A rectangle, of pixels of the scenes."""
    corners = [(column, row), (right, row), (right, below), (column, below), (column, row)]
    return [UTM @ corner for corner in corners]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_scene(tmp_path / "20200101.tif", speckle((90, 80)))
    return tmp_path


def inside_of(stack: Stack) -> np.ndarray:
    assert stack.area
    return stack.area.inside(stack.grid.window)


def test_the_grid_is_cut_to_the_polygons(folder: Path) -> None:
    stack = stack_of(folder, polygon(box(10, 20, 50, 40), box(20, 25, 30, 35)))
    assert (stack.grid.height, stack.grid.width) == (40, 20)
    assert stack.grid.transform == (20, 0, 499980 + 20 * 20, 0, -20, 5300040 - 20 * 10)
    assert (stack.scenes[0].row, stack.scenes[0].column) == (-10, -20)
    expected = np.ones((40, 20), bool)
    expected[10:20, 5:15] = False
    np.testing.assert_array_equal(inside_of(stack), expected)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), crs=st.sampled_from(["EPSG:4326", "EPSG:3857", "EPSG:32611"]))
def test_polygons_of_another_crs_are_where_rasterio_puts_their_dense_edges(
    tmp_path_factory: pytest.TempPathFactory, seed: int, crs: str
) -> None:
    folder, random = tmp_path_factory.mktemp("area"), np.random.default_rng(seed)
    write_scene(folder / "20200101.tif", np.zeros((90, 80), np.float32))
    angles = np.sort(random.uniform(0, 2 * np.pi, 7))
    around = random.uniform([-300, -300], [1900, 2000]) + 1500 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    xs, ys = transform("EPSG:32610", crs, 499980 + around[:, 0], 5300040 - around[:, 1])
    ring = [*zip(xs, ys, strict=True), (xs[0], ys[0])]
    shares = np.linspace(0, 1, 201)[1:]
    dense = [ring[0]] + [
        tuple(np.array(a) + share * (np.array(b) - np.array(a))) for a, b in pairwise(ring) for share in shares
    ]
    there = transform_geom(crs, "EPSG:32610", {"type": "Polygon", "coordinates": [dense]})
    expected = geometry_mask([there], (90, 80), UTM, invert=True)
    if not expected.any():
        with pytest.raises(SourceError, match="no pixel has its centre inside"):
            stack_of(folder, polygon(ring, crs=crs))
        return
    stack = stack_of(folder, polygon(ring, crs=crs))
    part = Window(-stack.scenes[0].row, -stack.scenes[0].column, stack.grid.height, stack.grid.width)
    found = np.zeros((90, 80), bool)
    found[part.slices] = inside_of(stack)
    assert (found != expected).sum() <= 3  # centres within a hundredth of a pixel of an edge


def test_an_area_works_together_with_a_box_and_a_union(folder: Path) -> None:
    write_scene(folder / "20200102.tif", speckle((90, 80)), transform=UTM @ Affine.translation(30, 0))
    area = polygon(box(5, 60, 80, 105))
    stack = stack_of(folder, area, grid=StackGrid.union)
    assert (stack.grid.height, stack.grid.width) == (75, 45)
    west, north = UTM @ (70, 0)
    stack = stack_of(folder, area, grid=StackGrid.union, bbox=[west, 0, west + 2000, north], bbox_crs=None)
    assert (stack.grid.height, stack.grid.width) == (75, 35)
    assert inside_of(stack).all()


def test_a_polygon_of_half_the_world_has_no_place_beyond_the_scenes_and_is_read(folder: Path) -> None:
    half = [(-180, -80), (-110, -80), (-110, 85), (-180, 85), (-180, -80)]
    assert inside_of(stack_of(folder, polygon(half, crs="EPSG:4326"))).all()


@pytest.mark.parametrize(
    ("area", "error", "message"),
    [
        (polygon(box(200, 200, 300, 300)), SourceError, r"no pixel has its centre inside; the box .* is \[503980, "),
        (polygon([(1, 1), (2, 1), (2, 2)], crs="EPSG:4326"), SourceError, r"\[1, 1, 2, 2\] in EPSG:4326, and that of"),
        (polygon(box(10.1, 10.1, 10.4, 10.4)), SourceError, "no pixel has its centre inside"),
        (polygon(box(0, 0, 9, 9), crs="EPSG:1"), ConfigError, "its CRS EPSG:1 is not known"),
    ],
)
def test_an_area_without_pixels_is_refused(folder: Path, area: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        stack_of(folder, area)


def test_a_missing_file_is_refused_before_anything_is_listed(tmp_path: Path) -> None:
    source = local_source(tmp_path / "nowhere", area="nowhere.geojson")
    with pytest.raises(ConfigError, match="source.area=nowhere.geojson: there is no such file"):
        find_inputs(source, Stores(S3Settings()), OnError.stop, lambda done, total: None)


def test_scenes_without_a_crs_have_no_area(tmp_path: Path) -> None:
    write_scene(tmp_path / "20200101.tif", speckle((90, 80)), crs=None)
    with pytest.raises(ConfigError, match="the scenes have no CRS in which it could have a place"):
        stack_of(tmp_path, polygon(box(0, 0, 9, 9)))


def test_a_file_that_is_no_area_is_refused_before_anything_is_listed(tmp_path: Path) -> None:
    (tmp_path / "area.geojson").write_text('{"type": "Point", "coordinates": [0, 0]}')
    source = local_source(tmp_path / "nowhere", area=str(tmp_path / "area.geojson"))
    with pytest.raises(ConfigError, match="it holds a Point; wanted polygons"):
        list_archive(source, Stores(S3Settings()))


def test_the_digest_is_known_without_scenes(folder: Path) -> None:
    stack = stack_of(folder, polygon(box(0, 0, 9, 9)))
    assert stack.area
    assert area_digest(local_source(folder, area=str(folder / "area.geojson")), None) == stack.area.sha256
    assert area_digest(local_source(folder), None) is None


def test_the_digest_is_of_polygons_and_crs_and_of_no_attribute(folder: Path) -> None:
    plain, named = polygon(box(0, 0, 9, 9)), polygon(box(0, 0, 9, 9))
    named = {"type": "Feature", "properties": {"name": "field"}, "geometry": named, "crs": named["crs"]}
    digests = [
        stack_of(folder, area).area.sha256  # type: ignore[union-attr]
        for area in (plain, named, polygon(box(0, 0, 9, 8)), polygon(box(0, 0, 9, 9), crs="EPSG:26910"))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@given(st.integers(0, 2**32 - 1))
def test_clipping_changes_nothing_inside_of_the_box(seed: int) -> None:
    random = np.random.default_rng(seed)
    ring = random.uniform(-20, 60, (int(random.integers(3, 9)), 2))
    ring = np.vstack([ring, ring[:1]])
    whole = geometry_mask(
        [{"type": "Polygon", "coordinates": [ring.tolist()]}], (40, 40), Affine.identity(), invert=True
    )
    part = clip(ring, (-1, -1, 41, 41))
    if not len(part):
        assert not whole.any()
        return
    np.testing.assert_array_equal(part[0], part[-1])
    geometry = {"type": "Polygon", "coordinates": [part.tolist()]}
    np.testing.assert_array_equal(geometry_mask([geometry], (40, 40), Affine.identity(), invert=True), whole)


# --- longitudes from -180 or from 0 on ---------------------------------------------------------------------------


@pytest.fixture
def globes(tmp_path: Path) -> dict[int, Path]:
    """Scenes of the whole globe whose longitudes begin at -180 and at 0; pixels of 10 degrees."""
    for west in (-180, 0):
        place = {"crs": "EPSG:4326", "transform": Affine(10, 0, west, 0, -10, 90)}
        write_scene(tmp_path / f"{west}/20200101.tif", np.ones((18, 36), np.float32), **place)
    return {west: tmp_path / str(west) for west in (-180, 0)}


@pytest.mark.parametrize("west", [-180, 0])
@pytest.mark.parametrize(("left", "right"), [(-20, 20), (160, 200), (-200, -160), (-180, 180), (-120, -90)])
def test_an_area_is_the_same_place_whichever_way_longitudes_are_counted(
    globes: dict[int, Path], west: int, left: int, right: int
) -> None:
    ring = [(left, -20), (right, -20), (right, 20), (left, 20), (left, -20)]
    stack = stack_of(globes[west], polygon(ring, crs="EPSG:4326"))
    columns = {round((stack.grid.transform[2] - west) / 10) + column for column in np.nonzero(inside_of(stack))[1]}
    assert columns == {round((longitude - west) / 10) % 36 for longitude in range(left, right, 10)}


UTM_BOXES = [(11, -117), (31, 3), (60, 177), (1, -177)]  # zones and their middle longitudes


@pytest.mark.parametrize("west", [-180, 0])
@pytest.mark.parametrize(("zone", "middle"), UTM_BOXES)
def test_an_area_in_metres_is_where_it_is_on_a_grid_of_degrees(
    globes: dict[int, Path], west: int, zone: int, middle: int
) -> None:
    left, right = 500_000 - 900_000, 500_000 + 900_000  # about 8 degrees to both sides
    ring = [(left, 1e6), (right, 1e6), (right, 3e6), (left, 3e6), (left, 1e6)]
    stack = stack_of(globes[west], polygon(ring, crs=f"EPSG:{32600 + zone}"))
    columns = {round((stack.grid.transform[2] - west) / 10) + column for column in np.nonzero(inside_of(stack))[1]}
    centres = [west + 10 * column + 5 for column in range(36)]
    assert columns == {at for at, centre in enumerate(centres) if abs((centre - middle + 180) % 360 - 180) < 10}


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4267", "EPSG:3857"])
@pytest.mark.parametrize("west", [-180, 0])
def test_an_area_of_the_globe_hides_nothing(globes: dict[int, Path], west: int, crs: str) -> None:
    x, y = (20037508.3, 20048966.1) if crs == "EPSG:3857" else (180, 90)
    stack = stack_of(globes[west], polygon([(-x, -y), (x, -y), (x, y), (-x, y), (-x, -y)], crs=crs))
    assert (stack.grid.width, inside_of(stack).all()) == (36, True)


@pytest.mark.parametrize(("zone", "middle"), UTM_BOXES)
def test_a_box_in_metres_is_where_it_is_on_a_grid_of_degrees(globes: dict[int, Path], zone: int, middle: int) -> None:
    box = [480_000, 1_000_000, 520_000, 1_100_000]
    for west, folder in globes.items():
        source = local_source(folder, bbox=box, bbox_crs=f"EPSG:{32600 + zone}")
        found = found_stack(source).grid
        first = west + (middle - west) % 360 // 10 * 10
        assert (found.transform[2], found.width) == (first, 1)


@pytest.mark.parametrize(
    ("west", "box", "grid"),
    [
        (0, [-120, -20, -90, 20], (240, 3)),
        (-180, [200, -20, 230, 20], (-160, 3)),
        (0, [-120.2, 1, -120.1, 2], (230, 1)),
        (0, [-180, -90, 180, 90], (0, 36)),
        (-180, [-180, -90, 180, 90], (-180, 36)),
        (-180, [-179, -90, 182, 90], (-180, 36)),
    ],
)
def test_a_box_is_the_same_place_whichever_way_longitudes_are_counted(
    globes: dict[int, Path], west: int, box: list[float], grid: tuple[int, int]
) -> None:
    source = local_source(globes[west], bbox=box)
    found = found_stack(source).grid
    assert (found.transform[2], found.width) == grid


@pytest.mark.parametrize(("west", "box"), [(0, [-20, -20, 20, 20]), (-180, [170, -20, 190, 20])])
def test_a_box_that_lies_at_both_edges_is_refused(globes: dict[int, Path], west: int, box: list[float]) -> None:
    source = local_source(globes[west], bbox=box)
    with pytest.raises(ConfigError, match="at their west and at their east edge.*source.area"):
        find_inputs(source, Stores(S3Settings()), OnError.stop, lambda done, total: None)
