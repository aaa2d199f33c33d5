"""The demo archive: a made-up country seen by a made-up Sentinel-1, in the layout of a real public bucket.

It stands in for one MGRS tile of `s3://sentinel-s1-rtc-indigo` where there is no network: the same keys, the same
encoding of pixels, speckle as in real radar images, and swath edges beyond which there is no data.
"""

import contextlib
import datetime as dt
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.errors
import rasterio.transform
import rasterio.windows

from runner.demo.landscape import Floats, Landscape, draw_landscape
from runner.errors import ConfigError, SourceError

FORMAT_VERSION = 1  # part of the folder's name: raise it when the same spec gives other files
MANIFEST = "archive.json"
TILE = "tiles/RTC/1/IW/10/T/ET"
TRANSFORM = rasterio.transform.from_origin(499980, 5300040, 20, 20)  # MGRS tile 10TET, pixels of 20 m
LOOKS = 4.4  # equivalent number of looks of Sentinel-1 IW GRD, high resolution (ESA product definition)
BAND_ROWS = 512  # rows made at a time
PREDICTORS = {1: "NO", 2: "STANDARD", 3: "FLOATING_POINT"}  # the COG driver's names for TIFF's numbers

# The orbits in turn: the pass, and the part of the tile's width left out on the west (below zero: on the east).
# Five orbits and two satellites make ten kinds of scene.
ORBITS = (("ASC", 0.0), ("DSC", -0.27), ("ASC", 0.12), ("DSC", 0.0), ("DSC", -0.07))
# Columns a swath's edge moves per row: at this latitude tracks lean 13 degrees from the meridian.
EDGE_SLOPE = {"ASC": math.tan(math.radians(13)), "DSC": -math.tan(math.radians(13))}


@dataclass(frozen=True, slots=True)
class ArchiveSpec:
    """The contents of the archive; the same spec gives the same pixels.

    `predictor` is TIFF's: 1 none, 2 differences, 3 floating point. With `distinct_scenes` only that many are made and
    the others are hard links to them, date tag and ETag included: cheap, and as good for timing a reader.
    """

    scenes: int = 12
    width: int = 1500
    height: int = 1600
    block: int = 512
    seed: int = 20200106
    predictor: int = 3
    first: dt.date = dt.date(2020, 1, 6)
    days_apart: int = 6
    bucket: str = "demo-sentinel1-rtc"
    distinct_scenes: int | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for what GDAL would refuse late or not at all."""
        if min(self.scenes, self.width, self.height, self.days_apart, self.distinct or 0) < 1:
            raise ConfigError(f"demo archive: counts, sizes and days must be 1 or more, got {self}")
        if self.block < 128 or self.block % 16:
            raise ConfigError(f"demo archive: block is {self.block}, a COG needs a multiple of 16 from 128 on")
        if self.predictor not in PREDICTORS:
            raise ConfigError(f"demo archive: predictor is {self.predictor}, TIFF has {sorted(PREDICTORS)}")

    @property
    def distinct(self) -> int:
        """The number of scenes that are made, not linked."""
        return self.scenes if self.distinct_scenes is None else min(self.scenes, self.distinct_scenes)

    def scene(self, index: int) -> "DemoScene":
        """The `index`-th scene in time."""
        orbit, left_out = ORBITS[index % len(ORBITS)]
        date = self.first + dt.timedelta(days=index * self.days_apart)
        return DemoScene(index, date, ("S1B", "S1A")[index % 2], orbit, left_out)


DEFAULT_SPEC = ArchiveSpec()


@dataclass(frozen=True, slots=True)
class DemoScene:
    """One flight over the tile; `left_out` is the part of its width beyond the swath's edge, as in ORBITS."""

    index: int
    date: dt.date
    satellite: str
    orbit: str
    left_out: float

    @property
    def key(self) -> str:
        """The object's key in its bucket."""
        return f"{TILE}/{self.date:%Y}/{self.satellite}_{self.date:%Y%m%d}_10TET_{self.orbit}/Gamma0_VV.tif"

    @property
    def growth(self) -> float:
        """The growth of the crops, from 0 on 15 February to 1 in August."""
        return 0.5 - 0.5 * math.cos(2 * math.pi * (self.date.timetuple().tm_yday - 46) / 365.25)


