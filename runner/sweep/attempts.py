"""A sweep's folder read back: what was tried, how it ended, what it took.

Each attempt at a job has a folder, with the `job.json` of the launcher and the files of an ordinary run. The folders of
a plain Hydra multirun, which have no job.json, are read by their run.json alone: their wall time then lacks the start
of Python, their memory is that of their passes, and all of them ran in one process.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from runner.errors import RecordError
from runner.log import folder as runs
from runner.log.folder import RunFolder, read_run
from runner.log.recorded import read_json

SCHEMA: Final = 1
SWEEP, JOB = "sweep.json", "job.json"
BEST_FOLDER: Final = "experiment"  # where best.yaml lies: Hydra looks for experiment=best there
DROPPED: Final = "dropped"  # the value of a key that an override deletes


@dataclass(frozen=True, slots=True)
class Attempt:
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
    attempts: tuple[Attempt, ...]
    problems: tuple[str, ...]  # folders that cannot be read, and why

    @property
    def isolated(self) -> bool:
        """Whether each job had a process of its own."""
        return bool(self.facts)

    @property
    def status(self) -> str:
        """That of sweep.json, KILLED if its process is gone; of a plain multirun, whether any of its runs goes on."""
        if self.facts:
            return runs.status(self.facts)
        return "RUNNING" if any(one.status == "RUNNING" for one in self.attempts) else "ENDED"

    @property
    def started(self) -> datetime:
        """When it began, UTC."""
        if self.facts:
            return datetime.fromisoformat(self.facts["started"])
        return min(one.run.started for one in self.attempts if one.run)

    @property
    def settings(self) -> dict[str, Any]:
        """The `sweep` section of its config."""
        found = self.facts.get("settings")
        return found if isinstance(found, dict) else {}

    @property
    def objective(self) -> tuple[str, ...]:
        """What is to be small: wall, peak, or both in the order in which they count."""
        asked = self.settings.get("objective") or ["wall"]
        names = [asked] if isinstance(asked, str) else asked
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
    for folder in _folders(path):
        try:
            found.append(_launched(folder, alive) if (folder / JOB).is_file() else _plain(folder))
        except RecordError as error:
            problems.append(str(error))
    attempts = found if facts else _with_settings(found)
    return Sweep(
        path, facts, tuple(sorted(attempts, key=lambda one: (one.job, one.repeat, one.order))), tuple(problems)
    )


def is_sweep(path: Path) -> bool:
    """Whether jobs of a sweep lie in this folder."""
    return (path / SWEEP).is_file() or any(_folders(path))


def find_sweeps(folder: Path) -> Iterator[Path]:
    """Every sweep below `folder`, at any depth; runs are not looked into."""
    for below in sorted(folder.iterdir()) if folder.is_dir() else []:
        if below.is_dir() and not below.name.startswith(".") and not (below / "run.json").is_file():
            if is_sweep(below):
                yield below
            else:
                yield from find_sweeps(below)


def choose_sweep(word: str, outputs: Path) -> Path:
    """The folder that `word` means: a path, `last`, or what only one sweep below `outputs` has in its name.

    Raises RecordError if there is none, or more than one.
    """
    path = Path(word).expanduser()
    if path.is_dir():
        return path
    found = list(find_sweeps(outputs))
    if word == "last":
        if not found:
            raise RecordError(
                f"last: there is no sweep below {outputs}/; run one, or name another folder with --outputs"
            )
        return max(found, key=lambda one: (read_sweep(one).started, str(one)))
    named = [one for one in found if word in str(one.relative_to(outputs))]
    if len(named) != 1:
        have = "no sweep" if not named else f"{len(named)} sweeps ({', '.join(one.name for one in named[:5])})"
        raise RecordError(
            f"{word}: no folder, and {have} below {outputs}/ with that in the name; say more of it, or 'last'"
        )
    return named[0]


# --- reading ------------------------------------------------------------------------------------------------------


def _folders(path: Path) -> Iterator[Path]:
    """The attempts' folders: with job.json, or numbered with run.json."""
    for folder in sorted(path.iterdir()) if path.is_dir() else []:
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        if (folder / JOB).is_file() or (folder.name.isdigit() and (folder / "run.json").is_file()):
            yield folder


