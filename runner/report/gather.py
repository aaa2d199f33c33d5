"""A run folder read into records; what is missing or cannot be read is named, and the rest goes on."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from runner.base import humanize
from runner.errors import RecordError
from runner.record.claim import left_nothing
from runner.record.run_files import read_outputs
from runner.record.run_folder import read_run
from runner.report.environment import texts
from runner.report.passes import passes_of
from runner.report.picture import read_raster
from runner.report.records import EMPTY, Contents, Event, Floats, Gap, InputRow, Raster, Run, SceneTable, Tasks

if TYPE_CHECKING:
    import pyarrow as pa

_OWN_TABLES: Final = ("inputs.parquet", "trace.parquet")
_ABOUT_SCENES: Final = ("stack", "scene", "href", "datetime")
_LARGE, _SMALL = 900, 420  # pixels of the longer side of the first picture, and of the others
_MOST_EVENTS = 50
_ABSENT: Final = "is not there"
_TOLD_ABOVE: Final = re.compile(r"failed$|interrupted, exit code")  # by how the run ended
_YEAR_9999: Final = 253370764800  # seconds since 1970
_LOSES: Final = {
    "run.json": ", so how the run ended, its config and its environment are unknown",
    "inputs.parquet": ", so there is no list of inputs",
    "trace.parquet": ", so there is no timeline of tasks",
    "outputs.json": ", so there are no checksums",
}
Read = TypeVar("Read")


class Reader:
    """Reads the files of a folder, and keeps in mind what it could not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gaps: list[Gap] = []

    def read(self, name: str, parse: Callable[[Path], Read]) -> Read | None:
        """The file as `parse` reads it; None, and a gap, if it is missing or damaged."""
        from pyarrow import ArrowException  # noqa: PLC0415 - a run has it by now, `python -m runner.log` may not
        from rasterio.errors import RasterioError  # noqa: PLC0415 - as above

        path = self.folder / name
        if not path.is_file():
            self.gaps.append(Gap(name, f"{_ABSENT}{_LOSES.get(name, '')}"))
            return None
        try:
            return parse(path)
        except (OSError, ValueError, ArrowException, RasterioError, RecordError) as error:
            self.gaps.append(Gap(name, f"cannot be read{_LOSES.get(name, '')}: {error}"))
            return None

    def run(self) -> Run:
        """The record of the run, without its passes."""
        run = self.read("run.json", lambda path: read_run(path.parent))
        return Run(run.record, run.status) if run else Run(EMPTY)

    def inputs(self) -> list[InputRow] | None:
        """The objects that were found."""
        return self.read("inputs.parquet", _inputs)

    def contents(self, run: Run, inputs: list[InputRow] | None, **results: Any) -> Contents:
        """The contents of the folder, when all of its files have been read."""
        known = {gap.name for gap in self.gaps}
        present = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        names = [name for name in run.record.outputs if name not in present | known]
        lost = [Gap(name, f"{_ABSENT}, though run.json names it") for name in names]
        unended = run.status in ("FAILED", "INTERRUPTED", "KILLED", "RUNNING")  # which explains what is not there
        gaps = [gap for gap in self.gaps if not (unended and gap.why.startswith(_ABSENT))]
        return Contents(
            name=self.folder.name,
            path=str(self.folder.resolve()),
            left_nothing=left_nothing(self.folder),
            run=run,
            inputs=inputs,
            events=_events(self.folder / "events.jsonl"),
            gaps=[*gaps, *lost],
            unwritten=[gap.name for gap in self.gaps if gap not in gaps],
            **results,
        )

    def named(self, ending: str) -> list[str]:
        """Files with this ending, without those that are being written."""
        return sorted(path.name for path in self.folder.glob(f"*{ending}") if not path.name.startswith("."))


def read_folder(folder: Path) -> Contents:
    """The contents of the folder of a run of one stack."""
    reader = Reader(folder)
    run = reader.run()
    inputs = reader.inputs()
    tasks = reader.read("trace.parquet", _tasks)
    tables = [reader.read(name, _scene_table) for name in reader.named(".parquet") if name not in _OWN_TABLES]
    outputs = reader.read("outputs.json", lambda path: read_outputs(path.parent))
    return reader.contents(
        replace(run, passes=passes_of(run.record, tasks)),
        inputs=inputs,
        tasks=tasks,
        tables=[table for table in tables if table is not None],
        rasters=_rasters(reader),
        outputs=outputs,
    )


# --- tables ---------------------------------------------------------------------------------------------------------


def read_columns(path: Path) -> "pa.Table":
    """All columns of a table."""
    from pyarrow import parquet  # noqa: PLC0415 - as in Reader.read

    return parquet.ParquetFile(path, memory_map=False).read()


def numbers(table: "pa.Table", name: str) -> Floats:
    """A column of numbers as float64, of times as seconds since 1970; NaN where null, or where there is no column.

    Times before 1970 and beyond 9999 are taken for damage.
    """
    import pyarrow as pa  # noqa: PLC0415 - as in Reader.read

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


def _inputs(path: Path) -> list[InputRow]:
    table = read_columns(path)
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


def _tasks(path: Path) -> Tasks:
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


def _scene_table(path: Path) -> SceneTable:
    import pyarrow as pa  # noqa: PLC0415 - as in Reader.read

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


# --- rasters --------------------------------------------------------------------------------------------------------


def _rasters(reader: Reader) -> list[Raster]:
    """The rasters, a mean before the others; that one's picture is the large one."""
    names = sorted(reader.named(".tif"), key=lambda name: (not name.endswith("_mean.tif"), name))
    read = [
        reader.read(name, lambda path, most=_SMALL if number else _LARGE: read_raster(path, most))  # type: ignore[misc]
        for number, name in enumerate(names)
    ]
    return [raster for raster in read if raster is not None]


# --- the log ----------------------------------------------------------------------------


def _events(path: Path) -> list[Event]:
    """The last warnings and errors of the log; a line that a kill cut short is passed over."""
    if not path.is_file():
        return []
    events = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        event = _event(line)
        if event and event.level in ("WARNING", "ERROR", "CRITICAL") and not _TOLD_ABOVE.match(event.message):
            events.append(event)
    return events[-_MOST_EVENTS:]


def _event(line: str) -> Event | None:
    try:
        event = json.loads(line)
        return Event(*(str(event[name]) for name in ("time", "level", "event")))
    except (ValueError, KeyError, TypeError):
        return None
