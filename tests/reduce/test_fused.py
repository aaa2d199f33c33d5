"""Inflated tiles into sums, strip by strip, against the same pixels added tile by tile."""

import itertools
import math
from fractions import Fraction
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.reduce.exact import Total, integers, widened
from runner.reduce.fused import Encoded, FusedSums
from runner.reduce.hidden_pixels import NO_HIDDEN, HiddenPixels
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.scaled_kernels import Scaled
from runner.reduce.scaling import MOST_ADDITIONS, split_for
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish
from runner.reduce.temporal import TemporalSums
from runner.reduce.zonal import ZonalSums
from runner.reduce.zone_runs import ZoneRuns

Tile = npt.NDArray[Any]
SUMS = Needs(sums=True)
ROWS, COLUMNS = 80, 32
WINDOW = (90, 70)
CODINGS = [("u1", 2), ("f4", 3)]  # each is compiled anew
MORE_CODINGS = [("f4", 1), ("i4", 2), ("f8", 3)]
WHOLE = Place(0, 0, 0, 0, ROWS, COLUMNS)
LOWEST = (-149 - 23, -149, -126, -100, 0, 60)  # exponents, from below the subnormals
SPREADS = [(low, wide) for low in LOWEST for wide in (*range(20, 32), 200) if low + wide < 104]
PLACES = [WHOLE, Place(3, 5, 10, 20, 70, 20), Place(79, 31, 0, 0, 1, 1)]


def tiles_of(dtype: str, scenes: int, magnitudes: int = 0) -> Tile:
    """Pixels of which a third is 0; floats spread over so many powers of ten, in both signs."""
    rng = np.random.default_rng(scenes)
    values = rng.integers(0, 100, (scenes, ROWS, COLUMNS)).astype(np.float64)
    if magnitudes:
        values *= rng.choice([-1.0, 1.0], values.shape) * 10.0 ** rng.integers(-magnitudes, magnitudes, values.shape)
    values[rng.random(values.shape) < 0.3] = 0
    return values.astype(dtype)


def encoded(tile: Tile, predictor: int) -> Tile:
    """The bytes of a tile as a TIFF holds them when inflated, (rows, bytes)."""
    if predictor == 3:
        coded = imagecodecs.floatpred_encode(tile, axis=-1)
    elif predictor == 2:
        coded = imagecodecs.delta_encode(tile.view(f"u{tile.itemsize}"), axis=1)
    else:
        coded = tile
    return np.frombuffer(bytearray(np.ascontiguousarray(coded).tobytes()), np.uint8).reshape(len(tile), -1)


def fused(tiles: Tile, predictor: int, places: list[Place], pixels: Pixels) -> tuple[Partial, Partial, int]:
    """Partials over time and over space, and how often columns did not fit; four scenes at a time."""
    over_time, over_space = TemporalSums(WINDOW, pixels, SUMS), SpatialSums(len(tiles), pixels, SUMS)
    sums, unfit = FusedSums(over_time, over_space, pixels), 0
    for first in range(0, len(tiles), 4):
        some = range(first, min(first + 4, len(tiles)))
        for place in places:
            left = sums.add(
                some, Encoded(np.stack([encoded(tiles[scene], predictor) for scene in some]), predictor), place
            )
            for at in left:
                over_space.add_tile(some[at], tiles[some[at]], place)
            unfit += len(left)
    sums.finish()
    return over_time.partial(), over_space.partial(), unfit


def plain(tiles: Tile, places: list[Place], pixels: Pixels) -> tuple[Partial, Partial]:
    """The same, tile by tile."""
    over_time, over_space = TemporalSums(WINDOW, pixels, SUMS), SpatialSums(len(tiles), pixels, SUMS)
    for scene, tile in enumerate(tiles):
        for place in places:
            over_time.add_tile(tile, place)
            over_space.add_tile(scene, tile, place)
    return over_time.partial(), over_space.partial()


def assert_same(found: Partial, wanted: Partial) -> None:
    names = ["count", "valid_fraction", "sum", "mean"]
    ours, theirs = finish(found, names), finish(wanted, names)
    for name in names:
        np.testing.assert_array_equal(ours[name], theirs[name], name)
    np.testing.assert_array_equal(np.broadcast_to(found.seen, found.counts.shape), wanted.seen)


