"""What a sweep is made of: jobs, the attempts at them, and what is written down of each attempt (`job.json`)."""

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from types import NoneType
from typing import Any

from runner.base.overrides import parse

SCHEMA_VERSION = 1
ALL, FEW = "all", "few"  # rungs: every scene, or those of sweep.prune


class Status(StrEnum):
    """How an attempt stands, or ended."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REFUSED = "REFUSED"  # by the plan, or for its settings; not launched
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DIED = "DIED"  # by a signal that the sweep did not send
    INTERRUPTED = "INTERRUPTED"
    PRUNED = "PRUNED"  # not among the best of the first rung; not launched on all scenes


SETTLED = frozenset({Status.COMPLETED, Status.REFUSED, Status.PRUNED})  # a resumed sweep leaves these as they are
TROUBLE = frozenset(Status) - SETTLED


@dataclass(frozen=True, slots=True)
class Job:
    """One setting of all that is swept: the words of a command line, less those of the sweep itself."""

    number: int
    words: tuple[str, ...]
    baseline: bool = False
    config_sha256: str | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job; repeats count from 1."""

    job: Job
    repeat: int = 1
    rung: str = ALL

    @property
    def name(self) -> str:
        """Its folder: 007, 007-2 for the second repeat, 007-few and 007-few-2 for those on few scenes."""
        few = "-few" if self.rung == FEW else ""
        return f"{self.job.number:03d}{few}" + (f"-{self.repeat}" if self.repeat > 1 else "")


@dataclass(slots=True)
class JobRecord:
    """`job.json`: an attempt as the launcher saw it, times in seconds and ISO 8601 UTC, memory in bytes.

    `peak_bytes` is the most that the job's process and all it started were seen to hold at one time; `cpu_seconds` is
    of the processes that had ended with it.
    """

    job: int
    repeat: int
    rung: str
    baseline: bool
    overrides: list[str]
    varied: dict[str, str]
    status: Status
    config_sha256: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    order: int | None = None
    started: str | None = None
    ended: str | None = None
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    schema: int = field(default=SCHEMA_VERSION)

    @classmethod
    def of(cls, attempt: Attempt, varied: dict[str, str], status: Status, reason: str | None = None) -> "JobRecord":
        """The record of an attempt that has not been begun."""
        job = attempt.job
        return cls(
            job.number, attempt.repeat, attempt.rung, job.baseline, list(job.words), varied, status,
            config_sha256=job.config_sha256, reason=reason,
        )  # fmt: skip

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> "JobRecord":
        """From the JSON. Raises KeyError, TypeError or ValueError for what is no such record."""
        for name in ("wall_seconds", "cpu_seconds", "peak_bytes", "order"):
            value = facts.get(name)
            if not isinstance(value, (int, float, NoneType)) or (value is not None and not math.isfinite(value)):
                raise TypeError(f"{name} is {value!r}")
        plain = {
            "job": int(facts["job"]),
            "repeat": int(facts["repeat"]),
            "overrides": [str(word) for word in facts["overrides"]],
            "varied": {str(key): str(value) for key, value in dict(facts["varied"]).items()},
            "status": Status(facts["status"]),
        }
        return cls(**{**facts, **plain})

    def facts(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def fair_order(jobs: Sequence[Job], repeats: int, rung: str, seed: int) -> list[Attempt]:
    """Every job once in an order of chance, then again in another: what drifts with time strikes all alike."""
    chance = random.Random(f"{seed} {rung}")  # noqa: S311 - no secret
    rounds = ((repeat, chance.sample(jobs, len(jobs))) for repeat in range(1, repeats + 1))
    return [Attempt(job, repeat, rung) for repeat, several in rounds for job in several]


def varied_words(jobs: Sequence[Job], swept: Collection[str] = ()) -> dict[int, dict[str, str]]:
    """Of each job, by number, the words (key -> value) in which the jobs are not all alike, and of the `swept` keys."""
    words = {job.number: {one.key: one.setting for one in map(parse, job.words)} for job in jobs}
    keys = dict.fromkeys(key for one in words.values() for key in one)
    alike = {key for key in keys if len({one.get(key) for one in words.values()}) == 1} - {*swept}
    return {number: {k: v for k, v in one.items() if k not in alike} for number, one in words.items()}
