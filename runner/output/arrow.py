"""Arrow columns from plain values.

pyarrow's own conversions import pandas, wherever it is installed: half a second, a fifth of a short run.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def table_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """A row for each mapping; what it lacks is null."""
    columns = [column([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values of one type, None for null: strings, bytes, bools, numbers, lists of them, or times with a zone (us, UTC).

    Raises AttributeError, ValueError or OverflowError for what is not of the type. Source of the layouts:
    https://arrow.apache.org/docs/format/Columnar.html
    """
    present = np.array([value is not None for value in values], np.bool_)
    if values and not present.any():
        return pa.nulls(len(values), kind)
    nulls = None if present.all() else _bits(present)
    if pa.types.is_string(kind):
        return column([None if value is None else value.encode() for value in values], pa.binary()).view(kind)
    if pa.types.is_binary(kind):
        texts = [value or b"" for value in values]
        return pa.Array.from_buffers(kind, len(values), [nulls, _ends(texts), pa.py_buffer(b"".join(texts))])
    if pa.types.is_list(kind):
        lists = [[] if value is None else value for value in values]
        inner = column([one for values in lists for one in values], kind.value_type)
        return pa.Array.from_buffers(kind, len(values), [nulls, _ends(lists)], children=[inner])
    if pa.types.is_timestamp(kind):
        values = [None if value is None else (value - _EPOCH) // _MICROSECOND for value in values]
    dtype = np.dtype("int64" if pa.types.is_timestamp(kind) else _NAMES.get(str(kind), str(kind)))
    plain = np.array([0 if value is None else value for value in values], dtype)
    data = _bits(plain) if pa.types.is_boolean(kind) else pa.py_buffer(plain)
    return pa.Array.from_buffers(kind, len(values), [nulls, data])


_NAMES = {"double": "float64", "float": "float32"}  # Arrow's to numpy's


def number_column(values: npt.NDArray[Any]) -> pa.Array:
    """Floats, NaN for null, or integers, of any one width."""
    kinds: dict[str, Callable[[], pa.DataType]] = {"float64": pa.float64, "float32": pa.float32, "int64": pa.int64}
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(1, np.bool_)
    nulls = _bits(~missing) if missing.any() else None
    return pa.Array.from_buffers(
        kinds[values.dtype.name](), len(values), [nulls, pa.py_buffer(np.ascontiguousarray(values))]
    )


def number_indices(values: npt.NDArray[np.int32]) -> pa.Array:
    """Row numbers, for `take`."""
    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def numbers(values: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of floats, NaN where null, or of integers without nulls. Raises ValueError for other integers."""
    whole = values.combine_chunks()
    found = _plain(whole)
    if whole.null_count and found.dtype.kind != "f":
        raise ValueError(f"{whole.null_count} of {len(whole)} integers are null")
    return _with_nan(found, whole) if whole.null_count else found


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """A mapping of plain values for each row, None for null; times are of UTC."""
    columns = [_plain_values(values) for values in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain_values(values: pa.ChunkedArray) -> list[Any]:
    is_time = pa.types.is_timestamp(values.type)
    plain: list[Any] = (microseconds(values) if is_time else values).to_pylist()
    return [None if time is None else _EPOCH + time * _MICROSECOND for time in plain] if is_time else plain


def floats(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """A column of numbers as float64, NaN where null; of other values if Arrow makes numbers of them.

    Raises ArrowException if it does not.
    """
    if str(values.type) not in _NUMBERS:
        values = values.cast(pa.float64(), safe=False)  # which loads pyarrow.compute: a tenth of a second
    whole = values.combine_chunks()
    return _with_nan(_plain(whole).astype(np.float64), whole)


def microseconds(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of times as integers, microseconds since 1970. Raises ArrowException for parts of one."""
    if times.type.unit != "us":
        times = times.cast(pa.timestamp("us", tz="UTC"))
    return pa.chunked_array([chunk.view(pa.int64()) for chunk in times.chunks], pa.int64())


_NUMBERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)} | {"float", "double"}


def _plain(whole: pa.Array) -> npt.NDArray[Any]:
    """Numbers as they lie in memory, whatever stands for nulls."""
    dtype = np.dtype(_NAMES.get(str(whole.type), str(whole.type)))
    return np.frombuffer(whole.buffers()[1] or b"", dtype)[whole.offset : whole.offset + len(whole)]


def _with_nan(found: npt.NDArray[Any], whole: pa.Array) -> npt.NDArray[Any]:
    """Floats with NaN in place of nulls."""
    if not whole.null_count:
        return found
    bits = np.unpackbits(np.frombuffer(whole.buffers()[0], np.uint8), bitorder="little")
    present = bits[whole.offset : whole.offset + len(whole)].astype(np.bool_)
    return np.where(present, found, found.dtype.type(np.nan))


def _bits(values: npt.NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def _ends(values: Sequence[Sequence[Any]]) -> pa.Buffer:
    """Where each ends, after a first 0."""
    return pa.py_buffer(np.cumsum([0, *map(len, values)], dtype=np.int32))
