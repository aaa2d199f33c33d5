"""Which pixels are nodata: what GDAL's own mask says, for every type and for whatever the tag says."""

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from runner.read.header import read_header
from runner.reduce.nodata import missing, same_nodata
from runner.reduce.pixel_types import Pixels
from runner.reduce.row_kernels import is_valid

Row = npt.NDArray[Any]

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float32", "float64")
_PLACEHOLDER = "77"


def tiff_of(row: Row, nodata: str) -> bytes:
    """A TIFF of one row of pixels, with any text as its nodata."""
    profile = {"driver": "GTiff", "height": 1, "width": row.size, "count": 1, "dtype": row.dtype.name}
    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning), MemoryFile() as memory:
        with memory.open(**profile, nodata=float(_PLACEHOLDER)) as dataset:
            dataset.write(row[np.newaxis], 1)
        content = bytes(memory.read())
    text = nodata.encode().ljust(4) + b"\0"  # five bytes and more stand behind an offset
    entry = content.index(b"\x81\xa4\x02\0")  # tag 42113 (GDAL_NODATA), ASCII
    changed = content[: entry + 4] + len(text).to_bytes(4, "little") + len(content).to_bytes(4, "little")
    return changed + content[entry + 12 :] + text


def hidden_by_gdal(content: bytes) -> Row:
    """Which pixels GDAL's mask hides."""
    quiet = warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)
    with quiet, MemoryFile(content) as memory, memory.open() as dataset:
        return np.asarray(dataset.read_masks(1)[0] == 0)


def nodata_of(content: bytes) -> float | int | None:
    return read_header(lambda start, stop: content[start:stop], len(content)).nodata_of(1)


def near(value: Any, steps: int = 10) -> Row:
    """A float and its neighbours, a little and a lot away, and the ends of its type."""
    kind, info = type(value), np.finfo(value)
    below = above = value
    found = [value, -value, *map(kind, (0, 1, math.nan, math.inf, -math.inf, info.max, info.min))]
    with np.errstate(all="ignore"):
        for _ in range(steps):
            below, above = np.nextafter(below, kind(-math.inf)), np.nextafter(above, kind(math.inf))
            found += [below, above]
        found += [value * kind(1 + sign * 10.0**-k) for k in range(1, 17) for sign in (-1, 1)]
    return np.array(found, kind)


def without_overflow(row: Row, nodata: Any) -> Row:
    """Without the greatest floats, which GDAL takes for a far smaller nodata, since it adds the two up."""
    with np.errstate(all="ignore"):
        value = row.dtype.type(nodata)
        return row[~(np.isinf(row + value) & np.isfinite(row) & ~np.isinf(value + value))]


def assert_masked_as_gdal_masks(row: Row, content: bytes) -> None:
    nodata = nodata_of(content)
    ours = missing(row, nodata)
    np.testing.assert_array_equal(ours, hidden_by_gdal(content) | np.isnan(row))
    if row.dtype.itemsize < 8 or row.dtype.kind == "f":
        limits = Pixels(row.dtype, nodata).kind.limits
        assert [not is_valid.__wrapped__(pixel, limits) for pixel in row] == ours.tolist()  # type: ignore[attr-defined]


@given(
    dtype=st.sampled_from(FLOATS),
    nodata=st.one_of(
        st.floats(), st.floats(width=32), st.sampled_from((-9999.0, -3.4028234663852886e38, 1e-45, 5e-324))
    ),
    form=st.sampled_from(("%.17g", "%.9g", "%.6g")),
)
def test_floats_are_nodata_where_gdal_says_so(dtype: str, nodata: float, form: str) -> None:
    text = form % nodata
    with np.errstate(over="ignore"):
        value = np.dtype(dtype).type(float(text))
    row = without_overflow(near(value), value)
    assert_masked_as_gdal_masks(row, tiff_of(row, text))


