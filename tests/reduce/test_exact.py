"""Sums are exact, so nothing about how they were made shows: chunks, order, grouping, tiles."""

import math
import pickle
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runner.reduce import variance, variance_kernels
from runner.reduce.exact import Total, Wide, combine_totals, integers, rounded
from runner.reduce.partial import Needs, Partial, combine
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish, needs
from runner.reduce.temporal import TemporalSums

Stack = npt.NDArray[Any]

NAMES = ["count", "valid_fraction", "sum", "mean", "min", "max", "var", "std"]
COMPILED_ANYWAY = ["uint8", "float32", "float64"]  # to compile the others takes longer than all else here
DTYPES = [*COMPILED_ANYWAY, "int16", "int32", "int64", "uint64"]
MAX32, MAX64 = float(np.finfo("f4").max), float(np.finfo("f8").max)
HARD = [0.0, -0.0, 5e-324, 1e-45, 2.0**-1022, 1e-30, 1.0, 1 + 2**-52, 3.0, 1e16, 1e30, MAX32, 1e300, MAX64, math.inf]


def elements(dtype: np.dtype[Any]) -> st.SearchStrategy[Any]:
    """All values of a type, with those often that make sums go wrong."""
    if dtype.kind != "f":
        info = np.iinfo(dtype)
        edges = [
            value for value in (0, 1, -1, 2**26 + 1, 2**53 + 1, info.min, info.max) if info.min <= value <= info.max
        ]
        return st.one_of(st.sampled_from(edges), hnp.from_dtype(dtype))
    with np.errstate(over="ignore", under="ignore"):
        hard = sorted({float(dtype.type(sign * value)) for value in HARD for sign in (1, -1)})
    middling = st.floats(1e-6, 1e3) if dtype == np.float64 else st.floats(0.5, 64, width=32)
    return st.one_of(st.sampled_from([*hard, math.nan]), middling, hnp.from_dtype(dtype))


@st.composite
def stacks(draw: st.DrawFn, dtypes: list[str]) -> Stack:
    """Stacks (time, y, x), here and there with the negative of an earlier pixel, which cancels it."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5)))
    stack = draw(hnp.arrays(dtype, shape, elements=elements(dtype)))
    if dtype.kind == "f" and len(stack) > 2 and draw(st.booleans()):
        stack[-1] = -stack[0]
    return stack


class Cut(NamedTuple):
    """A way to cut a stack in tasks, and these in tiles; the order is that of a shuffle with this seed."""

    time: int
    y: int
    x: int
    tile: int
    seed: int


cuts = st.builds(Cut, st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32))


def starts(size: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


def tasks(stack: Stack, cut: Cut) -> list[tuple[slice, slice, slice]]:
    """The tasks of a stack in the cut's order."""
    times, rows, columns = (list(starts(size, step)) for size, step in zip(stack.shape, cut[:3], strict=True))
    found = [(t, y, x) for t in times for y in rows for x in columns]
    random.Random(cut.seed).shuffle(found)
    return found


def tiles(task: Stack, size: int) -> Iterator[tuple[Stack, Place]]:
    """A scene's part of a task as tiles that reach beyond it on all sides, as those of a file may."""
    for rows in starts(task.shape[0], size):
        for columns in starts(task.shape[1], size):
            part = task[rows, columns]
            tile = np.pad(part, 1, constant_values=7)
            yield tile, Place(1, 1, rows.start, columns.start, *part.shape)


def over_time(stack: Stack, pixels: Pixels, cut: Cut) -> dict[str, Stack]:
    """The temporal statistics, by way of tasks and partials."""
    parts: dict[tuple[int, ...], list[Partial]] = {}
    for task in tasks(stack, cut):
        values = stack[task]
        sums = TemporalSums(values.shape[1:], pixels, needs(NAMES))
        for scene in values:
            for tile, place in tiles(scene, cut.tile):
                sums.add_tile(tile, place)
        window = (task[1].start, task[1].stop, task[2].start, task[2].stop)
        parts.setdefault(window, []).append(sums.partial())
    results = {name: np.empty(stack.shape[1:], np.int64 if name == "count" else np.float64) for name in NAMES}
    for (top, bottom, left, right), partials in parts.items():
        for name, values in finish(combine(partials), NAMES).items():
            results[name][top:bottom, left:right] = values
    return results


