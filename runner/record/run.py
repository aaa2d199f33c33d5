"""The record of a run: the types that `run.json` is written from and read into.

A key that this version does not know is ignored, so that a newer one may add some. What is not known yet, or never
will be, is None. Nothing heavy is imported here, so that hundreds of runs are listed at once.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta, Struct, field

SCHEMA_VERSION: Final = 3
Status = Literal["RUNNING", "COMPLETED", "FAILED", "INTERRUPTED", "KILLED"]
STATUSES: Final[tuple[str, ...]] = get_args(Status)  # KILLED is written of an earlier attempt alone
_YEARS: Final = range(1970, 9999)  # others cannot be shown in every zone

Count = Annotated[int, Meta(ge=0, lt=2**60)]
Amount = Annotated[float, Meta(ge=0, lt=1e18)]
Moment = Annotated[datetime, Meta(tz=True)]


class Code(Struct, frozen=True):
    """The commit that ran, and the difference from it, without secrets."""

    commit: str
    dirty: bool = False
    diff: str | None = None
    diff_cut: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the difference was recorded from its beginning to its end."""
        return bool(self.diff) and not self.diff_cut


class ControlGroup(Struct, frozen=True):
    """The limits that a container or a scheduler sets."""

    memory_limit_bytes: Count | None = None
    cpu_limit: Amount | None = None


class TaskExtent(Struct, frozen=True):
    """The window of a task in pixels, and its scenes."""

    row: Count
    column: Count
    height: Count
    width: Count
    start: Count
    stop: Count


class Failure(Struct, frozen=True):
    """The error that ended a run, and the place that it can be traced to."""

    kind: str
    message: str
    pass_name: str | None = field(default=None, name="pass")
    stages: tuple[str, ...] = ()
    scene: str | None = None
    task: TaskExtent | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class Cluster(Struct, frozen=True):
    """The workers of a pass; `threads` are those of all workers together."""

    kind: str
    n_workers: Count
    threads: Count
    address: str | None = None
    dashboard: str | None = None


class TaskSize(Struct, frozen=True):
    """The size of a task: scenes by rows by columns."""

    time: Count
    y: Count
    x: Count


class Planned(Struct, frozen=True):
    """The reading and the memory that a plan expects."""

    requests: Count | None = None
    stored_bytes: Count | None = None
    decoded_bytes: Count | None = None
    over_read: Amount | None = None
    worker_bytes: Count | None = None
    mask_bytes: Count | None = None  # of the stored bytes
    mask_requests: Count | None = None  # of the requests


class Fetched(Struct, frozen=True):
    """Requests and bytes, retries, and seconds of waiting for them."""

    requests: Count
    bytes: Count
    retries: Count
    wait_seconds: Amount | None = None


class Inflated(Struct, frozen=True):
    """How DEFLATE tiles were inflated: in lanes, or one by one by libdeflate; bytes, and seconds of all threads.

    Counts only tiles that lanes could have taken. `missing_tiles` hold no valid pixel and were not inflated.
    """

    lanes_bytes: Count
    lanes_seconds: Amount
    libdeflate_bytes: Count
    libdeflate_seconds: Amount
    missing_tiles: Count

    @property
    def mostly_in_lanes(self) -> bool:
        """Whether more was inflated in lanes."""
        return self.lanes_bytes > self.libdeflate_bytes

    @property
    def lanes_rate(self) -> float | None:
        """Bytes a second of one thread; None if nothing was inflated in lanes."""
        return self.lanes_bytes / self.lanes_seconds if self.lanes_seconds else None

    @property
    def libdeflate_rate(self) -> float | None:
        """Bytes a second of one thread; None if nothing was inflated by libdeflate."""
        return self.libdeflate_bytes / self.libdeflate_seconds if self.libdeflate_seconds else None


class PassRecord(Struct, frozen=True, kw_only=True):
    """A pass as it was planned, on the cluster it had; the values from `fetched` on are known at its end."""

    name: str
    stages: tuple[str, ...] = ()
    cluster: Cluster
    chunks: TaskSize
    tasks: Count
    weights: dict[str, str] = {}
    planned: Planned = Planned()
    gdal_options: dict[str, dict[str, str | None]] = {}  # worker by worker
    start_seconds: Amount | None = None
    reused: Count = 0  # tasks that an earlier attempt had finished
    fetched: Fetched | None = None  # None too where GDAL fetched, which does not count
    again: Fetched | None = None  # of these, for scenes that were left out once their valid pixels had been counted
    inflated: Inflated | None = None  # as above
    compute_seconds: Amount | None = None
    read_seconds: Amount | None = None  # of all threads together, as reduce_seconds
    reduce_seconds: Amount | None = None
    compile_seconds: Amount | None = None  # of the thread that waited longest for machine code
    megabytes_per_second: Amount | None = None
    peak_bytes: Count | None = None  # of all processes of the run together
    cpu_seconds: Amount | None = None
    workers_lost: Count | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it was computed to its end."""
        return self.compute_seconds is not None


class StackRecord(Struct, frozen=True):
    """The stack: its scenes, its time, its grid, its pixels."""

    name: str
    scenes: Count
    left_out: Count = 0
    height: Count | None = None
    width: Count | None = None
    dtype: str | None = None
    nodata: float | str | None = None  # text is nan, which JSON has no number for
    crs: str | None = None
    transform: tuple[float, float, float, float, float, float] | None = None
    first_datetime: Moment | None = None
    last_datetime: Moment | None = None
    units: str | None = None
    band: Count | None = None
    area_sha256: str | None = None  # of the polygons of source.area
    zones_sha256: str | None = None  # of the zones of zones.file, with their names
    zones: Count | None = None  # those of zones.file that have rows

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width."""
        return None if self.height is None or self.width is None else (self.height, self.width)