@pytest.mark.parametrize(
    ("dtype", "predictor"), [*CODINGS, *(pytest.param(*coding, marks=pytest.mark.slow) for coding in MORE_CODINGS)]
)
@pytest.mark.parametrize("scenes", [1, 4, 7])
def test_every_coding_gives_the_sums_of_its_pixels(dtype: str, predictor: int, scenes: int) -> None:
    tiles, pixels = tiles_of(dtype, scenes), Pixels(np.dtype(dtype), 0)
    over_time, over_space, _ = fused(tiles, predictor, [WHOLE], pixels)
    valid = tiles != 0
    found = finish(over_time, ["sum", "count"], min_count=0)
    np.testing.assert_array_equal(found["sum"][:ROWS, :COLUMNS], tiles.astype(np.float64).sum(axis=0))
    np.testing.assert_array_equal(found["count"][:ROWS, :COLUMNS], valid.sum(axis=0))
    np.testing.assert_array_equal(finish(over_space, ["count"])["count"], valid.sum(axis=(1, 2)))
    np.testing.assert_array_equal(
        finish(over_space, ["sum"], min_count=0)["sum"], tiles.astype(np.float64).sum(axis=(1, 2))
    )


@pytest.mark.parametrize("magnitudes", [3, 12, 30])
@settings(max_examples=10)
@given(scenes=st.integers(1, 9), places=st.lists(st.sampled_from(PLACES), min_size=1, max_size=4, unique=True))
def test_parts_of_tiles_of_any_magnitude_give_the_same_bits(magnitudes: int, scenes: int, places: list[Place]) -> None:
    tiles, pixels = tiles_of("f4", scenes, magnitudes), Pixels(np.dtype("f4"), 0)
    over_time, over_space, _ = fused(tiles, 3, places, pixels)
    wanted_time, wanted_space = plain(tiles, places, pixels)
    assert_same(over_space, wanted_space)
    assert finish(over_time, ["sum"])["sum"].tobytes() == finish(wanted_time, ["sum"])["sum"].tobytes()


def test_columns_that_do_not_fit_are_handed_back_and_spoil_nothing_that_was_added_before() -> None:
    tiles, pixels = tiles_of("f4", 4), Pixels(np.dtype("f4"), 0)
    wild = tiles.copy()
    wild[2, :3, 0] = 1e30, 1.0, 1e-30
    over_space = SpatialSums(4, pixels, SUMS)
    sums = FusedSums(None, over_space, pixels)
    for some in (tiles, wild, tiles):
        for at in sums.add(range(4), Encoded(np.stack([encoded(tile, 3) for tile in some]), 3), WHOLE):
            assert at == 2
            over_space.add_tile(at, some[at], WHOLE)
    sums.finish()
    wanted = SpatialSums(4, pixels, SUMS)
    for some in (tiles, wild, tiles):
        for scene, tile in enumerate(some):
            wanted.add_tile(scene, tile, WHOLE)
    assert_same(over_space.partial(), wanted.partial())


