"""A job before it runs: its scenes found and announced, its plan shown. Nothing here computes, or imports what does."""

import logging
import time
from pathlib import Path

from runner import summary
from runner.base.console import progress_bar, say, tell
from runner.errors import SourceError
from runner.model import Inputs, LeftOut, Stack
from runner.output.names import refuse_equal_rasters
from runner.planning.planner import make_plan
from runner.planning.reading import fetch_options, left_to_gdal, masks_left_to_gdal
from runner.planning.records import Plan
from runner.planning.zones import describe_zones, refuse_zones
from runner.record.reused_run import reused_folder
from runner.settings import JobSettings
from runner.source.reachable import opened_source
from runner.source.scenes import find_inputs
from runner.source.stores import Stores

log = logging.getLogger(__name__)


def show_plan(job: JobSettings) -> None:
    """Print what a run would read, and in which tasks. Nothing is computed or written."""
    stack, plan = plan_job(job)
    summary.show_plan(plan, stack)
    for line in describe_zones(job.zones, plan.stages):
        say(line)


def plan_job(job: JobSettings) -> tuple[Stack, Plan]:
    """The stack of a job and its plan. Raises RunnerError."""
    with opened_source(job) as reachable:
        stores = stores_of(reachable)
        inputs = announced(reachable, find_scenes(reachable, stores))
        plan = make_plan(reachable, inputs.stack, inputs.skipped, stores)
        refuse_equal_rasters(plan.stages, job.output.layout)
        plan, notes = remaining_plan(reachable, plan, inputs.stack)
        for line in notes:
            tell(line)
        return inputs.stack, plan


def remaining_plan(job: JobSettings, plan: Plan, stack: Stack) -> tuple[Plan, list[str]]:
    """The plan without what is reused of another run, and a line for each pass that says so. Raises RecordError."""
    reused = reused_folder(job)
    if reused is None:
        return plan, []
    from runner.checkpoint.store import Partials  # noqa: PLC0415 - what computes, which most plans spare

    partials = Partials(Path(job.output.dir), reused=reused)
    passes = [(pass_, partials.of_pass(pass_, stack)) for pass_ in plan.passes]  # all, before one says what is useless
    described = [(pass_.name, "; ".join(of_pass.describe())) for pass_, of_pass in passes]
    return partials.reduced(plan, stack), [f"{name}: {text}" for name, text in described if text]


def find_scenes(job: JobSettings, stores: Stores) -> Inputs:
    """The scenes of the job's source, and the objects that are left out."""
    started = time.monotonic()
    refuse_zones(job, stores)
    with progress_bar("headers") as progress:
        inputs = find_inputs(job.source, stores, job.on_error, progress, job.mask)
    scenes, left_out, seconds = len(inputs.stack.scenes), len(inputs.left_out), time.monotonic() - started
    facts = {"scenes": scenes, "left_out": left_out, "seconds": round(seconds, 3)}
    log.info("%d scenes, %d left out, %.2f s", scenes, left_out, seconds, extra=facts)
    return inputs


def stores_of(job: JobSettings) -> Stores:
    """The stores of the job's source."""
    return Stores.of_source(job.source, fetch_options(job.fetch))


def announced(job: JobSettings, inputs: Inputs) -> Inputs:
    """The inputs, once they are on the console. Raises SourceError if too many scenes cannot be read."""
    tell(summary.describe_inputs(inputs, job.source, job.mask))
    for line in (*inputs.notes, *summary.describe_skipped(inputs)):
        log.info(line)
        tell(line)
    refuse_too_many(job, inputs.left_out)
    scenes, masks = left_to_gdal(job, inputs.stack), masks_left_to_gdal(job, inputs.stack)
    count = len(inputs.stack.scenes)
    lines = [*summary.describe_left_to_gdal(scenes, count), *summary.describe_left_to_gdal(masks, count, "masks")]
    for line in lines:
        log.info(line)
        tell(line)
    return inputs


def refuse_too_many(job: JobSettings, left_out: tuple[LeftOut, ...]) -> None:
    """Raise SourceError if more scenes cannot be read than `max_skipped` allows."""
    skipped = [item for item in left_out if item.skipped]
    if job.max_skipped is not None and len(skipped) > job.max_skipped:
        last = skipped[-1].reason
        raise SourceError(
            f"{len(skipped)} scenes cannot be read, more than max_skipped={job.max_skipped}; the last: {last}"
        )
