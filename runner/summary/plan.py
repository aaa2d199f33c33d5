"""The plan on the console: a table of its passes, and lines for what a user may want otherwise."""

from collections.abc import Iterable, Sequence

from runner.base.console import say, show_table, table
from runner.base.humanize import listed, plural, size
from runner.errors import printable
from runner.model import Stack
from runner.planning.groups import Groups
from runner.planning.memory import large_tiles
from runner.planning.memory_advice import REWRITE
from runner.planning.records import Cost, Pass, Plan, StagePlan
from runner.planning.weights import is_mercator
from runner.settings import ClusterKind, Over
from runner.summary.inputs import describe_keys


def show_plan(plan: Plan, stack: Stack) -> None:
    """Print the plan, one column per pass, and how keys were read."""
    for line in describe_keys(stack):
        say(line)
    facts = _facts_of_passes(plan)
    rows = [[fact, *(column[fact] for column in facts)] for fact in facts[0]]
    title = f"{stack.name}: {plural(len(stack.scenes), 'scene')}"
    show_table(table(title, ["", *(pass_.name for pass_ in plan.passes)], rows))
    for line in (*describe_guesses([plan]), *describe_weights(plan, stack), *describe_too_few(plan, stack)):
        say(line)
    for stage in (stage for stage in plan.stages if stage.groups):
        say(f"{describe_groups(stage)}, {plural(len(stage.layers), 'raster')}")
    for pass_ in plan.passes:
        if len(pass_.stages) > 1:
            saved = size(pass_.cost.stored_bytes * (len(pass_.stages) - 1))
            say(f"{pass_.name}: fused, which saves reading and decoding {saved}")
        if large_tiles(stack):
            say(_about_large_tiles(pass_, stack))
        elif pass_.cost.over_read > 1:
            say(_about_cut_tiles(pass_, stack))


def _facts_of_passes(plan: Plan) -> list[dict[str, str]]:
    facts = [_plan_facts(pass_) for pass_ in plan.passes]
    if any(pass_.spool_bytes for pass_ in plan.passes):
        for column, pass_ in zip(facts, plan.passes, strict=True):
            column["disk until written"] = size(pass_.spool_bytes)
    return facts


def _about_cut_tiles(pass_: Pass, stack: Stack) -> str:
    """What is decoded more than once, since tasks share tiles, and what avoids it."""
    more = f"so that {100 * (pass_.cost.over_read - 1):.0f} % more is decoded"
    tile = " x ".join(map(str, stack.tile_shape))
    if len(stack.tile_phases) > 1:
        return f"{pass_.name}: the files' tiles of {tile} do not lie alike, and chunks cut some of them, {more}"
    return (
        f"{pass_.name}: chunks of {pass_.chunks.y} x {pass_.chunks.x} cut the files' tiles of {tile}, "
        f"{more}; whole tiles (chunks.snap=true) avoid that"
    )


def describe_guesses(plans: Iterable[Plan]) -> list[str]:
    """Why the number of workers or of their threads is not known, once for all passes on the same cluster."""
    return list(dict.fromkeys(one.workers.guess for plan in plans for one in plan.passes if one.workers.guess))


def _workers(pass_: Pass) -> str:
    """The number of worker processes and of their threads, as far as they are known."""
    workers = pass_.workers
    if not workers.guess:
        return f"{_processes(pass_)} x {plural(workers.threads, 'thread')}"
    if pass_.cluster.kind is ClusterKind.address:
        return "no workers yet"
    return f"{_processes(pass_)} x unknown threads"


def _processes(pass_: Pass) -> str:
    """The number of worker processes, or the least and the largest number where it follows the tasks."""
    adapt, most = pass_.cluster.adapt, pass_.workers.processes
    return f"{adapt.minimum} to {most}" if adapt.maximum and adapt.minimum < most else f"{most}"


def _tasks(pass_: Pass) -> str:
    workers, tasks = pass_.workers, len(pass_.tasks)
    return f"{tasks}" if workers.guess else f"{tasks}, {tasks / (workers.processes * workers.threads):.1f} a thread"


