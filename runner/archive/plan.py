"""The plan of an archive: what each of its stacks would read, the largest first, and totals. Nothing is computed."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.archive import lines
from runner.archive.batches import Planned, batch_bytes, batches, inputs_of_part, of_same_files, shared_plan
from runner.archive.met_zones import describe_met_zones, met_zones, zone_names
from runner.archive.notes import StackNotes
from runner.archive.on_workers import runs_on_workers
from runner.archive.shards import describe_shard, in_shard
from runner.archive.stack_jobs import ArchiveJob
from runner.archive.turns import most_computing, most_under_way, room_bytes
from runner.archive.worker_place import bytes_of_stacks, job_of_worker
from runner.base.console import progress_bar, say, tell
from runner.cluster.keys import cluster_named
from runner.cluster.kinds import expected_workers
from runner.cluster.started import Expected
from runner.errors import ClusterError, OutsideError, PlanError, RunnerError
from runner.host.memory import memory_limit_bytes
from runner.host.once import Once
from runner.model import Scene, Stack
from runner.output.names import refuse_equal_rasters
from runner.planning.memory import PROCESS_BYTES
from runner.planning.planner import make_plan
from runner.planning.records import Cost, Plan
from runner.preview import remaining_plan, stores_of
from runner.record.recorded_outlines import describe_changed_outlines
from runner.record.reused_run import reused_folder
from runner.record.run import ZonesRecord
from runner.record.run_folder import read_run
from runner.settings import JobSettings, OnError, PlanHeaders
from runner.source.headers import read_headers
from runner.source.mask_files import name_masks
from runner.source.names import Candidate
from runner.source.outlines import outlines_of
from runner.source.parts import Part
from runner.source.reachable import opened_source
from runner.source.remarks import describe_stated
from runner.source.scenes import Archive, ReadScenes, list_stacks, none_left
from runner.source.selection import choose
from runner.source.stack import make_stack
from runner.source.stores import Stores


def show_archive_plan(job: JobSettings) -> None:
    """Print what a run of all stacks would read. Raises PlanError if some of them cannot run."""
    archive = plan_archive(job)
    planned = archive.stacks
    if archive.together:
        holder = "this process" if archive.workers is None else "each worker"
        lines.show_archive_plan(archive.plans, peak_bytes(job, archive), holder)
    if archive.workers is not None and job.archive.cluster is not None:
        say(lines.describe_workers(job.archive.cluster, archive.workers))
    outside = _outside(planned)
    if outside and len(outside) < len(planned):
        say(lines.describe_outside(outside, len(planned)))
    for line in describe_met_zones(job, archive.zones) if archive.plans else ():
        say(line)
    refuse_impossible(planned)


def plan_archive(job: JobSettings) -> "PlannedArchive":
    """All stacks of a job's archive with their plans. Raises RunnerError."""
    workers = _workers_of(job)
    with opened_source(job) as reachable:
        stores = stores_of(reachable)
        archive, parts = list_stacks(reachable.source, stores, reachable.mask)
        for line in (lines.describe_archive(reachable.source, archive, parts), *archive.notes):
            tell(line)
        reused = reused_folder(reachable)
        outlines = outlines_of(reachable, stores)
        for line in describe_changed_outlines(read_run(reused), reachable, outlines) if reused else ():
            tell(line)
        taken = in_shard(parts, job.archive.shard)
        if job.archive.shard:
            tell(describe_shard(job.archive.shard, taken, parts))
        names = zone_names(reachable, stores)
        planned = list(_Planner(ArchiveJob.of(_as_workers_run(reachable, workers)), stores, archive).planned(taken))
    notes = StackNotes()
    for stack in planned:
        notes.take(stack.name, stack.notes)
    notes.tell_others()
    met = [(stack.stack.grid, stack.zones) for stack in planned if stack.stack]
    together = _read_together(taken, planned, _limit_bytes_of(workers))
    return PlannedArchive(tuple(planned), tuple(together), met_zones(names, met), workers)


def _workers_of(job: JobSettings) -> Expected | None:
    """The workers that run whole stacks; None if this process does. A running scheduler is asked."""
    if job.archive.cluster is None or not runs_on_workers(job):
        return None
    with cluster_named("archive.cluster"):
        return expected_workers(job.archive.cluster)


