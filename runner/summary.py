"""What a run found, plans and gave, in words and short tables for the console."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from runner.console import results, table
from runner.log.redact import redact
from runner.model import Inputs, Stack
from runner.output.digest import FileFacts, ValueFacts
from runner.output.names import raster_name
from runner.plan.records import Pass, Plan

_MOST_NAMED = 10  # of the scenes that cannot be read; all of them are in inputs.parquet


def describe_inputs(inputs: Inputs) -> str:
    """One line: how many scenes, from when to when, on which grid."""
    stack = inputs.stack
    first, last = stack.scenes[0].time, stack.scenes[-1].time
    size = sum(scene.size for scene in stack.scenes)
    left_out = f", {len(inputs.left_out)} left out" if inputs.left_out else ""
    return (
        f"{stack.name}: {len(stack.scenes)} scenes from {first:%Y-%m-%d} to {last:%Y-%m-%d}{left_out}, "
        f"{stack.grid.width} x {stack.grid.height} pixels {stack.dtype}, {stack.grid.crs_name}, "
        f"nodata {stack.nodata}, {in_bytes(size)} stored"
    )


def describe_skipped(inputs: Inputs) -> list[str]:
    """A line for each scene that was left out since it cannot be read, up to some of them."""
    skipped = [redact(f"left out: {one.item.href}: {one.reason}") for one in inputs.left_out if one.skipped]
    more = len(skipped) - _MOST_NAMED
    return skipped[:_MOST_NAMED] + ([f"left out: {more} more, see inputs.parquet"] if more > 0 else [])


def describe_left_to_gdal(reasons: Mapping[str, Sequence[str]], scenes: int) -> list[str]:
    """A line for each reason why some of so many scenes are not read by the fast reader."""
    return [f"{len(hrefs)} of {scenes} scenes are read by GDAL: {reason}" for reason, hrefs in reasons.items()]


def describe_pass(facts: Mapping[str, Any]) -> str:
    """One line: how long a pass took, on what, and what it fetched."""
    fetched, cluster = facts["fetched"], facts["cluster"]
    size = f"{cluster['kind']}, {cluster['threads']} threads"
    amount = f", {in_bytes(fetched['bytes'])} in {fetched['requests']} requests" if fetched else ""
    retried = f", {fetched['retries']} retried" if fetched and fetched["retries"] else ""
    return f"{facts['name']}: {facts['compute_seconds']:.1f} s ({size}){amount}{retried}"


def describe_beyond(beyond: Iterable[tuple[str, str]], raster: np.dtype) -> list[str]:
    """A line for each raster, by stage and statistic, whose type is too narrow for a value of it."""
    return [
        f"{raster_name(stage, statistic)}: some values are beyond {raster} and infinite in the file; "
        "output.raster_dtype=float64 holds them"
        for stage, statistic in sorted(beyond)
    ]


def show_plan(plan: Plan, stack: Stack) -> None:
    """Print the plan, one column per pass."""
    facts = [_plan_facts(one) for one in plan.passes]
    rows = [[fact, *(column[fact] for column in facts)] for fact in facts[0]]
    results.print(table(f"{stack.name}: {len(stack.scenes)} scenes", ["", *(one.name for one in plan.passes)], rows))
    for one in plan.passes:
        if len(one.stages) > 1:
            saved = in_bytes(one.cost.stored_bytes * (len(one.stages) - 1))
            results.print(f"{one.name}: fused, which saves reading and decoding {saved}", soft_wrap=True)
        if one.cost.over_read > 1:
            block = " x ".join(map(str, stack.scenes[0].header.block_shape))
            results.print(
                f"{one.name}: chunks of {one.chunks.y} x {one.chunks.x} cut the files' blocks of {block}, so that "
                f"{100 * (one.cost.over_read - 1):.0f} % more is decoded; whole blocks (chunks.snap=true) spare that",
                soft_wrap=True,
            )


def _plan_facts(one: Pass) -> dict[str, str]:
    cost, workers, chunks = one.cost, one.workers, one.chunks
    return {
        "statistics": "; ".join(f"{stage.over.value}: {', '.join(stage.statistics)}" for stage in one.stages),
        "cluster": f"{one.cluster.kind.value}, {workers.processes} x {workers.threads} threads",
        "task": f"{chunks.time} scenes x {chunks.y} x {chunks.x} pixels",
        "tasks": f"{len(one.blocks)}, {len(one.blocks) / (workers.processes * workers.threads):.1f} a thread",
        "requests": "by GDAL" if cost.requests is None else str(cost.requests),
        "stored": in_bytes(cost.stored_bytes),
        "decoded": in_bytes(cost.decoded_bytes),
        "a worker's memory": "by dask" if one.worker_bytes is None else in_bytes(one.worker_bytes),
        "it may have": "unknown" if workers.memory_bytes is None else in_bytes(workers.memory_bytes),
    }


def result_rows(stage: str, files: Sequence[FileFacts]) -> list[list[str]]:
    """What each statistic of a stage came to, for `show_results`."""
    return [
        [f"{stage}: {one.name}", _number(one.minimum), _number(one.maximum), _missing(one)]
        for file in files
        for one in file.values
    ]


def show_results(rows: list[list[str]], inputs: Inputs, files: list[Path]) -> None:
    """Print what came out, and the files it is in."""
    results.print(table("", ["result", "lowest", "highest", "no data"], rows))
    if inputs.left_out:
        results.print(f"{len(inputs.left_out)} objects left out, each with its reason in inputs.parquet")
    for line in describe_skipped(inputs):
        results.print(line, soft_wrap=True, markup=False)
    for path in files:
        results.print(f"wrote {shown(path)}", soft_wrap=True, markup=False)


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value}" if isinstance(value, int) else f"{value:.6g}"


def _missing(values: ValueFacts) -> str:
    return f"{100 * (1 - values.count / prod(values.shape)):.1f} %"


def describe_end(folder: Path, seconds: float) -> str:
    """One line: where a run's files are, its page first, and how long it took."""
    return f"report: {shown(folder / 'report.html')}, run folder: {shown(folder)}, {seconds:.1f} s in all"


def in_bytes(count: float) -> str:
    """A number of bytes for people, in powers of ten."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def shown(path: Path) -> str:
    """A path as people would type it: relative where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
