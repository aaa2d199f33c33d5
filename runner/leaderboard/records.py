"""The records of a sweep: the types that `sweep.json` and every attempt's `job.json` are written from and read into.

Times are ISO 8601 with their zone, durations seconds, memory bytes. What is not known yet, or never will be, is None.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from runner.base.atomic import update_json
from runner.errors import OutputError
from runner.record.json_files import read_record
from runner.record.run import Amount, Count, Moment
from runner.record.run_folder import current_status
from runner.settings import SweepSettings

SWEEP, JOB = "sweep.json", "job.json"
SCHEMA_VERSION: Final = 1
ALL: Final = "all"  # the rung with every scene
FEW: Final = "few"  # the rung with those of sweep.prune

Rung = Literal["all", "few"]
Kind = TypeVar("Kind", bound=Struct)


class Status(StrEnum):
    """The state of an attempt, or of the whole job."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REFUSED = "REFUSED"  # by the plan, or for settings that contradict each other; not started
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DIED = "DIED"  # by a signal that the sweep did not send
    INTERRUPTED = "INTERRUPTED"
    PRUNED = "PRUNED"  # not among the best of the first rung; not started on all scenes
    KILLED = "KILLED"  # recorded as RUNNING by a sweep, or a run, that has died; never written


SETTLED: Final = frozenset(
    {Status.COMPLETED, Status.REFUSED, Status.PRUNED}
)  # a resumed sweep leaves these as they are
TROUBLE: Final = frozenset(Status) - SETTLED


class JobRecord(Struct, frozen=True, kw_only=True):
    """`job.json`: an attempt at a job as the sweep saw it.

    `peak_bytes` is the most that the job's process and all it started held at one time; `cpu_seconds` counts the
    processes that had ended with it.
    """

    schema: Literal[1] = SCHEMA_VERSION
    job: Count
    repeat: Annotated[int, Meta(ge=1)] = 1
    rung: Rung = ALL
    baseline: bool = False
    overrides: tuple[str, ...]
    varied: dict[str, str]  # key or group -> value, where the jobs differ
    status: Status
    config_sha256: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    order: Count | None = None  # of the attempts of a sweep, as they started
    started: Moment | None = None
    ended: Moment | None = None
    wall_seconds: Amount | None = None
    cpu_seconds: Amount | None = None
    peak_bytes: Count | None = None


class SweepRecord(Struct, frozen=True, kw_only=True):
    """`sweep.json`: a sweep as its process saw it; `first_started` is that of a sweep that was resumed."""

    schema: Literal[1] = SCHEMA_VERSION
    status: Literal["RUNNING", "COMPLETED", "FAILED", "INTERRUPTED"] = "RUNNING"
    started: Moment
    first_started: Moment | None = None
    ended: Moment | None = None
    heartbeat: Moment | None = None
    command: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    question: tuple[str, ...] = ()  # the overrides that make the jobs: a resume must have the same
    settings: SweepSettings = field(default_factory=SweepSettings)
    planned: Count = 0  # attempts of the rung that is running
    host: str | None = None
    pid: int | None = None
    cores: Count | None = None
    memory_bytes: Count | None = None

    @property
    def current_status(self) -> str:
        """The recorded status, or KILLED if the process of the sweep has died."""
        return current_status(self.status, self.host, self.pid, self.started, self.heartbeat)


def read_sweep_record(folder: Path) -> SweepRecord | None:
    """The record of the sweep in this folder; None without one. Raises RecordError if it was altered."""
    return _read(folder / SWEEP, SweepRecord)


def read_job_record(folder: Path) -> JobRecord | None:
    """The record of the attempt in this folder; None without one. Raises RecordError if it was altered."""
    return _read(folder / JOB, JobRecord)


def _read(file: Path, kind: type[Kind]) -> Kind | None:
    return read_record(file, kind, SCHEMA_VERSION) if file.is_file() else None


def write_record(file: Path, record: Struct) -> None:
    """Write a record without secrets. Raises OutputError if the folder or the disk refuses."""
    try:
        update_json(file, msgspec.to_builtins(record))
    except OSError as error:
        raise OutputError(f"{file}: {error.strerror or error}; free some space or set hydra.sweep.dir") from error