def _as_workers_run(job: JobSettings, workers: Expected | None) -> JobSettings:
    """The job, by the threads and in the memory of its workers."""
    if workers is None:
        return job
    return job_of_worker(job, workers.threads, workers.memory_bytes and bytes_of_stacks(workers.memory_bytes))


def _limit_bytes_of(workers: Expected | None) -> int:
    """The bytes that stacks may take where they run, as far as that is known."""
    return bytes_of_stacks(workers.memory_bytes) if workers and workers.memory_bytes else memory_limit_bytes()


def refuse_impossible(planned: "Sequence[PlannedStack]") -> None:
    """Raise PlanError if some stacks cannot run, or if all of them lie outside."""
    outside = _outside(planned)
    if outside and len(outside) == len(planned):
        name, error = next(iter(outside.items()))
        raise PlanError(f"{lines.describe_outside(outside, len(planned))}; {name}: {error}")
    problems = [stack for stack in planned if stack.problem]
    if problems:
        raise PlanError(
            f"{len(problems)} of {len(planned)} stacks cannot run: {problems[0].name}: {problems[0].problem}"
            + (f"; and {', '.join(stack.name for stack in problems[1:6])}" if len(problems) > 1 else "")
        )


def _outside(planned: "Sequence[PlannedStack]") -> dict[str, str]:
    return {stack.name: stack.outside for stack in planned if stack.outside}


@dataclass(frozen=True, slots=True)
class PlannedStack:
    """A stack and its plan, or the problem that keeps it from running, or why it lies outside and is left out."""

    name: str
    stack: Stack | None = None
    plan: Plan | None = None
    problem: str | None = None
    outside: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def zones(self) -> list[Any]:
        """The names of its zones."""
        zones = next((stage.zones for stage in self.plan.stages if stage.zones), None) if self.plan else None
        return list(zones.names.tolist()) if zones else []


@dataclass(frozen=True, slots=True)
class PlannedArchive:
    """All stacks of an archive, and those that have a plan, by name, in the batches in which they are read."""

    stacks: tuple[PlannedStack, ...]
    together: tuple[dict[str, Planned], ...]
    zones: ZonesRecord
    workers: Expected | None = None  # None if stacks run in this process

    @property
    def plans(self) -> list[tuple[str, Stack, Plan]]:
        """The stacks that would run, each with its share of what its batch reads."""
        return [
            (name, stack, shared_plan(plan, number, len(batch)))
            for batch in self.together
            for number, (name, (stack, plan)) in enumerate(batch.items())
        ]


