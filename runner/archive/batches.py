"""Batches of stacks that are read together: of bands that lie in the same tiles, as many as memory has room for."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from runner.archive.turns import own_bytes, room_bytes
from runner.base.shares import share_of
from runner.host.once import Once
from runner.model import Inputs, Stack
from runner.planning.memory import PROCESS_BYTES
from runner.planning.records import Cost, Pass, Plan
from runner.settings import EngineName, JobSettings
from runner.source.parts import Part
from runner.source.scenes import Archive, ReadScenes, inputs_of, read_chosen
from runner.source.stores import Stores

MOST_TOGETHER: Final = 64  # stacks that run together, each with threads of its own
_ASSUMED_BYTES: Final = 4 * 2**30  # of a worker whose memory is not known


class Planned(NamedTuple):
    """A stack and its plan."""

    stack: Stack
    plan: Plan


def of_same_files(parts: Iterable[Part]) -> list[list[Part]]:
    """The stacks of an archive; those of different bands of the same files together, in their order."""
    groups: dict[Hashable, list[Part]] = {}
    for part in parts:
        files: Hashable = part.name if part.band is None else part.files
        groups.setdefault(files, []).append(part)
    return [
        group[first : first + MOST_TOGETHER]
        for group in groups.values()
        for first in range(0, len(group), MOST_TOGETHER)
    ]


def inputs_of_part(part: Part, archive: Archive, job: JobSettings, stores: Stores, headers: Once[ReadScenes]) -> Inputs:
    """List and stack the scenes of a part of an archive; headers are read once for all stacks of the same files.

    Raises as `find_inputs`.
    """
    listed = archive.only(part.candidates)
    read = headers.get(lambda: read_chosen(job.source, listed, stores, job.on_error, lambda *_: None, job.mask))
    return inputs_of(job.source, listed, read, stores)


def first_batch(planned: Sequence[Planned], limit_bytes: int) -> list[int]:
    """The places of those that are read together with the first one."""
    batch, key = [0], what_is_read(planned[0])
    for number, other in enumerate(planned[1:], start=1):
        plans = [planned[place].plan for place in batch]
        if key is not None and what_is_read(other) == key and _fit([*plans, other.plan], limit_bytes):
            batch.append(number)
    return batch


def batches(planned: Sequence[Planned], limit_bytes: int) -> list[list[int]]:
    """The places of all, in batches."""
    remaining, found = [*range(len(planned))], list[list[int]]()
    while remaining:
        places = first_batch([planned[place] for place in remaining], limit_bytes)
        found.append([remaining[place] for place in places])
        remaining = [place for place in remaining if place not in found[-1]]
    return found


def batch_bytes(plans: Iterable[Plan]) -> int:
    """The bytes that a batch takes in this process, besides what the process takes anyway."""
    return sum(map(own_bytes, plans))


def shared_plan(plan: Plan, number: int, of: int) -> Plan:
    """A plan with its share of what a batch reads, as number `number` from 0; the shares add up."""
    passes = (replace(pass_, cost=_shared(pass_.cost, number, of)) for pass_ in plan.passes)
    return replace(plan, passes=tuple(passes)) if of > 1 else plan


def _shared(cost: Cost, number: int, of: int) -> Cost:
    stored, masks = share_of(cost.stored_bytes, number, of), share_of(cost.mask_bytes, number, of)
    requests, of_masks = (
        None if whole is None else share_of(whole, number, of) for whole in (cost.requests, cost.mask_requests)
    )
    return replace(cost, requests=requests, stored_bytes=stored, mask_bytes=masks, mask_requests=of_masks)


def what_is_read(planned: Planned) -> Hashable:
    """The tiles that a stack reads, and how; None if they hold no other band, so that nothing can be read together.

    A damaged tile of a band that lies apart is no fault of the other bands, so these are read as if alone.
    """
    plan, scenes = planned.plan, planned.stack.scenes
    if not all(scene.header.interleaved for scene in scenes) or any(
        p.engine is not EngineName.block for p in plan.passes
    ):
        return None
    by_gdal = tuple(map(plan.reading.by_gdal, scenes))
    return (
        tuple((scene.href, scene.row, scene.column) for scene in scenes),
        by_gdal,
        tuple(p.tasks for p in plan.passes),
    )


def _fit(plans: Sequence[Plan], limit_bytes: int) -> bool:
    """Tell if plans fit together into this process and, pass by pass, into the workers."""
    rooms = (room_bytes(plan, limit_bytes) for plan in plans)
    return batch_bytes(plans) <= min(rooms) and all(
        map(_fit_a_worker, zip(*(plan.passes for plan in plans), strict=True))
    )


def _fit_a_worker(passes: tuple[Pass, ...]) -> bool:
    needed = PROCESS_BYTES + sum((pass_.worker_bytes or PROCESS_BYTES) - PROCESS_BYTES for pass_ in passes)
    return needed <= (passes[0].workers.memory_bytes or _ASSUMED_BYTES)
