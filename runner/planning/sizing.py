"""The tasks of a pass for given chunks and workers, and the memory that they take."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from runner.model import Stack
from runner.planning.chunking import (
    WINDOW_BYTES,
    Threads,
    array_chunks,
    balanced_tasks,
    cut,
    of_few_scenes,
    takes_seconds,
    task_chunks,
)
from runner.planning.memory import (
    PROCESS_BYTES,
    are_spooled,
    large_tiles,
    result_bytes,
    spool_bytes,
    task_bytes,
    waiting_bytes,
    zone_result_bytes,
)
from runner.planning.reading import Reading
from runner.planning.records import Chunks, StagePlan, Task, Workers
from runner.settings import ChunkSettings, JobSettings


@dataclass(frozen=True)
class ArraySizing:
    """The chunks of dask arrays, for the xarray engine."""

    job: JobSettings
    stack: Stack
    reading: Reading

    def cut(self, settings: ChunkSettings, _: Workers) -> tuple[Chunks, tuple[Task, ...]]:
        """The size of a chunk, and the chunks as tasks."""
        chunks = array_chunks(settings, self.stack, self.reading.rule)
        return chunks, cut(self.stack, chunks)

    def worker_bytes(self, settings: ChunkSettings, workers: Workers) -> int:
        """The least that a worker process holds: a chunk for each thread. How many more, dask decides."""
        rule = self.reading.rule
        chunk = prod(array_chunks(settings, self.stack, rule)) * rule.pixels.dtype.itemsize
        return PROCESS_BYTES + workers.threads * chunk

    def spool_bytes(self, _: Workers) -> int:
        """0: arrays stay in memory."""
        return 0


@dataclass(frozen=True)
class TaskSizing:
    """The tasks of a pass of the block engine."""

    job: JobSettings
    stack: Stack
    reading: Reading
    stages: tuple[StagePlan, ...]
    of_job: tuple[StagePlan, ...]  # the stages of all passes
    at_once: int = 1  # stacks that compute at the same time

    def cut(self, settings: ChunkSettings, workers: Workers) -> tuple[Chunks, tuple[Task, ...]]:
        """The size of a task, and the tasks."""
        threads = self._threads(workers)
        chunks = task_chunks(
            settings, self.stack, self.reading.rule, self.stages, Threads(threads, self._room(workers))
        )
        if settings.time == "auto" and not any(stage.ordered for stage in self.stages):
            tasks = balanced_tasks(self.stack, chunks, threads)
            most = self.job.output.kept_scenes
            if not self.job.output.keep_partials or most >= chunks.time:
                return chunks, tasks
            return chunks._replace(time=most), of_few_scenes(tasks, most)
        return chunks, cut(self.stack, chunks)

    def _threads(self, workers: Workers) -> int:
        """The threads among which a stack is shared out: its share of them, if others soon take the rest."""
        threads = workers.processes * workers.threads
        return max(1, threads // self.at_once) if takes_seconds(self.stack) else threads

    def worker_bytes(self, settings: ChunkSettings, workers: Workers) -> int:
        """The most that a worker process holds."""
        _, tasks = self.cut(settings, workers)
        held = self._process_bytes(workers) + min(workers.threads, len(tasks)) * self._task_bytes(_largest(tasks))
        if self._in_process:
            held += waiting_bytes(self.stages, self.stack, self.reading.rule, tasks, workers)
        return held

    def _task_bytes(self, chunks: Chunks) -> int:
        return task_bytes(self.stages, self.stack, self.reading, chunks, by_gdal=self._by_gdal)

    @cached_property
    def _by_gdal(self) -> bool:
        return any(map(self.reading.by_gdal, self.stack.scenes))

    @property
    def _in_process(self) -> bool:
        return self.job.stages[self.stages[0].name].cluster.kind.in_process

    @property
    def _zone_bytes(self) -> int:
        """Bytes of the zones that each worker process has."""
        return sum(stage.zones.nbytes for stage in self.stages if stage.zones is not None)

    def _process_bytes(self, workers: Workers) -> int:
        if not self._in_process:
            return PROCESS_BYTES + self._zone_bytes
        rasters = result_bytes(self.job, self.stack, self.of_job, spooled=self._spooled(workers))
        return PROCESS_BYTES + rasters + zone_result_bytes(self.stages, self.stack, self.reading.rule)

    def spool_bytes(self, workers: Workers) -> int:
        """Bytes of the pass's rasters that lie on disk until they are written; 0 if memory holds them."""
        return spool_bytes(self.job, self.stack, self.stages) if self._spooled(workers) else 0

    def _spooled(self, workers: Workers) -> bool:
        return are_spooled(self.job, self.stack, self.of_job, workers.memory_bytes if self._in_process else None)

    def _room(self, workers: Workers) -> int:
        """Bytes of accumulators that a task may hold.

        All there are for tiles that are large or do not lie alike and for groups of scenes, so that few tiles are
        decoded twice.
        """
        grouped = any(stage.groups for stage in self.stages)
        plain = not large_tiles(self.stack) and len(self.stack.tile_phases) == 1 and not grouped
        if plain or workers.memory_bytes is None:
            return WINDOW_BYTES
        one_pixel = self._task_bytes(Chunks(len(self.stack.scenes), 1, 1))
        spare = (workers.memory_bytes - self._process_bytes(workers)) // workers.threads - one_pixel
        return max(WINDOW_BYTES, spare // 2)  # the other half for partials that wait to be combined


def _largest(tasks: Sequence[Task]) -> Chunks:
    """The size that no task exceeds: few tasks are made smaller than chunks, so that each thread has one."""
    scenes, heights, widths = zip(
        *((task.stop - task.start, task.window.height, task.window.width) for task in tasks), strict=True
    )
    return Chunks(max(scenes), max(heights), max(widths))
