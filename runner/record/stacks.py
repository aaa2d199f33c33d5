"""`stacks.parquet`: a row for every stack of an archive."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args, get_type_hints

from runner.errors import RecordError

STACKS: Final = "stacks.parquet"
FOLDER: Final = "stacks"  # of the archive's folder, with a run's folder for each stack
WAITING: Final = "WAITING"  # the status of a stack whose run has not begun
OUTSIDE: Final = "OUTSIDE"  # that of one that the box, the area or no zone meets: left out, and not failed
GEOMETRY: Final = "geometry"  # the column of footprints
Wkb: TypeAlias = bytes  # well-known binary
NO_ZONE: Final = "met by no zone"
_OUTSIDE_OF: Final = {  # what an OutsideError begins with
    "source.bbox": "outside of the box",
    "source.area": "outside of the area",
    "zones.file": NO_ZONE,
}
_PREFIX: Final = "group_"  # of a column of values whose group's name another column has


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRow:
    """A stack, and how its run went. What is not known, or not yet, is None."""

    stack: str  # its folder below stacks/
    values: dict[str, str | None]  # of the groups that it is parted by, each a column
    status: str = WAITING  # or OUTSIDE, or that of its run
    scenes: int | None = None
    left_out: int | None = None
    crs: str | None = None
    height: int | None = None
    width: int | None = None
    west: float | None = None  # in degrees, EPSG:4326; east is beyond 180 where it crosses the antimeridian
    south: float | None = None
    east: float | None = None
    north: float | None = None
    dtype: str | None = None
    nodata: float | None = None
    bytes: int | None = None  # fetched; None where GDAL fetched
    started: datetime | None = None  # its own run
    seconds: float | None = None  # of its own run, while which others went on
    worker: str | None = None  # host and process
    error: str | None = None
    zones: int | None = None  # of zones.file that have rows
    geometry: Wkb | None = None  # its footprint, in degrees

    @property
    def in_words(self) -> str:
        """Its status for people; of a stack that is left out, the reason."""
        if self.status != OUTSIDE:
            return self.status.lower()
        return _OUTSIDE_OF.get(outside_of(self.error or ""), "outside of the box or area")


def left_out_by_reason(rows: Iterable[StackRow]) -> dict[str, list[str]]:
    """The names of the stacks that are left out, by the reason for people."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.status == OUTSIDE:
            reasons.setdefault(row.in_words, []).append(row.stack)
    return reasons


def outside_of(error: str) -> str:
    """The setting that leaves out a stack, which its error begins with."""
    return error.partition("=")[0]


_OWN: Final = {
    name: (get_args(kind) or (kind,))[0] for name, kind in get_type_hints(StackRow).items() if name != "values"
}
_LATER: Final = ("started", "zones", GEOMETRY)  # columns that tables of earlier versions lack


def _column(group: str) -> str:
    return f"{_PREFIX}{group}" if group in _OWN else group


def write_stacks(folder: Path, stack_by: Sequence[str], rows: Sequence[StackRow]) -> None:
    """Write the table: the stack, its groups, and the rest. Raises OutputError."""
    import pyarrow as pa  # noqa: PLC0415 - a quarter of a second that plans and lists of runs spare

    from runner.output.arrow import table_of  # noqa: PLC0415 - as above
    from runner.output.geoparquet import described  # noqa: PLC0415 - as above
    from runner.output.table import write_table  # noqa: PLC0415 - as above

    kinds = {
        str: pa.string(), int: pa.int64(), float: pa.float64(), bytes: pa.binary(),
        datetime: pa.timestamp("us", "UTC"),
    }  # fmt: skip
    names = ["stack", *map(_column, stack_by), *(name for name in _OWN if name != "stack")]
    schema = pa.schema([(name, kinds[_OWN.get(name, str)]) for name in names])
    write_table(folder / STACKS, described(table_of([_as_columns(row) for row in rows], schema)))


def _as_columns(row: StackRow) -> dict[str, Any]:
    columns = asdict(row)
    return {**{_column(name): value for name, value in columns.pop("values").items()}, **columns}


def read_stacks(folder: Path) -> tuple[StackRow, ...]:
    """The rows as they were written. Raises RecordError if the table is missing or damaged."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - as in write_stacks
    from pyarrow import ArrowException  # noqa: PLC0415 - as above

    from runner.output.arrow import rows_of  # noqa: PLC0415 - as above

    file = folder / STACKS
    try:
        with pq.ParquetFile(file) as stored:
            return tuple(_row(row) for row in rows_of(stored.read()))
    except FileNotFoundError as error:
        raise RecordError(f"{file} is missing: the archive's scenes were not found, or it was removed") from error
    except (OSError, KeyError, TypeError, ValueError, OverflowError, ArrowException) as error:
        raise RecordError(f"{file} cannot be read: {error}; it was cut off or altered") from error


def _row(columns: dict[str, Any]) -> StackRow:
    values = {name.removeprefix(_PREFIX): value for name, value in columns.items() if name not in _OWN}
    return StackRow(values=values, **{name: columns[name] for name in _OWN if name not in _LATER or name in columns})
