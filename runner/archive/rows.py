"""The row of a stack, from the record of its run; and the table of all rows, kept up to date while they run."""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import rasterio

from runner.model import Grid
from runner.output.footprint import footprint_of
from runner.output.geoparquet import wkb_of
from runner.record.run import ArchiveRecord, Run, StackRecord
from runner.record.stack_rows import facts_of, summed_up
from runner.record.stacks import StackRow, write_stacks
from runner.report.place import place_of
from runner.source.parts import Part

_SHARE: Final = 0.05  # of the time, for writing the table


def row_of(part: Part, status: str, run: Run | None, folder: Path, problem: str | None = None) -> StackRow:
    """The row of a stack whose run has this status. `run` is None if it could not begin, for this `problem`."""
    if run is None:
        return StackRow(stack=part.name, values=part.values, status=status, error=problem)
    grid = _grid(run.stack or StackRecord(name="", scenes=0), run, folder)
    west, south, east, north = _degrees(grid)
    footprint = footprint_of(grid) if grid else None
    row = StackRow(
        stack=part.name,
        values=part.values,
        status=status,
        west=west,
        south=south,
        east=east,
        north=north,
        geometry=wkb_of(footprint) if footprint else None,
        **facts_of(run),
    )
    return replace(row, error=problem or row.error)


def _grid(stack: StackRecord, run: Run, folder: Path) -> Grid | None:
    """The grid of a stack; None if it has no CRS, or one that is neither known by its name nor from results."""
    if stack.crs is None or stack.transform is None or stack.shape is None:
        return None
    grid = Grid(stack.crs, stack.crs, stack.transform, *stack.shape)
    raster = next((folder / name for name in run.outputs if name.endswith(".tif")), None)
    if place_of(stack.crs, stack.transform, stack.shape) is None and raster is not None and raster.is_file():
        with rasterio.open(raster) as opened:
            return replace(grid, crs=opened.crs.to_wkt()) if opened.crs else None
    return grid


def _degrees(grid: Grid | None) -> tuple[float | None, float | None, float | None, float | None]:
    """West, south, east and north; None where the CRS has no way to degrees."""
    place = place_of(grid.crs, grid.transform, (grid.height, grid.width)) if grid and grid.crs else None
    return (place.west, place.south, place.east, place.north) if place else (None, None, None, None)


class StackTable:
    """The rows of an archive, in its order; any thread may change them."""

    def __init__(self, folder: Path, stack_by: Sequence[str], rows: Iterable[StackRow]) -> None:
        self._folder, self._stack_by = folder, stack_by
        self._rows = {row.stack: row for row in rows}
        self._lock = threading.Lock()
        self._changed = True
        self._written, self._cost = 0.0, 0.0

    def put(self, row: StackRow) -> None:
        """Replace the row of a stack."""
        with self._lock:
            self._rows[row.stack] = row
            self._changed = True

    @property
    def rows(self) -> list[StackRow]:
        """All rows."""
        with self._lock:
            return list(self._rows.values())

    def summed_up(self) -> ArchiveRecord:
        """The number of stacks of each status, and the sums of what they read."""
        return summed_up(self._stack_by, self.rows)

    def write_if_due(self) -> bool:
        """Write the table if a row has changed, but not so often that it takes much of the time."""
        if not self._changed or time.monotonic() - self._written < self._cost / _SHARE:
            return False
        self.write()
        return True

    def write(self) -> None:
        """Write the table. Raises OutputError."""
        started = time.monotonic()
        rows, self._changed = self.rows, False
        write_stacks(self._folder, self._stack_by, rows)
        self._written = time.monotonic()
        self._cost = self._written - started