def over_space(stack: Stack, pixels: Pixels, cut: Cut) -> dict[str, Stack]:
    """The spatial statistics, by way of tasks and partials."""
    parts: dict[tuple[int, int], list[Partial]] = {}
    for task in tasks(stack, cut):
        values = stack[task]
        sums = SpatialSums(len(values), pixels, needs(NAMES))
        for scene, layer in enumerate(values):
            for tile, place in tiles(layer, cut.tile):
                sums.add_tile(scene, tile, place)
        parts.setdefault((task[0].start, task[0].stop), []).append(sums.partial())
    finished = [finish(combine(parts[scenes]), NAMES) for scenes in sorted(parts)]
    return {name: np.concatenate([part[name] for part in finished]) for name in NAMES}


def nearest(number: Fraction) -> float:
    """The nearest float64; infinite beyond."""
    try:
        return number.numerator / number.denominator
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def expected(column: Stack, pixels: Pixels) -> dict[str, float]:
    """All statistics of one cell's pixels, from exact rational numbers and Python's own floats."""
    values = [value.item() for value in column.ravel() if not np.isnan(value) and not is_nodata(value, pixels.nodata)]
    n = len(values)
    if n == 0:
        return {**dict.fromkeys(NAMES, math.nan), "count": 0, "valid_fraction": 0.0}
    signs = {value for value in values if math.isinf(value)}
    exact = [Fraction(value) for value in values if not math.isinf(value)]
    center = sum(exact, Fraction()) / n
    total = math.nan if len(signs) == 2 else signs.pop() if signs else nearest(center * n)
    spread = math.nan if len(exact) < n else variance_of(exact, center)
    return {
        "count": n,
        "valid_fraction": n / column.size,
        "sum": total,
        "mean": total / n,
        "min": float(min(values)) + 0.0,
        "max": float(max(values)) + 0.0,
        "var": spread,
        "std": math.sqrt(spread),
    }


def is_nodata(value: Any, nodata: float | None) -> bool:
    """As GDAL compares: floats in their own type, with a tolerance of a few digits (ARE_REAL_EQUAL in gdal_priv.h)."""
    if nodata is None or value == nodata or value.dtype.kind != "f":
        return nodata is not None and bool(value == nodata)
    other, epsilon = value.dtype.type(nodata), value.dtype.type(2**-23)
    with np.errstate(all="ignore"):
        return bool(abs(value - other) < epsilon * abs(value + other) * 2)


def variance_of(exact: list[Fraction], center: Fraction) -> float:
    return nearest(sum(((x - center) ** 2 for x in exact), Fraction()) / len(exact))


def same_bits(left: Stack, right: Stack) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


nodatas = st.sampled_from([None, 0, 1, math.nan])


@settings(max_examples=15)
@example(np.array([[[1 + 2**-52]], [[1 + 2**-21]]]), 1, Cut(1, 1, 1, 1, 0))  # the first is nodata in all but a digit
@given(stacks(COMPILED_ANYWAY), nodatas, cuts)
def test_every_pixel_over_time_is_the_true_value_rounded_once(stack: Stack, nodata: float | None, cut: Cut) -> None:
    hold_over_time(stack, nodata, cut)


@pytest.mark.slow
@settings(max_examples=25)
@given(stacks(DTYPES), nodatas, cuts)
def test_every_pixel_over_time_is_so_in_many_stacks(stack: Stack, nodata: float | None, cut: Cut) -> None:
    hold_over_time(stack, nodata, cut)


def hold_over_time(stack: Stack, nodata: float | None, cut: Cut) -> None:
    pixels = Pixels(stack.dtype, nodata)
    found = over_time(stack, pixels, cut)
    for y, x in np.ndindex(stack.shape[1:]):
        np.testing.assert_equal({name: found[name][y, x] for name in NAMES}, expected(stack[:, y, x], pixels))


