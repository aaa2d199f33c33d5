"""Records of a run, once settings and headers are known: scenes, grids, stacks, inputs."""

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

import numpy as np

from runner.area import Area
from runner.read.fetch import FetchCounts
from runner.read.header import Header, Window
from runner.read.services import is_on_the_web, is_remote

SIGNED: Final = "[signed]"  # in place of a query that is a secret, in all that is kept of an href


class Location(NamedTuple):
    """Where an object lies: in a store or on a web server (`root`), or as a file of this machine (root None).

    `root` is `s3://bucket`, `gs://bucket`, `az://container` or `https://host`, and `key` is the object's path there; of
    a file it is the absolute path. `query` is what follows the `?` of a web address.
    """

    root: str | None
    key: str
    query: str = ""

    @property
    def url(self) -> str:
        """The web address of an object on a web server, as it is requested."""
        path, query = quote(self.key, safe="/!$&'()*+,;=:@~"), f"?{self.query}" if self.query else ""
        return f"{self.root}/{path}{query}"


def locate(href: str) -> Location:
    """Split an href: `s3://bucket/key`, `gs://bucket/key`, `az://container/key`, a web address, or a path."""
    if not is_remote(href):
        return Location(None, href)
    scheme, _, rest = href.partition("://")
    place, _, key = rest.partition("/")
    if not is_on_the_web(href):
        return Location(f"{scheme}://{place}", key)
    path, _, query = key.partition("#")[0].partition("?")
    return Location(f"{scheme}://{place}", unquote(path), query)


def path_of(href: str) -> str:
    """An href as a path: of a web address decoded, and without what follows the path."""
    root, key, _ = locate(href)
    return f"{root}/{key}" if is_on_the_web(href) else href


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as the archive lists it. A manifest gives no size, ETag or time of change."""

    href: str
    size: int | None = None  # bytes
    etag: str | None = None
    modified: datetime | None = None
    time: datetime | None = None  # from a manifest or a record; None if it follows from the key
    columns: tuple[tuple[str, str], ...] = ()  # name and value: further columns of a manifest, or recorded groups
    sidecars: tuple[str, ...] = ()  # hrefs of files beside it that the listing shows
    assets: tuple[tuple[str, str], ...] = ()  # name and href: the other assets of its STAC item
    mask: "StoredObject | None" = None  # the file that masks it, as named by the settings or recorded


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """An object whose header was read, and the version that it was read from."""

    href: str
    size: int  # bytes
    etag: str | None
    modified: datetime | None
    header: Header


@dataclass(frozen=True, slots=True)
class MaskFile(OpenedFile):
    """A file that hides pixels of one scene.

    Its first pixel covers `factor` x `factor` pixels of the scene, from `row` and `column` of the scene on.
    """

    factor: int = 1
    row: int = 0
    column: int = 0

    def part(self, window: Window) -> Window:
        """Its own pixels that cover a window of the scene."""
        top, left = (window.row - self.row) // self.factor, (window.column - self.column) // self.factor
        below = -((self.row - window.row - window.height) // self.factor)
        right = -((self.column - window.column - window.width) // self.factor)
        return Window(top, left, below - top, right - left)


@dataclass(frozen=True, slots=True)
class Scene:
    """One object, one date, one band: a layer of the stack.

    Its first pixel is at `row` and `column` of the stack's grid. Pixels of the grid that it does not cover are missing,
    and pixels of it that lie outside of the grid are not read.
    """

    name: str
    href: str
    time: datetime  # UTC
    groups: dict[str, str]  # further named groups of source.datetime_regex, or columns of the manifest
    size: int  # bytes
    etag: str | None
    modified: datetime | None
    header: Header
    sidecars: tuple[str, ...] = ()  # hrefs of files beside it that completed the header
    sidecars_sha256: str | None = None  # of what these files say about its pixels and place
    row: int = 0
    column: int = 0
    mask: MaskFile | None = None  # a second file that hides pixels of it
    band: int = 1  # the number of the band that is read of it

    @property
    def objects(self) -> list[tuple[str, str | None]]:
        """The href and the ETag of each file whose pixels count or hide some."""
        return [(file.href, file.etag) for file in (self, self.mask) if file]

    @property
    def window(self) -> Window:
        """Its pixels, in the stack's grid."""
        return Window(self.row, self.column, *self.header.shape)

    def part(self, window: Window) -> Window | None:
        """The pixels of a window of the grid that it covers, in its own rows and columns; None if there are none."""
        covered = window.common(self.window)
        return covered and covered.shifted(-self.row, -self.column)


