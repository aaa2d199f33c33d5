"""A sweep's folder read back: what was tried, how it ended, what it took.

Each attempt at a job has a folder, with the `job.json` of the launcher and the files of an ordinary run. The folders of
a plain Hydra multirun, which have no job.json, are read by their run.json alone: their wall time then lacks the start
of Python, their memory is that of their passes, and under Hydra's own launcher all of them ran in one process.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.base.overrides import parse, without_folder
from runner.errors import RecordError, expanded
from runner.leaderboard.jobs import JobRecord, Status
from runner.leaderboard.sweep_folder import SWEEP, attempt_folders, check_schema, find_sweeps, is_sweep, read_record
from runner.record import run_folder as runs
from runner.record.run_files import read_json
from runner.record.run_folder import RunFolder, read_run


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """One run of one job; what is unknown is None. `rung` is "few" for the first scenes of a pruned sweep."""

    path: Path
    job: int
    repeat: int
    rung: str
    baseline: bool
    overrides: tuple[str, ...]
    settings: Mapping[str, str]  # key or group -> value, of what differs between the jobs
    status: str
    reason: str | None
    order: int
    wall_seconds: float | None
    cpu_seconds: float | None
    peak_bytes: float | None
    run: RunFolder | None  # None if it was never begun

    @property
    def fetched(self) -> tuple[float | None, float | None]:
        """Bytes and requests of all passes; None if GDAL fetched, which does not tell."""
        passes = self.run.facts["passes"] if self.run else []
        if not passes or not all(one.get("fetched") for one in passes):
            return None, None
        bytes_, requests = (sum(one["fetched"][name] for one in passes) for name in ("bytes", "requests"))
        return float(bytes_), float(requests)


@dataclass(frozen=True, slots=True)
class Sweep:
    """All attempts, by job and repeat; `facts` is sweep.json, empty for a plain multirun."""

    path: Path
    facts: dict[str, Any]
    attempts: tuple[PastAttempt, ...]
    problems: tuple[str, ...]  # folders that cannot be read, and why

    @property
    def isolated(self) -> bool:
        """Whether each job had a process of its own."""
        return bool(self.facts)

    @property
    def processes(self) -> int:
        """How many its runs were made by."""
        runs = [one.run.facts for one in self.attempts if one.run]
        return len({(facts.get("host"), facts.get("pid")) for facts in runs})

    @property
    def status(self) -> str:
        """That of sweep.json, KILLED if its process is gone; of a plain multirun, whether any of its runs goes on."""
        if self.facts:
            return runs.status(self.facts)
        return "RUNNING" if any(one.status == "RUNNING" for one in self.attempts) else "ENDED"

    @property
    def started(self) -> datetime:
        """When it began, UTC; without a record of that, when something was last put into its folder."""
        if self.facts:
            return datetime.fromisoformat(self.facts["started"])
        changed = datetime.fromtimestamp(self.path.stat().st_mtime, UTC)
        return min((one.run.started for one in self.attempts if one.run), default=changed)

    @property
    def settings(self) -> dict[str, Any]:
        """The `sweep` section of its config."""
        found = self.facts.get("settings")
        return found if isinstance(found, dict) else {}

    @property
    def objective(self) -> tuple[str, ...]:
        """What is to be small: wall, peak, or both in the order in which they count."""
        asked = self.settings.get("objective") or ["wall"]
        names = asked if isinstance(asked, list) else [asked]
        return tuple(dict.fromkeys(name for name in map(str, names) if name in ("wall", "peak"))) or ("wall",)


def read_sweep(path: Path) -> Sweep:
    """The sweep in this folder. Raises RecordError if it is none."""
    facts = _sweep_facts(path)
    if not facts and not is_sweep(path):
        raise RecordError(
            f"{path} is no sweep: it holds neither {SWEEP} nor numbered run folders; name the sweep's folder"
        )
    alive = bool(facts) and runs.status(facts) == "RUNNING"
    found, problems = [], []
    for folder in attempt_folders(path):
        try:
            record = read_record(folder)
            found.append(_launched(folder, record, alive) if record else _plain(folder))
        except RecordError as error:
            problems.append(str(error))
    attempts = found if facts else _with_settings(found)
    return Sweep(
        path, facts, tuple(sorted(attempts, key=lambda one: (one.job, one.repeat, one.order))), tuple(problems)
    )


def choose_sweep(word: str, outputs: Path) -> Path:
    """The folder that `word` means: a path, `last`, or what only one sweep below `outputs` has in its name.

    Raises RecordError if there is none, or more than one.
    """
    path = expanded(word)
    if path.is_dir():
        return path
    found = list(find_sweeps(outputs))
    if word == "last":
        if not found:
            raise RecordError(
                f"last: there is no sweep below {outputs}/; run one, or name another folder with --outputs"
            )
        return _newest(found)
    named = [one for one in found if word in str(one.relative_to(outputs))]
    if len(named) != 1:
        have = "no sweep" if not named else f"{len(named)} sweeps ({', '.join(one.name for one in named[:5])})"
        raise RecordError(
            f"{word}: no folder, and {have} below {outputs}/ with that in the name; say more of it, or 'last'"
        )
    return named[0]


def _newest(found: Sequence[Path]) -> Path:
    """Of those that can be read. Raises RecordError if none can be."""
    began, problems = {}, list[RecordError]()
    for path in found:
        try:
            began[path] = read_sweep(path).started
        except RecordError as error:
            problems.append(error)
    if not began:
        raise problems[0]
    return max(began, key=lambda path: (began[path], str(path)))


# --- reading ------------------------------------------------------------------------------------------------------


def _sweep_facts(path: Path) -> dict[str, Any]:
    file = path / SWEEP
    if not file.is_file():
        return {}
    facts = read_json(file)
    check_schema(file, facts)
    try:
        zone = datetime.fromisoformat(facts["started"]).tzinfo
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{file}: 'started' is {facts.get('started')!r}, wanted a time; it was altered") from error
    if zone is None:
        raise RecordError(f"{file}: 'started' is {facts['started']!r}, which has no zone; it was altered")
    return facts


def _launched(folder: Path, record: JobRecord, alive: bool) -> PastAttempt:
    """By job.json, with the run beside it if that can be read."""
    return PastAttempt(
        path=folder,
        job=record.job,
        repeat=record.repeat,
        rung=record.rung,
        baseline=record.baseline,
        overrides=tuple(record.overrides),
        settings=record.varied,
        status="KILLED" if record.status is Status.RUNNING and not alive else record.status.value,
        reason=record.reason,
        order=record.order or 0,
        wall_seconds=record.wall_seconds,
        cpu_seconds=record.cpu_seconds,
        peak_bytes=record.peak_bytes,
        run=_run_of(folder),
    )


def _run_of(folder: Path) -> RunFolder | None:
    try:
        return read_run(folder)
    except RecordError:  # it ended before it wrote one, or was never begun: job.json says how it ended
        return None


# --- plain multiruns --------------------------------------------------------------------------------------------------


def _plain(folder: Path) -> PastAttempt:
    run = read_run(folder)
    passes = run.facts["passes"]
    words = tuple(without_folder(map(str, run.facts["overrides"])))
    peaks, seconds = ([one[name] for one in passes if one.get(name)] for name in ("peak_bytes", "cpu_seconds"))
    return PastAttempt(
        path=folder, job=int(folder.name), repeat=1, rung="all", baseline=False, overrides=words, settings={},
        status=run.status, reason=run.error, order=int(folder.name), wall_seconds=run.seconds,
        cpu_seconds=sum(seconds) if seconds else None, peak_bytes=max(peaks, default=None), run=run,
    )  # fmt: skip


def _with_settings(attempts: list[PastAttempt]) -> Iterator[PastAttempt]:
    """The same, with what differs in their overrides; those of equal overrides are one job, tried again."""
    said = [{word.key: word.setting for word in map(parse, one.overrides)} for one in attempts]
    keys = dict.fromkeys(key for one in said for key in one)
    differing = [key for key in keys if len({one.get(key) for one in said}) > 1]
    first: dict[tuple[str, ...], int] = {}
    times: dict[int, int] = {}
    for attempt, words in sorted(zip(attempts, said, strict=True), key=lambda pair: pair[0].job):
        job = first.setdefault(tuple(sorted(attempt.overrides)), attempt.job)
        times[job] = times.get(job, 0) + 1
        settings = {key: words[key] for key in differing if key in words}
        yield replace(attempt, job=job, repeat=times[job], settings=settings)
