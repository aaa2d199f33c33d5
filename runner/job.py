"""The story of a run: find the scenes, plan, compute stage by stage, write, record."""

import logging
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from runner import summary
from runner.base.atomic import all_or_none
from runner.base.command import command
from runner.base.console import progress_bar, tell
from runner.base.humanize import relative_path
from runner.base.redact import redact
from runner.cluster.workers import Cluster, open_cluster
from runner.engine.results import PassResult, Values
from runner.engine.trace import OnTask, failures_traced
from runner.engine.warm_up import kernels_loading
from runner.errors import ReadError, SourceError
from runner.host.memory import child_pids, measured_usage
from runner.model import Inputs, LeftOut, Stack, StoredObject
from runner.output.inputs import write_inputs
from runner.output.names import output_names
from runner.output.results import provenance, write_stage
from runner.plan.masking import PixelRule, make_rule
from runner.plan.memory import raster_dtype
from runner.plan.planner import fetch_options, make_plan
from runner.plan.readers import left_to_gdal, read_by_gdal
from runner.plan.records import Pass, Plan
from runner.read.gdal_environment import gdal_environment
from runner.read.store_errors import StoreError
from runner.record.claim import refuse_emptied
from runner.record.environment import dask_settings
from runner.record.outputs import StageFiles, write_outputs
from runner.record.run_record import RunRecord
from runner.record.sections import fetched_facts, opened_facts, result_facts, stack_facts
from runner.settings import EngineName, JobSettings, OnError, SourceKind, Verify
from runner.source.checksums import damaged
from runner.source.headers import SKIP_HINT
from runner.source.reopen import refuse_replaced
from runner.source.scenes import find_inputs
from runner.source.stores import Stores, gdal_s3_options, network_environment

if TYPE_CHECKING:
    from runner.checkpoint.store import Partials
    from runner.engine.block_engine import Kept

log = logging.getLogger(__name__)


def show_plan(job: JobSettings) -> None:
    """Print what a run would read and in which tasks; nothing is computed, nothing written."""
    with opened_source(job) as reachable:
        inputs = _told(reachable, _find(reachable))
        summary.show_plan(make_plan(reachable, inputs.stack, inputs.skipped), inputs.stack)


def run_job(
    job: JobSettings,
    record: RunRecord,
    find: Callable[[JobSettings], Inputs] | None = None,
    *,
    explain: bool = False,
) -> None:
    """Run every stage of the job and write its files into the record's folder, with the blocks that are kept there.

    `find` gives the inputs, where these are not the ones that the source lists; `explain` says where kept blocks lie.
    Raises RunnerError for what the user can mend.
    """
    with opened_source(job, record.phase) as reachable:
        _run_stages(reachable, record, find or _find, explain)


def _run_stages(job: JobSettings, record: RunRecord, find: Callable[[JobSettings], Inputs], explain: bool) -> None:
    with _kernels_loading(record) if job.engine is EngineName.block else nullcontext():
        with record.phase("listing"):
            inputs = _verified(job, _told(job, find(job)))
        _keep_inputs(job, inputs, record)
    results: dict[str, dict[str, Values]] = {}
    with _partials_kept(job, record) as partials:
        while not results:
            plan = make_plan(job, inputs.stack, inputs.skipped)
            for line in summary.describe_weights(plan, inputs.stack) + summary.describe_too_few(plan, inputs.stack):
                log.info(line)
                tell(line)
            rule = make_rule(job, inputs.stack)
            try:
                results = _compute(job, plan, rule, inputs.stack, record, partials, explain)
            except ReadError as error:
                from runner.engine.second_look import confirmed  # noqa: PLC0415 - that a run without faults spares

                inputs = _without(job, inputs, confirmed(job, inputs.stack, error))
                _keep_inputs(job, inputs, record)
        refuse_replaced(read_by_gdal(job, inputs.stack), Stores(job.source.s3, fetch_options(job.fetch)))
        refuse_emptied(record.folder)
        with record.phase("writing"):
            _write(job, plan, inputs, results, record)


@contextmanager
def _kernels_loading(record: RunRecord) -> Iterator[None]:
    from runner.host.compile_clock import compiling_told  # noqa: PLC0415 - numba, that the other engine spares

    def ready(what: str, seconds: float) -> None:
        record.put_phase(what, seconds)
        if what == "compiling":
            tell(f"compiled in {seconds:.1f} s")

    with compiling_told(lambda: tell(summary.describe_compiling("float32"))), kernels_loading(ready):
        yield


@contextmanager
def _partials_kept(job: JobSettings, record: RunRecord) -> Iterator["Partials | None"]:
    """The finished blocks of the run's folder, dropped at the end; if that is no good end, the error says of what use
    they are. None for the xarray engine, which has no such blocks.
    """
    if job.engine is EngineName.xarray:
        yield None
        return
    from runner.checkpoint.store import Partials, kept_blocks  # noqa: PLC0415 - numba, that the other engine spares

    partials = Partials(record.folder)
    if partials.torn:
        tell(f"{partials.torn} files in {relative_path(partials.folder)} are ignored: torn, or of another version")
    try:
        yield partials
    except BaseException as error:
        if len(partials):
            resume = f"{command()} log resume {shlex.quote(relative_path(record.folder))}"
            error.add_note(f"{kept_blocks(len(partials))}; to go on: {resume}")
        raise
    if not job.output.keep_partials:
        partials.drop()


