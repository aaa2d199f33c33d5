"""The story of a sweep: compose its jobs, refuse what cannot run, run the others in a fair order, keep the table."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median

from runner.base.console import tell
from runner.base.overrides import key_of
from runner.base.redact import redact
from runner.errors import ConfigError, SweepError
from runner.leaderboard.jobs import ALL, FEW, SETTLED, Attempt, Job, JobRecord, Status, fair_order, varied_words
from runner.leaderboard.sweep_folder import SweepFolder, again, earlier_sweep, first_facts, living, new_sweep
from runner.settings import JobSettings, Objective, Start, SweepSettings
from runner.sweep.compose import Composer, memory_limit_bytes
from runner.sweep.ending import refuse_trouble, table_kept
from runner.sweep.launch import Launchpad, attempted, unmeasured
from runner.sweep.preflight import Planner, forget_files
from runner.sweep.process import Limits
from runner.sweep.progress import Progress

_WARM_UP = ".warm-up"


@dataclass(slots=True)
class Session:
    """A sweep under way: its folder, and its jobs so far with what they are to run."""

    composer: Composer
    question: Sequence[str]  # the words that make the jobs, by which the same sweep is known again
    settings: SweepSettings = field(init=False)
    sweep: SweepFolder = field(init=False)
    jobs: list[Job] = field(default_factory=list)
    swept: tuple[str, ...] = ()  # keys of a search, whose jobs come one by one
    planned: int | None = None  # runs of a search, of which no batch of jobs can say how many
    _composed: dict[int, JobSettings] = field(default_factory=dict)
    _planner: Planner = field(default_factory=Planner)
    _warm: set[str] = field(default_factory=set)  # the engines that have run
    _order: int = 0
    _is_found: bool = False
    _pad: Launchpad = field(init=False)

    def __post_init__(self) -> None:
        self.settings = self.composer.settings()
        limits = Limits(self.settings.timeout, memory_limit_bytes(self.settings))
        self._pad = Launchpad(limits, self.settings.start)

    @contextmanager
    def opened(self, *, whole: bool = True) -> Iterator[None]:
        """The sweep's folder, new or an earlier one's; whatever ends it, the table is kept.

        Raises SweepError for one that cannot be resumed, which is left as it is, and at the end, if it is the `whole`
        sweep, if a run has not completed. One that comes in batches is opened for each.
        """
        self.find()
        self._refuse_changed(self.jobs)
        with table_kept(self.sweep.path, self._say_what_varies, whole=whole), living(self.sweep):
            yield
            if whole:
                refuse_trouble(self.sweep)

    def find(self) -> None:
        """Claim the folder, or read an earlier sweep's, of which nothing is changed before it is opened.

        Raises SweepError for one that cannot be resumed.
        """
        if self._is_found:
            return
        folder, question = self.composer.folder, [redact(word) for word in self.question]
        facts = first_facts(sys.argv, self.composer.words, question, self.composer.facts())
        if self.settings.resume is None:
            self.sweep = new_sweep(folder, facts)
        else:
            self.sweep = again(earlier_sweep(self.settings.resume, question, self.composer.outputs), facts)
            for problem in self.sweep.damaged():
                tell(f"{problem}; it counts as not run")
        self._is_found = True

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def add(self, several: Sequence[Sequence[str]], *, baseline: bool = False) -> list[Job]:
        """Compose the jobs of these words; those whose settings cannot be are refused, by the reason."""
        return [self._add(tuple(words), baseline) for words in several]

    def add_trial(self, words: Sequence[str], number: int | None = None) -> Job:
        """One more job of a search, of this number if an earlier sweep gave it one; or the baseline, if it is that."""
        job = self._add(tuple(words), number=number)
        base = next((one for one in self.jobs if one.baseline and one.config_sha256 == job.config_sha256), None)
        if base is None:
            return job
        self.jobs.remove(job)
        del self._composed[job.number]
        return base

    def _add(self, words: tuple[str, ...], baseline: bool = False, number: int | None = None) -> Job:
        if number is None:
            number = max((job.number for job in self.jobs), default=-1) + 1
        sha, refusal = None, None
        try:
            self._composed[number], sha = self.composer.job(words)
        except ConfigError as error:
            refusal = str(error)
        self.jobs.append(Job(number, words, baseline, sha, refusal))
        return self.jobs[-1]

    def add_grid(self, fixed: Sequence[str], several: Sequence[Sequence[str]]) -> list[Job]:
        """The baseline, if there is one, and the jobs; a job with the baseline's config is the baseline itself.

        Raises ConfigError where no job's settings can be, or the baseline's cannot.
        """
        base = self.add_baseline(fixed)
        jobs = self.add(several)
        twin = next((job for job in jobs if base and job.config_sha256 == base[0].config_sha256), None)
        if twin is not None:
            self._let_stand_for_the_baseline(twin)
        if all(job.refusal for job in self.jobs):
            raise ConfigError(str(self.jobs[-1].refusal))
        return self.jobs

    def add_baseline(self, fixed: Sequence[str]) -> list[Job]:
        """The job that the others are compared with, if one is asked for. Raises ConfigError if it cannot be."""
        base = self.add([self._baseline_words(fixed)], baseline=True) if self.settings.baseline else []
        if base and base[0].refusal:
            raise ConfigError(f"sweep.baseline: {base[0].refusal}")
        return base

    def _baseline_words(self, fixed: Sequence[str]) -> list[str]:
        own = self.settings.baseline or []
        keys = {key_of(word) for word in own}
        return [*(word for word in fixed if key_of(word) not in keys), *own]

    def _let_stand_for_the_baseline(self, twin: Job) -> None:
        """The job of number 0, which was added as the baseline, is dropped, and the others count from 0."""
        self._composed = {number - 1: job for number, job in self._composed.items() if number}
        self.jobs = [replace(job, number=job.number - 1, baseline=job is twin) for job in self.jobs[1:]]

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self, jobs: Sequence[Job]) -> None:
        """Run jobs as often as asked, on few scenes first if asked. What an earlier sweep has settled stays."""
        self._refuse_changed(jobs)
        able = self._able(jobs)
        if self.settings.prune is not None:
            self._run_rung(able, FEW)
            able = self._best(able)
        self._run_rung(able, ALL)

    def _able(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that are not refused; of the others that is written down."""
        able = []
        for job in jobs:
            status = self._status(Attempt(job))
            if status is Status.REFUSED:
                continue
            planned = status is Status.COMPLETED
            reason = None if planned else job.refusal or self._planner.refusal(self._composed[job.number])
            if reason is None:
                able.append(job)
            else:
                self._settle(Attempt(job), Status.REFUSED, reason)
        if len(able) < len(jobs):
            tell(f"{len(jobs) - len(able)} of {len(jobs)} jobs are refused by the plan")
        return able

    def _settle(self, attempt: Attempt, status: Status, reason: str) -> None:
        """Write down an attempt that is not launched, unless an earlier sweep says the same or has run it."""
        if self._status(attempt) in (status, Status.COMPLETED):
            return
        self.sweep.set_aside(attempt)
        self.sweep.keep(attempt, JobRecord.of(attempt, self._varied(attempt.job), status, " ".join(reason.split())))

    def _run_rung(self, jobs: Sequence[Job], rung: str) -> None:
        attempts = fair_order(jobs, self.settings.repeats, rung, self.settings.seed + self._order)
        ordered = list(enumerate(attempts, start=self._order))
        self._order += len(ordered)
        stay = SETTLED - {Status.PRUNED}
        todo = [(order, attempt) for order, attempt in ordered if self._status(attempt) not in stay]
        self.sweep.update(planned=self.planned or len(ordered))
        if len(todo) < len(ordered):
            tell(f"{len(ordered) - len(todo)} of {len(ordered)} runs are there already")
        self._warm_up([attempt for _, attempt in todo])
        tasks = [partial(self._attempt, order, attempt) for order, attempt in todo]
        there = self._order - len(todo) if self.planned else 0
        with (
            Progress(self.planned or len(tasks), there) as progress,
            closing(self._pad.each(tasks, self.settings.n_jobs)) as records,
        ):
            for record in records:
                progress.done(record)

    def _attempt(self, order: int, attempt: Attempt) -> JobRecord:
        self._cool(attempt.job)
        record = JobRecord.of(attempt, self._varied(attempt.job), Status.RUNNING)
        record.order = order
        command = self.composer.command(self._words(attempt), self.sweep.of(attempt))
        return attempted(self.sweep, self._pad, attempt, command, record)

    def _words(self, attempt: Attempt) -> list[str]:
        words, few = list(attempt.job.words), self.settings.prune
        if attempt.rung == ALL or few is None:
            return words
        limit = self._composed[attempt.job.number].source.limit
        scenes = few if limit is None else min(few, limit)
        return [*(word for word in words if key_of(word) != "source.limit"), f"source.limit={scenes}"]

    def _warm_up(self, attempts: Sequence[Attempt]) -> None:
        """An unmeasured run for each engine: it compiles kernels, and has the files read once."""
        if self.settings.start is not Start.warm:
            return
        for attempt in sorted(attempts, key=lambda one: one.job.number):
            engine = self._composed[attempt.job.number].engine.value
            if engine not in self._warm:
                self._warm.add(engine)
                folder = self.sweep.path / _WARM_UP
                unmeasured(self._pad, self.composer.command(self._words(attempt), folder), folder)

    def _cool(self, job: Job) -> None:
        if self.settings.start is Start.cold:
            forget_files(self._planner.local_files(self._composed[job.number]))

    def end_search(self) -> None:
        """No more runs are planned than there were."""
        self.sweep.update(planned=self._order)

    # --- what came of it ----------------------------------------------------------------------------------------------

    def value(self, job: Job, objective: Objective, rung: str = ALL) -> float | None:
        """The median over the job's repeats, in seconds or bytes; None if one of them did not complete."""
        attempts = [Attempt(job, repeat, rung) for repeat in range(1, self.settings.repeats + 1)]
        records = [self.sweep.record(attempt) for attempt in attempts]
        values = [
            record.wall_seconds if objective is Objective.wall else record.peak_bytes
            for record in records
            if record is not None and record.status is Status.COMPLETED
        ]
        known = [float(value) for value in values if value is not None]
        return median(known) if len(known) == len(attempts) else None

    def values(self, job: Job) -> list[float] | None:
        """Of every objective; None if a run of the job has not completed."""
        found = [self.value(job, objective) for objective in self.settings.objective]
        known = [value for value in found if value is not None]
        return known if len(known) == len(found) else None

    def _best(self, jobs: Sequence[Job]) -> list[Job]:
        """The best share of jobs by their first rung, and the baseline; of the others it is written down.

        What did not complete its first rung does not go on, and stands with its own end and reason, not as pruned.
        """
        first, count = self.settings.objective[0], max(2, math.ceil(self.settings.keep * len(jobs)))
        values = {job.number: value for job in jobs if (value := self.value(job, first, FEW)) is not None}
        ranked = sorted((job for job in jobs if job.number in values), key=lambda job: values[job.number])
        going = {job.number for job in ranked[:count]} | {job.number for job in ranked if job.baseline}
        for job in jobs:
            if job not in ranked and self._status(Attempt(job)) is Status.PRUNED:  # by fewer repeats, earlier
                self.sweep.set_aside(Attempt(job))
        for place, job in enumerate(ranked, start=1):
            if job.number not in going:
                scenes = f"{self.settings.prune} scenes, by {first.value}"
                reason = f"place {place} of {len(ranked)} on {scenes}; the best {count} go on"
                self._settle(Attempt(job), Status.PRUNED, reason)
        tell(f"{len(going)} of {len(jobs)} jobs go on to all scenes")
        return [job for job in jobs if job.number in going]

    def _status(self, attempt: Attempt) -> Status | None:
        record = self.sweep.record(attempt)
        return None if record is None else record.status

    def _say_what_varies(self) -> None:
        """Jobs that came one by one could not say it as they were begun. What is not of these jobs keeps its words."""
        jobs = {(job.number, job.config_sha256): job for job in self.jobs}
        for record in self.sweep.records():
            job = jobs.get((record.job, record.config_sha256))
            if job is not None and record.varied != self._varied(job):
                record.varied = self._varied(job)
                self.sweep.keep(Attempt(job, record.repeat, record.rung), record)

    def _varied(self, job: Job) -> dict[str, str]:
        return varied_words(self.jobs, self.swept)[job.number]

    def _refuse_changed(self, jobs: Sequence[Job]) -> None:
        """An earlier sweep's runs are kept only where they are of the very config. Raises SweepError."""
        for job in jobs:
            record = self.sweep.record(Attempt(job)) or self.sweep.record(Attempt(job, rung=FEW))
            if record is not None and record.config_sha256 not in (None, job.config_sha256):
                raise SweepError(
                    f"{self.sweep.of(Attempt(job))}: the config of this job is not what it was, though its words are; "
                    "give the words in the order of its first command, or, if a file of conf/ or of the experiment has "
                    "changed, begin a new sweep"
                )
