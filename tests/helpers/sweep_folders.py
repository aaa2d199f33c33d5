"""Folders of sweeps, written as the launcher and its jobs write them, without a process."""

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count, product
from pathlib import Path
from typing import Any

import msgspec
from log_folders import PASS, write_run
from msgspec.structs import replace

from runner.config import job_config as config
from runner.config.vocabulary import config_dir
from runner.leaderboard.board import Leaderboard, read_leaderboard
from runner.leaderboard.records import FEW, SWEEP, Status, SweepRecord, write_record
from runner.record.run import STATUSES, Failure
from runner.sweep import jobs as sweep_jobs
from runner.sweep.folder import SweepFolder
from runner.sweep.jobs import Attempt

MB = 10**6
ROW, BLOCK, SCENE = ({"chunks": name} for name in ("row", "block", "scene"))


@dataclass(frozen=True)
class Job:
    """One job: what varied, and how each attempt at it ended; `bits` names the values that it computed."""

    settings: Mapping[str, str]
    walls: Sequence[float] = (2.0,)
    peak: float = 500 * MB
    status: str = "COMPLETED"
    reason: str | None = None
    bits: str = "right"
    baseline: bool = False
    engine: str = "block"
    scenes: Sequence[str] = ("a", "b")
    few: float | None = None  # wall seconds of a first rung
    more: Mapping[str, Any] = field(default_factory=dict)  # other settings of its config, by dotted key
    fixed: Sequence[str] = ()  # overrides that all jobs have
    config: Mapping[str, Any] | None = None  # a whole one, instead of the made-up one

    @property
    def overrides(self) -> tuple[str, ...]:
        return (*(f"{key}={value}" for key, value in self.settings.items()), *self.fixed)

    def of(self, number: int) -> sweep_jobs.Job:
        return sweep_jobs.Job(number, self.overrides, self.baseline)


def write_sweep(folder: Path, jobs: Iterable[Job], **values: Any) -> Path:
    """A sweep that the isolated launcher has ended, its attempts in the order of repeats, then jobs.

    `values` are those of sweep.json, as JSON has them.
    """
    jobs = list(jobs)
    folder.mkdir(parents=True)
    repeats = max((len(job.walls) for job in jobs), default=0)
    whole = {
        "status": "COMPLETED", "started": "2026-11-23T14:05:09Z", "ended": "2026-11-23T14:09:12Z",
        "heartbeat": "2026-11-23T14:09:12Z", "pid": os.getpid(), "host": platform.node(), "command": ["runner"],
        "overrides": ["-m", "chunks=row,block"], "settings": {"repeats": max(repeats, 1)}, "planned": len(jobs),
        "cores": 2, "memory_bytes": 24 * 10**9,
    }  # fmt: skip
    record = msgspec.convert({**whole, **values}, SweepRecord)
    write_record(folder / SWEEP, record)
    sweep, order = SweepFolder(folder, record), count()
    for number, job in enumerate(jobs):
        if job.few is not None:
            write_attempt(sweep, job, job.few, Attempt(job.of(number), rung=FEW), next(order))
    for repeat in range(repeats):
        for number, job in enumerate(jobs):
            if repeat < len(job.walls):
                write_attempt(sweep, job, job.walls[repeat], Attempt(job.of(number), repeat + 1), next(order))
    return folder


def write_attempt(sweep: SweepFolder, job: Job, wall: float, attempt: Attempt, order: int) -> None:
    status = Status.COMPLETED if attempt.rung == FEW else Status(job.status)
    record = attempt.record(dict(job.settings), status, job.reason)
    if status not in (Status.REFUSED, Status.PRUNED):
        write_results(sweep.of(attempt), job, status, wall)
        record = replace(
            record, order=order, exit_code=0, wall_seconds=wall, cpu_seconds=1.5 * wall, peak_bytes=int(job.peak)
        )
    sweep.keep(attempt, record)


