"""A sweep's folder: `sweep.json`, kept true while the sweep lives, and a folder with `job.json` for every attempt."""

import os
import platform
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.base.atomic import update_json
from runner.errors import OutputError, RecordError, SweepError, expanded, printable
from runner.leaderboard.jobs import SCHEMA_VERSION, Attempt, JobRecord
from runner.record.environment import machine_facts
from runner.record.events import timestamp
from runner.record.run_files import read_json
from runner.record.run_folder import find_runs, readable, status

SWEEP, JOB = "sweep.json", "job.json"
BEST_FOLDER = "experiment"  # where best.yaml lies: Hydra looks for experiment=best there
_HEARTBEAT_SECONDS = 2.0
_EARLIER = ".earlier"
_ITS_OWN = re.compile(r"sweep\.(html|parquet|json\.part)|experiment|\.earlier|\d+(-few)?(-\d+)?")  # and sweep.json


class SweepFolder:
    """One sweep on disk. Any thread may write; every change is there before the call returns."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.path = path
        self._facts = dict(facts)
        self._lock = threading.RLock()  # a signal may unwind its holder, who then says how it ended

    def update(self, **facts: Any) -> None:
        """Add or replace facts of `sweep.json`."""
        with self._lock:
            self._facts |= facts | {"heartbeat": timestamp()}
            write_json(self.path / SWEEP, self._facts)

    def of(self, attempt: Attempt) -> Path:
        """The attempt's folder."""
        return self.path / attempt.name

    def keep(self, attempt: Attempt, record: JobRecord) -> None:
        """Write its `job.json`."""
        self.of(attempt).mkdir(exist_ok=True)
        write_json(self.of(attempt) / JOB, record.facts())

    def record(self, attempt: Attempt) -> JobRecord | None:
        """What was written down of it; None if nothing was, or nothing that can be read: then it is as if not run."""
        return _readable_record(self.of(attempt))

    def records(self) -> list[JobRecord]:
        """Of all attempts that were begun, or refused, as far as they can be read."""
        found = (_readable_record(path.parent) for path in sorted(self.path.glob(f"[0-9]*/{JOB}")))
        return [one for one in found if one is not None]

    def damaged(self) -> Iterator[str]:
        """What is wrong with each record that cannot be read."""
        for path in sorted(self.path.glob(f"[0-9]*/{JOB}")):
            try:
                read_record(path.parent)
            except RecordError as error:
                yield str(error)

    def set_aside(self, attempt: Attempt) -> None:
        """Make room for another try; what the last one left is kept."""
        folder = self.of(attempt)
        if not folder.exists():
            return
        earlier = self.path / _EARLIER
        earlier.mkdir(exist_ok=True)
        number = 1
        while (earlier / f"{attempt.name}.{number}").exists():
            number += 1
        folder.rename(earlier / f"{attempt.name}.{number}")


def read_record(folder: Path) -> JobRecord | None:
    """The `job.json` of an attempt's folder; None if there is none. Raises RecordError if it was altered."""
    file = folder / JOB
    if not file.is_file():
        return None
    facts = read_json(file)
    check_schema(file, facts)
    try:
        return JobRecord.read(facts)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{file} is no record of a sweep's job ({error}); it was altered") from error


def _readable_record(folder: Path) -> JobRecord | None:
    try:
        return read_record(folder)
    except RecordError:
        return None


def check_schema(file: Path, facts: Mapping[str, Any]) -> None:
    """Raises RecordError for a file of another version."""
    if facts.get("schema") != SCHEMA_VERSION:
        raise RecordError(
            f"{file} has schema {facts.get('schema')}, this version reads {SCHEMA_VERSION}; use the one that wrote it"
        )


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write a file of the sweep. Raises OutputError."""
    try:
        update_json(path, facts)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}; free some space or set hydra.sweep.dir") from error


# --- finding ----------------------------------------------------------------------------------------------------------


def attempt_folders(path: Path) -> Iterator[Path]:
    """The attempts' folders: with job.json, or numbered with run.json."""
    for folder in sorted(path.iterdir()) if path.is_dir() else []:
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        if (folder / JOB).is_file() or (folder.name.isdigit() and (folder / "run.json").is_file()):
            yield folder


def is_sweep(path: Path) -> bool:
    """Whether jobs of a sweep lie in this folder."""
    return (path / SWEEP).is_file() or any(attempt_folders(path))


def find_sweeps(folder: Path) -> Iterator[Path]:
    """Every sweep below `folder`, at any depth; runs are not looked into."""
    for below in sorted(folder.iterdir()) if folder.is_dir() else []:
        if below.is_dir() and not below.name.startswith(".") and not (below / "run.json").is_file():
            if is_sweep(below):
                yield below
            else:
                yield from find_sweeps(below)


# --- opening ----------------------------------------------------------------------------------------------------------


