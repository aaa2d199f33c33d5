"""Stacks of an archive handed out to workers: whole stacks, the largest first; a row of facts comes back of each."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Final, cast

from runner.archive.batches import of_same_files
from runner.archive.reach import probe_of, with_absolute_files
from runner.archive.stack_runs import StackRuns
from runner.archive.turns import most_under_way
from runner.archive.worker_place import ArchiveWork
from runner.archive.worker_session import StackEnd, StackTask, release_session, run_stacks, stop_session
from runner.base.console import tell
from runner.base.humanize import listed, plural
from runner.cluster.keys import cluster_named
from runner.cluster.open import open_cluster
from runner.cluster.workers import ClusterSize
from runner.errors import Interrupted, OtherStackFailed
from runner.host.stopping import stop_requested
from runner.planning.reading import gdal_options_of
from runner.record.stacks import StackRow
from runner.settings import ClusterKind, ClusterSettings, JobSettings
from runner.source.outlines import Outlines
from runner.source.parts import Part
from runner.source.stores import Stores

if TYPE_CHECKING:
    from runner.cluster.placed_tasks import Outcome, PlacedTasks, ScheduledWorkers

    Placed = PlacedTasks[ArchiveWork, StackTask, list[StackEnd]]

_FEWEST: Final = 2  # stacks of a worker process: while one is computed, another is prepared or written
_ENDING_SECONDS: Final = 7.0  # for stacks on workers to end after an interrupt
_SILENCES: Final = 2  # spans of silence after which a stack's earlier worker must have let go of its folder

Take = Callable[[Part, StackRow], None]


def runs_on_workers(job: JobSettings) -> bool:
    """Tell if the stacks of an archive run on workers of their own, and not in this process."""
    return job.archive.cluster is not None and job.archive.cluster.kind is not ClusterKind.threads


@contextmanager
def opened_workers(
    job: JobSettings, stores: Stores, parts: Sequence[Part], outlines: Outlines
) -> Iterator["ScheduledWorkers | None"]:
    """The workers that run the stacks of an archive; None if this process does.

    Raises ClusterError, also for a worker elsewhere that cannot read the scenes of these parts, or not these polygons.
    """
    if job.archive.cluster is None or not runs_on_workers(job):
        yield None
        return
    settings, elsewhere = job.archive.cluster, job.archive.cluster.kind is not ClusterKind.processes
    prepare = probe_of(job, stores, parts, outlines) if elsewhere else None
    with cluster_named("archive.cluster"), open_cluster(settings, gdal_options_of(job), prepare) as workers:
        tell(_describe(workers.size))
        began = workers.size
        yield cast("ScheduledWorkers", workers)  # of any cluster but this process
        if workers.size != began:
            tell(_describe(workers.size))


def _describe(size: ClusterSize) -> str:
    dashboard = f"; dashboard: {size.dashboard}" if size.dashboard else ""
    threads = plural(size.threads, "thread")
    return f"stacks run on {plural(size.n_workers, 'worker')} of {size.address}, {threads} in all{dashboard}"


@dataclass(frozen=True, slots=True)
class StacksOnWorkers:
    """Hands stacks out, and takes their rows."""

    workers: "ScheduledWorkers"
    runs: StackRuns

    def run_all(self, parts: Sequence[Part], take: Take) -> None:
        """Run these stacks, and `take` the row of each, until all have ended or a stop is requested.

        Raises ClusterError if the scheduler or all workers are gone, or do not see the folder.
        """
        from runner.cluster.placed_tasks import PlacedTasks  # noqa: PLC0415 - two thirds of a second

        work = self._work()
        tasks = [self._task(group) for group in of_same_files(largest_first(parts))]
        placed = PlacedTasks(self.workers, run_stacks, work, tasks, partial(_most, most_under_way(work.archive.job)))
        try:
            self._take_all(placed, work, take)
        except KeyboardInterrupt as stop:
            number = getattr(stop, "exit_code", 130) - 128
            placed.place_no_more()
            placed.call(stop_session, work.token, partial(Interrupted, number))
            self._take_some(placed, take)
            raise
        finally:
            for part in (part for task in placed.under_way for part in task.parts):
                take(part, self._left(part))
            placed.cancel()
            placed.call(release_session, work.token)

    def _take_all(
        self, placed: "PlacedTasks[ArchiveWork, StackTask, list[StackEnd]]", work: ArchiveWork, take: Take
    ) -> None:
        told = False
        while (outcome := placed.next()) is not None:
            self._take(outcome, take)
            if stop_requested() and not told:  # since a stack has failed
                told = True
                placed.place_no_more()
                placed.call(stop_session, work.token, OtherStackFailed)

    def _take_some(self, placed: "Placed", take: Take) -> None:
        """Take the stacks that end in time."""
        while (outcome := placed.next(_ENDING_SECONDS)) is not None:
            self._take(outcome, take)

    def _task(self, group: Sequence[Part]) -> StackTask:
        finds = self.runs.finds
        return StackTask(tuple(group), {part.name: finds[part.name] for part in group if part.name in finds})

    def _take(self, outcome: "Outcome", take: Take) -> None:
        """Take the stacks of a task as a worker ended them, or as workers left them that were lost, try after try."""
        ends: Sequence[StackEnd | None] = outcome.result or [None] * len(outcome.task.parts)
        for part, end in zip(outcome.task.parts, ends, strict=True):
            if end is None:
                take(part, self._lost(part, outcome.lost))
                continue
            self.runs.notes[part.name] = end.notes
            if end.of_settings:
                self.runs.of_settings.add(part.name)
            take(part, end.row)

    def _left(self, part: Part) -> StackRow:
        """The row of a stack that a worker had. Its run may live on, as in a process that is suspended."""
        row = self.runs.row_before(part)
        if row.status != "RUNNING":
            return row
        process, host = (str(row.worker).rpartition(":")[place] for place in (2, 0))
        problem = f"process {process} on {host}, its worker, did not end its run in time; end that process, and resume"
        return replace(row, status="INTERRUPTED", error=problem)

    def _lost(self, part: Part, lost: Sequence[str]) -> StackRow:
        row = self._left(part)
        if stop_requested() or row.status == "COMPLETED":
            return row
        problem = (
            f"{plural(len(lost), 'worker')} died or fell silent at it ({listed(lost, 3)}), mostly for "
            "lack of memory; raise archive.cluster.memory_limit, or use smaller chunks"
        )
        return replace(row, status="FAILED", error=problem)

    def _work(self) -> ArchiveWork:
        archive, settings = self.runs.archive, self.runs.archive.job.archive.cluster
        assert settings is not None
        return ArchiveWork(
            token=f"{os.getpid()}-{secrets.token_hex(8)}",
            archive=replace(archive, job=with_absolute_files(archive.job)),
            run=self.runs.record.run,
            stores=self.runs.stores,
            listed=self.runs.listed.only(()),
            outlined=tuple(self.runs.outlined),
            outlines=self.runs.surroundings.outlines,
            memory_limit=_limit_of(settings),
            patience_seconds=_SILENCES * settings.silent_timeout,
        )


def _limit_of(settings: ClusterSettings) -> str | None:
    """The memory of a worker by the setting; None asks the worker."""
    return None if settings.memory_limit in (None, "auto") else settings.memory_limit


def largest_first(parts: Sequence[Part]) -> list[Part]:
    """Stacks by their bytes, or by their scenes where a listing does not tell bytes."""
    known = all(part.stored_bytes is not None for part in parts)
    return sorted(parts, key=lambda part: -(part.stored_bytes or 0) if known else -len(part.candidates))


def _most(under_way: int, left: int, workers: int) -> int:
    """The number of stacks that a worker has at a time: fewer near the end, so that all workers end together."""
    return max(min(under_way, ceil(left / (2 * workers))), _FEWEST)
