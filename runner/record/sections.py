"""The stack and the passes of a run, as its record has them."""

from dataclasses import asdict

from msgspec.structs import replace

from runner.cluster.workers import ClusterSize
from runner.engine.results import PassResult
from runner.model import Inputs
from runner.planning.records import Pass
from runner.read.fetch import FetchCounts
from runner.read.inflation import InflateCounts
from runner.record.run import Cluster, Fetched, Inflated, PassRecord, Planned, StackRecord, TaskSize


def stack_record(inputs: Inputs) -> StackRecord:
    """The stack: its scenes, its time, its grid, its pixels."""
    stack = inputs.stack
    return StackRecord(
        name=stack.name,
        scenes=len(stack.scenes),
        left_out=len(inputs.left_out),
        height=stack.grid.height,
        width=stack.grid.width,
        dtype=stack.dtype.name,
        nodata=stack.nodata,
        crs=stack.grid.crs_name,
        transform=stack.grid.transform,
        first_datetime=stack.scenes[0].time,
        last_datetime=stack.scenes[-1].time,
        units=stack.units,
        band=stack.bands[0],
        area_sha256=stack.area.sha256 if stack.area else None,
    )


def opened_pass(
    pass_: Pass, size: ClusterSize, gdal_options: dict[str, dict[str, str | None]], start_seconds: float
) -> PassRecord:
    """A pass as it was planned, on the cluster that has started for it."""
    return PassRecord(
        name=pass_.name,
        stages=tuple(stage.name for stage in pass_.stages),
        cluster=Cluster(**asdict(size)),
        weights={stage.name: stage.weights.value for stage in pass_.stages},
        chunks=TaskSize(*pass_.chunks),
        tasks=len(pass_.tasks),
        planned=Planned(**asdict(pass_.cost), worker_bytes=pass_.worker_bytes),
        gdal_options=gdal_options,
        start_seconds=round(start_seconds, 3),
    )


def computed_pass(opened: PassRecord, result: PassResult, compute_seconds: float) -> PassRecord:
    """The pass with its times and its reading. Waiting for machine code is part of its seconds, and not of its rate."""
    computing = max(compute_seconds - (result.compile_seconds or 0.0), 1e-3)
    counts = None if opened.planned.requests is None else result.fetched  # GDAL does not count
    return replace(
        opened,
        fetched=None if counts is None else fetched(counts),
        inflated=None if counts is None or result.inflated is None else _inflated(result.inflated),
        compute_seconds=round(compute_seconds, 3),
        read_seconds=_rounded(result.read_seconds),
        reduce_seconds=_rounded(result.reduce_seconds),
        compile_seconds=_rounded(result.compile_seconds),
        megabytes_per_second=None if counts is None else round(counts.bytes / computing / 1e6, 3),
    )


def fetched(counts: FetchCounts) -> Fetched:
    """Requests and bytes, retries, and seconds of waiting."""
    return Fetched(counts.requests, counts.bytes, counts.retries, round(counts.wait_seconds, 3))


def _inflated(counts: InflateCounts) -> Inflated:
    seconds = {
        "lanes_seconds": round(counts.lanes_seconds, 3),
        "libdeflate_seconds": round(counts.libdeflate_seconds, 3),
    }
    return Inflated(**{**asdict(counts), **seconds})


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
