"""Sums over zones: the exact sums of their pixels, whatever the tiles, tasks and types are."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.reduce.exact import Total, integers, widened
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.zonal import ZonalSums
from runner.reduce.zone_runs import ZoneRuns
from runner.reduce.zone_sums import ZoneSums

HEIGHT, WIDTH, SCENES, ZONES = 13, 17, 2, 4
NEEDS = Needs(sums=True, squares=True, extremes=True, weights=True, weighted_sums=True, weighted_squares=True)

seeds = st.integers(0, 2**32 - 1)


def drawn_runs(random: np.random.Generator) -> ZoneRuns:
    """Runs that overlap, within a zone too, some of whole pixels."""
    count = int(random.integers(1, 50))
    row, zone, start = (random.integers(0, most, count) for most in (HEIGHT, ZONES, WIDTH))
    stop = np.minimum(WIDTH, start + random.integers(1, 9, count))
    fraction = np.where(random.random(count) < 0.5, 1.0, random.random(count).astype(np.float32).astype(float))
    return ZoneRuns.of(HEIGHT, row, zone, (start, stop), fraction)


def drawn_pixels(random: np.random.Generator, dtype: str) -> np.ndarray:
    shape = SCENES, HEIGHT, WIDTH
    if dtype in ("int16", "int64"):
        info = np.iinfo(dtype)
        return random.integers(info.min, info.max, shape, endpoint=True, dtype=dtype)
    return (random.standard_normal(shape) * 10.0 ** random.integers(-5, 15, shape)).astype(dtype)


def reduced(data: np.ndarray, runs: ZoneRuns, areas: np.ndarray | None, random: np.random.Generator) -> Partial:
    """The sums of tasks of some rows, columns and scenes each, in any order, whose tiles are cut otherwise."""
    pixels, whole = Pixels(data.dtype, data[0, 0, 0].item()), ZoneSums(SCENES, ZONES)
    row, column, scene = (int(random.integers(0, most)) for most in (HEIGHT, WIDTH, SCENES))
    tasks = [
        (slice(*rows), slice(*columns), slice(*scenes))
        for rows in ((0, row), (row, HEIGHT))
        for columns in ((0, column), (column, WIDTH))
        for scenes in ((0, scene), (scene, SCENES))
    ]
    for rows, columns, scenes in random.permutation(np.array(tasks, object)):
        height, width, count = (part.stop - part.start for part in (rows, columns, scenes))
        if not height * width * count:
            continue
        part = runs.part(rows.start, columns.start, height, width)
        sums = ZonalSums(count, pixels, NEEDS, part, None if areas is None else areas[rows])
        for number in range(count):
            tile = np.ascontiguousarray(data[scenes][number][rows, columns])
            for top in range(0, height, 5):
                sums.add_tile(number, tile.copy(), Place(top, 0, top, 0, min(5, height - top), width))
        whole.add(sums.partial(), scenes.start)
    assert whole.whole is not None
    return whole.whole


def expected(
    data: np.ndarray, nodata: object, runs: ZoneRuns, areas: np.ndarray | None, zone: int
) -> tuple[dict[str, Fraction], list[Fraction]]:
    """The sums of a zone in one scene by Python's fractions, and its valid pixels."""
    sums = dict.fromkeys(("sums", "squares", "weights", "weighted_sums", "weighted_squares"), Fraction(0))
    values = []
    for run in np.flatnonzero(runs.zone == zone):
        row, fraction = int(runs.row_numbers()[run]), Fraction(runs.fraction[run])
        weight = fraction if areas is None else Fraction(float(runs.fraction[run] * areas[row]))
        for pixel in data[row, runs.start[run] : runs.stop[run]]:
            if pixel == nodata:
                continue
            value = Fraction(pixel.item())
            values.append(value)
            sums["sums"] += fraction * value
            sums["squares"] += fraction * value**2
            sums["weights"] += weight
            sums["weighted_sums"] += weight * value
            sums["weighted_squares"] += weight * value**2
    return sums, values