@contextmanager
def opened_source(
    job: JobSettings, phase: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
) -> Iterator[JobSettings]:
    """The job with a source that can be reached: the demo archive is made, and served, while the block runs.

    Making it is the `phase` archive. Every client takes the same way to the source.
    """
    if job.source.kind is not SourceKind.demo:
        with gdal_environment(network_environment(job.source.s3)):
            yield job
        return
    from runner.demo.archive import default_cache_dir, ensure_archive  # noqa: PLC0415 - of the demo alone
    from runner.demo.server import serve  # noqa: PLC0415 - as above

    with phase("archive"), progress_bar("demo archive") as progress:
        root = ensure_archive(default_cache_dir(), progress=progress)
    with serve(root) as endpoint:
        s3 = replace(job.source.s3, endpoint_url=endpoint)
        with gdal_environment(network_environment(s3)):
            yield replace(job, source=replace(job.source, s3=s3))


def _find(job: JobSettings) -> Inputs:
    started = time.monotonic()
    with progress_bar("headers") as progress:
        inputs = find_inputs(job.source, Stores(job.source.s3, fetch_options(job.fetch)), job.on_error, progress)
    scenes, left_out, seconds = len(inputs.stack.scenes), len(inputs.left_out), time.monotonic() - started
    facts = {"scenes": scenes, "left_out": left_out, "seconds": round(seconds, 3)}
    log.info("%d scenes, %d left out, %.2f s", scenes, left_out, seconds, extra=facts)
    return inputs


def _told(job: JobSettings, inputs: Inputs) -> Inputs:
    """The inputs, once people know of them. Raises SourceError if more could not be read than may be skipped."""
    tell(summary.describe_inputs(inputs, job.source))
    for line in (*inputs.notes, *summary.describe_skipped(inputs)):
        tell(line)
    _refuse_too_many(job, inputs.left_out)
    for line in summary.describe_left_to_gdal(left_to_gdal(job, inputs.stack), len(inputs.stack.scenes)):
        log.info(line)
        tell(line)
    return inputs


def _verified(job: JobSettings, inputs: Inputs) -> Inputs:
    """The inputs, less what is damaged where the policy lets that pass; nothing is read if `fetch.verify` is none."""
    if job.fetch.verify is Verify.checksum:
        fetch = fetch_options(job.fetch)
        with (
            progress_bar("checksums") as progress,
            closing(damaged(inputs.stack.scenes, Stores(job.source.s3, fetch), fetch, progress)) as problems,
        ):
            for error in problems:
                inputs = _without(job, inputs, error)
    return inputs


def _keep_inputs(job: JobSettings, inputs: Inputs, record: RunRecord) -> None:
    write_inputs(record.folder / "inputs.parquet", inputs, job.source.band)
    record.update(passes=[], stack=stack_facts(inputs), listing=fetched_facts(inputs.fetched))


def _compute(
    job: JobSettings,
    plan: Plan,
    rule: PixelRule,
    stack: Stack,
    record: RunRecord,
    partials: "Partials | None",
    explain: bool,
) -> dict[str, dict[str, Values]]:
    values: dict[str, dict[str, Values]] = {}
    for one in plan.passes:
        stages = [stage.name for stage in one.stages]
        on_task = partial(record.trace.add, one.name, stages)
        on_reused = partial(on_task, reused=True)
        kept = None if partials is None else partials.of_pass(one, stack, rule, on_reused)
        for line in kept.describe(explain=explain) if kept else ():
            log.info("%s: %s", one.name, line)
            tell(f"{one.name}: {line}")
        reused = len(kept.taken) if kept else 0
        with record.during(one.name, stages):
            left = replace(one, blocks=kept.rest.blocks) if kept else one
            on_open = partial(record.put_pass, reused=reused)
            result, facts = compute_pass(job, left, rule, stack, on_task, kept, on_open)
        record.put_pass(facts, reused=reused)
        tell(summary.describe_pass(facts))
        for line in summary.describe_beyond(result.beyond, raster_dtype(job.output.raster_dtype, stack.dtype)):
            log.warning("%s", line)
            tell(line)
        values |= result.values
    return values


