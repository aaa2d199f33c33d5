"""Runs of the stacks of an archive, each in a thread that drives it, with its own folder, record and log."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from msgspec.structs import replace
from rasterio.errors import NotGeoreferencedWarning

from runner.archive.band_group import BandGroup
from runner.archive.batches import inputs_of_part
from runner.archive.rows import row_of
from runner.archive.stack_jobs import ArchiveJob, advice_on
from runner.archive.turns import Turns
from runner.base.command import is_of_settings
from runner.base.console import hushed
from runner.base.overrides import key_of
from runner.config.replay import keep_plain_config
from runner.errors import ConfigError, OutsideError, RecordError, RunnerError
from runner.host.once import Once
from runner.host.stopping import refuse_if_stopped
from runner.job import Find, StackRun, Surroundings
from runner.model import Inputs
from runner.publish.target import Target
from runner.publish.upload import upload_if_lacking
from runner.record.claim import clear_unbegun, left_nothing, remove_if_nothing_left
from runner.record.lock import held
from runner.record.recorded_inputs import found_again
from runner.record.recorded_outlines import recorded_outlines, refuse_changed_outlines
from runner.record.recorded_run import recorded_stack
from runner.record.run_folder import RunFolder, read_run
from runner.record.run_record import ArchiveFacts, RunRecord
from runner.record.stacks import FOLDER, OUTSIDE, StackRow, read_stacks
from runner.record.uploaded import lacks_upload
from runner.report.page import write_report
from runner.settings import JobSettings
from runner.source.outlines import Outlines, typed_file
from runner.source.parts import Part
from runner.source.scenes import Archive, ReadScenes
from runner.source.stores import Stores

_CUTTING: Final = (
    "source.area", "source.area_layer", "source.bbox", "source.bbox_crs", "source.grid", "zones.file", "zones.layer",
    "zones.pixels",
)  # fmt: skip


@contextmanager
def warnings_hushed() -> Iterator[None]:
    """Ignore what the writer of a raster ignores: it does so for all threads, and the last of them would undo it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _cutting(overrides: Sequence[str]) -> set[str]:
    """The overrides of box, area, grid or zones."""
    return {word for word in overrides if key_of(word) in _CUTTING}


