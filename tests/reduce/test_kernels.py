"""Tiles into accumulators, against numpy on the whole tile; which pixels count; what the compiler made."""

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import ROOT
from marks import few_quick
from waiting import LONG

from runner.errors import ConfigError, PlanError
from runner.reduce import kernels
from runner.reduce.nodata import missing
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish
from runner.reduce.temporal import TemporalSums

Tile = npt.NDArray[Any]

ALL = Needs(sums=True, squares=True, extremes=True)
# Each is compiled anew.
SELDOM = [pytest.param(dtype, marks=pytest.mark.slow) for dtype in ("bool", "i1", "i2", "u2", "i4", "u4", "i8", "u8")]
EVERY_DTYPE = ["u1", "f4", "f8", *SELDOM]
PLACE = Place(top=2, left=3, row=1, column=4, height=40, width=50)


def tile_of(dtype: str, shape: tuple[int, int] = (64, 70), seed: int = 0) -> Tile:
    """Pixels of which a third is 0, in a range that plain float64 sums hold exactly."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2 if dtype == "bool" else 100, shape)
    values[rng.random(shape) < 0.3] = 0
    return (values - (50 if dtype[0] == "i" else 0)).astype(dtype)


def over_time(tiles: list[Tile], place: Place, pixels: Pixels, needs: Needs) -> Partial:
    sums = TemporalSums((60, 60), pixels, needs)
    for tile in tiles:
        sums.add_tile(tile, place)
    return sums.partial()


def over_space(tiles: list[Tile], place: Place, pixels: Pixels, needs: Needs) -> Partial:
    sums = SpatialSums(len(tiles), pixels, needs)
    for scene, tile in enumerate(tiles):
        sums.add_tile(scene, tile, place)
    return sums.partial()


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
def test_a_part_of_a_tile_goes_to_its_place_in_the_window(dtype: str) -> None:
    tiles = [tile_of(dtype, seed=seed) for seed in range(3)]
    partial = over_time(tiles, PLACE, Pixels(np.dtype(dtype), 0), ALL)
    part = np.stack(tiles)[:, 2:42, 3:53].astype(np.float64)
    masked = np.ma.masked_equal(part, 0)
    found = finish(partial, ["count", "sum", "min", "max", "var"], min_count=0)
    for name, wanted in {
        "count": masked.count(axis=0),
        "sum": masked.sum(axis=0).filled(0),
        "min": masked.min(axis=0).filled(np.nan),
        "max": masked.max(axis=0).filled(np.nan),
    }.items():
        np.testing.assert_array_equal(found[name][1:41, 4:54], wanted)
    np.testing.assert_allclose(found["var"][1:41, 4:54], masked.var(axis=0).filled(np.nan), rtol=1e-12, atol=1e-12)
    outside = np.ones((60, 60), np.bool_)
    outside[1:41, 4:54] = False
    assert not found["count"][outside].any()
    assert np.broadcast_to(partial.seen, partial.counts.shape).sum() == 3 * 40 * 50


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
def test_a_part_of_a_tile_goes_to_its_scene(dtype: str) -> None:
    tiles = [tile_of(dtype, seed=seed) for seed in range(3)]
    partial = over_space(tiles, PLACE, Pixels(np.dtype(dtype), 0), ALL)
    found = finish(partial, ["count", "sum", "mean", "min", "max", "var"], min_count=0)
    for scene, tile in enumerate(tiles):
        part = tile[2:42, 3:53]
        values = part[part != 0].astype(np.float64)
        assert found["count"][scene] == values.size
        assert found["sum"][scene] == values.sum()
        assert found["mean"][scene] == values.sum() / values.size
        assert (found["min"][scene], found["max"][scene]) == (values.min(), values.max())
        assert found["var"][scene] == pytest.approx(values.var(), rel=1e-12)
    assert partial.seen.tolist() == [2000] * 3


@pytest.mark.parametrize("dtype", few_quick(["f4", "i2", "u8"]))  # each is compiled anew
@pytest.mark.parametrize("needs", [Needs(), Needs(sums=True), Needs(extremes=True), ALL])
def test_counts_do_not_depend_on_what_else_is_asked_for(dtype: str, needs: Needs) -> None:
    tile = tile_of(dtype)
    pixels = Pixels(np.dtype(dtype), 0)
    for accumulate in (over_time, over_space):
        partial = accumulate([tile], PLACE, pixels, needs)
        assert partial.counts.sum() == np.count_nonzero(tile[2:42, 3:53])
        assert (partial.sums is not None, partial.extremes is not None) == (needs.sums, needs.extremes)


@pytest.mark.parametrize("dtype", ["f4", "i2"])
@pytest.mark.parametrize("needs", [Needs(), Needs(sums=True), Needs(extremes=True), ALL])
def test_the_stated_memory_is_what_is_held(dtype: str, needs: Needs) -> None:
    pixels = Pixels(np.dtype(dtype), 0)
    over = TemporalSums((60, 60), pixels, needs), SpatialSums(60, pixels, needs)
    stated = 60 * 60 * TemporalSums.bytes_per_pixel(pixels, needs), 60 * SpatialSums.bytes_per_scene(pixels, needs)
    for sums, wanted in zip(over, stated, strict=True):
        held = held_bytes(sums)
        assert wanted <= held <= wanted + 8 * 1024


def held_bytes(thing: Any) -> int:
    """The bytes of all arrays an object holds, scratch included."""
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    if isinstance(thing, tuple):
        return sum(held_bytes(part) for part in thing)
    names = [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]
    return sum(held_bytes(getattr(thing, name)) for name in names) if type(thing).__module__[:6] == "runner" else 0


@given(edges=st.lists(st.floats(allow_nan=False), min_size=2, max_size=2).map(sorted), nodata=st.floats())
def test_float32_pixels_at_the_edges_of_the_range_count_as_real_numbers_do(edges: list[float], nodata: float) -> None:
    with np.errstate(over="ignore"):
        near = np.array([*edges, nodata], np.float32)
        around = [np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf)]
    tile = np.stack([near, *around])
    pixels = Pixels(tile.dtype, nodata, (edges[0], edges[1]))
    sums = TemporalSums(tile.shape, pixels, Needs())
    sums.add_tile(tile, Place(0, 0, 0, 0, *tile.shape))
    real = tile.astype(np.float64)
    counts = (real >= edges[0]) & (real <= edges[1]) & ~missing(tile, nodata)
    np.testing.assert_array_equal(sums.partial().counts, counts)


@pytest.mark.parametrize("kind", ["columns apart", "read-only", "big-endian", "transposed"])
def test_a_tile_of_any_layout_counts_the_same(kind: str) -> None:
    plain = tile_of("f4")
    tile = {
        "columns apart": np.repeat(plain, 2, axis=1)[:, ::2],
        "read-only": np.frombuffer(plain.tobytes(), "f4").reshape(plain.shape),
        "big-endian": plain.astype(">f4"),
        "transposed": np.asfortranarray(plain),
    }[kind]
    pixels = Pixels(np.dtype("f4"), 0)
    compiled = len(kernels.add_sums.dispatcher.signatures)  # type: ignore[attr-defined]
    for accumulate in (over_time, over_space):
        one, other = (finish(accumulate([each], PLACE, pixels, ALL), ["sum", "min"]) for each in (plain, tile))
        assert one["sum"].tobytes() == other["sum"].tobytes()
        assert one["min"].tobytes() == other["min"].tobytes()
    assert len(kernels.add_sums.dispatcher.signatures) <= compiled + 1  # type: ignore[attr-defined]


def test_a_tile_may_be_overwritten_after_it_was_added() -> None:
    tile = tile_of("f4")
    wanted = tile.copy()
    sums = TemporalSums(tile.shape, Pixels(tile.dtype), Needs(sums=True, extremes=True))
    sums.add_tile(tile, Place(0, 0, 0, 0, *tile.shape))
    tile[:] = -1
    found = finish(sums.partial(), ["sum", "max"], min_count=0)
    np.testing.assert_array_equal(found["sum"], wanted)
    np.testing.assert_array_equal(found["max"], wanted)


def test_parts_of_a_window_seen_unequally_are_told_apart() -> None:
    tile = tile_of("f4", (4, 4)) + 1
    sums = TemporalSums((4, 8), Pixels(tile.dtype), Needs())
    sums.add_tile(tile, Place(0, 0, 0, 0, 4, 4))
    sums.add_tile(tile, Place(0, 0, 0, 0, 4, 4))
    sums.add_tile(tile, Place(0, 0, 0, 4, 4, 4))
    partial = sums.partial()
    assert partial.seen[0].tolist() == [2] * 4 + [1] * 4
    assert finish(partial, ["valid_fraction"])["valid_fraction"].tolist() == np.ones((4, 8)).tolist()


@pytest.mark.parametrize(
    "place",
    [
        Place(0, 0, 0, 0, 65, 1),
        Place(0, 69, 0, 0, 1, 2),
        Place(0, 0, 59, 0, 2, 1),
        Place(0, 0, 0, 59, 1, 2),
        Place(-1, 0, 0, 0, 1, 1),
        Place(0, 0, 0, -1, 1, 1),
    ],
)
def test_a_place_outside_is_refused_before_memory_is_touched(place: Place) -> None:
    with pytest.raises(ValueError, match="wanted it inside"):
        over_time([tile_of("f4")], place, Pixels(np.dtype("f4")), ALL)


def test_another_type_or_shape_of_pixels_is_refused() -> None:
    pixels = Pixels(np.dtype("f4"))
    with pytest.raises(ValueError, match="got int16, wanted float32"):
        over_space([tile_of("i2")], PLACE, pixels, ALL)
    with pytest.raises(ValueError, match="3 dimensions"):
        over_space([np.zeros((1, 2, 3), "f4")], PLACE, pixels, ALL)


@pytest.mark.parametrize("dtype", ["complex64", "float16", "S4", "datetime64[s]"])
def test_a_type_without_statistics_is_refused_by_name(dtype: str) -> None:
    with pytest.raises(PlanError, match="have no statistics"):
        Pixels(np.dtype(dtype))


MISSING = [
    ("f4", [1, np.nan, np.inf, -np.inf], None, None, [0, 1, 0, 0]),
    ("f4", [0.1, 0.2], 0.1, None, [1, 0]),  # 0.1 is another number in float32
    ("f8", [0.1, np.float32(0.1)], 0.1, None, [1, 1]),  # GDAL compares float64 to the digits of a float32, too
    ("f8", [0.1, 0.1000001], 0.1, None, [1, 0]),
    ("f4", [-3.4028235e38, 0], -3.40282346638529e38, None, [1, 0]),  # as GDAL prints the lowest float32
    ("f4", [-3.4028235e38, 0], -3.40282e38, None, [1, 0]),
    ("f4", [np.inf, 1], 1e300, None, [0, 0]),
    ("f4", [np.inf, 1], np.inf, None, [1, 0]),
    ("f4", [np.nan, 1], np.nan, None, [1, 0]),
    ("f4", [0.0, -0.0, 1], 0, None, [1, 1, 0]),
    ("f4", [0.1, 0.2, 0.3], None, (0.1, 0.2), [0, 1, 1]),  # float32 0.2 lies above 0.2
    ("f4", [0, 1, 2, 3], 2, (1, 3), [1, 0, 1, 0]),
    ("f8", [np.inf, 5], None, (5, np.inf), [0, 0]),
    ("u1", [0, 255], -9999, None, [0, 0]),
    ("u1", [0, 255], np.nan, None, [0, 0]),
    ("u1", [0, 255], 255.0, None, [0, 1]),
    ("u1", [0, 1, 2, 3], 1.5, (0.5, 2.5), [1, 1, 0, 1]),
    ("bool", [False, True], 0, None, [1, 0]),
    ("i8", [2**53, 2**53 + 1], 2**53 + 1, None, [0, 1]),
    ("i8", [2**63 - 1, -(2**63)], 2.0**63, None, [0, 0]),
    ("i8", [0, 1, 2], 1, (0.5, 2), [1, 1, 0]),
    ("i8", [0, 1], None, (1e30, 2e30), [1, 1]),
    ("u8", [2**64 - 1, 0], 2**64 - 1, None, [1, 0]),
    ("u8", [2**64 - 1, 5], -1, (-5, 7), [1, 0]),
]


@pytest.mark.parametrize(
    ("dtype", "values", "nodata", "valid_range", "wanted"),
    # Each type is compiled anew, which takes seconds.
    [pytest.param(*row, marks=() if row[0] == "f4" else pytest.mark.slow) for row in MISSING],
)
def test_which_pixels_are_missing(
    dtype: str, values: list[float], nodata: float | None, valid_range: tuple[float, float] | None, wanted: list[int]
) -> None:
    row = np.array([values], dtype)
    assert missing(row, nodata, valid_range).tolist() == [[bool(value) for value in wanted]]
    pixels = Pixels(row.dtype, nodata, valid_range)
    place = Place(0, 0, 0, 0, *row.shape)
    for needs in (Needs(), ALL):  # and the kernels agree
        assert over_time([row], place, pixels, needs).counts[0, : row.size].tolist() == [1 - value for value in wanted]
        assert over_space([row], place, pixels, needs).counts.tolist() == [row.size - sum(wanted)]


@pytest.mark.parametrize("valid_range", [(1.0, 0.0), (math.nan, 1.0)])
def test_a_range_without_values_is_refused(valid_range: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match=r"valid_range: got .* lowest <= highest"):
        missing(np.zeros(1), None, valid_range)


@pytest.mark.parametrize("kernel", [kernels.add_squares, kernels.column_squares])
def test_no_multiplication_is_fused_with_an_addition(kernel: Any) -> None:
    tiles = [tile_of("f4")]
    for accumulate in (over_time, over_space):
        accumulate(tiles, PLACE, Pixels(np.dtype("f4")), ALL)
    code = machine_code(kernel, "float32")
    assert re.search(r"\bv?addpd\b|\bfadd\b", code)
    assert not re.search(r"\bvfn?m(add|sub)|\bfn?m(add|sub|la|ls)\b", code)


def machine_code(kernel: Any, dtype: str) -> str:
    """A kernel's, compiled anew: what comes from the cache cannot be inspected."""
    known = kernel.dispatcher
    again = type(known)(known.py_func, targetoptions=known.targetoptions)
    again.compile(next(signature for signature in known.signatures if str(signature[0].dtype) == dtype))
    return "".join(again.inspect_asm().values())


