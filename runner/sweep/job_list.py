"""The jobs of a sweep composed and checked, before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from runner.base.overrides import key_of
from runner.errors import ConfigError
from runner.settings import JobSettings
from runner.sweep.compose import Composer
from runner.sweep.jobs import Job, varied_overrides


@dataclass(slots=True)
class JobList:
    """The jobs so far, with the settings of each that can be composed."""

    composer: Composer
    jobs: list[Job] = field(default_factory=list)
    settings: dict[int, JobSettings] = field(default_factory=dict)  # by the number of the job
    swept: tuple[str, ...] = ()  # keys of a search, whose jobs come one by one

    def add(self, overrides: Sequence[str], number: int | None = None, *, baseline: bool = False) -> Job:
        """Compose one more job; if its settings are wrong, it carries the refusal."""
        if number is None:
            number = max((job.number for job in self.jobs), default=-1) + 1
        sha, refusal = None, None
        try:
            self.settings[number], sha = self.composer.job(overrides)
        except ConfigError as error:
            refusal = str(error)
        self.jobs.append(Job(number, tuple(overrides), baseline, sha, refusal))
        return self.jobs[-1]

    def add_grid(
        self, fixed: Sequence[str], combinations: Sequence[Sequence[str]], baseline: Sequence[str] | None
    ) -> list[Job]:
        """Add the baseline, if there is one, and a job for each combination; one with the baseline's config is both.

        Raises ConfigError for an override that no job can have, such as an option that does not exist, and for a
        baseline whose settings are wrong.
        """
        base = self.add_baseline(fixed, baseline)
        jobs = [self.add(overrides) for overrides in combinations]
        twin = next((job for job in jobs if base and job.config_sha256 == base.config_sha256), None)
        if twin is not None:
            self._replace_baseline_by(twin)
        self._refuse_impossible()
        return self.jobs

    def add_baseline(self, fixed: Sequence[str], baseline: Sequence[str] | None) -> Job | None:
        """Add the job that all others are compared with, if there is one. Raises ConfigError for wrong settings."""
        if not baseline:
            return None
        keys = set(map(key_of, baseline))
        job = self.add([*(override for override in fixed if key_of(override) not in keys), *baseline], baseline=True)
        if job.refusal:
            raise ConfigError(f"sweep.baseline: {job.refusal}")
        return job

    def add_trial(self, overrides: Sequence[str], number: int | None = None) -> Job:
        """Add a job of a search, with the number that an earlier sweep gave it; or the baseline, if it is the same."""
        job = self.add(overrides, number)
        base = next((base for base in self.jobs if base.baseline and base.config_sha256 == job.config_sha256), None)
        if base is None:
            return job
        self.jobs.remove(job)
        del self.settings[job.number]
        return base

    def varied(self, job: Job) -> dict[str, str]:
        """The overrides of a job that not all jobs share, key -> value."""
        return varied_overrides(self.jobs, self.swept)[job.number]

    def _replace_baseline_by(self, twin: Job) -> None:
        """Drop the job of number 0, which was added as the baseline; the others count from 0."""
        self.settings = {number - 1: settings for number, settings in self.settings.items() if number}
        self.jobs = [replace(job, number=job.number - 1, baseline=job is twin) for job in self.jobs[1:]]

    def _refuse_impossible(self) -> None:
        """Refuse the whole sweep for an override that only refused jobs have.

        One that other jobs can have contradicts other settings of a refused job, which stays a row.
        """
        possible = {override for job in self.jobs if not job.refusal for override in job.overrides}
        for job in self.jobs:
            if job.refusal and not (job.overrides and possible.issuperset(job.overrides)):
                raise ConfigError(job.refusal)