def new_sweep(path: Path, facts: Mapping[str, Any]) -> SweepFolder:
    """Claim a folder for one sweep. Raises OutputError if it holds one, or files that a sweep would write over, or
    cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(path / SWEEP):
            refuse_others(path, _written_over(path))
        (path / SWEEP).touch(exist_ok=False)
    except FileExistsError as error:
        raise OutputError(f"{path} holds a sweep already; go on with it by sweep.resume={path}") from error
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}; set hydra.sweep.dir to a folder you can write to") from error
    return SweepFolder(path, facts)


def _written_over(path: Path) -> list[str]:
    """What lies where a sweep writes; a folder of experiments may have others."""
    found = [one for one in sorted(path.iterdir()) if _ITS_OWN.fullmatch(one.name)]
    harmless = [one for one in found if one.name == BEST_FOLDER and not one.is_symlink() and one.is_dir()]
    names = [one.name for one in found if one not in harmless]
    return names + [f"{one.name}/best.yaml" for one in harmless if os.path.lexists(one / "best.yaml")]


def refuse_others(path: Path, names: Sequence[str]) -> None:
    """Raise OutputError for those of the names that are there, links too: no sweep has left them."""
    found = [name for name in names if os.path.lexists(path / name)]
    if found:
        raise OutputError(
            f"{path} holds {printable(found[0])}, which the sweep would write over and which no sweep has left there; "
            "move it away, or choose another hydra.sweep.dir"
        )


def earlier_sweep(word: str, question: Sequence[str], outputs: Path) -> Path:
    """The folder that `sweep.resume` means: itself, or by `auto` the newest below `outputs` that asks the same.

    Raises SweepError if there is none.
    """
    if word != "auto":
        path = expanded(word)
        if not (path / SWEEP).is_file():
            raise SweepError(f"sweep.resume={word}: there is no {SWEEP}; name a sweep's folder, or auto")
        return path
    found = [
        (str(facts.get("started")), path) for path, facts in _sweeps(outputs) if _same(facts["question"], question)
    ]
    if not found:
        raise SweepError(
            f"sweep.resume=auto: no sweep below {outputs}/ has this command; name its folder, or leave it out to begin"
        )
    return max(found)[1]


def _sweeps(outputs: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for file in outputs.rglob(SWEEP):
        try:
            facts = read_json(file)
        except RecordError:
            continue
        if "question" in facts:
            yield file.parent, facts


def again(path: Path, facts: Mapping[str, Any]) -> SweepFolder:
    """An earlier sweep, to go on with. Raises SweepError if it asked something else, was measured otherwise, or lives.

    `facts` are those of now; the order, limits, and more repeats or trials may differ.
    """
    before = read_json(path / SWEEP)
    check_schema(path / SWEEP, before)
    _refuse_other_words(path, before.get("question", []), facts["question"])
    for key in ("start", "n_jobs", "prune", "keep", "search", "baseline"):
        was, now = before["settings"].get(key), facts["settings"][key]
        if was != now:
            raise SweepError(
                f"sweep.{key}={now}: the sweep in {path} was begun with {was}, and its jobs are compared with each "
                f"other; give sweep.{key}={was}, or begin a new sweep"
            )
    if status(before) == "RUNNING":
        raise SweepError(f"{path}: this sweep runs, as process {before.get('pid')} on {before.get('host')}")
    for run in readable(find_runs(path)):
        if run.status == "RUNNING":
            raise SweepError(f"{run.path}: this job outlived its sweep and runs; wait until process "
                             f"{run.facts.get('pid')} has ended, or end it")  # fmt: skip
    return SweepFolder(path, {**before, **facts, "begun": before.get("begun", before.get("started"))})


def _refuse_other_words(path: Path, before: Sequence[str], now: Sequence[str]) -> None:
    if _same(before, now):
        return
    gone = " ".join(word for word in before if word not in now) or "none"
    new = " ".join(word for word in now if word not in before) or "none"
    raise SweepError(
        f"the sweep in {path} has other jobs: words of its command that are not here: {gone}; and here, not there: "
        f"{new}; resume it with its own command, or begin a new sweep"
    )


def _same(before: Sequence[str], now: Sequence[str]) -> bool:
    """Whether the words are, in any order: where it makes other jobs, their configs are not what they were."""
    return sorted(before) == sorted(now)


@contextmanager
def living(sweep: SweepFolder) -> Iterator[None]:
    """Say that the sweep runs, every two seconds, and at the end how it ended."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(_HEARTBEAT_SECONDS):
            try:
                sweep.update()
            except OutputError:  # where results cannot be written either, and they say so
                continue

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    sweep.update(status="RUNNING", ended=None, pid=os.getpid(), host=platform.node())
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        sweep.update(status="INTERRUPTED", ended=timestamp())
        raise
    except BaseException:
        sweep.update(status="FAILED", ended=timestamp())
        raise
    finally:
        done.set()
        thread.join()
    sweep.update(status="COMPLETED", ended=timestamp())


def first_facts(command: Sequence[str], words: Sequence[str], question: Sequence[str], settings: Any) -> dict[str, Any]:
    """`sweep.json` as it begins."""
    machine = machine_facts()
    return {
        "schema": SCHEMA_VERSION, "status": "RUNNING", "started": timestamp(), "ended": None, "heartbeat": None,
        "command": list(command), "overrides": list(words), "question": list(question), "settings": settings,
        "planned": 0, "host": machine["host"], "pid": machine["pid"], "cores": machine["cores"],
        "memory_bytes": machine["memory_bytes"],
    }  # fmt: skip
