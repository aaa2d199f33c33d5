"""Medians and quantiles of zones: those of all their valid pixels, whatever the tiles and types are."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.quantiles import quantile_of_values
from runner.reduce.zone_quantiles import ZonePixels, weighted_quantiles
from runner.reduce.zone_runs import ZoneRuns

HEIGHT, WIDTH, SCENES, ZONES = 11, 23, 2, 4
NAMES = ("median", "q05", "q33", "q99_9")
PARTS = (Fraction(1, 2), Fraction(1, 20), Fraction(33, 100), Fraction(999, 1000))

seeds = st.integers(0, 2**32 - 1)


def drawn_runs(random: np.random.Generator) -> ZoneRuns:
    """Runs of zones that overlap, some of whole pixels; those of one zone do not overlap."""
    zones, rows = np.divmod(random.permutation(ZONES * HEIGHT)[: random.integers(1, ZONES * HEIGHT)], HEIGHT)
    start = random.integers(0, WIDTH, zones.size)
    stop = np.minimum(WIDTH, start + random.integers(1, WIDTH, zones.size))
    drawn = np.clip(random.random(zones.size), 2.0**-30, 1).astype(np.float32).astype(float)
    fraction = np.where(random.random(zones.size) < 0.5, 1.0, drawn)
    return ZoneRuns.of(HEIGHT, rows, zones, (start, stop), fraction)


def drawn_pixels(random: np.random.Generator, dtype: str) -> np.ndarray:
    """Pixels of few values, so that many are equal, or of any; the first is nodata."""
    shape = SCENES, HEIGHT, WIDTH
    if np.dtype(dtype).kind != "f":
        info, few = np.iinfo(dtype), random.random() < 0.5
        low, high = (max(info.min, -3), 3) if few else (info.min, info.max)
        return random.integers(low, high, shape, endpoint=True, dtype=dtype)
    drawn = np.round(random.standard_normal(shape), int(random.integers(0, 6)))
    drawn[random.random(shape) < 0.1] = np.nan
    drawn[random.random(shape) < 0.05] = np.inf
    return drawn.astype(dtype)


def found(data: np.ndarray, pixels: Pixels, runs: ZoneRuns, *, by_fraction: bool) -> dict[str, np.ndarray]:
    """The statistics, of tiles of a few rows and columns each."""
    values = ZonePixels(SCENES, pixels, runs, NAMES, by_fraction=by_fraction)
    for scene in range(SCENES):
        for row in range(0, HEIGHT, 4):
            for column in range(0, WIDTH, 10):
                height, width = min(4, HEIGHT - row), min(10, WIDTH - column)
                tile = np.ascontiguousarray(np.pad(data[scene], 1)[row : row + height + 1, column : column + width + 1])
                values.add_tile(scene, tile, Place(1, 1, row, column, height, width))
    return values.finish()


def of_zone(data: np.ndarray, pixels: Pixels, runs: ZoneRuns, zone: int) -> tuple[np.ndarray, np.ndarray]:
    """The valid pixels of a zone in one scene, and their fractions."""
    rows = runs.row_numbers()
    chosen = np.flatnonzero(runs.zone == zone)
    values = np.concatenate([data[rows[run], runs.start[run] : runs.stop[run]] for run in chosen])
    fractions = np.repeat(runs.fraction[chosen], (runs.stop - runs.start)[chosen])
    valid = pixels.valid(values)
    return values[valid], fractions[valid]


def by_fractions(values: np.ndarray, weights: np.ndarray, part: Fraction) -> float:
    """The lowest value up to which a part of all weights lies, by Python's fractions."""
    total, reached = sum(map(Fraction, weights.tolist())), Fraction(0)
    for value, weight in sorted(zip(values.tolist(), weights.tolist(), strict=True)):
        reached += Fraction(weight)
        if reached >= part * total:
            return float(value) + 0.0
    return np.nan


def check(seed: int, dtype: str, *, by_fraction: bool) -> None:
    random = np.random.default_rng(seed)
    runs, data = drawn_runs(random), drawn_pixels(random, dtype)
    pixels = Pixels(data.dtype, data[0, 0, 0].item())
    statistics, zones = found(data, pixels, runs, by_fraction=by_fraction), np.unique(runs.zone)
    for name, part in zip(NAMES, PARTS, strict=True):
        assert statistics[name].shape == (SCENES, zones.size)
        for scene in range(SCENES):
            for place, zone in enumerate(zones):
                values, weights = of_zone(data[scene], pixels, runs, zone)
                if by_fraction:
                    wanted = by_fractions(values, weights, part)
                else:
                    wanted = quantile_of_values(values.astype(float), 0, float(part)) if values.size else np.nan
                np.testing.assert_equal(statistics[name][scene, place], wanted)


@given(seeds, st.booleans())
@settings(max_examples=10)
def test_quantiles_of_zones_are_those_of_their_valid_pixels(seed: int, by_fraction: bool) -> None:
    check(seed, "float32", by_fraction=by_fraction)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "int64"])
@settings(max_examples=40)
@given(seed=seeds, by_fraction=st.booleans())
def test_quantiles_of_zones_are_those_of_their_valid_pixels_for_every_type(
    dtype: str, seed: int, by_fraction: bool
) -> None:
    check(seed, dtype, by_fraction=by_fraction)


@pytest.mark.slow
@settings(max_examples=100)
@given(seeds)
def test_quantiles_by_fractions_are_those_of_numpy(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, weights = random.standard_normal(50), random.uniform(0.01, 1, 50).astype(np.float32)
    parts = random.uniform(0.01, 0.99, 3)
    ours = weighted_quantiles([values], [weights], Pixels(np.dtype(np.float64)), [*parts.tolist()])
    theirs = np.quantile(values, parts, weights=weights.astype(float), method="inverted_cdf")
    np.testing.assert_array_equal(np.concatenate(ours), theirs)


def test_equal_parts_are_reached_exactly() -> None:
    """The twentieth part of twenty whole pixels is the first, though 0.05 as a float64 is more than a twentieth."""
    values = np.arange(1.0, 21.0)
    (found,) = weighted_quantiles([values], [np.ones(20, np.float32)], Pixels(np.dtype(np.float64)), [0.05])
    assert found.tolist() == [1.0]
