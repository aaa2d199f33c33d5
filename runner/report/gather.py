"""A run folder read into records; what is missing or cannot be read is named, and the rest goes on."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from runner.base import humanize
from runner.errors import RecordError
from runner.output.overviews import LARGEST_SHOWN
from runner.record.claim import left_nothing
from runner.record.run_files import read_outputs
from runner.record.run_folder import read_run
from runner.record.run_record import NONE_WRITTEN, Overviews
from runner.report.environment import texts
from runner.report.passes import passes_of
from runner.report.picture import read_bands, read_rasters
from runner.report.records import (
    EMPTY,
    Contents,
    Event,
    Floats,
    Gap,
    InputRow,
    Member,
    Multiples,
    Raster,
    Run,
    SceneTable,
    Tasks,
    ZoneTable,
)

if TYPE_CHECKING:
    import pyarrow as pa

_OWN_TABLES: Final = ("inputs.parquet", "trace.parquet")
_ABOUT_SCENES: Final = ("stack", "scene", "href", "datetime")
_OF_INPUTS: Final = frozenset(
    {"href", "scene", "datetime", "used", "reason", "size", "etag", "crs", "height", "width", "dtype"}
)
_LEVELS: Final = ("mean", "sum")  # of zones, that are shown
_SMALL: Final = 512  # pixels of the longer side of all pictures but the first: the smallest overview as it is
_MULTIPLE, _MOST_MULTIPLES, _FEW_MULTIPLES = 200, 24, 12  # pixels of a picture of a group, and pictures of a statistic
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

        if self.lacks(name):
            return None
        try:
            return parse(self.folder / name)
        except (OSError, ValueError, ArrowException, RasterioError, RecordError) as error:
            self.refuse(name, error)
            return None

    def lacks(self, name: str) -> bool:
        """True, and a gap, if a file is missing."""
        missing = not (self.folder / name).is_file()
        if missing:
            self.gaps.append(Gap(name, f"{_ABSENT}{_LOSES.get(name, '')}"))
        return missing

    def refuse(self, name: str, error: Exception) -> None:
        """Keep in mind that a file, or a band of one, cannot be read: once, however often it is asked for."""
        gap = Gap(name, f"cannot be read{_LOSES.get(name, '')}: {error}")
        self.gaps += [] if gap in self.gaps else [gap]

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


def read_folder(folder: Path, overviews: Overviews = NONE_WRITTEN) -> Contents:
    """The contents of the folder of a run of one stack; `overviews` spare reading those of rasters just written."""
    reader = Reader(folder)
    run = reader.run()
    inputs = reader.inputs()
    tasks = reader.read("trace.parquet", _tasks)
    names = [name for name in reader.named(".parquet") if name not in _OWN_TABLES]
    zonal = [name for name in names if over(run, name) == "zones"]
    tables = [reader.read(name, _scene_table) for name in names if name not in zonal]
    zones = [reader.read(name, read_zones) for name in zonal]
    outputs = reader.read("outputs.json", lambda path: read_outputs(path.parent))
    of_groups = [
        Member(file.stage, file.name, band, value)
        for file in outputs or ()
        for band, value in enumerate(file.values, start=1)
        if value.group
    ]
    return reader.contents(
        replace(run, passes=passes_of(run.record, tasks)),
        inputs=inputs,
        tasks=tasks,
        tables=[table for table in tables if table is not None],
        rasters=_rasters(reader, {member.file for member in of_groups}, overviews),
        multiples=_multiples(reader, of_groups),
        zones=[table for table in zones if table is not None],
        outputs=outputs,
    )


# --- tables ---------------------------------------------------------------------------------------------------------


def over(run: Run, name: str) -> str:
    """The axes that the stage of a table reduces, by the config of the run; empty if that does not say."""
    stages = run.record.config.get("stages")
    stage = stages.get(Path(name).stem) if isinstance(stages, dict) else None
    return str(stage.get("over")) if isinstance(stage, dict) else ""


def read_columns(path: Path, names: Collection[str] | None = None) -> "pa.Table":
    """All columns of a table, or those of these names that it has."""
    from pyarrow import parquet  # noqa: PLC0415 - as in Reader.read

    file = parquet.ParquetFile(path, memory_map=False)
    chosen = None if names is None else [name for name in file.schema_arrow.names if name in names]
    return file.read(chosen, use_threads=False)  # most tables are small, and threads wait for one another


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


def read_zones(path: Path) -> ZoneTable:
    """The level of each zone over time, of a mean or of the first statistic that there is."""
    import pyarrow.compute as pc  # noqa: PLC0415 - as in Reader.read
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


# --- rasters --------------------------------------------------------------------------------------------------------


def _rasters(reader: Reader, of_groups: Collection[str], overviews: Overviews) -> list[Raster]:
    """The rasters but those of groups, a mean before the others, counts behind; the first has the large picture."""
    alone = (name for name in reader.named(".tif") if name not in of_groups)
    names = sorted(alone, key=lambda name: (not name.endswith("_mean.tif"), name.endswith("_count.tif"), name))
    read: list[Raster] = []
    for name in names:
        sides = (_SMALL if read else LARGEST_SHOWN, _SMALL)
        written = overviews.get(name, ())
        read += reader.read(name, partial(read_bands, sides=sides, refused=reader.refuse, overviews=written)) or []
    return read


def _multiples(reader: Reader, members: Sequence[Member]) -> list[Multiples]:
    """The rasters of groups, statistic by statistic; of many groups some have pictures, evenly chosen."""
    found: list[Multiples] = []
    for (stage, statistic), of_statistic in groupby(members, lambda member: (member.stage, member.values.name)):
        own = tuple(of_statistic)
        most = _MOST_MULTIPLES if len(found) == 0 or statistic == "mean" else _FEW_MULTIPLES
        numbers = np.unique(np.linspace(0, len(own) - 1, min(most, len(own))).round().astype(int))
        chosen = [own[number] for number in numbers.tolist()]
        there = {file for file in sorted({member.file for member in chosen}) if not reader.lacks(file)}
        bands = [(reader.folder / member.file, member.band) for member in chosen if member.file in there]
        found.append(Multiples(stage, statistic, own, read_rasters(bands, _MULTIPLE, reader.refuse)))
    return found


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
