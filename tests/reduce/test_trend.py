"""Slopes, ends, spreads and tests of a trend, against fractions and plain numpy, whatever the order and the cut."""

import math
import random
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from marks import few_quick
from slopes import expected

from runner.reduce.partial import Partial, combine, rectangle, renumbered, rows
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.scene_times import EPOCH, FURTHEST, YEAR, SceneTime, milliseconds
from runner.reduce.statistics import finish, finish_ordered, needs, statistic
from runner.reduce.temporal import TemporalSums
from runner.reduce.time_sums import TaskTimes

Stack = npt.NDArray[Any]
Times = list[int]

SUMMED = ["slope", "slope_stderr", "first", "last", "range", "cv", "count"]
ORDERED = ["theil_sen", "mann_kendall", "mann_kendall_p"]
FIRST_AND_LAST = ["first", "first_scenes", "last", "last_scenes"]
DAY = 86_400_000
LEAP = milliseconds(datetime(2020, 1, 1, tzinfo=UTC))


def partials(stack: Stack, times: Times, edges: list[int], seed: int = 0, nodata: float | None = 0) -> list[Partial]:
    """Partials of parts of the scenes, each of which adds its scenes in random order."""
    parts, chance = [], random.Random(seed)
    for start, stop in zip(edges, [*edges[1:], len(stack)], strict=True):
        task = TaskTimes.of(times[start:stop], start)
        sums = TemporalSums(stack.shape[1:], Pixels(stack.dtype, nodata), needs(SUMMED), task)
        for scene in chance.sample(range(start, stop), stop - start):
            sums.add_tile(stack[scene].copy(), Place(0, 0, 0, 0, *stack.shape[1:]), scene - start)
        parts.append(sums.partial())
    chance.shuffle(parts)
    return parts


def assert_equal(found: dict[str, Any], stack: Stack, times: Times, nodata: float | None = 0) -> None:
    for name, wanted in expected(stack, times, nodata).items():
        np.testing.assert_array_equal(found[name], wanted, err_msg=name)


def speckled(dtype: str, shape: tuple[int, int, int], seed: int = 0) -> Stack:
    """Scenes of which a third is 0, and one pixel nothing else."""
    rng = np.random.default_rng(seed)
    stack = (rng.gamma(1, 30, shape) + 1).astype(dtype)
    stack[rng.random(shape) < 0.3] = 0
    stack[:, 0, 0] = 0
    return stack