def _plan_facts(pass_: Pass) -> dict[str, str]:
    cost, workers, chunks = pass_.cost, pass_.workers, pass_.chunks
    return {
        "statistics": "; ".join(f"{stage.over.value}: {', '.join(statistic_labels(stage))}" for stage in pass_.stages),
        "cluster": f"{pass_.cluster.kind.value}, {_workers(pass_)}",
        "task": f"{plural(chunks.time, 'scene')} x {chunks.y} x {chunks.x} pixels",
        "tasks": _tasks(pass_),
        "requests": "by GDAL" if cost.requests is None else f"{cost.requests}{requests_for_masks([cost])}",
        "stored in tiles": f"{size(cost.stored_bytes)}{bytes_for_masks([cost])}",
        "decoded": size(cost.decoded_bytes),
        "a worker's memory": "by dask" if pass_.worker_bytes is None else size(pass_.worker_bytes),
        "it may have": "unknown" if workers.memory_bytes is None else size(workers.memory_bytes),
    }


def requests_for_masks(costs: Sequence[Cost]) -> str:
    """` (8 for masks)`, of the requests of some passes; nothing without masks, and where GDAL decides."""
    numbers = [cost.mask_requests or 0 for cost in costs if cost.requests is not None]
    return f" ({sum(numbers)} for masks)" if sum(numbers) and len(numbers) == len(costs) else ""


def bytes_for_masks(costs: Sequence[Cost]) -> str:
    """` (3.24 kB for masks)`, of the stored bytes of some passes; nothing without masks."""
    masks = sum(cost.mask_bytes for cost in costs)
    return f" ({size(masks)} for masks)" if masks else ""


def _about_large_tiles(pass_: Pass, stack: Stack) -> str:
    """The times that files with large tiles, such as one strip, are decoded, and what avoids it."""
    tile_y, tile_x = stack.tile_shape
    times = f"{pass_.cost.over_read:.1f} times" if pass_.cost.over_read > 1 else "once"
    return (
        f"{pass_.name}: each of the files' tiles of {tile_y} x {tile_x} ({size(stack.tile_bytes)}) is decoded "
        f"{times}; files with smaller tiles take less memory and time: {REWRITE}"
    )


def describe_weights(plan: Plan, stack: Stack) -> list[str]:
    """A line for each stage that weighs pixels by area, or that ought to and cannot."""
    return [line for stage in plan.stages if (line := _describe_weights(stage, stack))]


def _describe_weights(stage: StagePlan, stack: Stack) -> str:
    name, crs = stage.name, stack.grid.crs_name
    if stage.by_area:
        return (
            f"{name}: {', '.join(stage.by_area)} by the area of the pixels, since {crs} is geographic; "
            f"stages.{name}.weights=none counts them all the same"
        )
    if stage.over is Over.space and is_mercator(stack.grid):
        return (
            f"{name}: all pixels count the same, though {crs} is a Mercator projection, where their areas differ from "
            "row to row; warp the scenes to an equal-area or a geographic CRS for means by area"
        )
    return ""


def describe_too_few(plan: Plan, stack: Stack) -> list[str]:
    """A line for each stage over time whose values are all missing, since min_count exceeds the scenes."""
    scenes = len(stack.scenes)
    left = f"{scenes} scene{'s are' if scenes > 1 else ' is'} left"
    lines = [
        f"{stage.name}: all values but counts are missing, since {left}, fewer than "
        f"stages.{stage.name}.min_count={stage.min_count}"
        for stage in plan.stages
        if stage.over is Over.time and not stage.groups and stage.min_count > scenes
    ]
    return lines + [line for stage in plan.stages if stage.groups and (line := _too_few_in(stage, stage.groups))]


def _too_few_in(stage: StagePlan, groups: Groups) -> str:
    """Groups of fewer scenes than the least number of values."""
    few = [label for label, scenes in zip(groups.labels, groups.sizes, strict=True) if scenes < stage.min_count]
    if not few:
        return ""
    return (
        f"{stage.name}: all values but counts are missing in {len(few)} of {plural(len(groups.labels), 'group')}, "
        f"which have fewer scenes than stages.{stage.name}.min_count={stage.min_count}: {listed(few, 5)}"
    )


def describe_groups(stage: StagePlan) -> str:
    """Of a stage with groups, how many there are by what, and how many scenes they have."""
    if stage.groups is None:
        return ""
    least, most = min(stage.groups.sizes), max(stage.groups.sizes)
    each = plural(most, "scene") if least == most else f"{least} to {plural(most, 'scene')}"
    by = ", ".join(map(printable, stage.groups.by))
    return f"{stage.name}: {plural(len(stage.groups.labels), 'group')} by {by}, of {each} each"


def statistic_labels(stage: StagePlan) -> list[str]:
    """The statistics of a stage, each with whether it is by area."""
    return [f"{name} by area" if name in stage.by_area else name for name in stage.statistics]
