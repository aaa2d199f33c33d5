"""The story of a run: find the scenes, plan, compute pass by pass, write, record."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from runner import summary
from runner.base.atomic import all_or_none
from runner.base.console import progress_bar, tell
from runner.base.redact import redact
from runner.checkpoint.pass_tasks import PassTasks
from runner.checkpoint.store import Partials
from runner.cluster.open import Clusters
from runner.engine.compute import compute_pass
from runner.engine.results import PassResult, Stored
from runner.engine.warm_up import KernelsLoading
from runner.errors import ReadError
from runner.few_valid import FewValid
from runner.host.garbage import collect_as_usual
from runner.host.heartbeat import beside
from runner.model import Inputs, Stack
from runner.output.ahead import Ahead, encoding_ahead
from runner.output.inputs import write_inputs
from runner.output.names import output_names, refuse_equal_rasters
from runner.output.progress import written_blocks
from runner.output.results import Destination, provenance, write_stage
from runner.planning.planner import make_plan
from runner.planning.records import Pass, Plan
from runner.planning.zones import describe_zones
from runner.preview import announced, find_scenes, refuse_too_many, stores_of
from runner.publish.item import Described, write_item
from runner.read.store_errors import StoreError
from runner.record.claim import ITEM, refuse_emptied
from runner.record.kept_tasks import partials_kept
from runner.record.outputs import StageFiles, write_outputs
from runner.record.recorded_outlines import record_outlines
from runner.record.run_record import RunRecord
from runner.record.sections import fetched, stack_record
from runner.recorded_pass import RecordedPass
from runner.settings import EngineName, JobSettings, OnError, Verify
from runner.source.checksums import damaged
from runner.source.headers import SKIP_HINT
from runner.source.outlines import NO_OUTLINES, Outlines
from runner.source.reachable import opened_source
from runner.source.reopen import refuse_replaced
from runner.source.stack import without_scenes
from runner.source.stores import Stores

Find = Callable[[JobSettings, Stores], Inputs]
Results = dict[str, dict[str, Stored]]
Share = Callable[[Plan], Plan]  # the plan with its share of the bytes that several runs read together

_PATIENCE_SECONDS: Final = 5.0  # before tasks of one of many stacks are kept on the disk, unless it is stopped

log = logging.getLogger(__name__)


def whole(plan: Plan) -> Plan:
    """The plan of a run that reads alone."""
    return plan


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run shares with others of its process: clusters, memory and turns. By default it is alone.

    `room` holds the memory of a plan until the results are written, and gives the share of what is read together. All
    have the same polygons, `outlines`. So many stacks compute `at_once`.
    """

    kernels: KernelsLoading | None = None
    clusters: Clusters | None = None
    room: Callable[[Plan, Stack], AbstractContextManager[Share]] = lambda *_: nullcontext(whole)
    computing: Callable[[], AbstractContextManager[None]] = nullcontext
    alone: bool = True
    at_once: int = 1
    outlines: Outlines = NO_OUTLINES


def run_job(job: JobSettings, record: RunRecord, find: Find | None = None, *, explain: bool = False) -> None:
    """Run every stage of the job into the record's folder. Finished tasks that are kept there are not run again.

    `find` gives the inputs, if they are not those that the source lists; `explain` prints where kept tasks lie.
    Raises RunnerError for what the user can fix.
    """
    with kernels_loading(job) as kernels, opened_source(job, record.phase) as reachable:
        surroundings = Surroundings(kernels)
        StackRun(reachable, record, stores_of(reachable), surroundings, explain).all_stages(find or find_scenes)


def kernels_loading(job: JobSettings) -> AbstractContextManager[KernelsLoading | None]:
    """A thread that loads the kernels of the block engine."""
    return KernelsLoading(_tell_compiling) if job.engine is EngineName.block else nullcontext()


def _tell_compiling() -> None:
    """Of what most stacks need: the type of the pixels is not known yet."""
    tell(summary.describe_compiling())


class _Plans(NamedTuple):
    """The plan of a run, and the way to that of fewer scenes."""

    first: Plan
    of: Callable[[Inputs], Plan]