def default_cache_dir() -> Path:
    """Where archives are kept; a relative XDG_CACHE_HOME is ignored, as the XDG Base Directory Specification says.

    Raises SourceError for a user who has no home.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".cache") / "cog-stack-runner"
    except RuntimeError as error:
        raise SourceError(
            "the demo archive has no cache folder, since this user has no home; set XDG_CACHE_HOME"
        ) from error


def ensure_archive(
    cache_dir: Path, spec: ArchiveSpec = DEFAULT_SPEC, progress: Callable[[int, int], None] | None = None
) -> Path:
    """The folder of buckets for `spec` below `cache_dir`, made now unless it is there and whole.

    `progress(made, to_make)` is called after each scene. Raises SourceError where the files cannot be written.
    """
    root = cache_dir / f"demo-{_fingerprint(spec)}"
    try:
        if not _is_whole(root):
            _build(root, spec, progress)
    except (OSError, rasterio.errors.RasterioError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise SourceError(
            f"the demo archive cannot be made in {cache_dir}: {reason}; make room there, or set XDG_CACHE_HOME to "
            "another folder"
        ) from error
    return root


def _build(root: Path, spec: ArchiveSpec, progress: Callable[[int, int], None] | None) -> None:
    """Make the archive aside and rename it: what stands under the final name was checked, whatever stops us before."""
    root.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(root.parent)
    with tempfile.TemporaryDirectory(prefix=f"{root.name}.making-", dir=root.parent) as aside:
        made = Path(aside) / "archive"
        _make(made, spec, progress)
        _move_into_place(made, root)


def _remove_abandoned(cache_dir: Path) -> None:
    """Delete what processes killed while making an archive left behind more than a day ago."""
    for folder in cache_dir.glob("demo-*.making-*"):
        if folder.stat().st_mtime < time.time() - 86400:
            shutil.rmtree(folder, ignore_errors=True)  # another process may be deleting it too


def _fingerprint(spec: ArchiveSpec) -> str:
    """Twelve hex digits that name the spec and the format."""
    text = json.dumps([FORMAT_VERSION, asdict(spec)], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_whole(root: Path) -> bool:
    """Tell if every file named in the archive's manifest is there with its size."""
    try:
        sizes = json.loads((root / MANIFEST).read_text())
        return all((root / name).stat().st_size == size for name, size in sizes.items())
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def _move_into_place(made: Path, root: Path) -> None:
    """Rename the finished archive to its final name; where another process was first, keep that one's."""
    try:
        made.rename(root)
    except OSError:  # a folder cannot be renamed over one with files in it
        if _is_whole(root):
            return
        with contextlib.suppress(FileNotFoundError):
            root.rename(made.with_name("damaged"))  # removed together with the folder it now lies in
        made.rename(root)


def _make(root: Path, spec: ArchiveSpec, progress: Callable[[int, int], None] | None) -> None:
    """Write every scene below `root`, then the manifest of sizes."""
    land = draw_landscape(spec.width, spec.height, spec.seed, threads=os.cpu_count() or 1)
    levels = _speckle_levels()
    scenes = [spec.scene(index) for index in range(spec.scenes)]
    paths = [root / spec.bucket / scene.key for scene in scenes]
    for path in paths:
        path.parent.mkdir(parents=True)
    for index in range(spec.distinct):
        # One at a time: GDAL compresses in threads of its own, and rasterio holds the GIL meanwhile.
        _make_scene(paths[index], land, spec, scenes[index], levels)
        if progress is not None:
            progress(index + 1, spec.distinct)
    for index in range(spec.distinct, spec.scenes):
        paths[index].hardlink_to(paths[index % spec.distinct])
    sizes = {str(path.relative_to(root)): path.stat().st_size for path in paths}
    (root / MANIFEST).write_text(json.dumps(sizes, indent=1))


def _make_scene(path: Path, land: Landscape, spec: ArchiveSpec, scene: DemoScene, levels: Floats) -> None:
    """Write one scene, check it, and give it the date of its flight."""
    _write_cog(path, _pixel_bands(land, spec, scene, levels), spec, scene)
    _check_cog(path, spec)
    # The last modification is the flight's day plus a checksum in nanoseconds: a server that derives its ETag from
    # size and time then gives the same ETag for the same bytes on every machine, and another one for others.
    flown = dt.datetime.combine(scene.date, dt.time(14), dt.UTC)
    nanoseconds = int(flown.timestamp()) * 10**9 + zlib.crc32(path.read_bytes()) % 10**9
    os.utime(path, ns=(nanoseconds, nanoseconds))


