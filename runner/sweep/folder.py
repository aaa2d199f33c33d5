"""The folder of a sweep that runs: claimed or resumed, its record kept true while the sweep lives."""

import os
import platform
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from runner.base.overrides import as_text
from runner.base.redact import redact
from runner.errors import OutputError, RecordError, SweepError, expanded, printable
from runner.host.heartbeat import beating
from runner.leaderboard.records import (
    JOB,
    SWEEP,
    JobRecord,
    SweepRecord,
    read_job_record,
    read_sweep_record,
    write_record,
)
from runner.leaderboard.sweep_folder import BEST_FOLDER
from runner.record.environment import machine_facts
from runner.record.run_folder import find_runs, readable
from runner.settings import SweepSettings
from runner.sweep.jobs import Attempt

_EARLIER = ".earlier"
_ITS_OWN = re.compile(r"sweep\.(html|parquet)|\.sweep\.\d+\.part\.json|experiment|\.earlier|\d+(-few)?(-\d+)?")
_MEASURED_WITH = ("start", "n_jobs", "prune", "keep", "search", "baseline")  # settings that a resume cannot change


class SweepFolder:
    """A sweep on disk. Any thread may write; every change is there before the call returns."""

    def __init__(self, path: Path, record: SweepRecord) -> None:
        self.path = path
        self._record = record
        self._lock = threading.RLock()  # a signal may unwind its holder, who then records the end

    def update(self, **values: Any) -> None:
        """Replace values of `sweep.json`."""
        with self._lock:
            self._record = replace(self._record, **values, heartbeat=datetime.now(UTC))
            write_record(self.path / SWEEP, self._record)

    def of(self, attempt: Attempt) -> Path:
        """The folder of an attempt."""
        return self.path / attempt.name

    def keep(self, attempt: Attempt, record: JobRecord) -> None:
        """Write the attempt's `job.json`."""
        self.of(attempt).mkdir(exist_ok=True)
        write_record(self.of(attempt) / JOB, record)

    def record(self, attempt: Attempt) -> JobRecord | None:
        """The attempt's record; None if there is none that can be read, as if it had not run."""
        return _readable_record(self.of(attempt))

    def records(self) -> list[JobRecord]:
        """The records of all attempts that have started, or were refused, as far as they can be read."""
        records = (_readable_record(path.parent) for path in self._files())
        return [record for record in records if record is not None]

    def damaged(self) -> Iterator[str]:
        """The problem of each record that cannot be read."""
        for path in self._files():
            try:
                read_job_record(path.parent)
            except RecordError as error:
                yield str(error)

    def _files(self) -> list[Path]:
        return sorted(self.path.glob(f"[0-9]*/{JOB}"))

    def set_aside(self, attempt: Attempt) -> None:
        """Make room for another try; the files of the last one are kept."""
        folder = self.of(attempt)
        if not folder.exists():
            return
        earlier = self.path / _EARLIER
        earlier.mkdir(exist_ok=True)
        number = 1
        while (earlier / f"{attempt.name}.{number}").exists():
            number += 1
        folder.rename(earlier / f"{attempt.name}.{number}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record that the sweep runs, with a heartbeat, and at the end how it ended."""

        def beat() -> None:
            try:
                self.update()
            except OutputError:  # results cannot be written either, and they report it
                return

        self.update(status="RUNNING", ended=None, pid=os.getpid(), host=platform.node())
        try:
            with beating(beat):
                yield
        except BaseException as end:
            status = "INTERRUPTED" if isinstance(end, KeyboardInterrupt) else "FAILED"
            self.update(status=status, ended=datetime.now(UTC))
            raise
        self.update(status="COMPLETED", ended=datetime.now(UTC))


def _readable_record(folder: Path) -> JobRecord | None:
    try:
        return read_job_record(folder)
    except RecordError:
        return None


# --- opening ----------------------------------------------------------------------------------------------------------


def first_record(overrides: Sequence[str], question: Sequence[str], settings: SweepSettings) -> SweepRecord:
    """`sweep.json` at the start."""
    machine = machine_facts()
    return SweepRecord(
        started=datetime.now(UTC), command=tuple(map(redact, sys.argv)), overrides=tuple(map(redact, overrides)),
        question=tuple(map(redact, question)), settings=settings,
        **{name: machine[name] for name in ("host", "pid", "cores", "memory_bytes")},
    )  # fmt: skip


def new_sweep(path: Path, record: SweepRecord) -> SweepFolder:
    """Claim a folder for one sweep.

    Raises OutputError if it holds a sweep, or files that a sweep would overwrite, or cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(path / SWEEP):
            refuse_files(path, _overwritten(path))
        (path / SWEEP).touch(exist_ok=False)
    except FileExistsError as error:
        raise OutputError(f"{path} holds a sweep already; continue it with sweep.resume={path}") from error
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}; set hydra.sweep.dir to a folder you can write to") from error
    return SweepFolder(path, record)


def _overwritten(path: Path) -> list[str]:
    """The files where a sweep writes; a folder of experiments may hold others."""
    files = [file for file in sorted(path.iterdir()) if _ITS_OWN.fullmatch(file.name)]
    harmless = [file for file in files if file.name == BEST_FOLDER and not file.is_symlink() and file.is_dir()]
    names = [file.name for file in files if file not in harmless]
    return names + [f"{folder.name}/best.yaml" for folder in harmless if os.path.lexists(folder / "best.yaml")]


def refuse_files(path: Path, names: Sequence[str]) -> None:
    """Raise OutputError for files of these names, links too, which are not from a sweep."""
    present = [name for name in names if os.path.lexists(path / name)]
    if present:
        raise OutputError(
            f"{path} holds {printable(present[0])}, which is not from a sweep and which the sweep would overwrite; "
            "move it away, or choose another hydra.sweep.dir"
        )


def earlier_sweep(resume: str, question: Sequence[str], outputs: Path) -> Path:
    """The folder that `sweep.resume` names, or for `auto` the newest below `outputs` with the same question.

    Raises SweepError if there is none.
    """
    if resume != "auto":
        path = expanded(resume)
        if not (path / SWEEP).is_file():
            raise SweepError(f"sweep.resume={resume}: there is no {SWEEP}; name a sweep's folder, or auto")
        return path
    sweeps = _readable_sweeps(outputs)
    matches = [(record.started, path) for path, record in sweeps if sorted(record.question) == sorted(question)]
    if not matches:
        raise SweepError(
            f"sweep.resume=auto: no sweep below {outputs}/ has this command; name its folder, or leave sweep.resume "
            "out for a new sweep"
        )
    return max(matches)[1]


def _readable_sweeps(outputs: Path) -> Iterator[tuple[Path, SweepRecord]]:
    for file in outputs.rglob(SWEEP):
        try:
            record = read_sweep_record(file.parent)
        except RecordError:
            continue
        if record is not None:
            yield file.parent, record


def resumed_sweep(path: Path, now: SweepRecord) -> SweepFolder:
    """An earlier sweep, to continue with the record of `now`: another order, limits, more repeats or trials.

    Raises SweepError if it has other jobs, was measured otherwise, or is running.
    """
    before = read_sweep_record(path)
    assert before is not None
    _refuse_other_question(path, before.question, now.question)
    for key in _MEASURED_WITH:
        was, value = (_typed_in(record.settings, key) for record in (before, now))
        if was != value:
            raise SweepError(
                f"sweep.{key}={value}: the sweep in {path} started with {was}, and its jobs are compared with each "
                f"other; give sweep.{key}={was}, or start a new sweep"
            )
    if before.current_status == "RUNNING":
        raise SweepError(f"{path}: this sweep is running, as process {before.pid} on {before.host}")
    for run in readable(find_runs(path)):
        if run.status == "RUNNING":
            raise SweepError(f"{run.path}: this job outlived its sweep and is running; wait until process "
                             f"{run.record.pid} has ended, or end it")  # fmt: skip
    return SweepFolder(path, replace(now, first_started=before.first_started or before.started))


def _typed_in(settings: SweepSettings, key: str) -> str:
    value = getattr(settings, key)
    return as_text(getattr(value, "value", value))


def _refuse_other_question(path: Path, before: Sequence[str], now: Sequence[str]) -> None:
    """Compare overrides in any order: where the order makes other jobs, their configs differ too."""
    if sorted(before) == sorted(now):
        return
    dropped = " ".join(override for override in before if override not in now) or "none"
    added = " ".join(override for override in now if override not in before) or "none"
    raise SweepError(
        f"the sweep in {path} has other jobs: overrides of its command that are missing here: {dropped}; overrides "
        f"here that it does not have: {added}; resume it with its own command, or start a new sweep"
    )
