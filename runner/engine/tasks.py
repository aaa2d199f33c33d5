"""The work of a task on a worker: its pixels are masked and accumulated; a partial comes back."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from runner.engine.hidden import Hidden
from runner.engine.shared import Shared
from runner.engine.task_pixels import TaskPart, read_tasks
from runner.engine.task_sums import Partials, TaskSums, Values
from runner.errors import RunnerError
from runner.host.compile_clock import compile_seconds, working_seconds
from runner.planning.records import Task
from runner.read import fast_reader
from runner.read.fetch import FetchCounts
from runner.read.header import ScenePixels
from runner.read.inflation import InflateCounts
from runner.reduce.partial import Partial
from runner.reduce.zonal import ZonalPartial

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The partials of a task.

    `over_time` has the cells of its window for each lot of its scenes, nothing if no stage asks for them; `over_space`
    the cells of its scenes, `over_zones` those of its scenes and the zones in its window, or None.
    `ordered` has, for each stage, the layers that need all values: (rows, columns) over time, (scenes,) over space.
    `finished` has, for each stage over time, all layers of a window that a worker has finished; `over_time` is empty
    then.
    """

    task: Task
    over_time: Mapping[int, Partial]
    over_space: Partial | None
    ordered: dict[str, dict[str, Values]]
    fetched: FetchCounts
    inflated: InflateCounts
    read_seconds: float  # waiting for ranges, inflating, undoing the predictor
    reduce_seconds: float
    compile_seconds: float = 0.0  # waiting for machine code, which is in neither of the others
    finished: dict[str, dict[str, Values]] = field(default_factory=dict)
    over_zones: ZonalPartial | None = None


def run_tasks(shared: Shared, tasks: Iterator[Task]) -> Generator[TaskResult, None, None]:
    """Read and reduce tasks one after another. The next one is taken, and fetched, while the last is under way.

    Raises ReadError, and PlanError for pixels that do not fit the rule.
    """
    return of_only_band(run_tasks_of_bands([shared], tasks))


def of_only_band(results: Generator[list[Result | RunnerError], None, None]) -> Generator[Result, None, None]:
    """The results of tasks of one band. Raises its errors."""
    with closing(results):
        for (result,) in results:
            if isinstance(result, RunnerError):
                raise result
            yield result


def run_tasks_of_bands(
    bands: Sequence[Shared], tasks: Iterator[Task]
) -> Generator[list[TaskResult | RunnerError], None, None]:
    """As `run_tasks`, for several bands in the same tiles, which are read once: the result or the error of each.

    Raises ReadError.
    """
    with closing(read_tasks(bands, tasks)) as parts:
        while (results := _reduce(bands, parts)) is not None:
            yield results


def _reduce(bands: Sequence[Shared], parts: Iterator[TaskPart]) -> list[TaskResult | RunnerError] | None:
    """Take parts up to the end of their task; None if there are no more."""
    started, compiling = working_seconds(), compile_seconds()
    part = next(parts, None)
    if part is None:
        return None
    sums = [_BandSums(shared, part.task) for shared in bands]
    while part.pixels is not None:
        sums[part.band].add(part.pixels, part.hidden)
        part = next(parts)
    reading = working_seconds() - started - sum(band.seconds for band in sums)
    finished = [band.finish() for band in sums]
    compiling = compile_seconds() - compiling
    return [
        partials
        if isinstance(partials, RunnerError)
        else TaskResult(
            part.task,
            partials.over_time,
            partials.over_space,
            partials.ordered,
            fetched=part.counts.share(number, len(sums)),
            inflated=part.inflated.share(number, len(sums)),
            read_seconds=reading / len(sums),
            reduce_seconds=band.seconds,
            compile_seconds=compiling / len(sums),
            over_zones=partials.over_zones,
        )
        for number, (band, partials) in enumerate(zip(sums, finished, strict=True))
    ]


class _BandSums:
    """Accumulators of a band's pixels in a task, with the seconds they took, and the error that ended them if any."""

    def __init__(self, shared: Shared, task: Task) -> None:
        self._sums = TaskSums(shared, task)
        self._error: RunnerError | None = None
        self.seconds = 0.0

    def add(self, pixels: fast_reader.Turn | ScenePixels, hidden: Hidden | None) -> None:
        """Add pixels, unless earlier ones did not fit the rule."""
        if self._error is not None:
            return
        before = working_seconds()
        try:
            self._sums.add(pixels, hidden)
        except RunnerError as error:
            self._error = error
        self.seconds += working_seconds() - before

    def finish(self) -> Partials | RunnerError:
        """The partials, or the error."""
        if self._error is not None:
            return self._error
        before = working_seconds()
        partials = self._sums.finish()
        self.seconds += working_seconds() - before
        return partials
