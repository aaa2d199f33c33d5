"""Results read back from a run's folder: columns of its tables, windows of its rasters."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from runner.errors import RecordError

if TYPE_CHECKING:
    import rasterio
    from pyarrow import Table

Values = npt.NDArray[Any]


def read_table(path: Path) -> "Table":
    """A table over space. Raises RecordError if it is not Parquet, or has no column of hrefs."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - a quarter of a second that rasters spare
    from pyarrow import ArrowException  # noqa: PLC0415 - as above

    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (OSError, ArrowException) as error:
        raise unreadable(path, error) from error
    if "href" not in table.column_names:
        raise RecordError(f"{path} has no column href, so that its rows have no scenes; it was altered")
    return table


def column(path: Path, table: "Table", name: str) -> Values:
    """A statistic, (scenes,): float64 with NaN where null, or int64. Raises RecordError if it is none such."""
    if name not in table.column_names:
        raise RecordError(f"{path} has no column {name}; it was altered")
    from runner.output.arrow import numbers  # noqa: PLC0415 - pyarrow, which rasters spare

    chunks = table[name]
    kind = str(chunks.type)
    if kind not in ("double", "int64") or (kind == "int64" and chunks.null_count):
        raise RecordError(
            f"{path}: column {name} is {kind}, {chunks.null_count} null; wanted double, or int64; it was altered"
        )
    return numbers(chunks)


@contextmanager
def opened_raster(path: Path) -> Iterator["rasterio.DatasetReader"]:
    """A raster over time, whose band 1 has (y, x) values. Raises RecordError, also for what is read within."""
    import rasterio  # noqa: PLC0415 - half a second that tables spare

    try:
        with rasterio.open(
            path, driver="GTiff", num_threads="ALL_CPUS"
        ) as raster:  # a VRT of that name may name any file
            yield raster
    except rasterio.errors.RasterioError as error:
        raise unreadable(path, error) from error


def read_window(raster: "rasterio.DatasetReader", rows: slice, columns: slice) -> Values:
    """The stored values of a window, (rows, columns)."""
    window = ((rows.start, rows.stop), (columns.start, columns.stop))
    values: Values = raster.read(1, window=window)
    return values


def read_statistic(path: Path, over: str, name: str) -> Values:
    """All values of one statistic: a column over `space`, a raster over `time`. Raises RecordError."""
    if over == "space":
        return column(path, read_table(path), name)
    with opened_raster(path) as raster:
        return read_window(raster, slice(0, raster.height), slice(0, raster.width))


def read_provenance(path: Path, over: str) -> dict[str, str]:
    """The provenance of a result's values, as `runner.output.results.provenance` put it in. Raises RecordError."""
    if over == "space":
        text = (read_table(path).schema.metadata or {}).get(b"cog_stack_runner", b"{}")
        try:
            return dict(json.loads(text))
        except (TypeError, ValueError) as error:
            raise unreadable(path, error) from error
    with opened_raster(path) as raster:
        return dict(raster.tags())


def unreadable(path: Path, error: Exception) -> RecordError:
    """The problem of a result that cannot be read."""
    if not path.exists():
        return RecordError(f"{path} is gone")
    return RecordError(f"{path} cannot be read: {' '.join(str(error).split())[:300]}; it was cut off or altered")