def test_kernels_work_where_no_cache_can_be_written() -> None:
    program = """
import numpy as np
from runner.read.predictor import _sum_bytes, undo_predictor
assert "NullCache" in repr(_sum_bytes.dispatcher._cache)
out = np.empty((1, 4, 1), np.uint8)
undo_predictor(np.array([1, 2, 3, 4], np.uint8), out, 2, big_endian=False)
assert out.ravel().tolist() == [1, 3, 6, 10]
"""
    settings = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "ZipCacheLocator"}  # which finds no place for a plain file
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=settings, timeout=LONG)


@pytest.mark.slow
def test_a_kernel_is_compiled_anew_when_one_that_it_calls_in_another_file_changes(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "runner", tmp_path / "runner", ignore=shutil.ignore_patterns("__pycache__"))
    program = "from runner.reduce.quotient_kernels import quotient; print(quotient((6., 0., 0.), (2., 0., 0.))[0])"

    def divided() -> str:
        words = [sys.executable, "-c", program]
        settings = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
        return subprocess.run(words, check=True, cwd=tmp_path, env=settings, text=True, capture_output=True).stdout

    assert divided() == "3.0\n"
    kernels_file = tmp_path / "runner" / "reduce" / "error_free.py"
    source = kernels_file.read_text()
    kernels_file.write_text(source.replace("return product, error", "return product, error - 2.0"))
    assert divided() == "4.0\n"
