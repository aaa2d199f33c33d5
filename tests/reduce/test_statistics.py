"""The registry, order statistics against numpy, and the same statistics on xarray arrays."""

import math
import warnings
from importlib.metadata import EntryPoint, EntryPoints
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

from runner.errors import ConfigError
from runner.reduce import statistics
from runner.reduce.partial import Needs
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.statistics import Statistic, check_statistic_name, finish, finish_ordered, needs, statistic
from runner.reduce.temporal import TemporalSums
from runner.settings import Over

Stack = npt.NDArray[Any]

SUMMED = ["count", "valid_fraction", "sum", "mean", "min", "max", "var", "std"]
ORDERED = ["median", "q05", "q25", "q50", "q99_9"]


def stack_of(dtype: str, shape: tuple[int, ...] = (9, 20, 30)) -> Stack:
    """Scenes with a third of zeros, some pixels without any other value."""
    rng = np.random.default_rng(shape[0])
    stack = (rng.gamma(1, 30, shape) + 1).astype(dtype)
    stack[rng.random(shape) < 0.3] = 0
    stack[:, 0, 0] = 0
    return stack


def masked(stack: Stack) -> npt.NDArray[np.float64]:
    return np.where(stack == 0, np.nan, stack.astype(np.float64))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("mean", "m s-1"),
        ("q05", "m s-1"),
        ("var", "(m s-1)^2"),
        ("std", "m s-1"),
        ("count", "1"),
        ("valid_fraction", "1"),
    ],
)
def test_units_follow_from_those_of_the_pixels(name: str, unit: str) -> None:
    assert statistic(name).unit("m s-1") == unit
    assert statistic(name).unit(None) == (None if unit != "1" else "1")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("meen", "mean"),
        ("medain", "median"),
        ("stdev", "std"),
        ("", "mean"),
        ("xyz", "mean"),
        ("p90", "q90"),
        ("q5", "q05"),
        ("q5.5", "q05_5"),
        ("percentile_90", "q90"),
        ("q100", "max"),
        ("q101", "q99"),
    ],
)
def test_an_unknown_name_is_refused_with_what_was_probably_meant(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"stages\.a\.statistics: there is no statistic '{name}'; .*'{meant}'"):
        check_statistic_name(name, "stages.a.statistics", Over.time)