@settings(max_examples=12)
@given(stacks(COMPILED_ANYWAY), nodatas, cuts)
def test_every_scene_over_space_is_the_true_value_rounded_once(stack: Stack, nodata: float | None, cut: Cut) -> None:
    hold_over_space(stack, nodata, cut)


@pytest.mark.slow
@settings(max_examples=25)
@given(stacks(DTYPES), nodatas, cuts)
def test_every_scene_over_space_is_so_in_many_stacks(stack: Stack, nodata: float | None, cut: Cut) -> None:
    hold_over_space(stack, nodata, cut)


def hold_over_space(stack: Stack, nodata: float | None, cut: Cut) -> None:
    pixels = Pixels(stack.dtype, nodata)
    found = over_space(stack, pixels, cut)
    for scene, layer in enumerate(stack):
        np.testing.assert_equal({name: found[name][scene] for name in NAMES}, expected(layer, pixels))


@pytest.mark.slow
@settings(max_examples=15)
@given(stacks(DTYPES), nodatas, cuts, cuts)
def test_two_ways_to_cut_a_stack_give_the_same_bits(stack: Stack, nodata: float | None, one: Cut, other: Cut) -> None:
    pixels = Pixels(stack.dtype, nodata)
    for reduce in (over_time, over_space):
        first, second = reduce(stack, pixels, one), reduce(stack, pixels, other)
        assert all(same_bits(first[name], second[name]) for name in NAMES)


@settings(max_examples=300)
@given(st.lists(st.floats(-1e300, 1e300), max_size=40))
@example([1e16, 1.0, 1e-16] * 9)
@example([1e100, 1.0, -1e100, 1e-100])
def test_a_sum_is_what_fsum_gives(values: list[float]) -> None:
    layers = [Total(np.array([[value], [0.0]])) for value in values]
    total = combine_totals([Total(np.zeros((2, 1))), *layers])
    assert rounded(total).tolist() == [math.fsum(values)]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], 0.0),
        ([1e308, 1e308, -1e308], 1e308),
        ([MAX64, MAX64], math.inf),
        ([-MAX64] * 3 + [MAX64] * 2, -MAX64),
        ([MAX64, 2.0**970], math.inf),
        ([MAX64, 2.0**969], MAX64),
        ([5e-324] * 3, 1.5e-323),
        ([1.0, 2.0**-53], 1.0),
        ([1.0, 2.0**-53, 5e-324], 1 + 2.0**-52),
        ([-1.0, -(2.0**-53), -5e-324], -1 - 2.0**-52),
        ([math.inf, -1e308], math.inf),
        ([-math.inf, 1e308], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([-0.0], 0.0),
    ],
)
def test_limbs_round_as_ieee_754_wants(values: list[float], wanted: float) -> None:
    wide = Wide.zeros(1)
    wide.add(np.array(values), np.array([0]))
    np.testing.assert_equal(rounded(Total(np.zeros((2, 1)), wide)), [wanted])


def test_limbs_are_the_same_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000) * 10.0 ** rng.integers(-300, 300, 1000)
    forth, back = Wide.zeros(1), Wide.zeros(1)
    forth.add(values, np.array([0]))
    for value in values[::-1]:
        back.add(np.array([value]), np.array([0]))
    forth, back = forth.select(), back.select()
    assert (forth.first, forth.limbs.tolist()) == (back.first, back.limbs.tolist())


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("value", [1 + 2.0**-52, -math.pi, 5e-324])
def test_millions_of_values_fit_in_one_cell(value: float, square: bool) -> None:
    times = 2**23 + 1
    wide = Wide.for_squares(1)
    wide.add(np.full(times, value), np.array([0]), square=square)
    assert Fraction(integers(wide)[0]) * Fraction(2) ** (32 * wide.first) == times * Fraction(value) ** (1 + square)