def compute_pass(
    job: JobSettings,
    one: Pass,
    rule: PixelRule,
    stack: Stack,
    on_task: OnTask = lambda _: None,
    kept: "Kept | None" = None,
    on_open: Callable[[dict[str, Any]], object] = lambda _: None,
) -> tuple[PassResult, dict[str, Any]]:
    """Open a pass's cluster, compute its stages, and state what that took; `kept` has what is no block of the pass.

    `on_open` hears what is known once the cluster is there. Raises RunnerError.
    """
    options = {**network_environment(job.source.s3), **job.gdal.options, **gdal_s3_options(job.source.s3)}
    started, strangers = time.monotonic(), child_pids()  # such as the demo's server
    with open_cluster(one.cluster, options) as cluster, measured_usage(strangers) as usage:
        opened = time.monotonic()
        seen = cluster.gdal_options(sorted(options))
        start = {"start_seconds": round(opened - started, 3), "gdal_options": seen, "dask": dask_settings()}
        on_open(facts := {**opened_facts(one, cluster.size), **start})
        log.info("%s: %s, GDAL options %s", one.name, cluster.size, seen, extra={"pass": one.name})
        with progress_bar(one.name) as progress, failures_traced(cluster.watch, on_task) as losses:
            result = _run_engine(job, one, rule, stack, cluster, progress, on_task, kept)
        computed, away = time.monotonic(), cluster.watch.elsewhere()
    facts |= result_facts(one, result, computed - opened)
    told = {"pass": one.name, "seconds": facts["compute_seconds"], **(facts["fetched"] or {})}
    log.info("%s computed in %.2f s", one.name, computed - opened, extra=told)
    taken = {
        "peak_bytes": usage.peak_bytes + away.peak_bytes,
        "cpu_seconds": round(usage.cpu_seconds + away.cpu_seconds, 3),
        "workers_lost": len(losses),
    }
    return result, facts | taken


def _run_engine(  # noqa: PLR0913, PLR0917 - as run_pass, of both engines
    job: JobSettings,
    one: Pass,
    rule: PixelRule,
    stack: Stack,
    cluster: Cluster,
    progress: Callable[[int, int], None],
    on_task: OnTask,
    kept: "Kept | None",
) -> PassResult:
    raster = raster_dtype(job.output.raster_dtype, stack.dtype)
    if job.engine is EngineName.xarray:
        from runner.engine import xarray_engine  # noqa: PLC0415 - a second of imports that the block engine spares

        return xarray_engine.run_pass(one, stack, rule, cluster, raster, progress, on_task)
    from runner.engine import block_engine  # noqa: PLC0415 - numba, that the other engine spares
    from runner.engine.blocks import make_reading  # noqa: PLC0415 - as above
    from runner.host.compile_clock import compiling_told  # noqa: PLC0415 - as above

    reading = make_reading(job, stack, rule, one.stages)
    with compiling_told(lambda: tell(summary.describe_compiling(rule.pixels.dtype.name))):
        return block_engine.run_pass(one, stack, reading, cluster, raster, progress, on_task, kept)


def _without(job: JobSettings, inputs: Inputs, error: ReadError) -> Inputs:
    """The inputs less the scene that failed, so that it is left out of every output; or the error again.

    A failure of the store, of the credentials or of this machine is not the fault of one scene, and no policy passes
    over it.
    """
    rest = tuple(scene for scene in inputs.stack.scenes if scene.href != error.href)
    if not rest or isinstance(error, StoreError):
        raise error
    if job.on_error is OnError.stop:
        raise ReadError(error.href, f"{error.problem}; {SKIP_HINT}") from error
    log.warning("left out: %s", error)
    tell(f"left out: {error}")
    gone = next(scene for scene in inputs.stack.scenes if scene.href == error.href)
    item = StoredObject(gone.href, gone.size, gone.etag, gone.modified)
    left_out = (*inputs.left_out, LeftOut(item, gone.name, gone.time, error.problem, skipped=True))
    _refuse_too_many(job, left_out)
    return replace(inputs, stack=replace(inputs.stack, scenes=rest), left_out=left_out)


def _refuse_too_many(job: JobSettings, left_out: tuple[LeftOut, ...]) -> None:
    skipped = [one for one in left_out if one.skipped]
    if job.max_skipped is not None and len(skipped) > job.max_skipped:
        last = skipped[-1].reason
        raise SourceError(
            f"{len(skipped)} scenes cannot be read, more than max_skipped={job.max_skipped}; the last: {last}"
        )


def _write(
    job: JobSettings, plan: Plan, inputs: Inputs, results: dict[str, dict[str, Values]], record: RunRecord
) -> None:
    origin = provenance(replace(job.source, url=redact(job.source.url)), inputs.stack, job.mask)
    names = [name for one in plan.stages for name in output_names(one.name, one.over, list(results[one.name]))]
    written: list[StageFiles] = []
    with all_or_none([record.folder / name for name in (*names, "outputs.json")]):
        for stage in plan.stages:
            files = write_stage(record.folder, stage, inputs.stack, results.pop(stage.name), job.output, origin)
            written.append(StageFiles(stage, files))
        write_outputs(record.folder / "outputs.json", written)
        files = [file for one in written for file in one.files]
        record.update(outputs=[file.path.name for file in files])
    rows = [row for one in written for row in summary.result_rows(one.stage, one.files)]
    summary.show_results(rows, inputs, [file.path for file in files])
