"""What `run.json` says of the stack and of a pass."""

from dataclasses import asdict
from typing import Any, Final

from runner.cluster.workers import ClusterSize
from runner.engine.results import PassResult
from runner.model import Inputs
from runner.plan.records import Pass
from runner.read.fetch import FetchCounts
from runner.record.events import timestamp


def stack_facts(inputs: Inputs) -> dict[str, Any]:
    """The stack: how many scenes, when, on which grid, of what."""
    stack = inputs.stack
    return {
        "name": stack.name,
        "scenes": len(stack.scenes),
        "left_out": len(inputs.left_out),
        "height": stack.grid.height,
        "width": stack.grid.width,
        "dtype": stack.dtype.name,
        "nodata": stack.nodata,
        "crs": stack.grid.crs_name,
        "transform": list(stack.grid.transform),
        "first_datetime": timestamp(stack.scenes[0].time.timestamp()),
        "last_datetime": timestamp(stack.scenes[-1].time.timestamp()),
        "units": stack.units,
    }


_KNOWN_AT_THE_END: Final = (
    "fetched", "compute_seconds", "read_seconds", "reduce_seconds", "compile_seconds",
    "megabytes_per_second",
    "peak_bytes", "cpu_seconds", "workers_lost",
)  # fmt: skip


def opened_facts(one: Pass, size: ClusterSize) -> dict[str, Any]:
    """A pass as it was planned, on the cluster it has; null what only its end will tell."""
    return {
        "name": one.name,
        "stages": [stage.name for stage in one.stages],
        "cluster": asdict(size),
        "weights": {stage.name: stage.weights.value for stage in one.stages},
        "chunks": one.chunks._asdict(),
        "tasks": len(one.tasks),
        "planned": {**asdict(one.cost), "worker_bytes": one.worker_bytes},
        **dict.fromkeys(_KNOWN_AT_THE_END),
    }


def result_facts(one: Pass, result: PassResult, compute_seconds: float) -> dict[str, Any]:
    """What a pass took. Waiting for machine code is part of its seconds, and not of its rate."""
    computing = max(compute_seconds - (result.compile_seconds or 0.0), 1e-3)
    fetched = None if result.fetched is None or one.cost.requests is None else result.fetched  # GDAL does not tell
    return {
        "fetched": None if fetched is None else fetched_facts(fetched),
        "compute_seconds": round(compute_seconds, 3),
        "read_seconds": _rounded(result.read_seconds),
        "reduce_seconds": _rounded(result.reduce_seconds),
        "compile_seconds": _rounded(result.compile_seconds),
        "megabytes_per_second": None if fetched is None else round(fetched.bytes / computing / 1e6, 3),
    }


def fetched_facts(fetched: FetchCounts) -> dict[str, Any]:
    """Requests and bytes, retries, and seconds of waiting."""
    return {**asdict(fetched), "wait_seconds": round(fetched.wait_seconds, 3)}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