def _write_cog(path: Path, bands: Iterator[tuple[slice, Floats]], spec: ArchiveSpec, scene: DemoScene) -> None:
    """Encode the pixels as the real archive does: DEFLATE, tiles, averaged overviews, nodata 0."""
    predictor = PREDICTORS[spec.predictor]
    with rasterio.open(
        path, "w", driver="COG", width=spec.width, height=spec.height, count=1, dtype="float32", nodata=0,
        crs="EPSG:32610", transform=TRANSFORM, blocksize=spec.block, compress="DEFLATE", level=6, predictor=predictor,
        overview_predictor=predictor, overview_resampling="AVERAGE", num_threads="ALL_CPUS",
    ) as cog:  # fmt: skip
        for rows, pixels in bands:
            cog.write(pixels, 1, window=rasterio.windows.Window(0, rows.start, spec.width, rows.stop - rows.start))
        cog.set_band_description(1, "Gamma0_VV")
        cog.update_tags(DATE=str(scene.date), SATELLITE=scene.satellite, ORBIT=scene.orbit)


def _check_cog(path: Path, spec: ArchiveSpec) -> None:
    """Read the last row of blocks, which stands at the file's end: a disk that ran full shows there."""
    with rasterio.open(path, driver="GTiff") as cog:
        if cog.shape != (spec.height, spec.width):
            raise OSError(f"{path} has shape {cog.shape}, wanted {(spec.height, spec.width)}")
        start = (spec.height - 1) // spec.block * spec.block
        cog.read(1, window=rasterio.windows.Window(0, start, spec.width, spec.height - start))


def _pixel_bands(
    land: Landscape, spec: ArchiveSpec, scene: DemoScene, levels: Floats
) -> Iterator[tuple[slice, Floats]]:
    """The scene from north to south, some rows at a time: gamma0, linear power, 0 beyond the swath's edge."""
    rng = np.random.default_rng([spec.seed, scene.index])
    # Soil wetness moves the whole scene by some tenths of a decibel from week to week.
    gain = np.float32(10 ** ((0.6 * math.sin(scene.index / 1.3) + 0.2 * rng.standard_normal()) / 10))
    shift = rng.normal(0, 0.003)  # no two flights keep to quite the same track
    for start in range(0, spec.height, BAND_ROWS):
        rows = slice(start, min(start + BAND_ROWS, spec.height))
        mean = (land.still[rows] + land.crops[rows] * np.float32(scene.growth)) * gain
        pixels = mean * levels[_random_indices(rng, mean.shape)]
        pixels[_beyond_swath(rows, spec, scene, shift)] = 0
        yield rows, pixels


def _speckle_levels() -> Floats:
    """65536 equally likely factors of mean 1, all above 0: the gamma distribution of multi-look intensity.

    Its quantiles by Wilson and Hilferty's formula (PNAS 17, 1931); looking them up is ten times faster than drawing.
    """
    from statistics import NormalDist  # noqa: PLC0415 - only where an archive is made

    quantile = NormalDist().inv_cdf
    normal = np.array([quantile((rank + 0.5) / 65536) for rank in range(65536)])
    levels = (1 - 1 / (9 * LOOKS) + normal / (3 * math.sqrt(LOOKS))) ** 3
    return np.asarray(levels / levels.mean(), np.float32)


def _random_indices(rng: "np.random.Generator", shape: tuple[int, ...]) -> npt.NDArray[np.uint16]:
    """Random numbers from 0 to 65535, four from each 64 random bits."""
    rows, columns = shape
    bits = rng.integers(0, 2**64 - 1, (rows, -(-columns // 4)), np.uint64, endpoint=True)
    return bits.view(np.uint16)[:, :columns]


def _beyond_swath(rows: slice, spec: ArchiveSpec, scene: DemoScene, shift: float) -> npt.NDArray[np.bool_]:
    """The pixels (rows, columns) that the swath does not reach."""
    row, column = np.arange(rows.start, rows.stop)[:, None], np.arange(spec.width)[None, :]
    lean = EDGE_SLOPE[scene.orbit] * (row - spec.height / 2)
    if scene.left_out == 0:
        return np.zeros((rows.stop - rows.start, spec.width), bool)
    edge = (abs(scene.left_out) + shift) * spec.width
    return column < edge + lean if scene.left_out > 0 else column >= spec.width - edge + lean
