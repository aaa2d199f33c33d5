"""The contents of a run folder, as a report shows them."""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.record import run as stored
from runner.record.run_files import OutputFile, StoredValues

if TYPE_CHECKING:
    from runner.output.zone_map import ZoneMap

Floats = npt.NDArray[np.float64]


class Gap(NamedTuple):
    """A file that is not there, or cannot be read."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Problem:
    """The error that ended a run, in words for people."""

    kind: str
    message: str
    place: tuple[tuple[str, str], ...]  # (pass, its name), (scene, its href), ...


@dataclass(frozen=True, slots=True)
class PassFacts:
    """One pass as its page shows it; a value that is unknown is None."""

    name: str
    cluster: str = ""
    workers: float | None = None
    chunks: str = ""
    tasks: float | None = None
    planned_requests: float | None = None
    planned_bytes: float | None = None  # stored, as they lie in the archive
    worker_bytes: float | None = None  # planned, for each worker process
    requests: float | None = None
    bytes: float | None = None
    retries: float | None = None
    start_seconds: float | None = None
    compute_seconds: float | None = None
    read_seconds: float | None = None  # summed over threads
    reduce_seconds: float | None = None  # as above
    compile_seconds: float | None = None  # of the thread that waited longest for machine code
    cpu_seconds: float | None = None
    workers_lost: float | None = None
    reused: float | None = None  # tasks that an earlier attempt had finished
    peak_bytes: float | None = None  # of all processes of the run together
    inflating: str = ""
    missing_tiles: float | None = None
    ended: bool = True  # or what it took is the sum of its attempts, as far as there is a trace

    @property
    def planned_peak_bytes(self) -> float | None:
        """The bytes that the plan allows all workers together."""
        return None if self.worker_bytes is None else self.worker_bytes * (self.workers or 1)


_NEVER: Final = datetime.fromtimestamp(0, UTC)
EMPTY: Final = stored.Run(status="RUNNING", started=_NEVER, command=(), overrides=(), passes=(), config={}, versions={})


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its page shows it: its record, or EMPTY if that cannot be read, and passes as far as they are known."""

    record: stored.Run = EMPTY
    status: str = "UNKNOWN"
    passes: tuple[PassFacts, ...] = ()

    @property
    def started(self) -> float | None:
        """Seconds since 1970, as `ended` and `heartbeat`."""
        return None if self.record is EMPTY else self.record.started.timestamp()

    @property
    def ended(self) -> float | None:
        """The end, if it was recorded."""
        return seconds_of(self.record.ended)

    @property
    def heartbeat(self) -> float | None:
        """The last sign of life."""
        return seconds_of(self.record.heartbeat)

    @property
    def in_pieces(self) -> bool:
        """Whether its trace has pieces of results, not tasks: dask cut these in many that share what they read."""
        return self.record.config.get("engine") == "xarray"

    @property
    def lived_seconds(self) -> float | None:
        """From the start to the end, or to the last heartbeat of a run whose end was not recorded."""
        return self.record.lived_seconds


def seconds_of(time: datetime | None) -> float | None:
    """A time as seconds since 1970."""
    return None if time is None else time.timestamp()


@dataclass(frozen=True, slots=True)
class InputRow:
    """One object of the archive."""

    href: str
    scene: str
    time: float | None
    used: bool
    reason: str
    size: float | None
    etag: str
    grid: str


@dataclass(frozen=True, slots=True, eq=False)
class Tasks:
    """trace.parquet: a row per attempt; numbers are NaN where unknown, times are seconds since 1970."""

    pass_name: list[str]
    status: list[str]
    error: list[str]
    worker: list[str]
    lane: list[tuple[str, str, str]]  # host, pid, thread
    task: Floats
    attempt: Floats
    start: Floats
    stop: Floats
    window: Floats  # (tasks, 4): row, column, height, width
    first_scene: Floats
    stop_scene: Floats
    fetch: Floats
    decode: Floats
    reduce: Floats
    compiling: Floats
    bytes: Floats
    requests: Floats
    retries: Floats
    peak_bytes: Floats
    pixels: Floats
    valid: Floats

    def __len__(self) -> int:
        return len(self.status)

    @property
    def seconds(self) -> Floats:
        """Seconds that each attempt took."""
        return self.stop - self.start

    @property
    def worked(self) -> Floats:
        """Seconds that each attempt took, without waiting for machine code."""
        return self.seconds - np.nan_to_num(self.compiling)

    @property
    def own(self) -> npt.NDArray[np.bool_]:
        """Whether this run made an attempt, instead of restoring its result."""
        return np.array([status != "reused" for status in self.status], bool)

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Tasks":
        """The attempts that are chosen."""
        rows = np.flatnonzero(chosen).tolist()
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, column in columns.items():
            columns[name] = [column[row] for row in rows] if isinstance(column, list) else column[rows]
        return Tasks(**columns)

    def since(self, start: float) -> "Tasks":
        """The attempts with times counted from `start`."""
        return replace(self, start=self.start - start, stop=self.stop - start)


@dataclass(frozen=True, slots=True, eq=False)
class SceneTable:
    """The table of a stage over space, in the order of time; NaN where null."""

    stage: str
    file: str
    scenes: list[str]
    time: Floats
    columns: dict[str, Floats]
    groups: dict[str, list[str]]  # columns of words: the named groups of the keys
    units: dict[str, str]
    by_area: frozenset[str]  # columns to which a pixel counts by its area
    provenance: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class ZoneTable:
    """The table of a stage over zones: one of its statistics, (scenes, zones), in the order of time; NaN where null."""

    stage: str
    file: str
    zones: list[str]
    time: Floats
    level: str
    units: str
    values: Floats
    map: "ZoneMap | None"


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """A raster of a stage over time, and a picture of it."""

    file: str
    stage: str
    statistic: str
    units: str
    shape: tuple[int, int]  # (height, width)
    dtype: str
    crs: str  # for people
    wkt: str
    axis_unit: str  # of the coordinates: metre, degree
    transform: tuple[float, float, float, float, float, float]
    tags: dict[str, str]
    least: float | None
    most: float | None
    mean: float | None
    valid: float | None  # fraction of the pixels
    stretch: tuple[float, float]  # values of the first and the last colour
    beyond: tuple[bool, bool]  # whether there are pixels below, above
    png: bytes
    picture_shape: tuple[int, int]


class Member(NamedTuple):
    """The raster of a group: a band of a file, from 1 on, and its values as they are recorded."""

    stage: str
    file: str
    band: int
    values: StoredValues


@dataclass(frozen=True, slots=True, eq=False)
class Multiples:
    """The rasters of a statistic of a stage, one of each group, of which some have pictures in one scale."""

    stage: str
    statistic: str
    members: tuple[Member, ...]  # of all groups, in their order
    shown: list[Raster]


class Event(NamedTuple):
    """A warning or an error of the log."""

    time: str
    level: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """All contents of a run folder; None for a file that cannot be read."""

    name: str
    path: str  # absolute, since a page is opened from anywhere
    left_nothing: bool  # the folder may be used again
    run: Run
    inputs: list[InputRow] | None
    tasks: Tasks | None
    tables: list[SceneTable]
    zones: list[ZoneTable]
    rasters: list[Raster]
    multiples: list[Multiples]
    outputs: tuple[OutputFile, ...] | None
    events: list[Event]
    gaps: list[Gap]
    unwritten: list[str]  # files that a run which ended before its time had not come to