class ZonesRecord(Struct, frozen=True):
    """The zones of an archive: how many, how many no complete stack has, and how many stacks of several grids have."""

    zones: Count
    in_no_stack: Count
    on_several_grids: Count
    names_in_no_stack: tuple[str, ...] = ()  # the first of them


class ArchiveRecord(Struct, frozen=True):
    """The stacks of an archive: the groups they are parted by, their number, how many have each status, and sums."""

    stack_by: tuple[str, ...]
    stacks: Count
    statuses: dict[str, Count] = {}
    scenes: Count = 0
    bytes: Count | None = None  # fetched; None where GDAL fetched
    area_sha256: str | None = None  # of the polygons of source.area, by which stacks are inside or outside
    zones_sha256: str | None = None  # of the zones of zones.file, with their names
    zones: ZonesRecord | None = None  # once the tables of its stages over zones are written

    @property
    def done(self) -> int:
        """The number of complete stacks."""
        return self.statuses.get("COMPLETED", 0)


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt at a run; a resumed run has several."""

    status: Status
    started: Moment
    heartbeat: Moment | None = None
    ended: Moment | None = None
    seconds: Amount | None = None
    exit_code: int | None = None
    error: Failure | None = None
    command: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    config_sha256: str | None = None
    kernels: str | None = None
    host: str | None = None
    pid: int | None = None
    passes: tuple[PassRecord, ...] = ()

    def __post_init__(self) -> None:
        for name in ("started", "heartbeat", "ended"):
            moment = getattr(self, name)
            if moment is not None and moment.year not in _YEARS:
                raise ValueError(f"{name} is {moment.isoformat()}, wanted a year from 1970 on")

    @property
    def lived_seconds(self) -> float | None:
        """From its start to its end, or to its last heartbeat."""
        if self.seconds is not None or self.heartbeat is None:
            return self.seconds
        return max((self.heartbeat - self.started).total_seconds(), 0.0)


def parted_by(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns by which a recorded config parts scenes into stacks, as `SourceSettings.parted_by`."""
    source = config.get("source") or {}
    return (*map(str, source.get("stack_by") or ()), *(("band",) if source.get("bands") else ()))


class Run(Attempt, frozen=True, kw_only=True):
    """A run: the last attempt at it, and what it ran with."""

    schema: Literal[3] = SCHEMA_VERSION
    command: tuple[str, ...]
    overrides: tuple[str, ...]
    passes: tuple[PassRecord, ...]
    config: dict[str, Any]
    versions: dict[str, str]
    config_flags: tuple[str, ...] = ()  # the arguments that name config files, by which overrides mean what they meant
    code: Code | None = None
    python: str | None = None
    platform: str | None = None
    cores: Count | None = None
    memory_bytes: Count | None = None
    cgroup: ControlGroup | None = None
    dask: dict[str, Any] = {}
    phases: dict[str, Amount | None] = {}
    stack: StackRecord | None = None
    listing: Fetched | None = None
    archive: ArchiveRecord | None = None  # of a run of many stacks, each of which has a record of its own
    outputs: tuple[str, ...] = ()
    rerun_of: str | None = None
    resumed_from: str | None = None
    attempts: tuple[Attempt, ...] = ()  # the earlier ones

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("source", "output", "stages"):
            if not isinstance(self.config.get(name) or {}, Mapping):
                raise TypeError(f"config.{name} is {self.config[name]!r}, wanted an object")

    @property
    def attempt(self) -> Attempt:
        """The part of it that a later attempt keeps."""
        return Attempt(**{name: getattr(self, name) for name in Attempt.__struct_fields__})

    @property
    def is_archive(self) -> bool:
        """Whether it is a run of many stacks."""
        return self.archive is not None or bool(parted_by(self.config))

    @property
    def stack_name(self) -> str:
        """The name of its stack, or of its source if its scenes were not found."""
        return self.stack.name if self.stack else str((self.config.get("source") or {}).get("name") or "")

    @property
    def scenes(self) -> int | None:
        """Scenes of its stack, or of all stacks; None if it ended before they were known."""
        return self.archive.scenes if self.archive else self.stack.scenes if self.stack else None

    @property
    def ended_passes(self) -> list[PassRecord]:
        """Its passes, without one that did not end."""
        return [pass_ for pass_ in self.passes if pass_.has_ended]

    @property
    def fetched(self) -> Fetched | None:
        """The sum over all ended passes; None without one, or if GDAL fetched, which does not count."""
        passes = [count.fetched for count in self.ended_passes]
        counts = [count for count in passes if count is not None]
        if not counts or len(counts) < len(passes):
            return None
        return Fetched(*(sum(getattr(count, name) for count in counts) for name in ("requests", "bytes", "retries")))

    @property
    def retries(self) -> int | None:
        """Requests that were sent again, in all ended passes; None as `fetched`."""
        return self.fetched.retries if self.fetched else None

    @property
    def megabytes_per_second(self) -> float | None:
        """Bytes fetched divided by the seconds of computing on them, of all ended passes; None if not known.

        Of an archive, whose stacks overlap, divided by the seconds of all attempts at it.
        """
        if self.archive:
            lived = sum(attempt.lived_seconds or 0 for attempt in (self, *self.attempts))
            return self.archive.bytes / lived / 1e6 if self.archive.bytes and lived else None
        seconds = sum((pass_.compute_seconds or 0) - (pass_.compile_seconds or 0) for pass_ in self.ended_passes)
        return self.fetched.bytes / seconds / 1e6 if self.fetched and seconds else None