DTYPES = few_quick(["f4", "i8", "f8", "i2", "u1", "u4", "i4", "u8"], 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("unit", [DAY, 1])
def test_slopes_and_ends_are_exact_for_every_type_of_pixels(dtype: str, unit: int) -> None:
    stack = speckled(dtype, (9, 4, 7))
    times = sorted(LEAP // unit * unit + unit * step for step in np.random.default_rng(1).integers(0, 999, 9).tolist())
    times[3] = times[4]  # two scenes of one time: the stack orders them
    found = finish(combine(partials(stack, times, [0, 2, 6])), SUMMED)
    assert_equal(found, stack, times)


some_times = st.lists(st.integers(1 - FURTHEST, FURTHEST - 1) | st.integers(-3, 3), min_size=1, max_size=7).map(sorted)
numbers = st.sampled_from([0.0, -0.0, 1.0, 3e38, 1e-45, np.nan]) | st.floats(width=32, allow_infinity=False)
doubles = numbers | st.floats(allow_infinity=False) | st.sampled_from([1e308, 5e-324, 0.1])


@settings(max_examples=60)
@given(data=st.data(), times=some_times, wide=st.booleans())
def test_any_order_and_cut_gives_the_bits_of_the_true_value(data: st.DataObject, times: Times, wide: bool) -> None:
    kind: Any = (np.float64, doubles) if wide else (np.float32, numbers)
    stack = data.draw(hnp.arrays(kind[0], (len(times), 2, 3), elements=kind[1]))
    edges = sorted({0, *data.draw(st.lists(st.integers(1, len(times)), max_size=3))} - {len(times)})
    straight, cut = (finish(combine(partials(stack, times, at, 5, None)), SUMMED) for at in ([0], edges))
    assert all(straight[name].tobytes() == cut[name].tobytes() for name in SUMMED)
    with np.errstate(over="ignore"):
        assert_equal(straight, stack, times, None)


def test_parts_of_a_partial_have_the_values_of_the_whole() -> None:
    stack, times = speckled("f4", (6, 8, 9)), [LEAP + DAY * day for day in (0, 1, 1, 50, 400, 700)]
    whole = combine(partials(stack, times, [0, 3]))
    for part, place in (
        (rows(whole, 2, 5), np.s_[2:5, :]),
        (rectangle(whole, (slice(1, 7), slice(3, 8))), np.s_[1:7, 3:8]),
        (Partial.from_arrays(whole.arrays()), np.s_[:, :]),
    ):
        assert part.held == whole.held
        for name, values in finish(part, SUMMED).items():
            np.testing.assert_array_equal(values, finish(whole, SUMMED)[name][place])


def test_partials_of_another_run_count_scenes_anew() -> None:
    stack, times = speckled("f4", (5, 3, 4)), [LEAP + DAY * day for day in (0, 3, 3, 9, 20)]
    earlier = combine(partials(stack[[0, 1, 3]], [times[0], times[1], times[3]], [0]))
    later = combine(partials(stack[[2, 4]], [times[2], times[4]], [0]))
    both = [renumbered(earlier, np.array([0, 1, 3])), renumbered(later, np.array([2, 4]))]
    for order in (both, both[::-1]):
        assert_equal(finish(combine(order), SUMMED), stack, times)


def test_the_coefficient_of_variation_is_the_deviation_in_means() -> None:
    stack = speckled("f4", (9, 4, 5))
    stack[:, 1, 1] = [1, -1] * 4 + [0]
    found = finish(combine(partials(stack, list(range(9)), [0])), [*SUMMED, "std", "mean"])
    assert np.isnan(found["cv"][1, 1])  # of a mean of 0
    found["mean"][1, 1] = np.nan
    np.testing.assert_array_equal(found["cv"], found["std"] / found["mean"])


def test_infinite_pixels_leave_no_slope() -> None:
    stack = np.ones((3, 1, 2), np.float32)
    stack[1, 0, 0] = np.inf
    found = finish(combine(partials(stack, [-1, 0, 5], [0, 1])), SUMMED)
    assert np.isnan(found["slope"][0]).tolist() == [True, False]
    assert np.isnan(found["slope_stderr"][0]).tolist() == [True, False]


def test_the_stated_memory_is_what_is_held() -> None:
    pixels, needed = Pixels(np.dtype("f4"), 0), needs(["slope", "first", "last"])
    held = partials(np.ones((2, 60, 60), np.float32), [0, 1], [0])[0].arrays()
    stated = 60 * 60 * TemporalSums.bytes_per_pixel(pixels, needed)
    assert stated == sum(held[name].nbytes for name in ("counts", "sums", "times", "time_sums", *FIRST_AND_LAST))


@pytest.mark.parametrize("time", [0, 1, -1, 2**21, -(2**21) - 1, FURTHEST - 1, 1 - FURTHEST, LEAP])
def test_a_time_is_the_sum_of_its_parts(time: int) -> None:
    parts = SceneTime.of(time)
    assert parts.high + parts.low == time
    assert parts.square_low + parts.square_high * 2**43 == time**2
    assert parts.high * time >= 0
    assert parts.low * time >= 0


def test_times_are_counted_from_one_moment_for_all_stacks() -> None:
    assert milliseconds(EPOCH) == 0
    assert milliseconds(datetime(2000, 1, 2, 0, 0, 0, 1999, tzinfo=UTC)) == DAY + 1
    assert milliseconds(datetime(1999, 12, 31, tzinfo=UTC)) == -DAY


# --- all values with their times ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenes", [2, 3, 12, 60])
@pytest.mark.parametrize("dtype", few_quick(["f4", "i2"]))
def test_the_median_slope_is_scipys(dtype: str, scenes: int) -> None:
    from scipy import stats  # a second, which processes that run other tests spare

    stack = speckled(dtype, (scenes, 3, 5), scenes)
    times = [LEAP + DAY * day for day in sorted(np.random.default_rng(0).integers(0, 900, scenes).tolist())]
    found = finish_ordered(stack, Pixels(stack.dtype, 0), ["theil_sen"], np.array(times, float))["theil_sen"]
    years = (np.array(times) - LEAP) / YEAR
    for place in np.ndindex(found.shape):
        valid = stack[:, *place] != 0
        if len(set(years[valid])) < 2:
            assert np.isnan(found[place])
        else:
            wanted = stats.theilslopes(stack[:, *place][valid].astype(float), years[valid])[0]
            assert found[place] == pytest.approx(wanted, rel=1e-13, abs=1e-13)


@settings(max_examples=60)
@given(
    values=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 50) | st.just(90), st.integers(1, 3)),
        elements=st.floats(-9, 9) | st.just(np.nan),
    ),
    shuffle=st.randoms(),
)
def test_median_slopes_are_those_of_all_pairs(values: Stack, shuffle: Any) -> None:
    times = np.sort([shuffle.randrange(30) for _ in values]).astype(float)
    found = finish_ordered(values, Pixels(values.dtype), ["theil_sen"], times)["theil_sen"]
    for cell, column in enumerate(values.T):
        pairs = combinations([(t, x) for t, x in zip(times, column, strict=True) if not np.isnan(x)], 2)
        slopes = [(x - w) / (t - s) for (s, w), (t, x) in pairs if t != s]
        np.testing.assert_array_equal(found[cell], np.median(slopes) * YEAR if slopes else np.nan)


