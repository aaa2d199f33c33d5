"""The plan of an archive: what each of its stacks would read, the largest first, and totals. Nothing is computed."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from runner import summary
from runner.archive.shards import describe_shard, in_shard
from runner.archive.stack_jobs import ArchiveJob
from runner.archive.turns import most_under_way, own_bytes, room_bytes
from runner.base.console import progress_bar, say, tell
from runner.errors import OutsideError, PlanError, RunnerError
from runner.host.memory import memory_limit_bytes
from runner.model import Scene, Stack
from runner.plan.memory import PROCESS_BYTES
from runner.plan.planner import make_plan
from runner.plan.records import Plan
from runner.preview import stores_of
from runner.settings import JobSettings, OnError, PlanHeaders
from runner.source.headers import read_headers
from runner.source.mask_files import name_masks
from runner.source.names import Candidate
from runner.source.parts import Part
from runner.source.reachable import opened_source
from runner.source.scenes import Archive, list_stacks, read_inputs
from runner.source.selection import choose
from runner.source.stack import make_stack
from runner.source.stores import Stores


def show_archive_plan(job: JobSettings) -> None:
    """Print what a run of all stacks would read. Raises PlanError if some of them cannot run."""
    with opened_source(job) as reachable:
        stores = stores_of(reachable)
        archive, parts = list_stacks(reachable.source, stores)
        for line in (summary.describe_archive(reachable.source, archive, parts), *archive.notes):
            tell(line)
        taken = in_shard(parts, job.archive.shard)
        if job.archive.shard:
            tell(describe_shard(job.archive.shard, taken, parts))
        planned = list(_Planner(ArchiveJob.of(reachable), stores).planned(taken))
    plans = [(stack.name, stack.stack, stack.plan) for stack in planned if stack.stack and stack.plan]
    if plans:
        summary.show_archive_plan(plans, _peak_bytes(job, planned))
    outside = [stack for stack in planned if stack.outside]
    if outside:
        line = summary.describe_outside(job.source, [stack.name for stack in outside], len(planned))
        if len(outside) == len(planned):
            raise PlanError(f"{line}; {outside[0].name}: {outside[0].outside}")
        say(line)
    problems = [stack for stack in planned if stack.problem]
    if problems:
        raise PlanError(
            f"{len(problems)} of {len(planned)} stacks cannot run: {problems[0].name}: {problems[0].problem}"
            + (f"; and {', '.join(stack.name for stack in problems[1:6])}" if len(problems) > 1 else "")
        )


@dataclass(frozen=True, slots=True)
class PlannedStack:
    """A stack and its plan, or the problem that keeps it from running, or why it lies outside and is left out."""

    name: str
    stack: Stack | None = None
    plan: Plan | None = None
    problem: str | None = None
    outside: str | None = None


@dataclass(frozen=True, slots=True)
class _Planner:
    """Plans the stacks of an archive, by the header of the first scene of each, or by all headers."""

    archive: ArchiveJob
    stores: Stores

    def planned(self, parts: Sequence[Part]) -> Iterator[PlannedStack]:
        if self.archive.job.archive.headers is PlanHeaders.all:
            with progress_bar("stacks") as bar:
                for done, stack in enumerate(parts, start=1):
                    yield self._planned(stack, None)
                    bar(done, len(parts))
            return
        examples = self._examples(parts)
        for stack in parts:
            yield self._planned(stack, examples.get(stack.name, "none of its scenes is left"))

    def _examples(self, parts: Sequence[Part]) -> dict[str, Scene | str]:
        """The first scene of each stack, or the reason why its header cannot be read."""
        firsts: dict[str, Candidate] = {}
        problems: dict[str, Scene | str] = {}
        for stack in parts:
            try:
                chosen, _ = choose(self.archive.settings_of(stack).source, stack.candidates)
                masked, _ = name_masks(self.archive.job.mask, chosen[:1])
                firsts.update((stack.name, candidate) for candidate in masked)
            except RunnerError as error:
                problems[stack.name] = str(error)
        with progress_bar("headers") as bar:
            scenes, unread = asyncio.run(read_headers([*firsts.values()], self.stores, OnError.skip, bar))
        read = {scene.href: scene for scene in scenes}
        reasons = {left_out.item.href: left_out.reason for left_out in unread}
        hrefs = {name: candidate.item.href for name, candidate in firsts.items()}
        return problems | {name: read.get(href) or f"{href}: {reasons[href]}" for name, href in hrefs.items()}

    def _planned(self, part: Part, example: Scene | str | None) -> PlannedStack:
        if isinstance(example, str):
            return PlannedStack(part.name, problem=example)
        job = self.archive.settings_of(part)
        try:
            if example is None:
                listed = Archive.of(part.candidates)
                inputs = read_inputs(job.source, listed, self.stores, job.on_error, lambda *_: None, job.mask)
                stack, skipped = inputs.stack, inputs.skipped
            else:
                stack, skipped = _stack_like(job, part, example), 0
            plan = make_plan(job, stack, skipped, self.stores)
            return PlannedStack(part.name, stack, plan if example is None else _as_listed(plan, stack, example))
        except OutsideError as error:
            return PlannedStack(part.name, outside=str(error))
        except RunnerError as error:
            return PlannedStack(part.name, problem=str(error))


def _stack_like(job: JobSettings, part: Part, example: Scene) -> Stack:
    """The stack, if all its scenes are like this one."""
    chosen, _ = choose(job.source, part.candidates)
    scenes = [
        replace(
            example,
            name=candidate.scene,
            href=candidate.item.href,
            time=candidate.time,
            size=example.size if candidate.item.size is None else candidate.item.size,
        )
        for candidate in chosen
    ]
    return make_stack(job.source, scenes)


def _as_listed(plan: Plan, stack: Stack, example: Scene) -> Plan:
    """The plan of scenes that are like one, with as many stored bytes as the listing says that they have."""
    share = sum(scene.size for scene in stack.scenes) / max(len(stack.scenes) * example.size, 1)
    costs = [replace(pass_.cost, stored_bytes=round(share * pass_.cost.stored_bytes)) for pass_ in plan.passes]
    passes = [replace(pass_, cost=cost) for pass_, cost in zip(plan.passes, costs, strict=True)]
    return replace(plan, passes=tuple(passes))


def _peak_bytes(job: JobSettings, planned: Sequence[PlannedStack]) -> int | None:
    """The most that this process holds while stacks overlap; None where dask decides."""
    plans = [stack.plan for stack in planned if stack.plan]
    if not plans or any(pass_.worker_bytes is None for plan in plans for pass_ in plan.passes):
        return None
    largest = sorted(map(own_bytes, plans), reverse=True)
    room = min(room_bytes(plan, memory_limit_bytes()) for plan in plans)
    return PROCESS_BYTES + max(min(sum(largest[: most_under_way(job)]), room), largest[0])
