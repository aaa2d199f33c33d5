"""Results read back from a run's folder: columns of its tables, windows of its rasters."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from runner.base.humanize import one_line
from runner.errors import RecordError

if TYPE_CHECKING:
    import rasterio
    from pyarrow import Table

    from runner.output.digest import ValueFacts

Values = npt.NDArray[Any]
_CACHE_MB: Final = 64  # of GDAL blocks; the default is 5 % of the machine
_ROWS: Final = 512  # of a raster at a time


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
    """A raster over time, of one band or several. Raises RecordError, also for what is read within."""
    import rasterio  # noqa: PLC0415 - half a second that tables spare

    from runner.read.gdal_environment import gdal_options_set  # noqa: PLC0415 - as above

    try:
        with (
            gdal_options_set(GDAL_CACHEMAX=_CACHE_MB),
            rasterio.open(path, driver="GTiff", num_threads="ALL_CPUS") as raster,  # a VRT may name any file
        ):
            yield raster
    except rasterio.errors.RasterioError as error:
        raise unreadable(path, error) from error


def band_named(raster: "rasterio.DatasetReader", name: str, group: str = "") -> int:
    """The number of the band of a statistic, perhaps of a group; the only one has any name.

    Raises RecordError if there is none.
    """
    if raster.count == 1:
        return 1
    tags = ((number, raster.tags(number)) for number in raster.indexes)
    numbers = [number for number, of in tags if (of.get("statistic"), of.get("group", "")) == (name, group)]
    if len(numbers) != 1:
        of_group = f" of {group}" if group else ""
        raise RecordError(f"{raster.name} has {len(numbers)} bands of {name}{of_group}, wanted one; it was altered")
    return int(numbers[0])


def read_window(raster: "rasterio.DatasetReader", rows: slice, columns: slice, band: int = 1) -> Values:
    """The stored values of a window of a band, (rows, columns)."""
    window = ((rows.start, rows.stop), (columns.start, columns.stop))
    values: Values = raster.read(band, window=window)
    return values


def read_facts(path: Path, over: str, name: str, group: str = "") -> "ValueFacts":
    """What the values of one statistic are now: of a column over `space` or `zones`, of a band over `time`.

    Raises RecordError.
    """
    from runner.output.digest import ValueDigest  # noqa: PLC0415 - numpy

    if over != "time":
        values = column(path, read_table(path), name)
        digest = ValueDigest(name, values.dtype, values.shape)
        digest.add(values)
        return digest.facts()
    with opened_raster(path) as raster:
        band = band_named(raster, name, group)
        dtype = np.dtype(raster.dtypes[band - 1])
        digest = ValueDigest(name, dtype, raster.shape, None if dtype.kind == "f" else raster.nodata)
        for top in range(0, raster.height, _ROWS):
            rows = slice(top, min(top + _ROWS, raster.height))
            digest.add(read_window(raster, rows, slice(0, raster.width), band))
        return digest.facts()


def read_provenance(path: Path, over: str) -> dict[str, str]:
    """The provenance of a result's values, as `runner.output.results.provenance` put it in. Raises RecordError."""
    if over != "time":
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
    return RecordError(f"{path} cannot be read: {one_line(error)[:300]}; it was cut off or altered")