@dataclass(frozen=True, slots=True)
class Grid:
    """CRS, transform and shape of a stack."""

    crs: str | None  # WKT
    crs_name: str  # for people: EPSG:32610
    transform: tuple[float, float, float, float, float, float]  # affine a, b, c, d, e, f: pixel (col, row) to CRS
    height: int
    width: int

    @property
    def pixels(self) -> int:
        """The number of its pixels."""
        return self.height * self.width

    @property
    def window(self) -> Window:
        """All its pixels."""
        return Window(0, 0, self.height, self.width)

    def part(self, window: Window) -> "Grid":
        """The grid of a window of its lattice, which may reach beyond it."""
        a, b, c, d, e, f = self.transform
        x, y = c + a * window.column + b * window.row, f + d * window.column + e * window.row
        return replace(self, transform=(a, b, x, d, e, y), height=window.height, width=window.width)


@dataclass(frozen=True, slots=True)
class Stack:
    """Scenes on one grid, ordered in time. Pixels of the grid outside of `area` are missing."""

    name: str
    grid: Grid
    dtype: np.dtype
    nodata: float | int | None
    units: str | None
    scenes: tuple[Scene, ...]
    scale: float | None = None  # of the settings, in place of those of the files; None leaves these
    offset: float | None = None  # as above
    area: Area | None = None

    @property
    def bands(self) -> list[int]:
        """The numbers that the band has, that of the first scene first."""
        return list(dict.fromkeys(scene.band for scene in self.scenes))

    @property
    def coordinates(self) -> dict[str, tuple[str, np.ndarray]]:
        """Those of its pixels, each by its dimension, as xarray takes them: times in UTC, and centres in the CRS."""
        a, _, c, _, e, f = self.grid.transform
        return {
            "time": ("time", np.array([scene.time.replace(tzinfo=None) for scene in self.scenes], "datetime64[us]")),
            "y": ("y", f + e * (np.arange(self.grid.height) + 0.5)),
            "x": ("x", c + a * (np.arange(self.grid.width) + 0.5)),
        }

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of the files' tiles."""
        return self.scenes[0].header.tile_shape

    @property
    def tile_phases(self) -> list[tuple[int, int]]:
        """Rows and columns from the edges of tiles to the grid's first pixel, of most scenes first.

        One where tiles of all scenes lie alike.
        """
        height, width = self.tile_shape
        places = Counter((scene.row, scene.column) for scene in self.scenes)
        phases: Counter[tuple[int, int]] = Counter()
        for (row, column), scenes in places.items():
            phases[-row % height, -column % width] += scenes
        return [phase for phase, _ in phases.most_common()]

    @property
    def has_gaps(self) -> bool:
        """True if a scene does not cover the grid."""
        return any(next(self.grid.window.without(scene.window), None) for scene in self.scenes)

    @property
    def tile_bytes(self) -> int:
        """Bytes of the largest decoded tile, with all its bands."""
        headers = (scene.header for scene in self.scenes)
        return max(math.prod(header.tile_shape) * header.bands for header in headers) * self.dtype.itemsize

    @property
    def masks(self) -> list[MaskFile]:
        """The second files that hide pixels of scenes."""
        return [scene.mask for scene in self.scenes if scene.mask]

    @property
    def mask_tile_bytes(self) -> int:
        """Bytes of the largest decoded tile of a mask, 0 without masks."""
        return max((mask.header.layout.tile_bytes for mask in self.masks), default=0)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An object of the archive that is not in the stack, and why."""

    item: StoredObject
    scene: str | None
    time: datetime | None
    reason: str
    skipped: bool = False  # by on_error=skip, because it cannot be read

    @property
    def beyond_limit(self) -> bool:
        """True if source.limit alone left it out."""
        return self.reason.startswith("beyond source.limit=")


FEW_VALID: Final = "source.min_valid_fraction"  # begins the reason of scenes that it leaves out


@dataclass(frozen=True, slots=True)
class Inputs:
    """The stack, and the objects of the archive that are not in it.

    `fetched` counts the requests for listings and headers. `notes` are lines for the console on how names and dates
    were read.
    """

    stack: Stack
    left_out: tuple[LeftOut, ...]
    fetched: FetchCounts = field(default_factory=FetchCounts, compare=False)
    notes: tuple[str, ...] = ()

    @property
    def few_valid(self) -> int:
        """The number of scenes that have too few valid pixels."""
        return sum(item.reason.startswith(FEW_VALID) for item in self.left_out)

    @property
    def skipped(self) -> int:
        """The number of scenes that cannot be read."""
        return sum(item.skipped for item in self.left_out)