def _sweep_facts(path: Path) -> dict[str, Any]:
    file = path / SWEEP
    if not file.is_file():
        return {}
    facts = read_json(file)
    _check_schema(file, facts)
    try:
        datetime.fromisoformat(facts["started"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{file}: 'started' is {facts.get('started')!r}, wanted a time; it was altered") from error
    return facts


def _check_schema(file: Path, facts: Mapping[str, Any]) -> None:
    if facts.get("schema") != SCHEMA:
        raise RecordError(
            f"{file} has schema {facts.get('schema')}, this version reads {SCHEMA}; use the version that wrote it"
        )


def _launched(folder: Path, alive: bool) -> Attempt:
    """By job.json, with the run beside it if that can be read."""
    file = folder / JOB
    facts = read_json(file)
    _check_schema(file, facts)
    try:
        status = str(facts["status"])
        return Attempt(
            path=folder,
            job=int(facts["job"]),
            repeat=int(facts["repeat"]),
            rung=str(facts.get("rung") or "all"),
            baseline=bool(facts.get("baseline")),
            overrides=tuple(map(str, facts["overrides"])),
            settings={str(key): str(value) for key, value in facts["varied"].items()},
            status="KILLED" if status == "RUNNING" and not alive else status,
            reason=facts.get("reason"),
            order=int(facts.get("order") or 0),
            wall_seconds=_number(facts.get("wall_seconds")),
            cpu_seconds=_number(facts.get("cpu_seconds")),
            peak_bytes=_number(facts.get("peak_bytes")),
            run=_run_of(folder),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(
            f"{file} is not as launchers write it ({type(error).__name__}: {error}); it was altered"
        ) from error


def _run_of(folder: Path) -> RunFolder | None:
    try:
        return read_run(folder)
    except RecordError:  # it ended before it wrote one, or was never begun: job.json says how it ended
        return None


def _number(found: object) -> float | None:
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None


# --- plain multiruns --------------------------------------------------------------------------------------------------


def _plain(folder: Path) -> Attempt:
    run = read_run(folder)
    passes = run.facts["passes"]
    words = tuple(word for word in map(str, run.facts["overrides"]) if not word.lstrip("+").startswith("output.dir="))
    peaks, seconds = ([one[name] for one in passes if one.get(name)] for name in ("peak_bytes", "cpu_seconds"))
    return Attempt(
        path=folder, job=int(folder.name), repeat=1, rung="all", baseline=False, overrides=words, settings={},
        status=run.status, reason=run.error, order=int(folder.name), wall_seconds=run.seconds,
        cpu_seconds=sum(seconds) if seconds else None, peak_bytes=max(peaks, default=None), run=run,
    )  # fmt: skip


def _with_settings(attempts: list[Attempt]) -> Iterator[Attempt]:
    """The same, with what differs in their overrides; those of equal overrides are one job, tried again."""
    said = [dict(map(parted, one.overrides)) for one in attempts]
    keys = dict.fromkeys(key for one in said for key in one)
    differing = [key for key in keys if len({one.get(key) for one in said}) > 1]
    first: dict[tuple[str, ...], int] = {}
    times: dict[int, int] = {}
    for attempt, words in sorted(zip(attempts, said, strict=True), key=lambda pair: pair[0].job):
        job = first.setdefault(tuple(sorted(attempt.overrides)), attempt.job)
        times[job] = times.get(job, 0) + 1
        settings = {key: words[key] for key in differing if key in words}
        yield replace(attempt, job=job, repeat=times[job], settings=settings)


def parted(override: str) -> tuple[str, str]:
    """The key of an override and its value as typed; the value of ~key is DROPPED."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), DROPPED if key.startswith("~") else value
