"""Arrow columns made from buffers are those that pyarrow makes itself."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.output.arrow import column, floats, microseconds, number_column, numbers, rows_of, table_of

TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
KINDS = {
    "strings": (pa.string(), st.text()),
    "bytes": (pa.binary(), st.binary()),
    "bools": (pa.bool_(), st.booleans()),
    "int16": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "int32": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "floats": (pa.float64(), st.floats(allow_nan=False)),
    "times": (pa.timestamp("us", tz="UTC"), TIMES),
    "lists": (pa.list_(pa.float64()), st.lists(st.floats(allow_nan=False))),
}


@pytest.mark.parametrize(("kind", "value"), KINDS.values(), ids=KINDS.keys())
@given(data=st.data())
def test_a_column_is_what_pyarrow_makes_of_the_values(kind: pa.DataType, value: Any, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | value, max_size=20))
    made = column(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))


@pytest.mark.parametrize(("kind", "value"), KINDS.values(), ids=KINDS.keys())
@given(data=st.data())
def test_rows_are_those_that_pyarrow_gives(kind: pa.DataType, value: Any, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | value, max_size=20))
    table = pa.table({"a": pa.chunked_array([column(values, kind), column(values[1:], kind)], kind)})
    assert rows_of(table) == table.to_pylist()


@given(st.lists(st.floats(width=32)), st.sampled_from(["float64", "float32"]))
def test_nan_becomes_null(values: list[float], dtype: str) -> None:
    array = np.array(values, dtype)
    made = number_column(array)
    made.validate(full=True)
    assert made.equals(pa.array(array, mask=np.isnan(array)))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@given(values=st.lists(st.integers(-99, 99)), at=st.integers(0, 9), cut=st.integers(1, 9))
def test_numbers_are_read_back_whatever_their_chunks(dtype: str, values: list[int], at: int, cut: int) -> None:
    array = np.array(values, dtype)
    if dtype != "int64":
        array[::3] = np.nan
    chunks = [number_column(array)[start : start + cut] for start in range(at, len(values), cut)]
    found = numbers(pa.chunked_array(chunks, number_column(array).type))
    np.testing.assert_array_equal(found, array[at:])
    assert found.dtype == dtype


KINDS = (pa.int8(), pa.uint16(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_(), pa.string(),
         pa.decimal128(5, 1))  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_numbers_of_any_kind_are_floats_as_arrow_casts_them(kind: pa.DataType) -> None:
    first, second, empty = (pa.array(part, pa.string()).cast(kind) for part in (["1", None], ["0", "1", "0"], []))
    column = pa.chunked_array([first, second[1:], empty])
    np.testing.assert_array_equal(floats(column), column.cast(pa.float64(), safe=False).to_numpy())


def test_large_integers_are_rounded_as_arrow_rounds_them() -> None:
    column = pa.chunked_array([[2**63 - 1, 2**53 + 1, None, -(2**62) - 1]])
    np.testing.assert_array_equal(floats(column), column.cast(pa.float64(), safe=False).to_numpy())


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_are_microseconds_as_arrow_casts_them(unit: str) -> None:
    times = pa.chunked_array([pa.array([1_000, None, -3_000_000], pa.timestamp(unit, "UTC"))])
    expected = times.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    assert microseconds(times).equals(expected)


def test_integers_have_no_nulls() -> None:
    assert number_column(np.array([1, -(2**60)])).equals(pa.array([1, -(2**60)]))


def test_what_a_row_lacks_is_null() -> None:
    schema = pa.schema([("a", pa.int32()), ("b", pa.string())])
    assert table_of([{"a": 1}, {"b": "x"}], schema).to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


@pytest.mark.parametrize(
    ("values", "kind", "error"),
    [([2**40], pa.int32(), OverflowError), (["x"], pa.int32(), ValueError), ([3], pa.string(), AttributeError)],
)
def test_what_is_not_of_the_type_is_refused(values: list[Any], kind: pa.DataType, error: type[Exception]) -> None:
    with pytest.raises(error):
        column(values, kind)