@pytest.mark.parametrize("name", ["q5", "q100", "Q05", "q05_", "q-1", "q05.5"])
def test_a_quantile_has_one_spelling(name: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no statistic '{name}'"):
        statistic(name)


@pytest.mark.parametrize("over", Over)
def test_what_there_is_over_some_axes_can_be_had_over_these(over: Over) -> None:
    with pytest.raises(ConfigError) as caught:
        check_statistic_name("q101", "stages.a.statistics", over)
    text = str(caught.value)
    assert "quantiles by percentage (q and two digits, q00 to q99, with further ones as q99_9)" in text
    known = text.partition(f"Over {over.value} there are ")[2].partition(", quantiles")[0].split(", ")
    assert ("slope" in known) == (over is Over.time)
    assert ("coverage" in known) == (over is Over.zones)


@pytest.mark.parametrize("name", [*SUMMED, *ORDERED])
def test_every_built_in_statistic_is_known(name: str) -> None:
    check_statistic_name(name, "stages.a.statistics", Over.time)
    assert statistic(name).name == name
    assert statistic(name).ordered == (name in ORDERED)
    assert statistic(name).dtype == (np.int64 if name == "count" else np.float64)


def test_only_what_is_needed_is_accumulated() -> None:
    assert needs(["count", "valid_fraction", "median"]) == Needs()
    assert needs(["mean", "max"]) == Needs(sums=True, extremes=True)
    assert needs(["std"]) == Needs(sums=True, squares=True)


@pytest.mark.parametrize("dtype", few_quick(["float32", "uint8", "int64", "int16", "uint16", "int32", "float64"], 3))
@pytest.mark.parametrize("scenes", [1, 2, 9, 10, 64])
def test_quantiles_over_time_are_numpys(dtype: str, scenes: int) -> None:
    stack = stack_of(dtype, (scenes, 11, 23))
    found = finish_ordered(stack, Pixels(stack.dtype, 0), ORDERED)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        np.testing.assert_array_equal(found["median"], np.nanmedian(masked(stack), axis=0))
        np.testing.assert_array_equal(found["q50"], found["median"])
        for name, fraction in {"q05": 0.05, "q25": 0.25, "q99_9": 0.999}.items():
            np.testing.assert_array_equal(found[name], np.nanquantile(masked(stack), fraction, axis=0))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_quantiles_over_space_are_numpys(dtype: str) -> None:
    scene = stack_of(dtype)[0]
    found = finish_ordered(scene.ravel(), Pixels(scene.dtype, 0), ["median", "q05"])
    assert found["median"] == np.nanmedian(masked(scene))
    assert found["q05"] == np.nanquantile(masked(scene), 0.05)
    assert found["median"].shape == ()
    nothing = finish_ordered(np.zeros(5, dtype), Pixels(scene.dtype, 0), ["median"])
    assert math.isnan(nothing["median"])


numbers = st.one_of(st.sampled_from([-np.inf, -0.0, 0.0, 1.0, 3e38, np.inf, np.nan]), st.floats(width=32))


@settings(max_examples=150)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 30)), elements=numbers), st.randoms())
def test_quantiles_are_the_same_bits_in_whatever_order_the_scenes_come(stack: Stack, shuffle: Any) -> None:
    order = list(range(len(stack)))
    shuffle.shuffle(order)
    pixels = Pixels(stack.dtype)
    straight, shuffled = (finish_ordered(each, pixels, ORDERED) for each in (stack, np.ascontiguousarray(stack[order])))
    plain = {name: statistic(name).of_values(stack.astype(np.float64), 0) for name in ORDERED}  # type: ignore[misc]
    for name in ORDERED:
        np.testing.assert_array_equal(straight[name], plain[name])
        assert straight[name].tobytes() == shuffled[name].tobytes() == plain[name].tobytes()


@pytest.mark.parametrize(
    ("values", "name", "wanted"),
    [
        ([1.7e308, 1.7e308], "median", 1.7e308),
        ([1.7e308, 1.6e308], "median", 1.65e308),
        ([np.inf, np.inf], "q25", np.inf),
        ([1, np.inf], "q25", np.inf),
        ([1, np.inf], "q75", np.inf),
        ([-np.inf, np.inf], "median", np.nan),
        ([1, 2, 3, 4], "q10", 1.3),
        ([2**53, 2**53 + 2], "median", 2**53 + 1),
    ],
)
def test_quantiles_at_the_edges_of_float64(values: list[float], name: str, wanted: float) -> None:
    stack = np.array(values)[:, np.newaxis].repeat(20, axis=1)
    found = finish_ordered(stack, Pixels(stack.dtype), [name])[name]
    np.testing.assert_allclose(found, np.full(20, wanted), rtol=1e-15)


def test_summed_and_ordered_statistics_are_not_mistaken_for_each_other() -> None:
    stack = stack_of("float32")
    with pytest.raises(ValueError, match="use finish for them"):
        finish_ordered(stack, Pixels(stack.dtype), ["median", "mean"])
    partial = TemporalSums((1, 1), Pixels(stack.dtype), Needs()).partial()
    with pytest.raises(ValueError, match="'median' needs all values"):
        finish(partial, ["median"])