@dataclass(frozen=True, slots=True)
class StackRun:
    """One run of a job over one stack, whose source can be reached."""

    job: JobSettings
    record: RunRecord
    stores: Stores
    shared: Surroundings
    explain: bool = False
    _begun: set[str] = field(default_factory=set)  # names of passes

    def all_stages(self, find: Find) -> None:
        """Find, plan, compute, write. A scene that cannot be read may be skipped, and its passes computed again."""
        inputs = self._prepared(find)
        with (
            beside(_prepare_page, "page") if self.shared.alone else nullcontext(),  # the archive prepares all
            self._partials_kept() as partials,
            encoding_ahead(self.job.output, inputs.stack.dtype) as ahead,
            self._room(inputs, partials) as plans,
        ):
            with self.shared.computing():
                plan, inputs, results = self._computed_without_faults(plans, inputs, partials, ahead)
            by_gdal = [scene for scene in inputs.stack.scenes if plan.reading.needs_gdal(scene)]
            refuse_replaced(by_gdal, self.stores)
            refuse_emptied(self.record.folder)
            if partials is not None and partials.keeps:
                partials.complete()
            with self.record.phase("writing"):
                self._write(plan, inputs, results, ahead)

    def _prepared(self, find: Find) -> Inputs:
        """The inputs, found and recorded, while kernels are loaded."""
        kernels = self.shared.kernels
        with kernels.awaited(self._kernels_ready) if kernels else nullcontext():
            with self.record.phase("listing"):
                inputs = self._verified(announced(self.job, find(self.job, self.stores)))
            self._keep_inputs(inputs)
        if self.shared.alone:
            collect_as_usual()
        return inputs

    def _planned(self, inputs: Inputs, partials: Partials | None) -> Plan:
        plan = make_plan(self.job, inputs.stack, inputs.skipped + inputs.few_valid, self.stores, self.shared.at_once)
        refuse_equal_rasters(plan.stages, self.job.output.layout)
        record_outlines(self.record, inputs.stack, plan, self.shared.outlines)
        plan = plan if partials is None else partials.reduced(plan, inputs.stack)
        zones = describe_zones(self.job.zones, plan.stages)
        for line in zones + summary.describe_weights(plan, inputs.stack) + summary.describe_too_few(plan, inputs.stack):
            log.info(line)
            tell(line)
        return plan

    @contextmanager
    def _room(self, inputs: Inputs, partials: Partials | None) -> Iterator["_Plans"]:
        """Hold the memory of the plan until the results are written."""
        plan = self._planned(inputs, partials)
        with self.shared.room(plan, inputs.stack) as share:
            yield _Plans(share(plan), lambda inputs: share(self._planned(inputs, partials)))

    def _computed_without_faults(
        self, plans: "_Plans", inputs: Inputs, partials: Partials | None, ahead: Ahead
    ) -> tuple[Plan, Inputs, Results]:
        """The values of every stage, with the inputs that they are of: without scenes that cannot be read."""
        plan = plans.first
        while True:
            try:
                computed = self._computed(plan, inputs.stack, partials, ahead)
                if not isinstance(computed, FewValid):
                    return plan, inputs, computed
                ahead.drop()
                inputs = self._without_few_valid(computed, inputs, partials)
            except ReadError as error:
                from runner.engine.second_look import confirmed  # noqa: PLC0415 - only a run with faults needs it

                ahead.drop()
                inputs = self._without(inputs, confirmed(plan.reading, inputs.stack, error))
                self._keep_inputs(inputs)
            plan = plans.of(inputs)

    def _kernels_ready(self, phase: str, seconds: float) -> None:
        self.record.put_phase(phase, seconds)
        if phase == "compiling":
            tell(f"compiled in {seconds:.1f} s")

    def _partials_kept(self) -> AbstractContextManager[Partials | None]:
        """The finished tasks of the run's folder; None for the xarray engine, which keeps no tasks."""
        if self.job.engine is EngineName.xarray:
            return nullcontext()
        return partials_kept(self.job, self.record.folder, 0.0 if self.shared.alone else _PATIENCE_SECONDS)

    def _verified(self, inputs: Inputs) -> Inputs:
        """The inputs, without damaged scenes if the policy allows; nothing is read if `fetch.verify` is none."""
        if self.job.fetch.verify is Verify.checksum:
            with (
                progress_bar("checksums") as progress,
                closing(damaged(inputs.stack.scenes, self.stores, self.stores.fetch, progress)) as problems,
            ):
                for error in problems:
                    inputs = self._without(inputs, error)
        return inputs

    def _keep_inputs(self, inputs: Inputs) -> None:
        write_inputs(self.record.folder / "inputs.parquet", inputs)
        self.record.change(passes=(), stack=stack_record(inputs), listing=fetched(inputs.fetched))

    def _computed(self, plan: Plan, stack: Stack, partials: Partials | None, ahead: Ahead) -> Results | FewValid:
        """The values of every stage, pass by pass, or the scenes that the first pass shows to have too few."""
        values: Results = {}
        for pass_ in plan.passes:
            result = self._computed_pass(pass_, stack, partials, ahead)
            few = FewValid.of(pass_, result)
            if few is not None:
                return few
            values |= result.values
        return values

    def _without_few_valid(self, few: FewValid, inputs: Inputs, partials: Partials | None) -> Inputs:
        """The inputs without scenes that have too few valid pixels, which are taken out of what is kept."""
        left = few.left_out(self.job.source, inputs, self.stores)
        line = few.describe(len(inputs.stack.scenes))
        log.info(line)
        tell(line)
        if partials is not None and left.stack.grid == inputs.stack.grid:
            few.subtract(inputs.stack, partials, self.record, self.shared.clusters)
        write_inputs(self.record.folder / "inputs.parquet", left)
        self.record.change(stack=stack_record(left))
        return left

    def _computed_pass(self, pass_: Pass, stack: Stack, partials: Partials | None, ahead: Ahead) -> PassResult:
        checkpoint = None if partials is None else partials.of_pass(pass_, stack)
        for line in self._said_of(pass_, checkpoint) if checkpoint else ():
            log.info("%s: %s", pass_.name, line)
            tell(f"{pass_.name}: {line}")
        reused = len(checkpoint.taken) if checkpoint else 0
        tasks = checkpoint.remaining.tasks if checkpoint else pass_.tasks
        remaining = replace(pass_, tasks=tasks, folder=self.record.folder)
        with self.record.during(pass_.name, [stage.name for stage in pass_.stages]), progress_bar(pass_.name) as bar:
            observer = RecordedPass(remaining, self.record, reused, bar, ahead)
            result, usage = compute_pass(remaining, stack, observer, checkpoint, self.shared.clusters)
        observer.computed(result, usage)
        grouped = [stage.name for stage in pass_.stages if stage.groups]
        beyond = summary.describe_beyond(result.beyond, pass_.raster, self.job.output.layout, grouped)
        for line in beyond + summary.describe_no_decibels(result.no_decibels):
            log.warning("%s", line)
            tell(line)
        return result

    def _said_of(self, pass_: Pass, kept: PassTasks) -> Iterator[str]:
        """Lines on the tasks kept by earlier attempts; of a pass that this one begins anew, on those to be read."""
        anew = pass_.name in self._begun
        self._begun.add(pass_.name)
        return kept.describe_again() if anew else kept.describe(explain=self.explain)

    def _without(self, inputs: Inputs, error: ReadError) -> Inputs:
        """The inputs without the scene that failed, if the policy allows; otherwise raises the error.

        A failure of the store, of the credentials or of this machine is not the fault of a scene, so it always ends the
        run.
        """
        scenes = inputs.stack.scenes
        reasons = {number: error.problem for number, scene in enumerate(scenes) if scene.href == error.href}
        if len(reasons) in (0, len(scenes)) or isinstance(error, StoreError):
            raise error
        if self.job.on_error is OnError.stop:
            raise ReadError(error.href, f"{error.problem}; {SKIP_HINT}") from error
        log.warning("left out: %s", error)
        tell(f"left out: {error}")
        left = without_scenes(self.job.source, inputs, reasons, self.stores, skipped=True)
        refuse_too_many(self.job, left.left_out)
        return left

    def _write(self, plan: Plan, inputs: Inputs, results: Results, ahead: Ahead) -> None:
        job, folder = self.job, self.record.folder
        origin = provenance(redact(job.source.shown_url), inputs.stack, job.mask)
        as_stored = not job.source.mask_and_scale
        names = [
            name
            for stage in plan.stages
            for name in output_names(stage.name, stage.over, list(results[stage.name]), job.output.layout)
        ]
        written: list[StageFiles] = []
        with (
            all_or_none([folder / name for name in (*names, "outputs.json", ITEM)]),
            written_blocks(plan, inputs.stack.grid) as wrote,
        ):
            destination = Destination(folder, job.output, origin, ahead, as_stored, wrote)
            for stage in plan.stages:
                files = write_stage(destination, stage, inputs.stack, results.pop(stage.name))
                written.append(StageFiles(stage, files))
            write_outputs(folder / "outputs.json", written)
            if job.output.stac:
                self._describe(inputs, written)
            facts = [file for stage_files in written for file in stage_files.files]
            self.record.overviews = {file.path.name: file.overviews for file in facts}
            self.record.change(outputs=tuple(file.path.name for file in facts))
        rows = [row for stage_files in written for row in summary.result_rows(*stage_files)]
        shown = [line for stage_files in written for line in summary.files_shown(*stage_files)]
        summary.show_results(rows, inputs, shown)

    def _describe(self, inputs: Inputs, written: Sequence[StageFiles]) -> None:
        """Write the STAC item; that of an archive's stack has its folder's name, as the table of stacks."""
        folder, alone = self.record.folder, self.shared.alone
        name = inputs.stack.name if alone else folder.name
        write_item(folder / ITEM, Described(name, inputs, written, self.record.run.config_sha256, archived=not alone))


def _prepare_page() -> None:
    from runner.report.page import prepare  # noqa: PLC0415 - while tasks wait for their bytes, not before the first

    prepare()