@pytest.mark.parametrize(("lowest", "spread"), SPREADS)
@pytest.mark.parametrize("scenes", [1, 2, 4, 5, 8, 16])
def test_sums_are_exact_up_to_and_beyond_the_bits_of_a_float64(lowest: int, spread: int, scenes: int) -> None:
    every_bit, one_bit = np.float32(2**24 - 1), np.float32(2**23)  # of one exponent
    tiles = np.zeros((scenes, ROWS, COLUMNS), np.float32)
    tiles[: scenes // 2 + 1, :, 3] = np.ldexp(every_bit, lowest + spread)
    tiles[scenes // 2 + 1 :, :40, 3] = np.ldexp(every_bit, lowest)
    tiles[scenes // 2, ::2, 4:] = np.ldexp(one_bit, lowest)
    over_time, over_space, _ = fused(tiles, 3, [WHOLE], Pixels(np.dtype("f4")))
    found = finish(over_time, ["sum"], min_count=0)["sum"][:ROWS, :COLUMNS]
    wanted = [[math.fsum(cell) for cell in row] for row in tiles.astype(np.float64).transpose(1, 2, 0).tolist()]
    np.testing.assert_array_equal(found, wanted)
    in_space = [math.fsum(tile.astype(np.float64).ravel().tolist()) for tile in tiles]
    np.testing.assert_array_equal(finish(over_space, ["sum"], min_count=0)["sum"], in_space)


def test_infinities_and_nan_are_as_in_plain_sums() -> None:
    tiles, pixels = tiles_of("f4", 5), Pixels(np.dtype("f4"), 0)
    tiles[1, 5, 5], tiles[2, 6, 6], tiles[3, 7, 7], tiles[4, 7, 7] = np.inf, -np.inf, np.nan, np.inf
    ours, theirs = fused(tiles, 3, [WHOLE], pixels), plain(tiles, [WHOLE], pixels)
    assert_same(ours[0], theirs[0])
    assert_same(ours[1], theirs[1])


def test_tiles_of_unlike_magnitude_lie_side_by_side_in_a_window() -> None:
    scenes, shape, columns = 6, (ROWS, 264), (0, 200, 336)
    rng, pixels = np.random.default_rng(3), Pixels(np.dtype("f4"), 0)
    over_time = [TemporalSums((ROWS, 600), pixels, SUMS) for _ in range(2)]
    sums = FusedSums(over_time[0], None, pixels)
    for wild, column in zip((0, 30, 0), columns, strict=True):
        tiles = np.ldexp(rng.random((scenes, *shape)), rng.integers(-wild, wild + 1, (scenes, *shape))).astype("f4")
        place = Place(0, 0, 0, column, *shape)
        sums.add(range(scenes), Encoded(np.stack([encoded(tile, 3) for tile in tiles]), 3), place)
        for tile in tiles:
            over_time[1].add_tile(tile, place)
    sums.finish()
    ours, theirs = (finish(one.partial(), ["sum", "count"]) for one in over_time)
    np.testing.assert_array_equal(ours["sum"], theirs["sum"])
    np.testing.assert_array_equal(ours["count"], theirs["count"])


def test_tiles_between_inflated_tiles_are_added_exactly_too() -> None:
    tiles, pixels = tiles_of("f4", 6, magnitudes=3), Pixels(np.dtype("f4"), 0)
    wild = np.ldexp(tiles, 20)
    over_time = TemporalSums(WINDOW, pixels, SUMS)
    sums = FusedSums(over_time, None, pixels)
    for scene in range(6):
        sums.add([scene], Encoded(encoded(tiles[scene], 3)[np.newaxis], 3), WHOLE)
        over_time.add_tile(wild[scene], WHOLE)
    sums.finish()
    wanted, _ = plain(np.concatenate([tiles, wild]), [WHOLE], pixels)
    assert_same(over_time.partial(), wanted)


@pytest.mark.parametrize("dtype", ["u8", "i8"])
def test_integers_that_no_float_holds_are_not_taken(dtype: str) -> None:
    assert not FusedSums.fits(Pixels(np.dtype(dtype)), [SUMS])


@pytest.mark.parametrize(
    ("needs", "fits"),
    [([SUMS], True), ([SUMS, SUMS], True), ([], False), ([SUMS, Needs()], False), ([Needs(True, True)], False)],
)
def test_means_alone_are_taken(needs: list[Needs], fits: bool) -> None:
    assert FusedSums.fits(Pixels(np.dtype("f4")), needs) == fits


def test_a_place_outside_of_the_window_is_refused() -> None:
    pixels = Pixels(np.dtype("f4"))
    sums = FusedSums(TemporalSums((4, 4), pixels, SUMS), None, pixels)
    with pytest.raises(ValueError, match="wanted it inside of both"):
        sums.add([0], Encoded(np.zeros((1, 8, 32), np.uint8), 3), Place(0, 0, 0, 0, 8, 8))


@pytest.mark.slow  # compiled anew; test_scaling has one case for all
@pytest.mark.parametrize("limits", [None, (-0.05, 0.4)])
@settings(max_examples=10)
@given(
    hides=st.booleans(),
    places=st.lists(st.sampled_from(PLACES), min_size=1, max_size=4, unique=True),
    scales=st.lists(st.sampled_from([(2.75e-5, -0.2), (1e-4, 0.0), (1e-4, -0.1)]), min_size=7, max_size=7),
)
def test_scaled_integers_give_the_bits_of_values_scaled_before(
    places: list[Place], scales: list[tuple[float, float]], limits: tuple[float, float] | None, hides: bool
) -> None:
    rng = np.random.default_rng(len(places))
    tiles = (rng.integers(0, 2**16, (7, ROWS, COLUMNS)) * (rng.random((7, ROWS, COLUMNS)) < 0.7)).astype(np.uint16)
    stored, pixels = Pixels(np.dtype("u2"), 0), Pixels(np.dtype("f8"), None, limits)
    split = split_for(scales, stored)
    assert split is not None
    plane = rng.integers(0, 256, (1, *WINDOW)).astype(np.uint8) if hides else np.zeros((1, *WINDOW), np.uint8)
    over_time, over_space = TemporalSums(WINDOW, pixels, SUMS), SpatialSums(7, pixels, SUMS)
    sums = FusedSums(over_time, over_space, stored, Scaled(np.array(scales), split, pixels.kind.limits))
    wanted_time, wanted_space = TemporalSums(WINDOW, pixels, SUMS), SpatialSums(7, pixels, SUMS)
    for some in (range(4), range(4, 7)):
        bits = np.array([1 << scene for scene in some], np.uint8)
        hidden = HiddenPixels(True, plane, np.zeros(len(some), np.int64), bits) if hides else NO_HIDDEN
        together = Encoded(np.stack([encoded(tiles[scene], 2) for scene in some]), 2)
        for place in places:
            assert not sums.add(some, together, place, hidden)
    for scene, place in itertools.product(range(7), places):
        values = tiles[scene] * scales[scene][0] + scales[scene][1]
        shown = np.zeros(tiles[scene].shape, np.bool_)
        shown[place.of_tile()] = (plane[0][place.of_window()] & (1 << scene)) == 0
        values[(tiles[scene] == 0) | ~shown] = np.nan
        wanted_time.add_tile(values, place)
        wanted_space.add_tile(scene, values, place)
    sums.finish()
    assert_same(over_space.partial(), wanted_space.partial())
    assert_same(over_time.partial(), wanted_time.partial())


@pytest.mark.slow
@settings(max_examples=10)
@given(hides=st.booleans(), nodata=st.booleans(), seed=st.integers(0, 99))
def test_scaled_integers_give_zones_the_bits_of_values_scaled_before(hides: bool, nodata: bool, seed: int) -> None:
    rng, scales = np.random.default_rng(seed), [(2.75e-5, -0.2), (1e-4, -0.1)]
    tiles = rng.integers(0, 2**16, (2, ROWS, COLUMNS)).astype(np.uint16)
    tiles[:, : ROWS // 2] *= rng.random((2, ROWS // 2, COLUMNS)) < 0.7
    stored, pixels, place = Pixels(np.dtype("u2"), 0 if nodata else None), Pixels(np.dtype("f8")), PLACES[1]
    split = split_for(scales, stored)
    assert split is not None
    row, zone, start = (rng.integers(0, most, 300) for most in (WINDOW[0], 5, WINDOW[1]))
    fraction = np.where(rng.random(300) < 0.8, 1.0, rng.random(300).astype(np.float32))
    stop = np.minimum(start + rng.integers(1, 30, 300), WINDOW[1])
    runs = ZoneRuns.of(WINDOW[0], row, zone, (start, stop), fraction)
    plane = rng.integers(0, 4, (1, *WINDOW)).astype(np.uint8) if hides else np.zeros((1, *WINDOW), np.uint8)
    hidden = HiddenPixels(True, plane, np.zeros(2, np.int64), np.array([1, 2], np.uint8)) if hides else NO_HIDDEN
    found, wanted = ZonalSums(2, pixels, SUMS, runs), ZonalSums(2, pixels, SUMS, runs)
    sums = FusedSums(None, None, stored, Scaled(np.array(scales), split, pixels.kind.limits), found)
    sums.add([0, 1], Encoded(np.stack([encoded(tile, 2) for tile in tiles]), 2), place, hidden)
    for scene, (tile, (scale, offset)) in enumerate(zip(tiles, scales, strict=True)):
        values = tile * scale + offset
        values[~stored.valid(tile)] = np.nan
        values[place.of_tile()][plane[0][place.of_window()] & (1 << scene) > 0] = np.nan
        wanted.add_tile(scene, values, place)
    ours, theirs = found.partial(), wanted.partial()
    assert ours.zones.tolist() == theirs.zones.tolist()
    np.testing.assert_array_equal(ours.cells.seen, theirs.cells.seen)
    for name in ("count", "sum"):
        ours_, theirs_ = (finish(part.cells, [name], min_count=0)[name] for part in (ours, theirs))
        np.testing.assert_array_equal(ours_, theirs_, name)


@pytest.mark.slow
@pytest.mark.parametrize("scenes", [[4], [0, 1, 3], list(range(8)), [12, 2, 3, 4, 5, 6, 7, 8, 9, 11]], ids=len)
@pytest.mark.parametrize("magnitudes", [0, 3, 30], ids="10 to the {}".format)
@pytest.mark.parametrize("by_area", [False, True], ids=["fractions", "areas"])
def test_zones_of_tiles_side_by_side_have_the_bits_of_one_tile_after_another(
    scenes: list[int], magnitudes: int, by_area: bool
) -> None:
    needs = Needs(sums=True, weights=True, weighted_sums=True)
    rng, pixels = np.random.default_rng(magnitudes), Pixels(np.dtype("f4"), 0)
    tiles = tiles_of("f4", 13, magnitudes)
    tiles[rng.random(tiles.shape[:2]) < 0.5] = 1  # rows all of which count
    row, zone, start = (rng.integers(0, most, 900) for most in (WINDOW[0], 7, WINDOW[1]))
    stop = np.minimum(start + rng.choice([1, 1, 30], 900), WINDOW[1])
    fraction = np.where(rng.random(900) < 0.5, 1.0, rng.random(900).astype(np.float32))
    runs = ZoneRuns.of(WINDOW[0], row, 2 * zone, (start, stop), fraction)
    areas = rng.random(WINDOW[0]) if by_area else None
    found, wanted = (ZonalSums(13, pixels, needs, runs, areas) for _ in range(2))
    sums = FusedSums(None, None, pixels, over_zones=found)
    for place in PLACES:
        for _ in range(2):
            sums.add(scenes, Encoded(np.stack([encoded(tiles[scene], 3) for scene in scenes]), 3), place)
            for scene in scenes:
                wanted.add_tile(scene, tiles[scene], place)
    ours, theirs = found.partial(), wanted.partial()
    for name in ("seen", "counts"):
        np.testing.assert_array_equal(getattr(ours.cells, name), getattr(theirs.cells, name), name)
    for name, total in ours.cells.totals.items():
        assert exact_values(total) == exact_values(theirs.cells.totals[name]), name


def exact_values(total: Total) -> list[Fraction]:
    """The sum of each cell."""
    wide = widened(total, np.arange(total.layers.shape[1]))
    return [integer * Fraction(2) ** (32 * wide.first) for integer in integers(wide)]


@pytest.mark.parametrize(("rows", "times"), [(2048, 100), (3 * MOST_ADDITIONS + 5, 1)], ids=["of tiles", "of a tile"])
def test_sums_of_scaled_columns_stay_exact_over_any_number_of_rows(rows: int, times: int) -> None:
    scale, stored, pixels = (0.5, 0.3), Pixels(np.dtype("u2")), Pixels(np.dtype("f8"))
    split = split_for([scale], stored)
    assert split is not None
    over_space = SpatialSums(1, pixels, SUMS)
    sums = FusedSums(None, over_space, stored, Scaled(np.array([scale]), split, pixels.kind.limits))
    column = np.zeros((rows, 1), np.uint16)
    for _ in range(times):
        sums.add_decoded(0, column, Place(0, 0, 0, 0, rows, 1))
    sums.finish()
    wanted = float(Fraction(scale[1]) * rows * times)
    assert finish(over_space.partial(), ["sum"])["sum"].tolist() == [wanted]