def as_fraction(total: Total, cell: int) -> Fraction:
    wide = widened(total, np.array([cell]))
    return Fraction(int(integers(wide)[0])) * Fraction(2) ** (32 * wide.first)


def check(seed: int, dtype: str, *, by_area: bool) -> None:
    random = np.random.default_rng(seed)
    runs, data = drawn_runs(random), drawn_pixels(random, dtype)
    areas = random.random(HEIGHT) * 1e4 if by_area else None
    sums = reduced(data, runs, areas, random)
    assert (sums.seen == HEIGHT * WIDTH).all()
    for scene in range(SCENES):
        for zone in range(ZONES):
            cell = scene * ZONES + zone
            wanted, values = expected(data[scene], data[0, 0, 0], runs, areas, zone)
            assert sums.counts[cell] == len(values)
            assert {name: as_fraction(total, cell) for name, total in sums.totals.items()} == wanted
            if values:
                extremes = [Fraction(sums.extremes[number, cell].item()) for number in (0, 1)]
                assert extremes == [min(values), max(values)]


@given(seeds, st.booleans())
@settings(max_examples=10)
def test_sums_of_zones_are_exact(seed: int, by_area: bool) -> None:
    check(seed, "float32", by_area=by_area)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int64"])
@settings(max_examples=40)
@given(seed=seeds, by_area=st.booleans())
def test_sums_of_zones_are_exact_for_every_type(dtype: str, seed: int, by_area: bool) -> None:
    check(seed, dtype, by_area=by_area)


@pytest.mark.slow
@pytest.mark.parametrize("power", [-1060, -1000, -890, 0, 900, 1000])
def test_products_at_the_ends_of_float64_are_exact(power: int) -> None:
    random = np.random.default_rng(abs(power))
    data = np.ldexp(random.uniform(1, 2, (1, 1, 60)), power + random.integers(0, 20, 60))
    fraction = np.where(random.random(60) < 0.2, 1.0, random.random(60).astype(np.float32).astype(float))
    starts = np.arange(60)
    runs = ZoneRuns.of(1, np.zeros(60, int), starts % ZONES, (starts, starts + 1), fraction)
    sums = ZonalSums(1, Pixels(np.dtype(np.float64)), Needs(sums=True), runs)
    sums.add_tile(0, data[0], Place(0, 0, 0, 0, 1, 60))
    total = sums.partial().cells.sums
    assert total is not None
    for zone in range(ZONES):
        assert as_fraction(total, zone) == expected(data[0], None, runs, None, zone)[0]["sums"]


def test_infinite_pixels_and_missing_ones_are_known_by_zone() -> None:
    data = np.array([[[np.inf, 1, np.nan, -np.inf, 2, 0]]], np.float32)
    runs = ZoneRuns.of(1, np.zeros(3, int), np.arange(3), (np.array([0, 2, 4]), np.array([2, 4, 6])), None)
    sums = ZonalSums(1, Pixels(np.dtype(np.float32), 0.0), Needs(sums=True), runs)
    sums.add_tile(0, data[0], Place(0, 0, 0, 0, 1, 6))
    partial = sums.partial().cells
    assert partial.counts.tolist() == [2, 1, 1]
    assert partial.sums is not None
    assert partial.sums.wide is not None
    assert partial.sums.wide.infinite.tolist() == [[1, 0], [0, 1], [0, 0]]


def test_runs_are_cut_to_a_part_of_their_window() -> None:
    runs = ZoneRuns.of(3, np.array([0, 1, 2]), np.array([5, 6, 7]), (np.array([0, 2, 8]), np.array([4, 9, 9])), None)
    part = runs.part(1, 3, 2, 5)
    assert (part.rows.tolist(), part.zone.tolist()) == ([0, 1, 1], [6])
    assert (part.start.tolist(), part.stop.tolist()) == ([0], [5])
    zones, renumbered = part.renumbered()
    assert (zones.tolist(), renumbered.zone.tolist()) == ([6], [0])