def alter(file: Path, **values: Any) -> None:
    """Change values of a JSON file as no writer would."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def write_results(folder: Path, job: Job, status: str, wall: float) -> None:
    """The run: run.json, and outputs.json of one that completed."""
    completed = status == "COMPLETED"
    settings = {"engine": job.engine, "source.exclude": list(job.scenes), **job.more}
    fetched = [PASS] if job.engine == "block" else [replace(PASS, fetched=None)]
    whole = {"config": dict(job.config)} if job.config else {}
    write_run(
        folder, settings, status=status if status in STATUSES else "RUNNING", seconds=wall - 0.5, **whole,
        overrides=tuple(job.overrides), passes=fetched if completed else (),
        error=None if completed else Failure("ReadError", "gone"),
    )  # fmt: skip
    if completed:
        values = [{"name": "mean", "sha256": digest(job.bits), "dtype": "float32", "shape": [4, 4]}]
        file = {"name": "temporal_mean.tif", "bytes": 1, "sha256": "", "stage": "temporal_mean", "over": "time"}
        (folder / "outputs.json").write_text(json.dumps({"schema": 1, "files": [{**file, "values": values}]}))


def digest(bits: str) -> str:
    return hashlib.sha256(bits.encode()).hexdigest()


def grid(walls: Mapping[tuple[str, ...], Sequence[float]], *keys: str, **same: Any) -> list[Job]:
    """A job for each combination of values."""
    return [Job(dict(zip(keys, values, strict=True)), each, **same) for values, each in walls.items()]


CLUSTERS = ("cluster@stages.spatial_mean.cluster", "cluster@stages.temporal_mean.cluster")


def clusters(repeats: int = 3) -> list[Job]:
    """Three kinds for each of two stages, the notebook's mix as baseline: the more processes, the slower and larger."""
    walls = [9.1 + 0.1 * at for at in range(repeats)]
    found = [Job({"engine": "xarray"}, walls, 900 * MB, engine="xarray", baseline=True)]
    kinds = ("threads", "processes", "sync")
    for number, pair in enumerate(product(kinds, kinds)):
        wall = 2.4 + 1.9 * pair.count("processes") + 0.7 * pair.count("sync") + 0.04 * number
        peak = (420 + 260 * pair.count("processes") - 60 * pair.count("sync")) * MB
        walls = [wall * (1 + 0.01 * (at - 1)) for at in range(repeats)]
        found.append(Job(dict(zip(CLUSTERS, pair, strict=True)), walls, peak))
    return found


def trouble() -> list[Job]:
    """A job of every end, and one of other values."""
    ends = {
        "FAILED": "ReadError: s3://bucket/lake/x.tif: gone since it was listed", "TIMEOUT": "longer than 20 s",
        "OUT_OF_MEMORY": "more than 2.1 GB", "DIED": "signal 9", "PRUNED": "rank 7 of 9 on 3 scenes",
        "REFUSED": "a task needs 3.1 GB, a worker may have 1 GB; lower chunks.time", "INTERRUPTED": "Ctrl-C",
    }  # fmt: skip
    rows = [
        Job({"chunks": "row"}, (2.0,)),
        Job({"chunks": "block"}, (2.6,)),
        Job({"chunks": "wrong"}, (1.5,), bits="x"),
    ]
    return [*rows, *(Job({"chunks": name.lower()}, (1.0,), status=name, reason=why) for name, why in ends.items())]


@cache
def composed(*overrides: str) -> dict[str, Any]:
    """The config that these overrides make, as run.json has it."""
    from hydra import compose, initialize_config_dir

    config.register_settings()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        tree = compose("config", list(overrides))
        tree.output.dir = "outputs/test"
        return config.resolved(tree)


def board_of(folder: Path, *jobs: Job, **facts: Any) -> Leaderboard:
    return read_leaderboard(write_sweep(folder / "sweep", jobs, **facts))


def places(board: Leaderboard) -> list[tuple[int, int | None]]:
    return [(row.job, row.rank) for row in board.rows]
