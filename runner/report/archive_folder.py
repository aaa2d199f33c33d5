"""The folder of an archive read into records: the table of its stacks, the means of all, and small pictures."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runner.errors import RecordError
from runner.host.cpus import cpu_count
from runner.output.names import group_pattern, raster_files
from runner.record.run import parted_by
from runner.record.stacks import FOLDER, STACKS, StackRow, read_stacks
from runner.report.gather import Reader
from runner.report.levels import as_level, as_power
from runner.report.picture import read_raster
from runner.report.records import Contents, Floats, Raster
from runner.report.run_tables import numbers, read_columns, read_zones
from runner.report.zones import zone_raster
from runner.settings import Layout

MOST_PICTURES: Final = 40
_MOST_ZONE_PICTURES: Final = 12
_PICTURE: Final = 160  # pixels of the longer side
_COVERAGE: Final = ("valid_fraction", "count")
Codes = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """The scenes of all stacks in a table over space, ordered by stack and time; values are NaN where missing."""

    stage: str
    file: str
    statistic: str
    units: str
    stack: Codes  # the number of its row in the table of stacks
    time: Floats
    values: Floats
    valid: Floats | None  # fraction of the pixels

    def of_stacks(self, values: Floats, stacks: int, units: str = "") -> Floats:
        """The mean of a stack's values, stack by stack; NaN for one without."""
        finite = np.isfinite(values)
        numbers_ = np.bincount(self.stack[finite], minlength=stacks)
        sums = np.bincount(self.stack[finite], weights=as_power(values[finite], units), minlength=stacks)
        return as_level(np.where(numbers_ > 0, sums / np.maximum(numbers_, 1), np.nan), units)


@dataclass(frozen=True, slots=True, eq=False)
class ArchiveContents:
    """An archive's folder; `own` are the files that lie on top in it."""

    own: Contents
    stack_by: tuple[str, ...]
    rows: tuple[StackRow, ...]
    means: Means | None
    pictures: tuple[tuple[StackRow, Raster], ...]
    zone_pictures: tuple[tuple[StackRow, Raster], ...]  # of the first stage over zones


def read_archive(folder: Path) -> ArchiveContents:
    """The contents of the folder."""
    reader = Reader(folder)
    run = reader.run()
    inputs = reader.inputs()
    rows = reader.read(STACKS, lambda path: read_stacks(path.parent)) or ()
    stages = run.record.config.get("stages") or {}
    first = _first_raster(stages, run.record.config.get("output") or {})
    means = _means(reader, stages, rows) if any(row.status == "COMPLETED" for row in rows) else None
    own = reader.contents(run, inputs, tasks=None, tables=[], rasters=[], multiples=[], zones=[], outputs=None)
    pictures, zones = _pictures(folder, first, rows), _zone_pictures(folder, stages, rows)
    return ArchiveContents(own, parted_by(run.record.config), rows, means, tuple(pictures), tuple(zones))


# --- means ------------------------------------------------------------------------------------------------------------


def _means(reader: Reader, stages: Mapping[str, Any], rows: Sequence[StackRow]) -> Means | None:
    """The first table over space that has a level: a mean, a median, or another statistic."""
    for stage, settings in stages.items():
        names = [name for name in settings["statistics"] if name not in _COVERAGE]
        level = next((name for name in ("mean", "median") if name in names), next(iter(names), None))
        if settings["over"] == "space" and level is not None:
            return reader.read(f"{stage}.parquet", lambda path, level=level: _read_means(path, level, rows))  # type: ignore[misc]
    return None


def _read_means(path: Path, level: str, rows: Sequence[StackRow]) -> Means:
    table = read_columns(path)
    missing = {"stack", "datetime", level} - set(table.column_names)
    if missing:
        raise ValueError(f"it has no column {', '.join(sorted(missing))}")
    places = {row.stack: place for place, row in enumerate(rows)}
    stack = np.array([places.get(name, -1) for name in table["stack"].to_pylist()], np.intp)
    time = numbers(table, "datetime")
    order = np.lexsort((time, stack))
    order = order[stack[order] >= 0]
    field = table.schema.field(level)
    valid = _valid(table, stack, rows)
    return Means(
        stage=path.stem,
        file=path.name,
        statistic=level,
        units=(field.metadata or {}).get(b"units", b"").decode(),
        stack=stack[order],
        time=time[order],
        values=numbers(table, level)[order],
        valid=None if valid is None else valid[order],
    )


def _valid(table: Any, stack: Codes, rows: Sequence[StackRow]) -> Floats | None:
    if "valid_fraction" in table.column_names:
        return numbers(table, "valid_fraction")
    if "count" not in table.column_names or not rows:
        return None
    pixels = np.array([(row.height or 0) * (row.width or 0) or np.nan for row in rows])
    return np.asarray(numbers(table, "count") / pixels[stack])


# --- pictures ---------------------------------------------------------------------------------------------------------


def _pictures(folder: Path, raster: tuple[str, str] | None, rows: Sequence[StackRow]) -> list[tuple[StackRow, Raster]]:
    """The first raster of the first stacks that have one; a stack's own page says why it cannot be read."""
    if raster is None:
        return []
    complete = [row for row in rows if row.status == "COMPLETED"][:MOST_PICTURES]
    with ThreadPoolExecutor(cpu_count(), "picture") as pool:
        pictures = pool.map(lambda row: _picture(folder / FOLDER / row.stack, *raster), complete)
        return [(row, picture) for row, picture in zip(complete, pictures, strict=True) if picture is not None]


def _zone_pictures(folder: Path, stages: Mapping[str, Any], rows: Sequence[StackRow]) -> list[tuple[StackRow, Raster]]:
    """The zones of the first stacks that have some, in the colours of their means."""
    name = next((f"{stage}.parquet" for stage, settings in stages.items() if settings["over"] == "zones"), None)
    if name is None:
        return []
    complete = [row for row in rows if row.status == "COMPLETED"][:_MOST_ZONE_PICTURES]
    readers = ((row, Reader(folder / FOLDER / row.stack)) for row in complete)
    tables = ((row, reader.read(name, read_zones)) for row, reader in readers)
    pictures = ((row, table and zone_raster(table)) for row, table in tables)
    return [(row, picture) for row, picture in pictures if picture]


def _first_raster(stages: Mapping[str, Any], output: Mapping[str, Any]) -> tuple[str, str] | None:
    """The file, or a pattern of those of all groups, and the statistic that a band of it is.

    Statistics of all scenes come before those of groups.
    """
    layout = Layout[output.get("layout") or "files"]
    over_time = [(stage, settings) for stage, settings in stages.items() if settings["over"] == "time"]
    for stage, settings in sorted(over_time, key=lambda item: bool(item[1].get("group_by"))):
        names = settings["statistics"]
        first = "mean" if "mean" in names else names[0]
        if settings.get("group_by") and layout is Layout.files:
            return group_pattern(stage, first), first
        return next((file, first) for file, bands in raster_files(stage, names, layout).items() if first in bands)
    return None


def _picture(folder: Path, name: str, statistic: str) -> Raster | None:
    """The picture of a statistic, of the first of groups."""
    from rasterio.errors import RasterioError  # noqa: PLC0415 - a run has it by now, `python -m runner.log` may not

    try:
        path = min(folder.glob(name), default=folder / name)
        return read_raster(path, _PICTURE, statistic)
    except (OSError, ValueError, RasterioError, RecordError):
        return None
