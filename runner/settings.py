"""The settings of a job: every key with its type, its default, the values it may take, and its meaning.

YAML holds values, these records hold names. The text below a field or a member is its meaning; the reference
(`runner/docs/reference.md`) and the JSON schema are made from it. `config.job_config` composes and checks them.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Final


@dataclass(frozen=True, slots=True)
class Limits:
    """The values that a key may take, where its type does not say so."""

    wanted: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    words: tuple[str | bool, ...] = ()
    whole: bool = False  # where the type is not int

    def hold(self, value: object) -> bool:
        """Tell if the value is one of the words, or a number within the bounds."""
        if type(value) is int or (type(value) is float and not self.whole):
            return self._has_bounds() and self._within(value)
        return any(type(word) is type(value) and word == value for word in self.words)

    def _has_bounds(self) -> bool:
        return (self.least, self.most, self.above) != (None, None, None)

    def _within(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
        )


COMPRESSIONS: Final = ("deflate", "zstd", "lzw", "none")

_FROM_1: Final = Limits("a whole number from 1 on", least=1)
_FROM_0: Final = Limits("a whole number from 0 on", least=0)
# No client waits forever, and each has another longest wait.
_SECONDS: Final = Limits("seconds above 0, at most 10000000", above=0, most=10_000_000)
_LEVEL: Final = Limits("a whole number from 1 to 9", least=1, most=9)
_SHARE: Final = Limits("a share above 0, up to 1", above=0, most=1)
_COMPRESSION: Final = Limits(" or ".join(COMPRESSIONS), words=COMPRESSIONS)
_SWITCH: Final = Limits("auto, true or false", words=("auto", True, False))
_SCENES: Final = Limits("a whole number from 1 on, or one of auto, all", least=1, words=("auto", "all"), whole=True)
_PIXELS: Final = Limits(
    "a whole number from 1 on, or one of auto, block, all", least=1, words=("auto", "block", "all"), whole=True
)


class Action(Enum):
    """The task of the command."""

    run = "run"
    """Run the job."""
    plan = "plan"
    """Print the tasks, requests, bytes and memory of the job, and run nothing."""


class EngineName(Enum):
    """The engine that computes."""

    block = "block"
    """The engine of this package. It reads each block once and gives the same bits on every cluster."""
    xarray = "xarray"
    """The reference: rioxarray and dask arrays. It does not promise the same bits."""


class ReaderName(Enum):
    """The reader of pixels."""

    auto = "auto"
    """The fast reader for plain TIFFs, GDAL for all other files."""
    cog = "cog"
    """The fast reader only. A file that it cannot read stops the run."""
    gdal = "gdal"
    """GDAL only."""


class Mask(Enum):
    """The pixels to leave out. NaN is always left out."""

    nodata = "nodata"
    """Leave out what GDAL masks."""
    both = "both"
    """Leave out what the mask of the file hides and what has the nodata value."""
    none = "none"
    """Count every pixel, as the founding notebook did."""


class OnError(Enum):
    """The policy for a scene that cannot be read."""

    stop = "stop"
    """Stop the run."""
    skip = "skip"
    """Leave the scene out of all outputs, and name it in `inputs.parquet`."""


class Verify(Enum):
    """The check of objects against their checksums."""

    none = "none"
    """Do not check."""
    checksum = "checksum"
    """Read every object once more and compare its MD5 with its ETag."""


class Inflate(Enum):
    """The way in which DEFLATE tiles are inflated. The bytes are the same."""

    auto = "auto"
    """Start with libdeflate. In a large pass over noisy tiles, time both and keep the faster one."""
    libdeflate = "libdeflate"
    """One tile after another, by libdeflate."""
    lanes = "lanes"
    """Three or more noisy tiles of different scenes at once in each thread, others by libdeflate. That is faster on
    noise, such as radar backscatter. A task needs three scenes for it."""


class SourceKind(Enum):
    """The way in which scenes are found."""

    demo = "demo"
    """Make a small archive on this machine and serve it over the S3 protocol."""
    glob = "glob"
    """List a folder or a bucket and match a pattern."""
    manifest = "manifest"
    """Read a table with one scene per row."""


class Duplicates(Enum):
    """The policy for scenes of the same time."""

    auto = "auto"
    """Keep them if a named group, such as the satellite or the orbit, tells them apart. Refuse them otherwise."""
    keep = "keep"
    """Keep all of them."""
    first = "first"
    """Keep the first one by name."""
    last = "last"
    """Keep the last one by name."""
    stop = "stop"
    """Refuse them."""


class Sidecars(Enum):
    """The policy for files beside a TIFF, such as `.aux.xml`, `.msk` and world files."""

    read = "read"
    """Read them, and refuse a scene if they hold what this package does not read."""
    ignore = "ignore"
    """Do not look for them."""


class Georeference(Enum):
    """The place of the pixels of a stack."""

    file = "file"
    """The place that each file states."""
    none = "none"
    """No place. The same row and column is the same place in all scenes."""


class StackGrid(Enum):
    """The grid of a stack, whose scenes may cover different parts of it."""

    same = "same"
    """The grid of all scenes. Scenes that differ in it are refused."""
    union = "union"
    """All pixels of all scenes. Where a scene does not reach, its pixels are missing."""
    intersection = "intersection"
    """The pixels that all scenes have."""
    first = "first"
    """The pixels of the earliest scene. Where another scene does not reach, its pixels are missing."""


class ClusterKind(Enum):
    """The cluster that runs the tasks of a stage."""

    sync = "sync"
    """One task after the other in this process."""
    threads = "threads"
    """Threads of this process."""
    processes = "processes"
    """Worker processes on this machine."""
    address = "address"
    """A dask scheduler that is running already."""


class Over(Enum):
    """The axes that a stage reduces."""

    space = "space"
    """Reduce y and x to one value per scene, a row of a table."""
    time = "time"
    """Reduce time to one raster per statistic."""


class Weights(Enum):
    """The weight of a pixel in a statistic over space."""

    auto = "auto"
    """Weight pixels by area if the CRS is geographic, and equally otherwise."""
    none = "none"
    """Weight all pixels equally."""
    area = "area"
    """Weight pixels by area, and fail if their areas are not known."""


class Start(Enum):
    """The state of the machine at the start of each job of a sweep."""

    warm = "warm"
    """Kernels are compiled and files are cached by a run that is not measured."""
    cold = "cold"
    """Kernels are not compiled and files are not cached."""


class Search(Enum):
    """The search method of a sweep that does not try all combinations."""

    optuna = "optuna"
    """Optuna, which needs `pip install 'cog-stack-runner[search]'`."""


class Objective(Enum):
    """The quantity by which a sweep ranks its jobs. Less is better."""

    wall = "wall"
    """Seconds from the start of a job to its end."""
    peak = "peak"
    """Peak memory of all processes of a job."""


class RasterDtype(Enum):
    """The pixel type of rasters that are not counts."""

    auto = "auto"
    """float32, but float64 for 32-bit integers and 64-bit pixels."""
    float32 = "float32"
    """32-bit floats."""
    float64 = "float64"
    """64-bit floats."""


@dataclass(slots=True)
class S3Settings:
    """Access to a bucket. Secrets come from the AWS credential chain, never from a setting."""

    endpoint_url: str | None = None
    """Address of an S3-compatible store, such as `https://minio.example.org:9000`. Null is AWS."""
    region: str | None = None
    """Region of the bucket. Null takes the region of the AWS profile."""
    anonymous: bool = False
    """Send requests without a signature, as public buckets allow."""
    profile: str | None = None
    """Profile in the AWS configuration to sign requests with. Null takes the default of the credential chain."""
    requester_pays: bool = False
    """Agree to pay for the requests, as some buckets demand."""


@dataclass(slots=True)
class SourceSettings:
    """The scenes of the stack: where they are, which of them to take and how to read their pixels."""

    name: str = "source"
    """Short name of the data in messages and results: letters, digits, dots and dashes."""
    kind: SourceKind = SourceKind.glob
    """How scenes are found."""
    url: str = "???"
    """Pattern of the scenes in a folder or a bucket, or the path of a manifest. `**` matches any number of folders."""
    datetime_regex: str | None = None
    """Regular expression that finds the date in a key by named groups: `date`, `datetime`, `doy`, or `year`, `month`
    and `day`. Other named groups become columns of the table, and `scene` names the scene. A manifest needs none."""
    start: str | None = None
    """First date or time to take, such as `2020-05-01`."""
    end: str | None = None
    """Last date or time to take. A date includes the whole day."""
    exclude: list[str] = field(default_factory=list)
    """Patterns, such as `*_20200612_*`. A scene is left out if its name or its address matches one of them."""
    limit: Annotated[int | None, _FROM_1] = None
    """Largest number of scenes, the earliest first. Null takes all."""
    duplicates: Duplicates = Duplicates.auto
    """What happens to scenes of the same time."""
    sidecars: Sidecars = Sidecars.read
    """What happens to files beside a TIFF, such as `.aux.xml`."""
    georeference: Georeference = Georeference.file
    """How the pixels of different scenes are matched: by place, or by row and column."""
    grid: StackGrid = StackGrid.same
    """Which pixels the stack has, if the extents of its scenes differ. The scenes must lie on one lattice: they have
    the same CRS and pixel size and are shifted by whole pixels. Pixels are never resampled."""
    bbox: list[float] | None = None
    """Box `[west, south, east, north]` to which the stack is cut, outward to whole pixels. Only tiles that meet it are
    read. Null takes the whole grid."""
    bbox_crs: str | None = "EPSG:4326"
    """CRS of `bbox`. The box is transformed to the CRS of the scenes. Null means that it is in their CRS already."""
    band: Annotated[int, _FROM_1] = 1
    """Band to read. The first is 1."""
    nodata: Any = None  # `runner.config.job_config` reads the number: a float would round 64-bit integers
    """Nodata value, a number or `nan`, in place of the value in the files. Null takes that of the files."""
    valid_range: list[float] | None = None
    """Lowest and highest valid value, after scale and offset. Pixels outside do not count. Null sets no limits."""
    mask_and_scale: bool = True
    """Apply the scale and offset of a file to its pixels."""
    units: str | None = None
    """Unit of the pixels, for the results."""
    s3: S3Settings = field(default_factory=S3Settings)
    """Access to the bucket, for an address that begins with `s3://`."""


@dataclass(slots=True)
class GdalSettings:
    """Configuration options of GDAL."""

    options: dict[str, str] = field(default_factory=dict)
    """Options by name, such as `GDAL_CACHEMAX: '256'`. A name that GDAL does not know is refused."""


@dataclass(slots=True)
class FetchSettings:
    """Requests for byte ranges. The limits on requests and bytes hold for each thread."""

    in_flight: Annotated[int, _FROM_1] = 16
    """Largest number of ranges that a thread requests ahead of their use."""
    ahead: str = "64MiB"
    """Largest number of bytes that a thread requests ahead of their use, such as `64MiB`."""
    attempts: Annotated[int, _FROM_1] = 10
    """Largest number of attempts at a request. The run fails after the last one."""
    timeout: Annotated[float, _SECONDS] = 60.0
    """Largest number of seconds that one attempt may take."""
    verify: Verify = Verify.none
    """Check objects against their checksums, which reads every byte twice."""


@dataclass(slots=True)
class DecodeSettings:
    """Decompression of tiles."""

    inflate: Inflate = Inflate.auto
    """How DEFLATE tiles are inflated."""


@dataclass(slots=True)
class ChunkSettings:
    """The size of a task: scenes by rows by columns.

    The sizes are typed as Any since OmegaConf 2.3 cannot merge `int | str` into an optional record.
    """

    time: Annotated[Any, _SCENES] = "auto"
    """Scenes in a task: a number, `all`, or `auto` to leave the choice to the runner."""
    y: Annotated[Any, _PIXELS] = "auto"
    """Rows in a task: a number, `block` for the block height of the files, `all`, or `auto`."""
    x: Annotated[Any, _PIXELS] = "auto"
    """Columns in a task: a number, `block` for the block width of the files, `all`, or `auto`."""
    snap: bool = True
    """Round `y` and `x` up to whole blocks of the files, so that no block is decoded twice."""


@dataclass(slots=True)
class ClusterSettings:
    """The workers of a stage."""

    kind: ClusterKind = ClusterKind.threads
    """Which cluster runs the stage."""
    n_workers: Annotated[int | None, _FROM_1] = None
    """Number of worker processes. Null starts one per core, or waits for one worker at an `address`."""
    threads_per_worker: Annotated[int | None, _FROM_1] = None
    """Number of threads in each worker. Null is one per core for `threads`, and 1 for `processes`."""
    memory_limit: str | None = None
    """Memory of each worker, such as `2GiB`. `auto` or null shares the memory of this machine evenly."""
    address: str | None = None
    """Address of the scheduler for the kind `address`, such as `tcp://host:8786`."""
    start_timeout: Annotated[float, _SECONDS] = 60.0
    """Seconds to wait for the first worker."""
    silent_timeout: Annotated[float, _SECONDS] = 60.0
    """Seconds without an answer after which a worker is given up and its tasks go to others."""


@dataclass(slots=True)
class StageSettings:
    """A reduction of the stack, with statistics, a cluster and chunks of its own."""

    over: Over = "???"  # type: ignore[assignment]  # omegaconf's mark of a value that has to be given
    """Which axes the stage reduces."""
    statistics: list[str] = field(default_factory=lambda: ["mean", "count"])
    """Statistics to compute: `count`, `valid_fraction`, `sum`, `mean`, `min`, `max`, `var`, `std`, `median`, quantiles
    such as `q05` or `q99_9`, and those of other packages."""
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    """Workers of the stage."""
    chunks: ChunkSettings | None = None
    """Size of a task of this stage. Null takes the `chunks` of the job."""
    min_count: Annotated[int, _FROM_0] = 1
    """Least number of valid pixels behind a value. A value with fewer is missing."""
    weights: Weights = Weights.auto
    """How pixels are weighted over space in `mean`, `var`, `std` and `valid_fraction`."""


@dataclass(slots=True)
class OutputSettings:
    """The run folder and the format of rasters."""

    dir: str = "???"
    """Folder of the run, `outputs/DATE/TIME_SOURCE` unless you name one."""
    compression: Annotated[str, _COMPRESSION] = "deflate"
    """Compression of rasters."""
    level: Annotated[int, _LEVEL] = 1
    """Level of `deflate` and `zstd`, from 1 (fast) to 9 (small)."""
    raster_dtype: RasterDtype = RasterDtype.auto
    """Pixel type of rasters that are not counts."""
    keep_partials: bool = False
    """Keep the finished tasks in `partials/` when the run is complete. A run that is not complete always keeps them."""


@dataclass(slots=True)
class DebugSettings:
    """The detail of error messages."""

    traceback: bool = False
    """Print the Python traceback of an error before its message."""


@dataclass(slots=True)
class SweepSettings:
    """The way in which `hydra/launcher=isolated` runs the jobs of a sweep. A single job does not use these keys."""

    repeats: Annotated[int, _FROM_1] = 1
    """Number of times that each job runs."""
    seed: int = 0
    """Seed of the random order of the jobs, and of a search."""
    n_jobs: Annotated[int, _FROM_1] = 1
    """Number of jobs that run at a time. With 1 they do not slow each other down."""
    timeout: Annotated[float | None, _SECONDS] = None
    """Seconds that a job may take. Null sets no limit."""
    memory_limit: str | None = None
    """Memory that all processes of a job may take together, such as `2GiB`. Null sets no limit."""
    start: Start = Start.warm
    """What a job finds when it starts."""
    prune: Annotated[int | None, _FROM_1] = None
    """Number of scenes on which all settings are tried first. Only the best go on to all scenes. Null tries all
    settings on all scenes."""
    keep: Annotated[float, _SHARE] = 0.34
    """Share of the settings that go on after `prune`."""
    resume: str | None = None
    """Folder of the sweep to continue. `auto` continues the newest sweep of the same command."""
    baseline: list[str] | None = None
    """Overrides of the job with which all others are compared, such as `[chunks=row, engine=xarray]`."""
    search: Search | None = None
    """How settings are searched. Null tries all combinations."""
    trials: Annotated[int, _FROM_1] = 20
    """Number of settings that a search tries."""
    objective: list[Objective] = field(default_factory=lambda: [Objective.wall])
    """Quantities to rank by. The second one decides where the first one ties."""


@dataclass(slots=True)
class JobSettings:
    """A whole job, as composed from `conf/` and the command line."""

    action: Action = Action.run
    """What to do with the job."""
    engine: EngineName = EngineName.block
    """Which engine computes."""
    reader: ReaderName = ReaderName.auto
    """Which reader reads pixels."""
    fuse: Annotated[Any, _SWITCH] = "auto"
    """Read the source once for stages that have the same cluster and chunks. `auto` does so where it can,
    and `true` refuses a job in which they differ."""
    mask: Mask = Mask.nodata
    """Which pixels are left out."""
    on_error: OnError = OnError.stop
    """What happens if a scene cannot be read."""
    max_skipped: Annotated[int | None, _FROM_0] = None
    """Largest number of scenes that `on_error=skip` may leave out. The run fails if there are more. Null sets no
    limit."""
    fetch: FetchSettings = field(default_factory=FetchSettings)
    """Requests for byte ranges."""
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    """Decompression of tiles."""
    source: SourceSettings = field(default_factory=SourceSettings)
    """Scenes of the stack."""
    gdal: GdalSettings = field(default_factory=GdalSettings)
    """Configuration of GDAL."""
    chunks: ChunkSettings = field(default_factory=ChunkSettings)
    """Size of a task in all stages that have no `chunks` of their own."""
    stages: dict[str, StageSettings] = field(default_factory=dict)
    """Reductions of the stack by name."""
    output: OutputSettings = field(default_factory=OutputSettings)
    """Run folder and format of rasters."""
    debug: DebugSettings = field(default_factory=DebugSettings)
    """Detail of error messages."""
    sweep: SweepSettings = field(default_factory=SweepSettings)
    """How the jobs of a sweep are run."""
