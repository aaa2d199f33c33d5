"""The tables of a run's folder read into records: its objects, its tasks, its scenes, its zones."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from runner.base import humanize
from runner.report.environment import texts
from runner.report.records import Floats, InputRow, SceneTable, Tasks, ZoneTable

if TYPE_CHECKING:
    import pyarrow as pa

_ABOUT_SCENES: Final = ("stack", "scene", "href", "datetime")
_OF_INPUTS: Final = frozenset(
    {"href", "scene", "datetime", "used", "reason", "size", "etag", "crs", "height", "width", "dtype"}
)
_LEVELS: Final = ("mean", "sum")  # of zones, that are shown
_YEAR_9999: Final = 253370764800  # seconds since 1970


def read_columns(path: Path, names: Collection[str] | None = None) -> "pa.Table":
    """All columns of a table, or those of these names that it has."""
    from pyarrow import parquet  # noqa: PLC0415 - a run has it by now, `python -m runner.log` may not

    file = parquet.ParquetFile(path, memory_map=False)
    chosen = None if names is None else [name for name in file.schema_arrow.names if name in names]
    return file.read(chosen, use_threads=False)  # most tables are small, and threads wait for one another


def numbers(table: "pa.Table", name: str) -> Floats:
    """A column of numbers as float64, of times as seconds since 1970; NaN where null, or where there is no column.

    Times before 1970 and beyond 9999 are taken for damage.
    """
    import pyarrow as pa  # noqa: PLC0415 - as in `read_columns`

    from runner.output.arrow import floats, microseconds  # noqa: PLC0415 - as above

    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    column, scale = table[name], 1.0
    if pa.types.is_timestamp(column.type):
        column, scale = microseconds(column), 1e-6
    values: Floats = floats(column) * scale
    return np.where((values > 0) & (values < _YEAR_9999), values, np.nan) if scale < 1 else values


def _texts(table: "pa.Table", name: str) -> list[str]:
    """A column as strings, "" where null, or where there is no column."""
    if name not in table.column_names:
        return [""] * table.num_rows
    return ["" if value is None else str(value) for value in table[name].to_pylist()]


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def read_inputs(path: Path) -> list[InputRow]:
    """The objects that were found."""
    table = read_columns(path, _OF_INPUTS)
    times, sizes = numbers(table, "datetime"), numbers(table, "size")
    height, width = numbers(table, "height"), numbers(table, "width")
    grids = zip(_texts(table, "crs"), height, width, _texts(table, "dtype"), strict=True)
    rows = zip(
        _texts(table, "href"), _texts(table, "scene"), times, _texts(table, "used"), _texts(table, "reason"), sizes,
        _texts(table, "etag"), (_grid(*grid) for grid in grids), strict=True,
    )  # fmt: skip
    return [
        InputRow(href, scene, _known(time), used == "True", reason, _known(size), etag.strip('"'), grid)
        for href, scene, time, used, reason, size, etag, grid in rows
    ]


def _grid(crs: str, height: float, width: float, dtype: str) -> str:
    return f"{crs} {humanize.by((f'{height:.0f}', f'{width:.0f}'))} {dtype}" if np.isfinite(height + width) else ""


def read_tasks(path: Path) -> Tasks:
    """The tasks, attempt by attempt."""
    table = read_columns(path)
    counts = {
        name: numbers(table, name)
        for name in (
            "task", "attempt", "start", "stop", "first_scene", "stop_scene", "bytes", "requests", "retries",
            "peak_bytes", "pixels", "valid",
        )
    }  # fmt: skip
    window = np.stack([numbers(table, name) for name in ("row", "column", "height", "width")], axis=1)
    shares = {name: numbers(table, f"{name}_seconds") for name in ("fetch", "decode", "reduce")}
    return Tasks(
        pass_name=_texts(table, "pass"),
        status=_texts(table, "status"),
        error=_texts(table, "error"),
        worker=_texts(table, "worker"),
        lane=list(zip(_texts(table, "host"), _texts(table, "pid"), _texts(table, "thread"), strict=True)),
        window=window,
        compiling=numbers(table, "compile_seconds"),
        **counts,
        **shares,
    )


def read_scenes(path: Path) -> SceneTable:
    """The table of a stage over space, its scenes by their times. Raises ValueError for another table."""
    import pyarrow as pa  # noqa: PLC0415 - as in `read_columns`

    table = read_columns(path)
    if "datetime" not in table.column_names:
        raise ValueError("it has no column datetime, so it is not a table of scenes")
    order = np.argsort(numbers(table, "datetime"), kind="stable")
    fields = [
        field
        for field in table.schema
        if field.name not in _ABOUT_SCENES and (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
    ]
    origin = (table.schema.metadata or {}).get(b"cog_stack_runner", b"{}")
    scenes = _texts(table, "scene")
    return SceneTable(
        stage=path.stem,
        file=path.name,
        scenes=[scenes[row] for row in order],
        time=numbers(table, "datetime")[order],
        columns={field.name: numbers(table, field.name)[order] for field in fields},
        groups={
            field.name: [words[row] for row in order]
            for field in table.schema
            if field.name not in _ABOUT_SCENES and pa.types.is_string(field.type)
            for words in [_texts(table, field.name)]
        },
        units={field.name: (field.metadata or {}).get(b"units", b"").decode() for field in fields},
        by_area=frozenset(field.name for field in fields if (field.metadata or {}).get(b"weights") == b"area"),
        provenance=dict(texts(json.loads(origin))),
    )


def read_zones(path: Path) -> ZoneTable:
    """The level of each zone over time, of a mean or of the first statistic that there is."""
    import pyarrow.compute as pc  # noqa: PLC0415 - as in `read_columns`
    from pyarrow import parquet  # noqa: PLC0415 - as above

    from runner.output.zone_map import map_in  # noqa: PLC0415 - as above

    schema = parquet.read_schema(path)
    statistics = schema.names[schema.names.index("zone") + 1 :]
    level = next((name for name in (*_LEVELS, *statistics) if name in statistics), None)
    if level is None:
        raise ValueError("it has no statistics")
    table = read_columns(path, ["datetime", "zone", level])
    names = table["zone"]
    again = pc.index(names, names[0], start=1).as_py()  # by the next scene
    zones = len(names) if again < 0 else again
    times = numbers(table, "datetime").reshape(-1, zones)[:, 0]
    units = (schema.field(level).metadata or {}).get(b"units", b"").decode()
    values = numbers(table, level).reshape(-1, zones)
    words, drawn = [str(name) for name in names[:zones].to_pylist()], map_in(schema.metadata)
    return ZoneTable(path.stem, path.name, words, times, level, units, values, drawn)
