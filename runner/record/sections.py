"""The stack and the passes of a run, as its record has them."""

from dataclasses import asdict
from typing import Any, Final, TypeVar

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
        cluster=cluster_record(size),
        weights={stage.name: stage.weights.value for stage in pass_.stages},
        chunks=TaskSize(*pass_.chunks),
        tasks=len(pass_.tasks),
        planned=Planned(**asdict(pass_.cost), worker_bytes=pass_.worker_bytes),
        gdal_options=gdal_options,
        start_seconds=round(start_seconds, 3),
    )


def cluster_record(size: ClusterSize) -> Cluster:
    """The workers of a pass."""
    return Cluster(**asdict(size))


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


def read_again(first: PassRecord, later: PassRecord) -> PassRecord:
    """A pass with what it read again in part, which `again` counts by itself too."""
    counts, inflated = _sum(first.fetched, later.fetched), _sum(first.inflated, later.inflated)
    seconds = {name: _sum_of(getattr(first, name), getattr(later, name)) for name in _SECONDS}
    computing = max((seconds["compute_seconds"] or 0.0) - (seconds["compile_seconds"] or 0.0), 1e-3)
    return replace(
        first,
        fetched=counts,
        again=_sum(first.again, later.fetched),
        inflated=inflated,
        megabytes_per_second=None if counts is None else round(counts.bytes / computing / 1e6, 3),
        peak_bytes=max(first.peak_bytes or 0, later.peak_bytes or 0),
        workers_lost=(first.workers_lost or 0) + (later.workers_lost or 0),
        **seconds,
    )


_SECONDS: Final = ("compute_seconds", "read_seconds", "reduce_seconds", "compile_seconds", "cpu_seconds")
Counts = TypeVar("Counts", Fetched, Inflated)


def _sum(first: Counts | None, second: Counts | None) -> Counts | None:
    if first is None or second is None:
        return first or second
    names = type(first).__struct_fields__
    sums: dict[str, Any] = {name: _sum_of(getattr(first, name), getattr(second, name)) for name in names}
    return type(first)(**sums)


def _sum_of(first: float | None, second: float | None) -> float | None:
    return second if first is None else first if second is None else round(first + second, 3)


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