@pytest.mark.parametrize("chunks", [(9, 20, 30), (2, 7, 30), (1, 20, 11)])
@pytest.mark.parametrize("dims", [("time",), ("y", "x")])
@pytest.mark.parametrize("dtype", few_quick(["float32", "int16"]))
def test_the_reference_engine_gets_the_same_values(dtype: str, dims: tuple[str, ...], chunks: tuple[int, ...]) -> None:
    stack = stack_of(dtype)
    stack[0] = 0  # a scene without pixels
    values = xr.DataArray(da.from_array(stack, chunks), dims=("time", "y", "x"))
    valid = values != 0
    axes = tuple(values.get_axis_num(dims))
    wanted = np.ma.masked_equal(stack.astype(np.float64), 0)
    plain = {
        "count": wanted.count(axes),
        "valid_fraction": wanted.count(axes) / math.prod(stack.shape[axis] for axis in axes),
        **{name: getattr(wanted, name)(axes).filled(np.nan) for name in ("sum", "mean", "min", "max", "var", "std")},
    }
    for name, numbers in plain.items():
        found = statistic(name).from_xarray(values, valid, dims)
        assert isinstance(found.data, da.Array)
        assert found.dtype == statistic(name).dtype
        np.testing.assert_allclose(found.compute(), numbers, rtol=1e-12, atol=1e-12)
    for name in ORDERED:
        found = statistic(name).from_xarray(values, valid, dims)
        assert isinstance(found.data, da.Array)
        cells = stack if dims == ("time",) else np.ascontiguousarray(stack.reshape(len(stack), -1).T)
        np.testing.assert_array_equal(found.compute(), finish_ordered(cells, Pixels(stack.dtype, 0), [name])[name])


def trimmed_mean(values: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """As another package would write it: the mean without the least and the greatest."""
    count = np.count_nonzero(~np.isnan(values), axis=axis)
    total = np.nansum(values, axis=axis) - np.fmin.reduce(values, axis=axis) - np.fmax.reduce(values, axis=axis)
    return np.where(count > 2, total / np.maximum(count - 2, 1), np.nan)


PRODUCT = Statistic(name="any", rule="squared", needs=Needs(sums=True), finish=lambda partial: partial.counts * 2.0)


@pytest.fixture
def other_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that adds statistics, beside which others may be looked for, as numba does."""
    points = {"trimmed_mean": "trimmed_mean", "double_count": "PRODUCT", "broken": "SUMMED"}
    found = [EntryPoint(name, f"{__name__}:{value}", statistics.GROUP) for name, value in points.items()]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **group: EntryPoints(found).select(**group))


@pytest.mark.usefixtures("other_package")
def test_a_function_of_another_package_gets_all_values() -> None:
    check_statistic_name("trimmed_mean", "stages.a.statistics", Over.zones)
    stack = stack_of("float32")
    found = finish_ordered(stack, Pixels(stack.dtype, 0), ["median", "trimmed_mean"])
    np.testing.assert_array_equal(found["trimmed_mean"], trimmed_mean(masked(stack), 0))
    values = xr.DataArray(da.from_array(stack, (2, 5, 5)), dims=("time", "y", "x"))
    lazy = statistic("trimmed_mean").from_xarray(values, values != 0, ("time",))
    np.testing.assert_allclose(lazy.compute(), found["trimmed_mean"], rtol=1e-12)


@pytest.mark.usefixtures("other_package")
def test_a_statistic_of_another_package_is_made_of_sums() -> None:
    assert needs(["double_count"]) == Needs(sums=True)
    assert statistic("double_count").unit("m") == "(m)^2"
    sums = TemporalSums((1, 1), Pixels(np.dtype("f4")), needs(["double_count"]))
    sums.add_tile(np.ones((1, 1), "f4"), Place(0, 0, 0, 0, 1, 1))
    assert finish(sums.partial(), ["double_count"])["double_count"].tolist() == [[2.0]]


@pytest.mark.usefixtures("other_package")
def test_what_another_package_adds_must_be_a_statistic_or_a_function() -> None:
    with pytest.raises(ConfigError, match="wanted a Statistic or a function"):
        statistic("broken")
    with pytest.raises(ConfigError, match="did you mean 'trimmed_mean'"):
        check_statistic_name("trimed_mean", "stages.a.statistics", Over.space)


def test_a_function_must_give_one_value_for_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Statistic(name="wrong", of_values=lambda values, axis: values)
    monkeypatch.setattr(statistics, "statistic", lambda name: wrong)
    with pytest.raises(ValueError, match=r"'wrong': .* gave \(9, 600\), wanted \(600,\)"):
        finish_ordered(stack_of("float32"), Pixels(np.dtype("f4")), ["wrong"])