def test_carries_do_not_change_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.reduce.exact._ADDITIONS_BEFORE_CARRY", 2)
    wide = Wide.for_sums(1)
    for value in [MAX64, -5e-324, -MAX64, 1.0, 5e-324] * 20:
        wide.add(np.array([value]), np.array([0]))
    assert rounded(Total(np.zeros((2, 1)), wide)).tolist() == [20.0]


def test_a_partial_survives_a_file_without_pickles(tmp_path: Any) -> None:
    sums = TemporalSums((1, 2), Pixels(np.dtype("f8")), Needs(sums=True, squares=True, extremes=True))
    for value in (1e300, 1.0, 1e-300, math.inf):
        sums.add_tile(np.array([[value, 2.0]]), Place(0, 0, 0, 0, 1, 2))
    partial = sums.partial()
    np.savez(tmp_path / "partial.npz", **partial.arrays())  # type: ignore[arg-type]  # the stub means allow_pickle
    with np.load(tmp_path / "partial.npz", allow_pickle=False) as arrays:
        again = Partial.from_arrays(arrays)
    wanted = finish(partial, NAMES)
    for copy in (again, pickle.loads(pickle.dumps(partial))):  # and from process to process
        found = finish(combine([copy]), NAMES)
        assert all(same_bits(wanted[name], found[name]) for name in NAMES)


def test_partials_of_different_cells_are_refused() -> None:
    pixels = Pixels(np.dtype("f4"))
    one, two = (SpatialSums(scenes, pixels, Needs(sums=True)).partial() for scenes in (1, 2))
    with pytest.raises(ValueError, match="same cells"):
        combine([one, two])
    with pytest.raises(ValueError, match="0 partials"):
        combine([])


@pytest.mark.parametrize("count", [1, 2, 3, 100])
@pytest.mark.parametrize("shape", ["speckle", "offset", "constant", "integers", "wild"])
def test_the_compiled_variance_agrees_with_integers(monkeypatch: pytest.MonkeyPatch, count: int, shape: str) -> None:
    rng = np.random.default_rng(count)
    size = (count, variance._WORTH_COMPILING)
    values = {
        "speckle": rng.gamma(1, 0.1, size),
        "offset": 1000 + rng.normal(0, 1e-3, size),
        "constant": np.full(size, 0.3),
        "integers": rng.integers(0, 65536, size),
        "wild": rng.normal(size=size) * 10.0 ** rng.integers(-20, 20, size),
    }[shape]
    terms = values.astype(np.float32).astype(np.float64)
    sums, squares = (
        combine_totals([Total(np.stack([term, 0 * term])) for term in power]) for power in (terms, terms**2)
    )
    counts = np.full(size[1], count)
    compiled = variance.variances(counts, sums, squares)
    monkeypatch.setattr(variance, "_WORTH_COMPILING", np.inf)
    assert same_bits(compiled, variance.variances(counts, sums, squares))


@pytest.mark.parametrize("kept_bits", [0, 20, 60, 100])
def test_a_variance_that_is_called_proved_is_right(kept_bits: int) -> None:
    """Sums as no pixels have them: all but some bits of n Q - S S cancel, whose true value may be negative."""
    rng = np.random.default_rng(kept_bits)
    counts = rng.integers(1, 2000, 1000)
    upper = rng.normal(size=1000)
    sums = np.stack([upper, rng.normal(size=1000) * np.spacing(upper) / 4])
    squares = np.empty((2, 1000))
    for cell, n in enumerate(counts.tolist()):
        target = Fraction(sums[0, cell]) + Fraction(sums[1, cell])
        target = target**2 / n * (1 + Fraction(rng.normal()) / 2 ** (107 - kept_bits))
        squares[0, cell] = float(target)
        squares[1, cell] = float(target - Fraction(squares[0, cell]))
    result, proved = np.empty(1000), np.empty(1000, np.bool_)
    variance_kernels.variances(counts, sums, squares, result, proved)
    for cell in np.flatnonzero(proved).tolist():
        first, second = (sum(map(Fraction, layers[:, cell])) for layers in (sums, squares))
        n = int(counts[cell])
        assert result[cell] == float((n * second - first**2) / n**2)
    assert proved.mean() > 0.9 or kept_bits < 60