@settings(max_examples=60)
@given(
    values=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 25), st.integers(1, 70)),
        elements=st.integers(-3, 3).map(float) | st.just(np.nan),
    ),
    shuffle=st.randoms(),
)
def test_mann_kendall_counts_rises_and_falls_and_knows_ties(values: Stack, shuffle: Any) -> None:
    from scipy import stats  # a second, which processes that run other tests spare

    times = np.sort([shuffle.randrange(12) for _ in values]).astype(float)
    found = finish_ordered(values, Pixels(values.dtype), ["mann_kendall", "mann_kendall_p"], times)
    for cell, column in enumerate(values.T[:5]):
        valid = ~np.isnan(column)
        x, t = column[valid], times[valid]
        if len(set(t)) < 2:
            assert np.isnan(found["mann_kendall"][cell])
            assert np.isnan(found["mann_kendall_p"][cell])
            continue
        score = sum(np.sign(x[j] - x[i]) * np.sign(t[j] - t[i]) for i, j in combinations(range(len(x)), 2))
        z = (score - np.sign(score)) / math.sqrt(variance(x, t)) if score else 0.0
        assert found["mann_kendall"][cell] == pytest.approx(z, rel=1e-12)
        assert found["mann_kendall_p"][cell] == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-12)


def variance(x: Stack, t: Stack) -> float:
    """That of Kendall's score without a trend, by permutations of the groups: Kendall (1970), as scipy has it."""
    n, (u, v) = len(x), (np.unique(of, return_counts=True)[1].astype(float) for of in (x, t))
    main = n * (n - 1) * (2 * n + 5) - sum((of * (of - 1) * (2 * of + 5)).sum() for of in (u, v))
    pairs, triples = (
        math.prod(f(of).sum() for of in (u, v)) for f in (lambda g: g * (g - 1), lambda g: g * (g - 1) * (g - 2))
    )
    return main / 18 + pairs / (2 * n * (n - 1)) + (triples / (9 * n * (n - 1) * (n - 2)) if n > 2 else 0)


def test_mann_kendall_without_its_correction_is_scipys_kendall() -> None:
    from scipy import stats  # a second, which processes that run other tests spare

    rng = np.random.default_rng(3)
    x, t = rng.integers(0, 9, 40).astype(float), np.sort(rng.integers(0, 30, 40)).astype(float)
    found = finish_ordered(x[:, np.newaxis], Pixels(x.dtype), ["mann_kendall"], t)["mann_kendall"]
    score = sum(np.sign(x[j] - x[i]) * (t[j] > t[i]) for i, j in combinations(range(40), 2))
    wanted = stats.kendalltau(t, x, method="asymptotic").pvalue
    assert 2 * stats.norm.sf(abs(found[0]) * score / (score - np.sign(score))) == pytest.approx(wanted, rel=1e-10)


# --- the registry and the reference ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("slope", "(mm)/Julian_year"),
        ("theil_sen", "(mm)/Julian_year"),
        ("range", "mm"),
        ("cv", "1"),
        ("last", "mm"),
        ("mann_kendall", "1"),
    ],
)
def test_units_of_trends(name: str, unit: str) -> None:
    assert statistic(name).unit("mm") == unit


@pytest.mark.parametrize("chunks", [(9, 20, 30), (2, 7, 30)])
def test_the_reference_engine_gets_the_same_trends(chunks: tuple[int, ...]) -> None:
    stack, times = speckled("f4", (9, 20, 30)), [LEAP + DAY * day for day in (0, 7, 7, 30, 90, 200, 365, 400, 401)]
    moments = np.datetime64("2000-01-01") + np.array(times).astype("timedelta64[ms]")
    values = xr.DataArray(da.from_array(stack, chunks), dims=("time", "y", "x"), coords={"time": moments})
    plain = finish(combine(partials(stack, times, [0, 4])), SUMMED)
    plain |= finish_ordered(stack, Pixels(stack.dtype, 0), ORDERED, np.array(times, float))
    for name, wanted in plain.items():
        found = statistic(name).from_xarray(values, values != 0, ("time",))
        assert isinstance(found.data, da.Array)
        np.testing.assert_allclose(found.compute(), wanted, rtol=1e-9, atol=1e-7, err_msg=name)


def test_spreads_over_space_are_the_same_in_the_reference_engine() -> None:
    stack = speckled("f4", (3, 20, 30))
    values = xr.DataArray(da.from_array(stack, (1, 7, 30)), dims=("time", "y", "x"))
    shown = np.ma.masked_equal(stack.astype(np.float64), 0)
    for name, wanted in {
        "range": shown.max((1, 2)) - shown.min((1, 2)),
        "cv": shown.std((1, 2)) / shown.mean((1, 2)),
    }.items():
        np.testing.assert_allclose(statistic(name).from_xarray(values, values != 0, ("y", "x")), wanted, rtol=1e-12)
