"""The words that keys may take: enumerations, each member with its meaning below it."""

from enum import Enum


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


class OwnMask(Enum):
    """The pixels that the file of a scene leaves out."""

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
    stac = "stac"
    """Read STAC items, each with one scene: of a file, a catalog, a GeoParquet table or an API."""

    @property
    def names_scenes(self) -> bool:
        """True if the source itself states the name and the time of each scene."""
        return self in (SourceKind.manifest, SourceKind.stac)


class Signing(Enum):
    """The signature of web addresses that lie in Azure's blob storage."""

    auto = "auto"
    """Sign those that the API of the Planetary Computer gives."""
    none = "none"
    """Request them as they are."""
    planetary_computer = "planetary_computer"
    """Sign them by tokens of the Planetary Computer, which it gives to everyone."""


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


class PlanHeaders(Enum):
    """The headers that the plan of an archive rests on."""

    first = "first"
    """That of the first scene of each stack. The others are taken to be like it."""
    all = "all"
    """Those of all scenes, as a run reads them."""


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
    slurm = "slurm"
    """Jobs in a queue of Slurm."""
    pbs = "pbs"
    """Jobs in a queue of PBS."""
    sge = "sge"
    """Jobs in a queue of Grid Engine."""
    lsf = "lsf"
    """Jobs in a queue of LSF."""
    htcondor = "htcondor"
    """Jobs in the pool of HTCondor."""
    oar = "oar"
    """Jobs in a queue of OAR."""
    ssh = "ssh"
    """Worker processes on hosts that are reached by ssh."""
    gateway = "gateway"
    """A cluster that a dask-gateway server starts."""
    plugin = "plugin"
    """A cluster of another package, by an entry point of `cog_stack_runner.clusters`."""

    @property
    def in_process(self) -> bool:
        """True if the tasks run in this process."""
        return self in (ClusterKind.sync, ClusterKind.threads)

    @property
    def is_queue(self) -> bool:
        """True if workers are jobs of a queueing system."""
        queues = (ClusterKind.slurm, ClusterKind.pbs, ClusterKind.sge, ClusterKind.lsf, ClusterKind.htcondor)
        return self in (*queues, ClusterKind.oar)


class Versions(Enum):
    """The policy for workers whose packages differ from those of this process."""

    stop = "stop"
    """Refuse them."""
    warn = "warn"
    """Use them, and say so. Results may differ in bits, and tasks may fail."""


class Over(Enum):
    """The axes that a stage reduces."""

    space = "space"
    """Reduce y and x to one value per scene, a row of a table."""
    time = "time"
    """Reduce time to one raster per statistic."""
    zones = "zones"
    """Reduce the pixels of each polygon of `zones.file` to one value per scene and zone, a row of a table."""

    @property
    def makes_table(self) -> bool:
        """True if the result is a table; otherwise it is a raster for each statistic."""
        return self is not Over.time


class ZonePixels(Enum):
    """The pixels of a zone."""

    center = "center"
    """The pixels whose centre lies in the polygon."""
    all_touched = "all_touched"
    """All pixels that the polygon touches, as GDAL has them."""
    fraction = "fraction"
    """All pixels that the polygon covers in part, each by the fraction that it covers. This needs
    `pip install 'cog-stack-runner[zones]'`."""


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


class ResultScale(Enum):
    """The scale of results that are values such as the pixels have: means, sums, extremes, quantiles, ends."""

    linear = "linear"
    """As they are."""
    db = "db"
    """In decibels, 10 log10 of the result, never of the pixels before. Results of 0 and below are missing."""


class Layout(Enum):
    """The files of a stage over time."""

    files = "files"
    """A file for each statistic, such as `temporal_mean.tif` and `temporal_count.tif`."""
    bands = "bands"
    """One file such as `temporal.tif`, with a band for each statistic. Counts are floats there, if other bands are."""


class RasterDtype(Enum):
    """The pixel type of rasters that are not counts."""

    auto = "auto"
    """float32, but float64 for 32-bit integers and 64-bit pixels."""
    float32 = "float32"
    """32-bit floats."""
    float64 = "float64"
    """64-bit floats."""
