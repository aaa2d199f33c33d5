"""The jobs of a sweep: their overrides, the attempts at them, and the order of these."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runner.base.overrides import parted
from runner.leaderboard.records import ALL, FEW, JobRecord, Rung, Status


@dataclass(frozen=True, slots=True)
class Job:
    """One combination of the swept values: the overrides of its command line, without those of the sweep itself."""

    number: int
    overrides: tuple[str, ...]
    baseline: bool = False
    config_sha256: str | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job; repeats count from 1."""

    job: Job
    repeat: int = 1
    rung: Rung = ALL

    @property
    def name(self) -> str:
        """The name of its folder."""
        return attempt_name(self.job.number, self.repeat, self.rung)

    def record(self, varied: dict[str, str], status: Status, reason: str | None = None) -> JobRecord:
        """The record of an attempt that has not started."""
        job = self.job
        return JobRecord(
            job=job.number, repeat=self.repeat, rung=self.rung, baseline=job.baseline,
            overrides=job.overrides, varied=varied, status=status, config_sha256=job.config_sha256, reason=reason,
        )  # fmt: skip


def attempt_name(job: int, repeat: int, rung: str) -> str:
    """007, 007-2 for the second repeat, 007-few and 007-few-2 for those on few scenes."""
    return f"{job:03d}" + ("-few" if rung == FEW else "") + (f"-{repeat}" if repeat > 1 else "")


def fair_order(jobs: Sequence[Job], repeats: int, rung: Rung, seed: int) -> list[Attempt]:
    """Every job once in random order, then again in another order: a drift over time affects all jobs alike."""
    chance = random.Random(f"{seed} {rung}")  # noqa: S311 - no secret
    rounds = ((repeat, chance.sample(jobs, len(jobs))) for repeat in range(1, repeats + 1))
    return [Attempt(job, repeat, rung) for repeat, order in rounds for job in order]


def varied_overrides(jobs: Sequence[Job], swept: Collection[str] = ()) -> dict[int, dict[str, str]]:
    """By job number, the overrides (key -> value) that not all jobs share, and those of the `swept` keys."""
    values = {job.number: dict(map(parted, job.overrides)) for job in jobs}
    keys = dict.fromkeys(key for own in values.values() for key in own)
    shared = {key for key in keys if len({own.get(key) for own in values.values()}) == 1} - {*swept}
    return {number: {k: v for k, v in own.items() if k not in shared} for number, own in values.items()}
