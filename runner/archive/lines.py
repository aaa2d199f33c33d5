"""Lines and tables on an archive for the console: its stacks, how each ended, their plans."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.base.console import say, show_table, table
from runner.base.humanize import listed, plural, relative_path, size
from runner.cluster.started import Expected
from runner.model import Stack
from runner.planning.records import Plan
from runner.record.reused_run import reuses
from runner.record.stacks import FOLDER, OUTSIDE, StackRow, outside_of
from runner.settings import ClusterSettings, SourceSettings
from runner.source.parts import Part
from runner.source.scenes import Archive
from runner.summary import bytes_for_masks, describe_guesses, describe_keys, requests_for_masks

_MOST_PLANS = 20  # of stacks
_MOST_NAMED = 10  # of stacks outside


def describe_archive(source: SourceSettings, archive: Archive, parts: Sequence[Part]) -> str:
    """One line: how many stacks by which groups, of how many scenes, and their bytes if the listing tells them."""
    stored = "" if archive.stored_bytes is None else f", {size(archive.stored_bytes)} in files"
    left_out = f", {len(archive.left_out)} objects left out" if archive.left_out else ""
    return (
        f"{source.name}: {plural(len(parts), 'stack')} by {', '.join(source.parted_by)}, of "
        f"{plural(len(archive.scenes), 'scene')}{left_out}{stored}"
    )


def describe_stack(row: StackRow) -> str:
    """One line on a stack whose run has ended."""
    if row.status == OUTSIDE:
        return f"{row.stack}: {row.in_words}, left out"
    if row.status != "COMPLETED":
        return f"{row.stack}: {row.status}{'' if row.error is None else f': {row.error}'}"
    left_out = f", {row.left_out} left out" if row.left_out else ""
    fetched = "" if row.bytes is None else f", {size(row.bytes)}"
    return (
        f"{row.stack}: {plural(row.scenes or 0, 'scene')}{left_out}, {row.width} x {row.height} pixels {row.dtype}, "
        f"{row.crs}{fetched}, {row.seconds or 0:.1f} s"
    )


def describe_reused(archive: Path, parts: Sequence[Part]) -> list[str]:
    """A line on the stacks that take over what an earlier run kept, and those that do not."""
    new = [part.name for part in parts if not reuses(archive / FOLDER / part.name)]
    others = f"; all is read of {listed(new, _MOST_NAMED)}" if new else ""
    return [f"{len(parts) - len(new)} of {plural(len(parts), 'stack')} reuse {relative_path(archive)}{others}"]


def describe_outside(outside: Mapping[str, str], stacks: int) -> str:
    """One line on the stacks that the box, the area or no zone meets, by their names, which have their errors."""
    by_setting: dict[str, list[str]] = {}
    for name, error in outside.items():
        by_setting.setdefault(outside_of(error), []).append(name)
    return "; ".join(
        f"{len(names)} of {plural(stacks, 'stack')} {_is_left_out(setting, len(names))}: {listed(names, _MOST_NAMED)}"
        for setting, names in by_setting.items()
    )


def _is_left_out(setting: str, stacks: int) -> str:
    if setting == "zones.file":
        return f"{'has' if stacks == 1 else 'have'} no zone of {setting}"
    return f"{'lies' if stacks == 1 else 'lie'} outside of {setting}"


def show_archive_plan(
    stacks: Sequence[tuple[str, Stack, Plan]], peak_bytes: int | None, holder: str = "this process"
) -> None:
    """Print the plans of an archive's stacks, the largest first and up to some, and their totals.

    The `holder` is what holds so many bytes. How keys were read is shown of the largest.
    """
    ordered = sorted(stacks, key=lambda stack: (-_stored(stack[2]), stack[0]))
    for line in describe_keys(ordered[0][1]):
        say(line)
    show_table(table("", _PLAN_COLUMNS, [_plan_row(*stack) for stack in ordered[:_MOST_PLANS]]))
    more = len(ordered) - _MOST_PLANS
    if more > 0:
        say(f"and {plural(more, 'more stack', 'more stacks')}")
    costs = [pass_.cost for _, _, plan in ordered for pass_ in plan.passes]
    requests = [cost.requests for cost in costs]
    asked = "requests by GDAL" if None in requests else plural(sum(number or 0 for number in requests), "request")
    scenes = sum(len(stack.scenes) for _, stack, _ in ordered)
    stored, decoded = (sum(amount(plan) for _, _, plan in ordered) for amount in (_stored, _decoded))
    memory = "" if peak_bytes is None else f"; {holder} holds up to {size(peak_bytes)}"
    say(
        f"in all: {plural(len(ordered), 'stack')}, {plural(scenes, 'scene')}, {asked}"
        f"{requests_for_masks(costs)}, {size(stored)} stored in tiles{bytes_for_masks(costs)}, "
        f"{size(decoded)} decoded{memory}"
    )
    for line in describe_guesses(plan for _, _, plan in ordered):
        say(line)


def describe_workers(cluster: ClusterSettings, workers: Expected) -> str:
    """One line on the workers that run whole stacks, as far as they are known before they start."""
    if workers.guess:
        return workers.guess
    least = cluster.adapt.minimum if cluster.adapt.maximum else workers.processes
    number = f"{least} to " if least < workers.processes else ""
    memory = "" if workers.memory_bytes is None else f" and {size(workers.memory_bytes)}"
    return (
        f"stacks run on {number}{plural(workers.processes, 'worker')} (archive.cluster={cluster.kind.value}), "
        f"{plural(workers.threads, 'thread')}{memory} each"
    )


_PLAN_COLUMNS = [
    "stack",
    "scenes",
    "from",
    "to",
    "pixels",
    "type",
    "CRS",
    "tasks",
    "requests",
    "stored",
    "decoded",
    "memory",
]


def _plan_row(name: str, stack: Stack, plan: Plan) -> list[str]:
    requests = [pass_.cost.requests for pass_ in plan.passes]
    memory = [pass_.worker_bytes for pass_ in plan.passes]
    return [
        name,
        str(len(stack.scenes)),
        *(f"{scene.time:%Y-%m-%d}" for scene in (stack.scenes[0], stack.scenes[-1])),
        f"{stack.grid.width} x {stack.grid.height}",
        stack.dtype.name,
        stack.grid.crs_name,
        str(sum(len(pass_.tasks) for pass_ in plan.passes)),
        "by GDAL" if None in requests else str(sum(number or 0 for number in requests)),
        size(_stored(plan)),
        size(_decoded(plan)),
        "by dask" if None in memory else size(max(bytes_ or 0 for bytes_ in memory)),
    ]


def _stored(plan: Plan) -> int:
    return sum(pass_.cost.stored_bytes for pass_ in plan.passes)


def _decoded(plan: Plan) -> int:
    return sum(pass_.cost.decoded_bytes for pass_ in plan.passes)
