"""The passes of a run; of one that did not end, the sums over its tasks."""

from dataclasses import replace
from typing import Final

import numpy as np

from runner.base import humanize
from runner.record.run import Inflated, PassRecord, Run
from runner.report.records import Floats, PassFacts, Tasks

_SAME: Final = ("start_seconds", "compute_seconds", "read_seconds", "reduce_seconds", "compile_seconds", "cpu_seconds",
                "workers_lost", "reused", "peak_bytes")  # fmt: skip


def passes_of(run: Run, tasks: Tasks | None) -> tuple[PassFacts, ...]:
    """The passes; one that did not end has the sums over its tasks, and one that is not recorded nothing else."""
    passes = [_pass_facts(pass_) for pass_ in run.passes]
    if tasks is None:
        return tuple(passes)
    known = {pass_.name for pass_ in passes}
    lacking = [PassFacts(name, ended=False) for name in dict.fromkeys(tasks.pass_name) if name not in known]
    return tuple(pass_ if pass_.ended else _added_up(pass_, tasks) for pass_ in [*passes, *lacking])


def _pass_facts(record: PassRecord) -> PassFacts:
    cluster, fetched = record.cluster, record.fetched
    processes = humanize.plural(cluster.n_workers, "process", "processes")
    size = f", {processes}, {humanize.plural(cluster.threads, 'thread')}" if cluster.n_workers else ""
    return PassFacts(
        name=record.name,
        cluster=f"{cluster.kind}{size}",
        workers=cluster.n_workers,
        chunks=humanize.sides((record.chunks.time, record.chunks.y, record.chunks.x)),
        tasks=record.tasks,
        planned_requests=record.planned.requests,
        planned_bytes=record.planned.stored_bytes,
        worker_bytes=record.planned.worker_bytes,
        requests=fetched.requests if fetched else None,
        bytes=fetched.bytes if fetched else None,
        retries=fetched.retries if fetched else None,
        inflating=_inflating(record.inflated),
        missing_tiles=record.inflated.missing_tiles if record.inflated else None,
        ended=record.has_ended,
        **{name: getattr(record, name) for name in _SAME},
    )


def _inflating(inflated: Inflated | None) -> str:
    """The way that most bytes took, and the speed of both."""
    if inflated is None:
        return ""
    rates = [("in lanes", inflated.lanes_rate), ("by libdeflate", inflated.libdeflate_rate)]
    known = [f"{way} {humanize.rate(rate)} a thread" for way, rate in rates if rate]
    return ", ".join(known if inflated.mostly_in_lanes else reversed(known))


def _added_up(pass_: PassFacts, tasks: Tasks) -> PassFacts:
    tasks = tasks.where(tasks.own & (np.array(tasks.pass_name) == pass_.name))
    timed = tasks.where(np.isfinite(tasks.seconds))
    peaks: dict[tuple[str, ...], float] = {}
    for lane, peak in zip(tasks.lane, tasks.peak_bytes, strict=True):
        peaks[lane[:2]] = max(peaks.get(lane[:2], 0.0), float(np.nan_to_num(peak)))
    return replace(
        pass_,
        requests=_sum(tasks.requests),
        bytes=_sum(tasks.bytes),
        retries=_sum(tasks.retries),
        compute_seconds=float(timed.stop.max() - timed.start.min()) if len(timed) else None,
        read_seconds=_sum(tasks.fetch + tasks.decode),
        reduce_seconds=_sum(tasks.reduce),
        peak_bytes=sum(peaks.values()) or None,
    )


def _sum(numbers: Floats) -> float | None:
    """Of those that are known."""
    return float(np.nansum(numbers)) if np.isfinite(numbers).any() else None
