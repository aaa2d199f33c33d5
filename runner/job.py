"""The story of a run: find the scenes, plan, compute stage by stage, write, record."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from runner import summary
from runner.cluster import Cluster, open_cluster
from runner.console import progress_bar, tell
from runner.engine.xarray_engine import StageResult, run_stage
from runner.errors import ReadError
from runner.log.record import RunRecord
from runner.model import Inputs, LeftOut, StoredObject
from runner.output.inputs import write_inputs
from runner.output.results import provenance, write_stage
from runner.plan import Plan, StagePlan, make_plan
from runner.settings import JobSettings, Mask, OnError, SourceKind
from runner.source.scenes import find_inputs
from runner.source.stores import Stores, gdal_s3_options

log = logging.getLogger(__name__)


def show_plan(job: JobSettings) -> None:
    """Print what a run would read and in which tasks; nothing is computed, nothing written."""
    with opened_source(job) as reachable:
        inputs = _find(reachable)
        summary.show_plan(make_plan(reachable, inputs.stack), inputs.stack)


def run_job(job: JobSettings, record: RunRecord) -> None:
    """Run every stage of the job and write its files into the record's folder.

    Raises RunnerError for what the user can mend.
    """
    with opened_source(job) as reachable:
        _run_stages(reachable, record)


def _run_stages(job: JobSettings, record: RunRecord) -> None:
    inputs = _find(job)
    write_inputs(record.folder / "inputs.parquet", inputs)
    results: dict[str, StageResult] = {}
    while len(results) < len(job.stages):
        plan = make_plan(job, inputs.stack)
        try:
            results = _compute_stages(job, plan, inputs, record)
        except ReadError as error:
            inputs = _without(inputs, error, job.on_error)
            write_inputs(record.folder / "inputs.parquet", inputs)
    _write(job, plan, inputs, results, record)


@contextmanager
def opened_source(job: JobSettings) -> Iterator[JobSettings]:
    """The job with a source that can be reached: the demo archive is made, and served, while the block runs."""
    if job.source.kind is not SourceKind.demo:
        yield job
        return
    from runner.source.archive import default_cache_dir, ensure_archive  # noqa: PLC0415 - of the demo alone
    from runner.source.server import serve  # noqa: PLC0415 - as above

    with progress_bar("demo archive") as progress:
        root = ensure_archive(default_cache_dir(), progress=progress)
    with serve(root) as endpoint:
        s3 = replace(job.source.s3, endpoint_url=endpoint)
        yield replace(job, source=replace(job.source, s3=s3))


def _find(job: JobSettings) -> Inputs:
    started = time.monotonic()
    with progress_bar("headers") as progress:
        inputs = find_inputs(job.source, Stores(job.source.s3), job.on_error, progress)
    log.info(
        "%d scenes, %d left out, %.2f s", len(inputs.stack.scenes), len(inputs.left_out), time.monotonic() - started
    )
    tell(summary.describe_inputs(inputs))
    return inputs


def _compute_stages(job: JobSettings, plan: Plan, inputs: Inputs, record: RunRecord) -> dict[str, StageResult]:
    record.update(stages=[], scenes=len(inputs.stack.scenes))
    return {stage.name: _compute_stage(job, stage, inputs, record) for stage in plan.stages}


def _compute_stage(job: JobSettings, stage: StagePlan, inputs: Inputs, record: RunRecord) -> StageResult:
    options = {**job.gdal.options, **gdal_s3_options(job.source.s3)}
    started = time.monotonic()
    with open_cluster(stage.cluster, options) as cluster:
        opened = time.monotonic()
        seen = cluster.gdal_options(sorted(options))
        log.info("stage %s: %s, GDAL options %s", stage.name, cluster.size, seen)
        nodata = inputs.stack.nodata if job.mask is Mask.nodata else None
        with progress_bar(stage.name) as progress:
            result = run_stage(stage, inputs.stack, job.source.band, nodata, cluster, progress)
        computed = time.monotonic()
    record.add_stage(_stage_facts(stage, cluster, seen, opened - started, computed - opened))
    log.info("stage %s computed in %.2f s", stage.name, computed - opened)
    return result


def _stage_facts(
    stage: StagePlan, cluster: Cluster, seen: dict[str, dict[str, str | None]], start: float, compute: float
) -> dict[str, Any]:
    return {
        "name": stage.name,
        "cluster": asdict(cluster.size),
        "chunks": asdict(stage.chunks),
        "tasks": stage.tasks,
        "stored_bytes": stage.stored_bytes,
        "decoded_bytes": stage.decoded_bytes,
        "gdal_options": seen,
        "start_seconds": round(start, 3),
        "compute_seconds": round(compute, 3),
    }


def _without(inputs: Inputs, error: ReadError, policy: OnError) -> Inputs:
    """The inputs less the scene that failed, so that it is left out of every output; or the error again."""
    rest = tuple(scene for scene in inputs.stack.scenes if scene.href != error.href)
    if policy is OnError.stop or not rest:
        raise error
    log.warning("left out: %s", error)
    tell(f"left out: {error}")
    gone = next(scene for scene in inputs.stack.scenes if scene.href == error.href)
    item = StoredObject(gone.href, gone.size, gone.etag, gone.modified)
    left_out = LeftOut(item, gone.name, gone.time, error.problem)
    return Inputs(replace(inputs.stack, scenes=rest), (*inputs.left_out, left_out))


def _write(job: JobSettings, plan: Plan, inputs: Inputs, results: dict[str, StageResult], record: RunRecord) -> None:
    origin = provenance(job.source, inputs.stack, job.mask)
    files: list[Path] = []
    for stage in plan.stages:
        values: dict[str, np.ndarray] = results[stage.name].values
        files += write_stage(record.folder, stage, inputs.stack, values, job.output, origin)
    record.update(outputs=[path.name for path in files])
    summary.show_results(plan, inputs, {name: result.values for name, result in results.items()}, files)