@given(dtype=st.sampled_from(INTEGERS), data=st.data())
def test_integers_are_nodata_where_gdal_says_so(dtype: str, data: st.DataObject) -> None:
    info = np.iinfo(dtype)
    edges = [int(info.min), int(info.max), 0, -1, 2**53 + 1, -(2**53) - 1]
    numbers = st.one_of(st.integers(info.min, info.max), st.sampled_from(edges), st.sampled_from((-(2**63), 2**64 - 1)))
    number = data.draw(numbers)
    text = str(number) + data.draw(st.sampled_from(("", ".0", "e1", " ", ".5", ".9")))
    row = np.array([one for one in (*edges, number - 1, number, number + 1) if info.min <= one <= info.max], dtype)
    assert_masked_as_gdal_masks(row, tiff_of(row, text))


@pytest.mark.parametrize("text", ["-128.9", "127.9", "-129", "128", "-128", "0.9", "-0.9"])
def test_int8_takes_the_whole_number_of_nodata_beyond_its_range(text: str) -> None:
    """GDAL cuts the digits of int8 before it looks at the range; rasterio tells no nodata then."""
    row = np.array([-128, -127, -1, 0, 1, 127], np.int8)
    assert_masked_as_gdal_masks(row, tiff_of(row, text))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e300", "1e39", "abc", "-0", "-3.40282e+38", "1.79769e+308"])
@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
def test_a_tag_that_is_no_plain_number_is_read_as_gdal_reads_it(dtype: str, text: str) -> None:
    if dtype in FLOATS:
        row = without_overflow(near(np.dtype(dtype).type(3)), float(text) if text != "abc" else 0)
    else:
        row = np.array([np.iinfo(dtype).min, 0, 1, np.iinfo(dtype).max], dtype)
    assert_masked_as_gdal_masks(row, tiff_of(row, text))


@pytest.mark.parametrize(
    ("dtype", "text", "nodata"),
    [
        ("uint64", "18446744073709551615", 2**64 - 1),
        ("int64", "-9223372036854775808", -(2**63)),
        ("int64", "9223372036854775807", 2**63 - 1),
        ("uint64", "9007199254740993", 2**53 + 1),
    ],
)
def test_nodata_of_64_bits_is_exact(dtype: str, text: str, nodata: int) -> None:
    row = np.array([nodata - 1 if nodata > 0 else nodata + 1, nodata], dtype)
    content = tiff_of(row, text)
    assert nodata_of(content) == nodata
    assert missing(row, nodata).tolist() == [False, True]
    assert_masked_as_gdal_masks(row, content)


@pytest.mark.parametrize(
    ("text", "lowest"), [("-3.40282e+38", -3.4028235e38), ("-3.39999999999999996e+38", -3.4028235e38)]
)
def test_the_lowest_float_is_nodata_that_was_written_with_few_digits(text: str, lowest: float) -> None:
    row = np.array([lowest, -1e9, 0, 1e9], np.float32)
    assert missing(row, nodata_of(tiff_of(row, text))).tolist() == [True, False, False, False]


LOWEST = -3.4028234663852886e38


@pytest.mark.parametrize(
    ("dtype", "one", "other", "same"),
    [
        ("float32", math.nan, None, True),
        ("float32", math.nan, math.nan, True),
        ("float32", -3.40282e38, LOWEST, True),
        ("float32", -3.39999999999999996e38, LOWEST, True),
        ("float32", 1e300, None, True),  # beyond what it holds
        ("float64", 1e300, None, False),
        ("float64", -3.40282e38, LOWEST, False),
        ("float32", 0, None, False),
        ("float32", 0, math.nan, False),
        ("float32", 0.1, 0.1000000015, True),
        ("float32", -9999, -9998, False),
        ("float32", math.inf, math.nan, False),
        ("uint8", -9999, None, True),
        ("uint8", math.nan, 256, True),
        ("uint8", 7, 7.5, True),
        ("uint8", 0, None, False),
        ("int64", 2**53, 2**53 + 1, False),
    ],
)
def test_nodata_is_the_same_if_it_hides_the_same_pixels(
    dtype: str, one: float | None, other: float | None, *, same: bool
) -> None:
    assert same_nodata(one, other, dtype) is same_nodata(other, one, dtype) is same