@dataclass(frozen=True, slots=True)
class _Planner:
    """Plans the stacks of an archive, by the header of the first scene of each, or by all headers."""

    archive: ArchiveJob
    stores: Stores
    listed: Archive

    def planned(self, parts: Sequence[Part]) -> Iterator[PlannedStack]:
        if self.archive.job.archive.headers is PlanHeaders.all or self.archive.job.reuse:
            with progress_bar("stacks") as bar:
                files = [(group, Once[ReadScenes]()) for group in of_same_files(parts)]
                stacks = [(part, headers) for group, headers in files for part in group]
                for done, (stack, headers) in enumerate(stacks, start=1):
                    yield self._planned(stack, headers)
                    bar(done, len(parts))
            return
        examples = self._examples(parts)
        for stack in parts:
            yield self._planned(stack, examples[stack.name])

    def _examples(self, parts: Sequence[Part]) -> dict[str, Scene | str]:
        """The first scene of each stack, or the reason why its header cannot be read."""
        firsts: dict[str, Candidate] = {}
        problems: dict[str, Scene | str] = {}
        for stack in parts:
            try:
                source = self.archive.settings_of(stack).source
                chosen, left_out = choose(source, stack.candidates)
                masked, unmasked = name_masks(self.archive.job.mask, chosen)
                if masked:
                    firsts[stack.name] = masked[0]
                else:
                    problems[stack.name] = none_left(source, Archive.of(stack.candidates), [*left_out, *unmasked])
            except RunnerError as error:
                problems[stack.name] = str(error)
        files = {candidate.item.href: candidate for candidate in firsts.values()}  # one for all of its bands
        with progress_bar("headers") as bar:
            scenes, unread = asyncio.run(read_headers([*files.values()], self.stores, OnError.skip, bar))
        read = {scene.href: scene for scene in scenes}
        reasons = {left_out.item.href: left_out.reason for left_out in unread}
        hrefs = {name: candidate.item.href for name, candidate in firsts.items()}
        return problems | {name: read.get(href) or f"{href}: {reasons[href]}" for name, href in hrefs.items()}

    def _planned(self, part: Part, example: Scene | str | Once[ReadScenes]) -> PlannedStack:
        if isinstance(example, str):
            return PlannedStack(part.name, problem=example)
        job = self.archive.settings_of(part)
        try:
            if isinstance(example, Scene):
                stack = _stack_like(job, part, example, self.stores)
                plan = _as_listed(make_plan(job, stack, 0, self.stores, most_computing(job)), stack, example)
                refuse_equal_rasters(plan.stages, job.output.layout)
                notes = describe_stated(self.listed.stated, stack, job.source)
                return PlannedStack(part.name, stack, plan, notes=tuple(notes))
            inputs = inputs_of_part(part, self.listed, job, self.stores, example)
            plan = make_plan(job, inputs.stack, inputs.skipped, self.stores, most_computing(job))
            refuse_equal_rasters(plan.stages, job.output.layout)
            plan, reused = remaining_plan(job, plan, inputs.stack)
            return PlannedStack(part.name, inputs.stack, plan, notes=(*inputs.notes, *reused))
        except OutsideError as error:
            return PlannedStack(part.name, outside=str(error))
        except ClusterError:  # which is no stack's own: the next one would wait for the same workers
            raise
        except RunnerError as error:
            return PlannedStack(part.name, problem=str(error))


def _stack_like(job: JobSettings, part: Part, example: Scene, stores: Stores) -> Stack:
    """The stack, if all its scenes are like this one."""
    chosen, _ = choose(job.source, part.candidates)
    scenes = [
        replace(
            example,
            name=candidate.scene,
            href=candidate.item.href,
            time=candidate.time,
            groups=candidate.groups,
            size=example.size if candidate.item.size is None else candidate.item.size,
        )
        for candidate in chosen
    ]
    return make_stack(job.source, scenes, stores)


def _as_listed(plan: Plan, stack: Stack, example: Scene) -> Plan:
    """The plan of scenes that are like one, with as many stored bytes as the listing says that they have.

    Of masks, which are not listed, each has as many as the first.
    """
    share = sum(scene.size for scene in stack.scenes) / max(len(stack.scenes) * example.size, 1)

    def as_listed(cost: Cost) -> Cost:
        of_scenes = round(share * (cost.stored_bytes - cost.mask_bytes))
        return replace(cost, stored_bytes=of_scenes + cost.mask_bytes)

    return replace(plan, passes=tuple(replace(pass_, cost=as_listed(pass_.cost)) for pass_ in plan.passes))


def _read_together(parts: Sequence[Part], stacks: Iterable[PlannedStack], limit_bytes: int) -> list[dict[str, Planned]]:
    """The stacks that have a plan, by name, in the batches in which they are read."""
    planned = {stack.name: Planned(stack.stack, stack.plan) for stack in stacks if stack.stack and stack.plan}
    together: list[dict[str, Planned]] = []
    for group in of_same_files(part for part in parts if part.name in planned):
        names, stacks_of_group = [part.name for part in group], [planned[part.name] for part in group]
        in_batches = batches(stacks_of_group, limit_bytes)
        together += [{names[place]: stacks_of_group[place] for place in batch} for batch in in_batches]
    return together


def peak_bytes(job: JobSettings, archive: PlannedArchive) -> int | None:
    """The most that this process, or each worker, holds while stacks overlap; None where dask decides."""
    together = [[planned.plan for planned in batch.values()] for batch in archive.together]
    plans = [plan for batch in together for plan in batch]
    if not plans or any(pass_.worker_bytes is None for plan in plans for pass_ in plan.passes):
        return None
    largest = sorted(map(batch_bytes, together), reverse=True)
    room = min(room_bytes(plan, _limit_bytes_of(archive.workers)) for plan in plans)
    return PROCESS_BYTES + max(min(sum(largest[: most_under_way(job)]), room), largest[0])
