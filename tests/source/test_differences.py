"""Scenes that make no stack are counted by kind in one message, with advice that keeps most of them."""

from pathlib import Path

import numpy as np
import pytest
from jobs import found_stack, local_source
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from scenes_on_disk import write_scene

from runner.errors import SourceError
from runner.model import Stack
from runner.settings import OnError, S3Settings
from runner.source.differences import offset
from runner.source.scenes import find_inputs
from runner.source.stores import Stores

UTM = CRS.from_epsg(32610)
PLACE = from_origin(499980, 5300040, 20, 20)


def stack_of(folder: Path, *profiles: dict[str, object], **changes: object) -> Stack:
    """The stack of one scene a day with these profiles."""
    for day, profile in enumerate(profiles, start=1):
        shape, dtype = profile.pop("shape", (40, 30)), profile.pop("pixels", "float32")
        write_scene(folder / f"202001{day:02}.tif", np.ones(shape, dtype), **profile)  # type: ignore[call-overload]
    source = local_source(folder, **changes)
    return found_stack(source)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(20, 0, 499980 + 1e-9, 0, -20, 5300040),
        Affine(20, 0, 499980.015, 0, -20, 5300040 - 0.015),  # 0.00075 of a pixel
        Affine(20 + 1e-5, 0, 499980, 0, -20, 5300040),  # 0.000015 of a pixel at the last column
    ],
)
def test_a_grid_equal_within_a_thousandth_of_a_pixel_is_the_same(tmp_path: Path, transform: Affine) -> None:
    stack = stack_of(tmp_path, {}, {"transform": transform})
    assert stack.grid.transform == tuple(PLACE)[:6]


@pytest.mark.parametrize(
    "transform",
    [
        Affine(20, 0, 499980.025, 0, -20, 5300040),
        Affine(20.001, 0, 499980, 0, -20, 5300040),  # 0.0015 of a pixel at the last column
        Affine(20, 0, 499980, 0, 20, 5300040),
    ],
)
def test_a_grid_that_differs_by_more_is_another(tmp_path: Path, transform: Affine) -> None:
    with pytest.raises(SourceError, match=r"2 scenes lie on 2 grids .*: 1 with pixels of 20 x -20 from "):
        stack_of(tmp_path, {}, {"transform": transform})


def test_grids_are_counted_with_their_shift_in_pixels(tmp_path: Path) -> None:
    shifted = {"transform": from_origin(499990, 5300000, 20, 20)}
    with pytest.raises(SourceError) as caught:
        stack_of(tmp_path, {}, {}, {}, {}, {}, dict(shifted), dict(shifted))
    assert "5 with pixels of 20 x -20 from (499980, 5300040) on (20200101)" in str(caught.value)
    assert "2 shifted by 2 rows and 0.5 columns (20200106)" in str(caught.value)
    assert 'Leave these out with \'source.exclude=["*20200106*","*20200107*"]\'' in str(caught.value)


@pytest.mark.parametrize("count", [1, 8])
def test_no_advice_drops_most_or_many_of_the_scenes(tmp_path: Path, count: int) -> None:
    profiles: list[dict[str, object]] = [{}] * count + [{"crs": "EPSG:32611"}] * (1 if count == 1 else 6)
    with pytest.raises(SourceError) as caught:
        stack_of(tmp_path, *map(dict, profiles))
    assert "source.exclude=[" not in str(caught.value)
    assert "Make a stack of each kind by source.stack_by, if a named group " in str(caught.value)


def test_a_group_that_tells_the_kinds_apart_is_named(tmp_path: Path) -> None:
    """Days 1 to 3 begin with 0, and 10 to 12 with 1; the last digit tells nothing, nor does one for each scene."""
    for day in (1, 2, 3, 10, 11, 12):
        write_scene(tmp_path / f"202001{day:02}.tif", np.ones((8, 8 + (day > 9)), np.float32))
    pattern = r"(?P<date>\d{8})(?<=(?P<tens>\d)\d)(?<=(?P<ones>\d))"
    with pytest.raises(SourceError, match=r"Make a stack of each kind by source.stack_by=\[tens\], or warp all"):
        find_inputs(local_source(tmp_path, datetime_regex=pattern), Stores(S3Settings()), OnError.stop, lambda *_: None)


def test_all_that_differs_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        stack_of(
            tmp_path, {}, {}, {}, {}, {"crs": "EPSG:32611"}, {"shape": (41, 30)}, {"nodata": -1}, {"pixels": "int16"}
        )
    for part in (
        "7 with CRS EPSG:32610", "1 with CRS EPSG:32611", "7 of 40 x 30 pixels", "1 of 41 x 30 pixels",
        "7 of type float32", "1 of type int16", "7 with nodata 0.0", "1 with nodata -1.0",
    ):  # fmt: skip
        assert part in str(caught.value)


def test_many_grids_are_summed_up(tmp_path: Path) -> None:
    profiles = [{"transform": from_origin(499980 + 20 * at, 5300040, 20, 20)} for at in range(7)]
    with pytest.raises(SourceError, match=r"1 shifted by 0 rows and 3 columns \(.*\), 3 still others"):
        stack_of(tmp_path, *profiles)  # type: ignore[arg-type]


def test_a_crs_written_otherwise_is_the_same(tmp_path: Path) -> None:
    stack_of(tmp_path, {}, {"crs": CRS.from_wkt(UTM.to_wkt(version="WKT2_2019"))})


@pytest.mark.parametrize("others", [(None, np.nan), (-3.40282e38, -3.4028234663852886e38)])
def test_nodata_that_hides_the_same_pixels_is_no_difference(tmp_path: Path, others: tuple[float | None, ...]) -> None:
    assert len(stack_of(tmp_path, *({"nodata": one} for one in others)).scenes) == 2


def test_nodata_may_differ_where_the_setting_says_it(tmp_path: Path) -> None:
    assert stack_of(tmp_path, {"nodata": 0}, {"nodata": -1}, nodata=5).nodata == 5
    with pytest.raises(SourceError, match="if one nodata value holds for all, set source.nodata"):
        stack_of(tmp_path, {"nodata": 0}, {"nodata": -1})


def test_offsets_are_rows_and_columns_of_the_other_grid() -> None:
    turned = (0.0, 20.0, 100.0, 20.0, 0.0, 200.0)
    assert offset((0.0, 20.0, 140.0, 20.0, 0.0, 200.0), turned, (0, 0)) == (2, 0)
    assert offset((20, 0, 0, 0, -20, 0), (0, 0, 0, 0, 0, 0), (0, 0)) == (float("inf"), float("inf"))
