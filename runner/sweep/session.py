"""The story of a sweep: refuse the jobs that cannot run, run the others in random order, keep the table."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from msgspec.structs import replace

from runner.base.console import complain, tell
from runner.base.humanize import one_line, relative_path
from runner.base.overrides import key_of
from runner.config.composed import address_below
from runner.errors import RunnerError, SweepError
from runner.leaderboard.records import ALL, FEW, SETTLED, TROUBLE, JobRecord, Rung, Status
from runner.settings import Objective, Start, SweepSettings
from runner.sweep.compose import Composer, memory_limit_bytes, uploading
from runner.sweep.folder import SweepFolder, earlier_sweep, first_record, new_sweep, resumed_sweep
from runner.sweep.job_list import JobList
from runner.sweep.jobs import Attempt, Job, fair_order
from runner.sweep.launch import Launchpad, attempted, unmeasured
from runner.sweep.preflight import Planner, forget_files
from runner.sweep.process import Limits
from runner.sweep.progress import progress

_WARM_UP = ".warm-up"


@dataclass(slots=True)
class Session:
    """A sweep under way: its folder, its jobs so far, and the results of their attempts."""

    composer: Composer
    question: Sequence[str]  # the overrides that make the jobs: a resume must have the same
    settings: SweepSettings = field(init=False)
    sweep: SweepFolder = field(init=False)
    job_list: JobList = field(init=False)
    planned: int | None = None  # attempts of a search, whose jobs come one by one
    _planner: Planner = field(default_factory=Planner)
    _warm: set[str] = field(default_factory=set)  # the engines that have run
    _order: int = 0
    _is_found: bool = False
    _pad: Launchpad = field(init=False)

    def __post_init__(self) -> None:
        self.settings = self.composer.settings()
        self.job_list = JobList(self.composer)
        limits = Limits(self.settings.timeout, memory_limit_bytes(self.settings))
        self._pad = Launchpad(limits, self.settings.start)

    @contextmanager
    def opened(self, *, whole: bool = True) -> Iterator[None]:
        """Open the folder of the sweep, new or an earlier one's; the table is kept, whatever ends the block.

        Raises SweepError for a sweep that cannot be resumed, which is left as it is. At the end of a `whole` sweep it
        raises SweepError if a run has not completed. A sweep that comes in batches is opened for each.
        """
        self.find()
        self._refuse_changed(self.job_list.jobs)
        with _table_kept(self.sweep.path, self._record_varied, whole=whole), self.sweep.running():
            yield
            if whole:
                _refuse_trouble(self.sweep)

    def find(self) -> None:
        """Claim a new folder, or read an earlier sweep's, in which nothing changes before it is opened.

        Raises SweepError for a sweep that cannot be resumed.
        """
        if self._is_found:
            return
        record = first_record(self.composer.overrides, self.question, self.settings)
        if self.settings.resume is None:
            self.sweep = new_sweep(self.composer.folder, record)
        else:
            path = earlier_sweep(self.settings.resume, record.question, self.composer.outputs)
            self.sweep = resumed_sweep(path, record)
            for problem in self.sweep.damaged():
                tell(f"{problem}; it counts as not run")
        self._is_found = True

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self, jobs: Sequence[Job]) -> None:
        """Run each job as often as `sweep.repeats` says, on few scenes first with `sweep.prune`.

        Attempts that an earlier sweep has settled stay.
        """
        self._refuse_changed(jobs)
        able = self._able(jobs)
        if self.settings.prune is not None:
            self._run_rung(able, FEW)
            able = self._best(able)
        self._run_rung(able, ALL)

    def _able(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that can run; the refusals of the others are recorded."""
        able = []
        for job in jobs:
            status = self._status(Attempt(job))
            if status is Status.REFUSED:
                continue
            planned = status is Status.COMPLETED
            reason = None if planned else job.refusal or self._planner.refusal(self.job_list.settings[job.number])
            if reason is None:
                able.append(job)
            else:
                self._settle(Attempt(job), Status.REFUSED, reason)
        if len(able) < len(jobs):
            tell(f"{len(jobs) - len(able)} of {len(jobs)} jobs cannot run; the table says why")
        return able

    def _settle(self, attempt: Attempt, status: Status, reason: str) -> None:
        """Record an attempt that does not start, unless an earlier sweep has recorded the same or has run it."""
        if self._status(attempt) in (status, Status.COMPLETED):
            return
        self.sweep.set_aside(attempt)
        self.sweep.keep(attempt, attempt.record(self.job_list.varied(attempt.job), status, one_line(reason)))

    def _run_rung(self, jobs: Sequence[Job], rung: Rung) -> None:
        attempts = fair_order(jobs, self.settings.repeats, rung, self.settings.seed + self._order)
        ordered = list(enumerate(attempts, start=self._order))
        self._order += len(ordered)
        stay = SETTLED - {Status.PRUNED}
        todo = [(order, attempt) for order, attempt in ordered if self._status(attempt) not in stay]
        self.sweep.update(planned=self.planned or len(ordered))
        if len(todo) < len(ordered):
            tell(f"{len(ordered) - len(todo)} of {len(ordered)} runs have completed before")
        self._warm_up([attempt for _, attempt in todo])
        tasks = [partial(self._attempt, order, attempt) for order, attempt in todo]
        earlier = self._order - len(todo) if self.planned else 0
        with (
            progress(self.planned or len(tasks), earlier) as report,
            closing(self._pad.each(tasks, self.settings.n_jobs)) as records,
        ):
            for record in records:
                report(record)

    def _attempt(self, order: int, attempt: Attempt) -> JobRecord:
        self._cool(attempt.job)
        record = replace(attempt.record(self.job_list.varied(attempt.job), Status.RUNNING), order=order)
        overrides = self._uploading(attempt, measured=attempt.rung == ALL)
        command = self.composer.command(overrides, self.sweep.of(attempt))
        return attempted(self.sweep, self._pad, attempt, command, record)

    def _overrides(self, attempt: Attempt) -> list[str]:
        overrides, few = list(attempt.job.overrides), self.settings.prune
        if attempt.rung == ALL or few is None:
            return overrides
        limit = self.job_list.settings[attempt.job.number].source.limit
        scenes = few if limit is None else min(few, limit)
        others = (override for override in overrides if key_of(override) != "source.limit")
        return [*others, f"source.limit={scenes}"]

    def _uploading(self, attempt: Attempt, *, measured: bool) -> list[str]:
        """The overrides of an attempt, with an address of its own if results are uploaded; of measured ones alone."""
        overrides, prefix = self._overrides(attempt), self.job_list.settings[attempt.job.number].output.upload
        if not prefix:
            return overrides
        return uploading(overrides, address_below(prefix, attempt.name) if measured else None)

    def _warm_up(self, attempts: Sequence[Attempt]) -> None:
        """Make an unmeasured run for each engine: it compiles kernels, and the system caches the files."""
        if self.settings.start is not Start.warm:
            return
        for attempt in sorted(attempts, key=lambda attempt: attempt.job.number):
            engine = self.job_list.settings[attempt.job.number].engine.value
            if engine not in self._warm:
                self._warm.add(engine)
                folder = self.sweep.path / _WARM_UP
                command = self.composer.command(self._uploading(attempt, measured=False), folder)
                unmeasured(self._pad, command, folder)

    def _cool(self, job: Job) -> None:
        if self.settings.start is Start.cold:
            forget_files(self._planner.local_files(self.job_list.settings[job.number]))

    def end_search(self) -> None:
        """Record that no more attempts are planned than there were."""
        self.sweep.update(planned=self._order)

    # --- results ------------------------------------------------------------------------------------------------------

    def values(self, job: Job) -> list[float] | None:
        """The value of every objective; None if an attempt at the job has not completed."""
        values = [self._value(job, objective) for objective in self.settings.objective]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None

    def _value(self, job: Job, objective: Objective, rung: Rung = ALL) -> float | None:
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

    def _best(self, jobs: Sequence[Job]) -> list[Job]:
        """The best share of jobs by their first rung, and the baseline; the others are recorded as pruned.

        A job that did not complete its first rung does not go on; its own status and reason stand, not PRUNED.
        """
        first, count = self.settings.objective[0], max(2, math.ceil(self.settings.keep * len(jobs)))
        values = {job.number: value for job in jobs if (value := self._value(job, first, FEW)) is not None}
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

    def _record_varied(self) -> None:
        """Correct the varied overrides of jobs that came one by one, since they started before all were known."""
        jobs = {(job.number, job.config_sha256): job for job in self.job_list.jobs}
        for record in self.sweep.records():
            job = jobs.get((record.job, record.config_sha256))
            if job is not None and record.varied != self.job_list.varied(job):
                corrected = replace(record, varied=self.job_list.varied(job))
                self.sweep.keep(Attempt(job, record.repeat, record.rung), corrected)

    def _refuse_changed(self, jobs: Sequence[Job]) -> None:
        """Raise SweepError for a job that an earlier sweep ran with another config."""
        for job in jobs:
            record = self.sweep.record(Attempt(job)) or self.sweep.record(Attempt(job, rung=FEW))
            if record is not None and record.config_sha256 not in (None, job.config_sha256):
                raise SweepError(
                    f"{self.sweep.of(Attempt(job))}: the config of this job has changed, though its overrides have "
                    "not; give the overrides in the order of its first command, or, if a file of conf/ or of the "
                    "experiment has changed, start a new sweep"
                )


