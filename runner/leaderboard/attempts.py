"""The attempts of a sweep read back from its folder, with the runs that they made.

Each attempt at a job has a folder, with the `job.json` of the sweep and the files of an ordinary run. A plain Hydra
multirun has no job.json, so that its run.json stands in: the wall time then lacks the start of Python, the memory is
that of the passes, and under Hydra's own launcher all jobs ran in one process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from runner.base.overrides import key_of, parted
from runner.errors import RecordError, expanded
from runner.leaderboard.records import ALL, SWEEP, JobRecord, Status, SweepRecord, read_job_record, read_sweep_record
from runner.leaderboard.sweep_folder import attempt_folders, find_sweeps, is_sweep
from runner.record.run_folder import RunFolder, read_run
from runner.settings import SweepSettings


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt at a job, and its run, which is None if it did not get as far as its record."""

    path: Path
    record: JobRecord
    run: RunFolder | None

    @property
    def job(self) -> int:
        """The number of the job."""
        return self.record.job

    @property
    def status(self) -> Status:
        """The recorded status, or KILLED."""
        return self.record.status

    @property
    def completed(self) -> bool:
        """True if it came to its end."""
        return self.record.status is Status.COMPLETED

    @property
    def on_all_scenes(self) -> bool:
        """True unless it belongs to the first rung of a pruned sweep, on few scenes."""
        return self.record.rung == ALL

    @property
    def fetched(self) -> tuple[float | None, float | None]:
        """Bytes and requests of all passes; None if GDAL fetched, which does not count."""
        fetched = self.run.record.fetched if self.run else None
        return (None, None) if fetched is None else (float(fetched.bytes), float(fetched.requests))


@dataclass(frozen=True, slots=True)
class Sweep:
    """All attempts of a sweep, by job and repeat; `record` is None for a plain multirun."""

    path: Path
    record: SweepRecord | None
    attempts: tuple[PastAttempt, ...]
    problems: tuple[str, ...]  # of folders that cannot be read

    @property
    def isolated(self) -> bool:
        """True if each job had a process of its own."""
        return self.record is not None

    @property
    def runs(self) -> list[RunFolder]:
        """The runs of all attempts."""
        return [attempt.run for attempt in self.attempts if attempt.run]

    @property
    def processes(self) -> int:
        """The number of processes that made its runs."""
        return len({(run.record.host, run.record.pid) for run in self.runs})

    @property
    def status(self) -> str:
        """The recorded status, or KILLED; RUNNING or ENDED for a plain multirun."""
        if self.record is not None:
            return self.record.current_status
        return "RUNNING" if any(attempt.status is Status.RUNNING for attempt in self.attempts) else "ENDED"

    @property
    def started(self) -> datetime:
        """The moment it started; without a record and runs, the moment of the last change of its folder."""
        if self.record is not None:
            return self.record.started
        changed = datetime.fromtimestamp(self.path.stat().st_mtime, UTC)
        return min((run.started for run in self.runs), default=changed)

    @property
    def settings(self) -> SweepSettings:
        """The section `sweep` of its config."""
        return self.record.settings if self.record else SweepSettings()

    @property
    def objective(self) -> tuple[str, ...]:
        """The measures to rank by, wall or peak or both, in their order."""
        return tuple(dict.fromkeys(objective.value for objective in self.settings.objective)) or ("wall",)


def read_sweep(path: Path) -> Sweep:
    """The sweep in this folder. Raises RecordError if there is none."""
    record = read_sweep_record(path)
    if record is None and not is_sweep(path):
        raise RecordError(
            f"{path} is not a sweep: it holds neither {SWEEP} nor numbered run folders; name the sweep's folder"
        )
    alive = record is not None and record.current_status == "RUNNING"
    attempts, problems = [], []
    for folder in attempt_folders(path):
        try:
            job = read_job_record(folder)
            attempts.append(_recorded(folder, job, alive) if job else _plain(folder))
        except RecordError as error:
            problems.append(str(error))
    if record is None:
        attempts = list(_with_varied(attempts))
    attempts.sort(key=lambda attempt: (attempt.job, attempt.record.repeat, attempt.record.order or 0))
    return Sweep(path, record, tuple(attempts), tuple(problems))


def choose_sweep(name: str, outputs: Path) -> Path:
    """The folder that `name` means: a path, `last`, or a part of the name that only one sweep below `outputs` has.

    Raises RecordError if there is none, or more than one.
    """
    path = expanded(name)
    if path.is_dir():
        return path
    sweeps = list(find_sweeps(outputs))
    if name == "last":
        if not sweeps:
            raise RecordError(
                f"last: there is no sweep below {outputs}/; run one, or name another folder with --outputs"
            )
        return _newest(sweeps)
    matches = [sweep for sweep in sweeps if name in str(sweep.relative_to(outputs))]
    if len(matches) != 1:
        names = ", ".join(match.name for match in matches[:5])
        have = f"{len(matches)} sweeps ({names}) have" if matches else "no sweep has"
        raise RecordError(
            f"{name}: there is no such folder, and {have} it in the name below {outputs}/; give more of the name, "
            "or 'last'"
        )
    return matches[0]


def _newest(sweeps: Sequence[Path]) -> Path:
    """The newest that can be read. Raises RecordError if none can be."""
    started, problems = {}, list[RecordError]()
    for path in sweeps:
        try:
            started[path] = read_sweep(path).started
        except RecordError as error:
            problems.append(error)
    if not started:
        raise problems[0]
    return max(started, key=lambda path: (started[path], str(path)))


def _recorded(folder: Path, record: JobRecord, alive: bool) -> PastAttempt:
    """An attempt by its job.json, with its run if that can be read."""
    if record.status is Status.RUNNING and not alive:
        record = structs.replace(record, status=Status.KILLED)
    try:
        run = read_run(folder)
    except RecordError:  # it ended before it wrote one, or never started: job.json has the reason
        run = None
    return PastAttempt(folder, record, run)


# --- plain multiruns --------------------------------------------------------------------------------------------------


def _plain(folder: Path) -> PastAttempt:
    run = read_run(folder)
    overrides = tuple(text for text in run.record.overrides if key_of(text) != "output.dir")
    peaks, seconds = (
        [value for ran in run.record.passes if (value := getattr(ran, name))] for name in ("peak_bytes", "cpu_seconds")
    )
    record = JobRecord(
        job=int(folder.name), overrides=overrides, varied={}, status=Status(run.status), reason=run.error,
        order=int(folder.name), wall_seconds=run.seconds, cpu_seconds=sum(seconds) if seconds else None,
        peak_bytes=max(peaks, default=None),
    )  # fmt: skip
    return PastAttempt(folder, record, run)


def _with_varied(attempts: Sequence[PastAttempt]) -> Iterator[PastAttempt]:
    """The attempts with the overrides in which they differ; those with equal overrides are repeats of one job."""
    values = [dict(map(parted, attempt.record.overrides)) for attempt in attempts]
    keys = dict.fromkeys(key for own in values for key in own)
    varied = [key for key in keys if len({own.get(key) for own in values}) > 1]
    first: dict[tuple[str, ...], int] = {}
    repeats: dict[int, int] = {}
    for attempt, own in sorted(zip(attempts, values, strict=True), key=lambda pair: pair[0].job):
        job = first.setdefault(tuple(sorted(attempt.record.overrides)), attempt.job)
        repeats[job] = repeats.get(job, 0) + 1
        differing = {key: own[key] for key in varied if key in own}
        yield replace(attempt, record=structs.replace(attempt.record, job=job, repeat=repeats[job], varied=differing))
