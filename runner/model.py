"""The records a run is made of, once settings and headers are known."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np

from runner.read.fetch import FetchCounts
from runner.read.header import Header


class Location(NamedTuple):
    """Where an object lies: a bucket and a key, or (bucket None) an absolute path of this machine."""

    bucket: str | None
    key: str


def locate(href: str) -> Location:
    """Split an href: `s3://bucket/key`, or a path."""
    if href.startswith("s3://"):
        bucket, _, key = href.removeprefix("s3://").partition("/")
        return Location(bucket, key)
    return Location(None, href)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as the archive lists it; a manifest gives no size, ETag or time of change."""

    href: str
    size: int | None = None  # bytes
    etag: str | None = None
    modified: datetime | None = None
    time: datetime | None = None  # from a manifest or a record; otherwise the key tells
    columns: tuple[tuple[str, str], ...] = ()  # further ones of the manifest, or recorded groups: name, value
    sidecars: tuple[str, ...] = ()  # hrefs of files beside it, as far as the listing shows them


@dataclass(frozen=True, slots=True)
class Scene:
    """One object, one date, one band: a layer of the stack."""

    name: str
    href: str
    time: datetime  # UTC
    groups: dict[str, str]  # further named groups of source.datetime_regex, or columns of the manifest
    size: int  # bytes
    etag: str | None
    modified: datetime | None
    header: Header
    sidecars: tuple[str, ...] = ()  # hrefs of files beside it that the header was completed from
    sidecars_sha256: str | None = None  # of what they say of its pixels and place


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of a stack lie."""

    crs: str | None  # WKT
    crs_name: str  # for people: EPSG:32610
    transform: tuple[float, float, float, float, float, float]  # affine a, b, c, d, e, f: pixel (col, row) to CRS
    height: int
    width: int

    @property
    def pixels(self) -> int:
        """Pixels of one scene."""
        return self.height * self.width


@dataclass(frozen=True, slots=True)
class Stack:
    """Scenes on one grid, ordered in time."""

    name: str
    grid: Grid
    dtype: np.dtype
    nodata: float | int | None
    units: str | None
    scenes: tuple[Scene, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An object of the archive that is not in the stack, and why."""

    item: StoredObject
    scene: str | None
    time: datetime | None
    reason: str
    skipped: bool = False  # by on_error=skip, since it cannot be read

    @property
    def beyond_limit(self) -> bool:
        """Whether source.limit alone left it out."""
        return self.reason.startswith("beyond source.limit=")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the archive held and what became of it; `fetched` is what listing it and reading the headers cost.

    `notes` are lines for the console on how names and dates were read.
    """

    stack: Stack
    left_out: tuple[LeftOut, ...]
    fetched: FetchCounts = field(default_factory=FetchCounts, compare=False)
    notes: tuple[str, ...] = ()

    @property
    def skipped(self) -> int:
        """How many scenes were left out since they cannot be read."""
        return sum(one.skipped for one in self.left_out)
