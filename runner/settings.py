"""The records a job is configured by: every key, its type and its default value.

YAML holds values, these hold names. `runner.config` composes and checks them; everything below takes them as they are.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Action(Enum):
    """What to do with the job."""

    run = "run"
    plan = "plan"


class EngineName(Enum):
    """Who computes: our block engine, or rioxarray and dask arrays as the reference."""

    block = "block"
    xarray = "xarray"


class ReaderName(Enum):
    """Who reads pixels: the fast reader where it can, the fast reader only, or GDAL."""

    auto = "auto"
    cog = "cog"
    gdal = "gdal"


class Mask(Enum):
    """Which pixels are left out besides NaN: those that GDAL masks, those that either a file's mask or its nodata value
    hides, or none (the founding notebook's numbers).
    """

    nodata = "nodata"
    both = "both"
    none = "none"


class OnError(Enum):
    """What a scene that cannot be read does to the run."""

    stop = "stop"
    skip = "skip"


class Verify(Enum):
    """Whether objects are held against their checksums, which costs a second reading of every byte."""

    none = "none"
    checksum = "checksum"


class SourceKind(Enum):
    """How scenes are found."""

    demo = "demo"
    glob = "glob"
    manifest = "manifest"


class Duplicates(Enum):
    """Policy for scenes of one time; auto keeps those that named groups tell apart, and refuses others."""

    auto = "auto"
    keep = "keep"
    first = "first"
    last = "last"
    stop = "stop"


class Sidecars(Enum):
    """Policy for files beside a TIFF (.aux.xml, .msk, world files): read or refused, or not looked at."""

    read = "read"
    ignore = "ignore"


class Georeference(Enum):
    """Place of a stack's pixels: as the files say, or none, since rows and columns fit."""

    file = "file"
    none = "none"


class ClusterKind(Enum):
    """Who runs a stage's tasks."""

    sync = "sync"
    threads = "threads"
    processes = "processes"
    address = "address"


class Over(Enum):
    """The axes a stage reduces: (y, x) to one value per scene, or time to one raster per stack."""

    space = "space"
    time = "time"


class Weights(Enum):
    """How much a pixel counts over space: all the same, or by its area; auto is by area on a geographic CRS."""

    auto = "auto"
    none = "none"
    area = "area"


class Start(Enum):
    """What a sweep's job finds: what an unmeasured run has left behind, or no compiled kernels and no cached files."""

    warm = "warm"
    cold = "cold"


class Search(Enum):
    """Who chooses the settings of a sweep that is no grid."""

    optuna = "optuna"


class Objective(Enum):
    """What a sweep wants little of: seconds from a job's start to its end, or bytes of memory at one time."""

    wall = "wall"
    peak = "peak"


class RasterDtype(Enum):
    """The pixel type of the rasters of means."""

    auto = "auto"
    float32 = "float32"
    float64 = "float64"


@dataclass(slots=True)
class S3Settings:
    """Where the bucket is and as whom it is read; secrets come from the AWS chain, never from here."""

    endpoint_url: str | None = None
    region: str | None = None
    anonymous: bool = False
    profile: str | None = None
    requester_pays: bool = False


@dataclass(slots=True)
class SourceSettings:
    """Which scenes make the stack."""

    name: str = "source"
    kind: SourceKind = SourceKind.glob
    url: str = "???"
    datetime_regex: str | None = None
    start: str | None = None
    end: str | None = None
    exclude: list[str] = field(default_factory=list)
    limit: int | None = None
    duplicates: Duplicates = Duplicates.auto
    sidecars: Sidecars = Sidecars.read
    georeference: Georeference = Georeference.file
    band: int = 1
    nodata: Any = None  # a number, by `runner.config`; a float would round 64-bit integers
    valid_range: list[float] | None = None
    mask_and_scale: bool = True
    units: str | None = None
    s3: S3Settings = field(default_factory=S3Settings)


@dataclass(slots=True)
class GdalSettings:
    """GDAL configuration options, by the names GDAL knows."""

    options: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class FetchSettings:
    """How ranges are fetched, for each thread: so many, or so many bytes, ahead of their use."""

    in_flight: int = 8
    ahead: str = "64MiB"
    attempts: int = 10
    timeout: float = 60.0  # seconds
    verify: Verify = Verify.none


@dataclass(slots=True)
class ChunkSettings:
    """The size of a task: scenes by pixels by pixels; a number, or auto, block (the file's), all.

    Typed as Any since OmegaConf 2.3 cannot merge `int | str` into an optional record; `runner.config` checks them.
    """

    time: Any = "auto"
    y: Any = "auto"
    x: Any = "auto"
    snap: bool = True  # y and x are made whole blocks of the files


@dataclass(slots=True)
class ClusterSettings:
    """The workers of one stage."""

    kind: ClusterKind = ClusterKind.threads
    n_workers: int | None = None
    threads_per_worker: int | None = None
    memory_limit: str | None = None
    address: str | None = None
    start_timeout: float = 60.0  # seconds until the first worker has come
    silent_timeout: float = 60.0  # seconds after which a worker that does not answer is given up


@dataclass(slots=True)
class StageSettings:
    """One reduction of the stack, with its own cluster, chunks and statistics."""

    over: Over = "???"  # type: ignore[assignment]  # omegaconf's mark of a value that has to be given
    statistics: list[str] = field(default_factory=lambda: ["mean", "count"])
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    chunks: ChunkSettings | None = None
    min_count: int = 1  # valid pixels; a value of fewer is missing
    weights: Weights = Weights.auto


@dataclass(slots=True)
class OutputSettings:
    """Where results go and how rasters are written."""

    dir: str = "???"
    compression: str = "deflate"
    level: int = 1
    raster_dtype: RasterDtype = RasterDtype.auto
    keep_partials: bool = False  # of a run that is complete; one that is not keeps them anyhow


@dataclass(slots=True)
class DebugSettings:
    """How much an error says."""

    traceback: bool = False


@dataclass(slots=True)
class SweepSettings:
    """How the jobs of a sweep are run by `hydra/launcher=isolated`; of no meaning to any one of them."""

    repeats: int = 1
    seed: int = 0  # of the order, and of a search
    n_jobs: int = 1  # at a time
    timeout: float | None = None  # seconds for each job
    memory_limit: str | None = None  # for all processes of a job together
    start: Start = Start.warm
    prune: int | None = None  # scenes that all settings are tried on before the best of them get all scenes
    keep: float = 0.34  # the share of settings that go on after that
    resume: str | None = None  # a sweep's folder, or auto: the newest that asks the same
    baseline: list[str] | None = None  # words of a job that the others are compared with
    search: Search | None = None
    trials: int = 20  # of a search
    objective: list[Objective] = field(default_factory=lambda: [Objective.wall])


@dataclass(slots=True)
class JobSettings:
    """A whole job, as composed from `conf/` and the command line."""

    action: Action = Action.run
    engine: EngineName = EngineName.block
    reader: ReaderName = ReaderName.auto
    fuse: Any = "auto"  # or true, false
    mask: Mask = Mask.nodata
    on_error: OnError = OnError.stop
    max_skipped: int | None = None
    fetch: FetchSettings = field(default_factory=FetchSettings)
    source: SourceSettings = field(default_factory=SourceSettings)
    gdal: GdalSettings = field(default_factory=GdalSettings)
    chunks: ChunkSettings = field(default_factory=ChunkSettings)
    stages: dict[str, StageSettings] = field(default_factory=dict)
    output: OutputSettings = field(default_factory=OutputSettings)
    debug: DebugSettings = field(default_factory=DebugSettings)
    sweep: SweepSettings = field(default_factory=SweepSettings)