@dataclass(frozen=True, slots=True)
class StackRuns:
    """Runs stacks, as many at a time as threads call it."""

    archive: ArchiveJob
    record: ArchiveFacts
    stores: Stores
    surroundings: Surroundings
    turns: Turns
    listed: Archive
    finds: Mapping[str, Find] = field(default_factory=dict)  # of stacks whose scenes are known and not listed
    target: Target | None = None  # to which the stacks are uploaded
    outlined: list[RunFolder] = field(default_factory=list)  # of each status one with polygons, of earlier attempts
    of_settings: set[str] = field(default_factory=set)  # stacks that will fail again until a setting is another
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # on stacks whose scenes were found

    def rows_before(self, parts: Sequence[Part]) -> list[StackRow]:
        """The rows of an archive that is run or resumed, before any stack runs."""
        known: dict[str, StackRow] = {}
        with suppress(RecordError):
            known = {row.stack: row for row in read_stacks(self.archive.folder)}
        rows = [self.row_before(part, known.get(part.name)) for part in parts]
        self._refuse_other_outlines()
        return rows

    def _refuse_other_outlines(self) -> None:
        """Raise ConfigError for polygons that are not those of complete stacks: one table has the rows of all."""
        for earlier in self.outlined:
            for setting, before, now in self.surroundings.outlines.changed_since(recorded_outlines(earlier)):
                if earlier.status == "COMPLETED":
                    raise ConfigError(
                        f"{typed_file(self.archive.job, setting)}: complete stacks, such as {earlier.path.name}, "
                        f"have other polygons (SHA-256 {before[:16]}, now {now[:16]}); name the file that they had, or "
                        "run anew"
                    )

    def row_before(self, part: Part, known: StackRow | None = None) -> StackRow:
        """The row of a stack as its folder shows it, or the one that is known where that is as true."""
        if known is not None and known.status == OUTSIDE and not self._is_cut_anew:
            return known
        earlier = None
        with suppress(RecordError):  # the stack itself fails by it
            earlier = self._earlier(part)
        if earlier is None:
            return StackRow(stack=part.name, values=part.values)
        if any(recorded_outlines(earlier)) and all(other.status != earlier.status for other in self.outlined):
            self.outlined.append(earlier)
        if known is not None and known.status == earlier.status:
            return known
        return row_of(part, earlier.status, earlier.record, earlier.path)

    @property
    def _is_cut_anew(self) -> bool:
        """Whether an attempt after the first has overrides of box, area or zones, or finds other polygons."""
        run = self.record.run
        before = run.archive
        if before is not None and Outlines(before.area_sha256, before.zones_sha256) != self.surroundings.outlines:
            return True
        return any(_cutting(attempt.overrides) != _cutting(run.overrides) for attempt in run.attempts)

    def _earlier(self, part: Part) -> RunFolder | None:
        """The run that lies in a stack's folder; None if there is none that is of use. Raises RecordError."""
        folder = self.archive.folder_of(part)
        if not (folder / "run.json").exists() or left_nothing(folder):
            return None
        try:
            return read_run(folder)
        except RecordError as error:
            raise RecordError(f"{error}; {advice_on(folder)}") from error

    def is_done(self, part: Part, row: StackRow) -> bool:
        """Tell if there is nothing to do for a stack: it is complete, and uploaded if it is to be."""
        if row.status != "COMPLETED" or self.target is None:
            return row.status in ("COMPLETED", OUTSIDE)
        return not lacks_upload(self.archive.folder_of(part), self._target_of(part, self.target).url)

    @staticmethod
    def _target_of(part: Part, target: Target) -> Target:
        return target.below(f"{FOLDER}/{part.name}")

    def together(self, parts: Sequence[Part]) -> list[Callable[[], StackRow]]:
        """The runs of stacks of different bands of the same files, each for a thread of its own, at the same time."""
        if len(parts) == 1:
            return [partial(self.run, parts[0])]
        group, headers = BandGroup(self.turns, self.surroundings, len(parts)), Once[ReadScenes]()

        def run(number: int) -> StackRow:
            try:
                return self.run(parts[number], group.surroundings(number), headers)
            finally:
                group.end(number)

        return [partial(run, number) for number in range(len(parts))]

    def run(
        self, part: Part, surroundings: Surroundings | None = None, headers: Once[ReadScenes] | None = None
    ) -> StackRow:
        """Run a stack, or go on with it, and upload it; its row, whatever happens. Others may use the same headers."""
        folder, record = self.archive.folder_of(part), None
        shared = surroundings or self.surroundings
        try:
            refuse_if_stopped()
            clear_unbegun(folder)
            if not (self.target and self._is_complete(part)):
                with hushed(), self._started(part, headers or Once()) as (record, find):
                    StackRun(self.archive.settings_of(part), record, self.stores.beside(), shared).all_stages(find)
            if self.target:
                with hushed():
                    upload_if_lacking(folder, self._target_of(part, self.target))
        except OutsideError as error:
            remove_if_nothing_left(folder)
            return StackRow(stack=part.name, values=part.values, status=OUTSIDE, error=str(error))
        except BaseException as error:  # noqa: BLE001 - the row says so, and the story goes on or ends
            status = "INTERRUPTED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            if record is None and status == "INTERRUPTED":
                return self.row_before(part)
            if is_of_settings(error):
                self.of_settings.add(part.name)
            kind = "" if isinstance(error, (RunnerError, KeyboardInterrupt)) else f"{type(error).__name__}: "
            return row_of(part, status, record.run if record else None, folder, f"{kind}{error}")
        done = record.run if record else read_run(folder).record
        return row_of(part, done.status, done, folder)

    def _is_complete(self, part: Part) -> bool:
        earlier = self._earlier(part)
        return earlier is not None and earlier.status == "COMPLETED"

    @contextmanager
    def _started(self, part: Part, headers: Once[ReadScenes]) -> Iterator[tuple[RunRecord, Find]]:
        """The record of a stack's run and the way to its scenes: those that an earlier attempt found, or the listed."""
        folder = self.archive.folder_of(part)
        with held(folder) if self._earlier(part) else nullcontext():
            earlier = self._earlier(part)
            if earlier and earlier.status == "RUNNING":
                raise RecordError(f"{folder} is running, as process {earlier.record.pid}; stop it, or wait")
            attempt = replace(earlier.record, status=earlier.status) if earlier else None  # KILLED, perhaps
            overrides, config = self.archive.overrides_of(part), self.archive.config_of(part)
            with recorded_stack(folder, config, overrides, self.record, attempt) as record:
                record.last_act = write_report
                keep_plain_config(folder, self.archive.written_config_of(part), overrides)
                known = (earlier and found_again(earlier)) or self.finds.get(part.name)
                yield record, known or self._listed(part, headers)

    def _listed(self, part: Part, headers: Once[ReadScenes]) -> Find:
        def find(job: JobSettings, stores: Stores) -> Inputs:
            for earlier in self.outlined:
                refuse_changed_outlines(earlier, job, self.surroundings.outlines)
            inputs = inputs_of_part(part, self.listed, job, stores, headers)
            self.notes[part.name] = inputs.notes
            return inputs

        return find
