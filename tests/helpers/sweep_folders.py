"""Sweeps' folders written by hand, as the launcher and its jobs leave them, without a process."""

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

from log_folders import PASS, write_run

from runner.config import job_config as config
from runner.config.vocabulary import config_dir
from runner.leaderboard.board import Leaderboard, read_leaderboard

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
    fixed: Sequence[str] = ()  # words of its command that all jobs have
    config: Mapping[str, Any] | None = None  # a whole one, instead of the made-up one

    @property
    def words(self) -> list[str]:
        return [*(f"{key}={value}" for key, value in self.settings.items()), *self.fixed]


def write_sweep(folder: Path, jobs: Iterable[Job], **facts: Any) -> Path:
    """A sweep that the isolated launcher has ended, its attempts in the order of repeats, then jobs."""
    jobs = list(jobs)
    folder.mkdir(parents=True)
    settings = {"repeats": max((len(job.walls) for job in jobs), default=1), "seed": 0, "objective": ["wall"]}
    whole = {
        "schema": 1, "status": "COMPLETED", "started": "2026-11-23T14:05:09.000+00:00",
        "ended": "2026-11-23T14:09:12.000+00:00", "heartbeat": "2026-11-23T14:09:12.000+00:00", "pid": os.getpid(),
        "host": platform.node(), "command": ["runner"], "overrides": ["-m", "chunks=row,block"], "settings": settings,
        "planned": len(jobs), "cores": 2, "memory_bytes": 24 * 10**9,
    }  # fmt: skip
    (folder / "sweep.json").write_text(json.dumps({**whole, **facts}))
    order = count()
    for number, job in enumerate(jobs):
        if job.few is not None:
            write_attempt(folder / f"{number:03}-few", number, job, 1, job.few, next(order), rung="few")
    for repeat in range(max((len(job.walls) for job in jobs), default=0)):
        for number, job in enumerate(jobs):
            if repeat < len(job.walls):
                name = f"{number:03}" + (f"-{repeat + 1}" if repeat else "")
                write_attempt(folder / name, number, job, repeat + 1, job.walls[repeat], next(order))
    return folder


def write_attempt(folder: Path, number: int, job: Job, repeat: int, wall: float, order: int, rung: str = "all") -> None:
    status = "COMPLETED" if rung == "few" else job.status
    launched = status not in ("REFUSED", "PRUNED")
    if launched:
        write_results(folder, job, status, wall)
    else:
        folder.mkdir()
    facts = {
        "schema": 1, "job": number, "repeat": repeat, "rung": rung, "baseline": job.baseline, "overrides": job.words,
        "varied": dict(job.settings), "status": status, "reason": job.reason, "exit_code": 0 if launched else None,
        "order": order, "started": None, "ended": None, "wall_seconds": wall if launched else None,
        "cpu_seconds": 1.5 * wall if launched else None, "peak_bytes": job.peak if launched else None,
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(facts))


def write_results(folder: Path, job: Job, status: str, wall: float) -> None:
    """The run: run.json, and outputs.json of one that completed."""
    completed = status == "COMPLETED"
    settings = {"engine": job.engine, "source.exclude": list(job.scenes), **job.more}
    fetched = [PASS] if job.engine == "block" else [{**PASS, "fetched": None}]
    whole = {"config": dict(job.config)} if job.config else {}
    write_run(
        folder, settings, status=status, seconds=wall - 0.5, overrides=job.words, **whole,
        passes=fetched if completed else [], error=None if completed else {"kind": "ReadError", "message": "gone"},
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
def composed(*words: str) -> dict[str, Any]:
    """The config that these words make, as run.json has it."""
    from hydra import compose, initialize_config_dir

    config.register_settings()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        tree = compose("config", list(words))
        tree.output.dir = "outputs/test"
        return config.resolved(tree)


def board_of(folder: Path, *jobs: Job, **facts: Any) -> Leaderboard:
    return read_leaderboard(write_sweep(folder / "sweep", jobs, **facts))


def places(board: Leaderboard) -> list[tuple[int, int | None]]:
    return [(row.job, row.rank) for row in board.rows]
