"""Values that were computed again, held against the files of the run.

Sums are exact, so values must be the stored ones to the bit. The reference engine, engine=xarray, rounds on its way:
its must be close.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from runner.compare.values import Key, Result, pixel_place
from runner.engine.task_sums import Values
from runner.errors import RecordError
from runner.log.check import Check, Verdict
from runner.model import Stack
from runner.output.digest import unequal_bits
from runner.output.names import raster_files
from runner.output.raster import common_type
from runner.output.read_back import band_named, column, opened_raster, read_table, read_window
from runner.planning.records import Task
from runner.reduce.statistics import statistic
from runner.settings import EngineName, JobSettings, Over

_CLOSE = 1e-6  # relative, of engine=xarray: float64 sums, float32 rasters
_TINY = 1e-12  # of the largest value; what is left where such sums cancel out


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of a job's values with its files."""

    job: JobSettings
    stack: Stack

    @property
    def closeness(self) -> str:
        """The end of a sentence: how near values must be to the stored ones; nothing for the same bits."""
        return "" if self.job.engine is EngineName.block else f" within {_CLOSE:g}"

    def window(self, result: Result, task: Task, values: Values) -> "Outcome":
        """The values of a task over time against its window of a raster. Raises RecordError for an altered file."""
        window, grid = task.window, self.stack.grid
        with np.errstate(over="ignore"):  # infinite in the file too
            computed = values.astype(self._stored_type(result.key))
        with opened_raster(result.path) as raster:
            if (raster.height, raster.width) != (grid.height, grid.width) or raster.transform[:6] != grid.transform:
                raise RecordError(f"{result.path} lies on another grid than its scenes; it was altered")
            band = band_named(raster, result.key.statistic, result.key.group)
            stored = read_window(raster, *window.slices, band)
        unequal = self._unequal(result, stored, computed)
        if not unequal.any():
            return Outcome(stored.size)
        y, x = map(int, np.unravel_index(int(np.argmax(unequal)), unequal.shape))
        place = pixel_place(window.row + y, window.column + x, grid.transform)
        return Outcome(stored.size, int(unequal.sum()), f"{place}: {_pair(stored[y, x], computed[y, x])}")

    def _stored_type(self, key: Key) -> np.dtype:
        """The type of the bands of the file that a statistic over time is in."""
        files = raster_files(key.stage, self.job.stages[key.stage].statistics, self.job.output.layout)
        names = next(names for names in files.values() if key.statistic in names)
        return common_type([statistic(name).dtype for name in names], self.job.output, self.stack.dtype)

    def row(self, result: Result, task: Task, values: Values) -> "Outcome":
        """The values of a scene against its rows of a table. Raises RecordError for an altered file."""
        scene, table = self.stack.scenes[task.start], read_table(result.path)
        rows = [row for row, href in enumerate(table["href"].to_pylist()) if href == scene.href]
        if len(rows) != len(values):
            wanted = "one" if len(values) == 1 else len(values)
            raise RecordError(f"{result.path} has {len(rows)} rows of {scene.href}, wanted {wanted}; it was altered")
        stored = column(result.path, table, result.key.statistic)[rows]
        unequal = np.flatnonzero(self._unequal(result, stored, values))
        if not unequal.size:
            return Outcome(len(rows))
        first = int(unequal[0])
        zone = f", zone {table['zone'][rows[first]]}" if result.over is Over.zones else ""
        return Outcome(len(rows), unequal.size, f"scene {scene.name}{zone}: {_pair(stored[first], values[first])}")

    def _unequal(self, result: Result, stored: Values, computed: Values) -> Values:
        if stored.dtype != computed.dtype:
            raise RecordError(f"{result.path}: {result.key} is {stored.dtype}, wanted {computed.dtype}; it was altered")
        if self.job.engine is EngineName.block or stored.dtype.kind == "i":
            return unequal_bits(stored, computed)
        tiny = _TINY * float(np.nan_to_num(np.abs(computed)).max(initial=0))
        return ~np.isclose(stored, computed, rtol=_CLOSE, atol=tiny, equal_nan=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The comparison of a task's values: cells, unequal cells, and the first unequal one in words."""

    cells: int
    unequal: int = 0
    first: str = ""


def tried(
    compare: Callable[[Result, Task, Values], Outcome], result: Result | None, task: Task, values: Values
) -> Outcome:
    """The outcome of a comparison, in which a file that was altered differs in every value."""
    if result is None:
        return Outcome(values.size, values.size, "outputs.json does not name its file; it was altered")
    try:
        return compare(result, task, values)
    except RecordError as error:
        return Outcome(values.size, values.size, str(error))


def check_of(key: Key, outcomes: "list[Outcome] | None", amount: str, close: str) -> Check:
    """The outcomes of a result's tasks as one check; None for a result that tasks cannot compute."""
    if outcomes is None:
        return Check(str(key), Verdict.unknown, "a function of DataArrays, which is not computed from tasks")
    cells, unequal = sum(outcome.cells for outcome in outcomes), sum(outcome.unequal for outcome in outcomes)
    if not unequal:
        return Check(str(key), Verdict.ok, f"{amount} computed again, {cells:,} values as stored{close}")
    first = next(outcome.first for outcome in outcomes if outcome.unequal)
    return Check(
        str(key), Verdict.failed, f"{unequal:,} of {cells:,} values in {amount} are not what the source gives; {first}"
    )


def _pair(stored: object, computed: object) -> str:
    return f"stored {stored:.9g}, computed {computed:.9g}"