# --- the end ----------------------------------------------------------------------------------------------------------


def _refuse_trouble(sweep: SweepFolder) -> None:
    """Raise SweepError if a run did not complete, or none has run."""
    records, folder = sweep.records(), relative_path(sweep.path)
    trouble = [record.status for record in records if record.status in TROUBLE]
    if not trouble and any(record.status is Status.COMPLETED for record in records):
        return
    kinds = ", ".join(f"{trouble.count(kind)} {kind}" for kind in Status if kind in trouble)
    what = f"{len(trouble)} of {len(records)} runs did not complete ({kinds})" if trouble else "no job has run"
    raise SweepError(
        f"{what}; job.json in each folder of {folder} says why, and the same command with sweep.resume={folder} "
        "runs those again"
    )


@contextmanager
def _table_kept(folder: Path, prepare: Callable[[], None], *, whole: bool) -> Iterator[None]:
    """Write and show the table after the block, whatever ended it.

    Raises SweepError if the jobs of a `whole` sweep disagree in their bits.
    """
    try:
        yield
    except BaseException:
        _keep_table(folder, prepare)
        raise
    disagreeing = _keep_table(folder, prepare)
    if disagreeing and whole:
        raise SweepError(
            f"{disagreeing} jobs computed other bits than the rest, as the table in {relative_path(folder)} says"
        )


def _keep_table(folder: Path, prepare: Callable[[], None]) -> int:
    """The number of jobs with other bits. If the table cannot be made, the console says so; the outcome stays."""
    from runner.leaderboard.show import show_leaderboard, write_leaderboard  # noqa: PLC0415 - at the end alone

    try:
        prepare()
        board = write_leaderboard(folder)
        show_leaderboard(board)
    except RunnerError as error:
        complain(str(error))
        return 0
    finally:
        tell(f"sweep folder: {relative_path(folder)}")
    return len(board.disagreeing)
