"""The story of an archive: list its scenes, part them into stacks, run each as if alone, keep a table of all.

Stacks overlap: while one is computed, the next is prepared and the last is written.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from dataclasses import replace
from functools import partial

from msgspec.structs import replace as changed

from runner.archive import lines
from runner.archive.met_zones import describe_met_zones, written_zones, zone_names
from runner.archive.notes import StackNotes
from runner.archive.on_workers import StacksOnWorkers, opened_workers
from runner.archive.progress import Progress
from runner.archive.recorded import RecordedStacks, with_unlisted
from runner.archive.rows import StackTable
from runner.archive.shards import describe_shard, in_shard
from runner.archive.stack_jobs import ArchiveJob
from runner.archive.stack_runs import StackRuns, warnings_hushed
from runner.archive.stacks_here import StacksHere
from runner.archive.tables import raster_names, write_tables
from runner.archive.turns import Turns, most_computing
from runner.base.command import is_of_settings, way_on
from runner.base.console import Update, progress_bar, say, tell
from runner.base.humanize import plural, relative_path
from runner.cluster.open import SharedClusters
from runner.config.bounded_yaml import load_yaml
from runner.errors import ArchiveError, OtherStackFailed, OutputError
from runner.host.compile_clock import compiling_told
from runner.host.garbage import collect_as_usual
from runner.host.heartbeat import beating
from runner.host.memory import memory_limit_bytes
from runner.host.stopping import request_stop, stops_heeded
from runner.host.threads import switching_often
from runner.job import kernels_loading
from runner.output.inputs import write_left_out
from runner.planning.reading import gdal_options_of
from runner.preview import stores_of
from runner.publish.collection import write_collection
from runner.publish.open import target_of
from runner.record.recorded_outlines import describe_changed_outlines
from runner.record.reused_run import reused_folder
from runner.record.run import ZonesRecord
from runner.record.run_folder import RunFolder, read_run
from runner.record.run_record import RunRecord
from runner.record.stack_rows import with_stacks_now
from runner.record.stacks import FOLDER, OUTSIDE, STACKS, StackRow
from runner.settings import JobSettings
from runner.source.gather import all_delivered
from runner.source.outlines import outlines_of
from runner.source.parts import Part
from runner.source.reachable import opened_source
from runner.source.scenes import Archive, list_stacks
from runner.source.stores import Stores
from runner.summary import describe_compiling

log = logging.getLogger(__name__)


def run_archive(job: JobSettings, record: RunRecord, recorded: RecordedStacks | None = None) -> None:
    """Run every stack of the job's archive in a folder of its own below the record's; complete ones stay as they are.

    The stacks are those of an earlier run if they are `recorded`.
    Raises ArchiveError if stacks failed, and RunnerError for what ends all of them.
    """
    with kernels_loading(job) as kernels, opened_source(job, record.phase) as reachable:
        stores, reused = stores_of(reachable), reused_folder(job)
        with kernels.awaited(record.put_phase) if kernels else nullcontext():
            with record.phase("listing"):
                outlines = outlines_of(reachable, stores)
                archive, parts = _stacks(reachable, record, stores, recorded)
            _announce(reachable, archive, parts)
            parts = _of_shard(job, parts)
            if reused:
                changes = describe_changed_outlines(read_run(reused), reachable, outlines)
                _tell([*lines.describe_reused(reused, parts), *changes])
            write_left_out(record.folder / "inputs.parquet", archive.left_out)
        collect_as_usual()
        written = load_yaml(record.folder / ".hydra/config.yaml")
        whole = ArchiveJob(reachable, record.folder, record.run.config, written, record.run.overrides)
        clusters = SharedClusters()
        turns = Turns(memory_limit_bytes(), most_computing(job))
        surroundings = turns.surroundings(clusters, outlines)
        finds, target = recorded.finds if recorded else {}, target_of(job)
        runs = StackRuns(whole, record, stores, surroundings, turns, archive, finds, target)
        with (
            _going_on(record, len(parts)),
            stops_heeded(),
            warnings_hushed(),
            switching_often(),
            compiling_told(partial(copy_context().run, _tell, [describe_compiling("the first stacks")])),
            clusters,
            opened_workers(reachable, stores, parts, outlines) as workers,
        ):
            for stage in job.stages.values() if workers is None else ():
                clusters.open(stage.cluster, gdal_options_of(reachable))
            _Story(whole, record, runs, parts, StacksOnWorkers(workers, runs) if workers else None).all_stacks()


def _stacks(
    job: JobSettings, record: RunRecord, stores: Stores, recorded: RecordedStacks | None
) -> tuple[Archive, Sequence[Part]]:
    """The stacks to run: recorded, or listed with those of an earlier attempt that are not listed any more."""
    if recorded:
        return recorded.listed, recorded.parts
    archive, listed = list_stacks(job.source, stores, job.mask)
    parts, notes = with_unlisted(record.folder, listed, by_band=bool(job.source.bands))
    return replace(archive, notes=(*archive.notes, *notes)), parts


def _announce(job: JobSettings, archive: Archive, parts: Sequence[Part]) -> None:
    _tell([lines.describe_archive(job.source, archive, parts), *archive.notes])


def _tell(texts: Sequence[str]) -> None:
    for line in texts:
        log.info(line)
        tell(line)


def _of_shard(job: JobSettings, parts: Sequence[Part]) -> list[Part]:
    """The stacks that this run takes of all that there are."""
    taken = in_shard(parts, job.archive.shard)
    if job.archive.shard:
        _tell([describe_shard(job.archive.shard, taken, parts)])
    return taken


@contextmanager
def _going_on(record: RunRecord, stacks: int) -> Iterator[None]:
    """Say of every bad end how many stacks are complete, and how to go on, where that helps."""
    try:
        yield
    except BaseException as error:
        run = with_stacks_now(RunFolder(record.folder, record.run)).record
        done = run.archive.done if run.archive else 0
        if done or not is_of_settings(error):
            error.add_note(f"{done} of {plural(stacks, 'stack')} complete; {way_on(record.folder, error)}")
        raise


class _Story:
    """The stacks of an archive while they run."""

    def __init__(
        self,
        whole: ArchiveJob,
        record: RunRecord,
        runs: StackRuns,
        parts: Sequence[Part],
        elsewhere: StacksOnWorkers | None = None,
    ) -> None:
        self._whole, self._record, self._runs, self._parts = whole, record, runs, parts
        self._elsewhere = elsewhere
        self._table = StackTable(record.folder, whole.job.source.parted_by, runs.rows_before(parts))
        self._notes = StackNotes()
        self._zone_names = zone_names(whole.job, runs.stores)
        self._zones: ZonesRecord | None = None  # once the tables are written
        self._failure: StackRow | None = None

    def all_stacks(self) -> None:
        """Run what is not complete. The tables have what is complete, however it ends."""
        self._keep()
        try:
            with beating(self._keep_if_due), progress_bar("stacks") as bar:
                self._run_all(bar)
        finally:
            self._keep()
            files = self._write_tables()
            self._notes.tell_others()
            asyncio.run(all_delivered())
        self._refuse_failures()
        self._refuse_if_all_outside()
        _tell(describe_met_zones(self._whole.job, self._zones) if self._zones else [])
        for name in (STACKS, *files):
            say(f"wrote {relative_path(self._record.folder / name)}")
        rasters = raster_names(self._whole.job)
        if rasters:
            say(f"rasters: {', '.join(relative_path(self._record.folder / FOLDER / '*' / name) for name in rasters)}")

    # --- running ----------------------------------------------------------------------------------------------------

    def _run_all(self, bar: Update) -> None:
        rows = {row.stack: row for row in self._table.rows}
        remaining = [part for part in self._parts if not self._runs.is_done(part, rows[part.name])]
        left = {part.name for part in remaining}
        progress = Progress(self._parts, [row for row in self._table.rows if row.stack not in left])

        def take(part: Part, row: StackRow) -> None:
            self._take(part, row)
            progress.add(row)
            bar(progress.done, progress.total, progress.in_words())

        if self._elsewhere is not None:
            self._elsewhere.run_all(remaining, take)
        else:
            StacksHere(self._runs, lambda: self._failure is not None).run_all(remaining, take)

    def _take(self, part: Part, row: StackRow) -> None:
        """Note how a stack ended."""
        self._table.put(row)
        self._notes.take(part.name, self._runs.notes.pop(part.name, ()))
        line = lines.describe_stack(row)
        log.log(
            logging.INFO if row.status in ("COMPLETED", OUTSIDE) else logging.ERROR, line, extra={"stack": part.name}
        )
        tell(line)
        if row.status == "FAILED" and self._whole.job.archive.on_error == "stop" and self._failure is None:
            self._failure = row
            request_stop(OtherStackFailed)

    # --- what is kept -------------------------------------------------------------------------------------------------

    def _keep_if_due(self) -> None:
        try:
            if self._table.write_if_due():
                self._record_statuses()
        except (OSError, OutputError) as error:  # what is written at the end reports it
            log.warning("%s cannot be written: %s", STACKS, error)

    def _keep(self) -> None:
        self._table.write()
        self._record_statuses()

    def _record_statuses(self) -> None:
        outlines = self._runs.surroundings.outlines.recorded
        self._record.change(archive=changed(self._table.summed_up(), **outlines, zones=self._zones))

    def _write_tables(self) -> list[str]:
        complete = {row.stack: row.values for row in self._table.rows if row.status == "COMPLETED"}
        files = write_tables(self._whole.job, self._record.folder, complete)
        if self._whole.job.output.stac:
            files += write_collection(self._whole.job, self._record.folder, [*complete])
        self._record.change(outputs=(STACKS, *files))
        if self._zone_names and complete:
            self._zones = written_zones(self._whole.job, self._record.folder, self._zone_names, self._table.rows)
            self._record_statuses()
        return files

    def _refuse_failures(self) -> None:
        """Raise ArchiveError if a stack failed."""
        rows = self._table.rows
        failed = [row for row in rows if row.status == "FAILED"]
        if failed:
            way = (
                "; archive.on_error=continue goes on with the others" if self._failure else "; the others are complete"
            )
            more = f"{len(failed)} of {plural(len(rows), 'stack')} failed" if len(failed) > 1 else "1 stack failed"
            example = self._failure or failed[0]
            raise ArchiveError(
                f"{more}: {example.stack}: {example.error}{way if len(failed) < len(rows) else ''}",
                of_settings=self._runs.of_settings.issuperset(row.stack for row in failed),
            )

    def _refuse_if_all_outside(self) -> None:
        """Say how many stacks lie outside. Raises ArchiveError if all do."""
        rows = self._table.rows
        outside = {row.stack: row.error or "" for row in rows if row.status == OUTSIDE}
        if not outside:
            return
        line = lines.describe_outside(outside, len(rows))
        if len(outside) == len(rows):
            name, error = next(iter(outside.items()))
            raise ArchiveError(f"{line}; {name}: {error}", of_settings=True)
        _tell([line])
