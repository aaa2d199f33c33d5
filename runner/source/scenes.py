"""From listed objects to a stack: names and dates from keys, filters, headers read together, one grid for all."""

import asyncio
import fnmatch
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

import numpy as np

from runner.errors import ReadError, SourceError
from runner.model import Grid, Inputs, LeftOut, Scene, Stack, StoredObject, locate
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, fetch_range, fetch_start
from runner.read.header import HEADER_BYTES, Header, read_header_async
from runner.read.store_errors import DeniedError
from runner.reduce.missing import exact_nodata
from runner.settings import Duplicates, OnError, SourceSettings
from runner.source.listing import list_objects
from runner.source.stores import Stores
from runner.source.times import day_range, time_groups, time_of
from runner.source.together import together

_HEADERS_IN_FLIGHT = 64
SKIP_HINT = "leave it out with source.exclude, or every scene that fails with on_error=skip"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listed object with the name and time it goes by."""

    item: StoredObject
    scene: str
    time: datetime
    groups: dict[str, str]


def find_inputs(
    source: SourceSettings,
    stores: Stores,
    on_error: OnError,
    progress: Callable[[int, int], None],
    fetch: FetchOptions | None = None,
) -> Inputs:
    """List the source, choose its scenes, read their headers and make one stack of them.

    Raises SourceError for an archive that cannot be read, a key without a date, or a scene that fits no stack, and
    DeniedError for one that may not be read.
    """
    found = list_objects(source, stores)
    named = [item for item in found if not _excluded_by(source, item.href)]
    listed = [name_candidate(source, item) for item in named]
    chosen, left_out = choose(source, listed)
    excluded = ((item, _excluded_by(source, item.href)) for item in found)
    left_out += [LeftOut(item, None, None, reason) for item, reason in excluded if reason]
    _refuse_equal_names(chosen)
    scenes, unread = asyncio.run(read_headers(chosen, stores, on_error, progress, fetch))
    if not scenes:
        raise SourceError(
            f"source.url={source.url}: none of {len(found)} objects is left; {_reasons(left_out + unread)}"
        )
    return Inputs(make_stack(source, scenes), tuple(left_out + unread))


def _reasons(left_out: list[LeftOut]) -> str:
    reasons = sorted({item.reason for item in left_out})
    return "left out: " + "; ".join(reasons[:5])


# --- names, dates, filters --------------------------------------------------------------------------------------


def name_candidate(source: SourceSettings, item: StoredObject) -> Candidate:
    """Name and date an object by `source.datetime_regex`, or by its manifest.

    Raises SourceError for a key the pattern does not match.
    """
    pattern = source.datetime_regex
    found = re.search(pattern, item.href) if pattern else None
    groups = {name: text for name, text in (found.groupdict() if found else {}).items() if text is not None}
    name = groups.pop("scene", None) or _short_name(item.href, source.url)
    if item.time is not None:
        return Candidate(item, name, item.time, groups)
    if found is None:
        raise SourceError(
            f"{item.href}: source.datetime_regex={pattern} finds no date in it; mend it or use source.exclude"
        )
    try:
        time = time_of(groups)
    except (ValueError, KeyError) as error:
        raise SourceError(f"{item.href}: '{found[0]}' is no date ({error}); mend source.datetime_regex") from error
    kept = {key: text for key, text in groups.items() if key not in time_groups(pattern or "")}
    return Candidate(item, name, time, kept)


def _short_name(href: str, url: str) -> str:
    """What tells an object from its neighbours: its path below the constant part of the url, without the ending."""
    common = re.split(r"[*?\[]", url)[0].rpartition("/")[0] + "/"
    below = href.removeprefix(common) if href.startswith(common) else PurePosixPath(href).name
    return re.sub(r"\.tiff?$", "", below, flags=re.IGNORECASE)


def choose(source: SourceSettings, listed: list[Candidate]) -> tuple[list[Candidate], list[LeftOut]]:
    """Apply the filters of the source, in order of time; what is left out keeps its reason."""
    start, stop = day_range(source.start, source.end)
    kept: list[Candidate] = []
    left_out: list[LeftOut] = []
    for candidate in sorted(listed, key=lambda one: (one.time, one.scene, one.item.href)):
        reason = _excluded(source, candidate, start, stop) or _duplicate(source.duplicates, candidate, kept)
        if reason is None and source.duplicates is Duplicates.last and kept and kept[-1].time == candidate.time:
            left_out.append(_left_out(kept.pop(), f"{candidate.scene} has the same time; source.duplicates=last"))
        if reason is None and source.limit is not None and len(kept) == source.limit:
            reason = f"beyond source.limit={source.limit}"
        if reason is None:
            kept.append(candidate)
        else:
            left_out.append(_left_out(candidate, reason))
    return kept, left_out


def _left_out(candidate: Candidate, reason: str) -> LeftOut:
    return LeftOut(candidate.item, candidate.scene, candidate.time, reason)


def _excluded(source: SourceSettings, candidate: Candidate, start: datetime, stop: datetime) -> str | None:
    if not start <= candidate.time < stop:
        return f"outside of source.start={source.start}, source.end={source.end}"
    return _excluded_by(source, candidate.scene) or _excluded_by(source, candidate.item.href)


def _excluded_by(source: SourceSettings, text: str) -> str | None:
    """Which pattern of the source excludes a scene's name or an href; an href before it needs a date."""
    return next((f"source.exclude={one}" for one in source.exclude if fnmatch.fnmatchcase(text, one)), None)


def _duplicate(policy: Duplicates, candidate: Candidate, kept: list[Candidate]) -> str | None:
    if not kept or kept[-1].time != candidate.time or policy in (Duplicates.keep, Duplicates.last):
        return None
    if policy is Duplicates.first:
        return f"{kept[-1].scene} has the same time; source.duplicates=first"
    raise SourceError(
        f"{candidate.item.href} and {kept[-1].item.href} have one time, {candidate.time:%Y-%m-%d %H:%M:%S}; "
        "choose source.duplicates=keep, first or last"
    )


def _refuse_equal_names(chosen: list[Candidate]) -> None:
    seen: dict[str, Candidate] = {}
    for candidate in chosen:
        twin = seen.setdefault(candidate.scene, candidate)
        if twin is not candidate:
            raise SourceError(
                f"{twin.item.href} and {candidate.item.href} are both named '{candidate.scene}'; narrow source.url, "
                "or let the group 'scene' of source.datetime_regex tell them apart"
            )


# --- headers ----------------------------------------------------------------------------------------------------


async def read_headers(
    chosen: list[Candidate],
    stores: Stores,
    on_error: OnError,
    progress: Callable[[int, int], None],
    fetch: FetchOptions | None = None,
) -> tuple[list[Scene], list[LeftOut]]:
    """Read all headers, many at a time, in the order of `chosen`; the first failure ends it unless on_error is skip.

    Raises SourceError for that one, or for an object that is not the listed one any more.
    """
    reader = _HeaderReader(Stores(stores.s3, client_retries=0), fetch or FetchOptions())
    done = 0

    async def read(candidate: Candidate) -> Scene | LeftOut:
        nonlocal done
        try:
            return await reader.read(candidate)
        except ReadError as error:
            if on_error is OnError.stop or isinstance(error, DeniedError):
                raise
            return LeftOut(candidate.item, candidate.scene, candidate.time, error.problem, skipped=True)
        finally:
            done += 1
            progress(done, len(chosen))

    try:
        found = await together(read, chosen, _HEADERS_IN_FLIGHT)
    except DeniedError:
        raise
    except ReadError as error:
        raise SourceError(f"{error}; {SKIP_HINT}") from error
    log.info("%d headers: %s", len(chosen), reader.counts)
    return [one for one in found if isinstance(one, Scene)], [one for one in found if isinstance(one, LeftOut)]


@dataclass(frozen=True, slots=True)
class _HeaderReader:
    """Reads the headers of scenes; the stores' clients do not retry, `fetch` says how often it is done here."""

    stores: Stores
    fetch: FetchOptions
    counts: FetchCounts = field(default_factory=FetchCounts)

    async def read(self, candidate: Candidate) -> Scene:
        """The scene of a candidate. Raises ReadError."""
        item = candidate.item
        if item.size == 0:
            raise ReadError(item.href, "it is empty; upload it again")
        location = locate(item.href)
        start = ByteRange(item.href, self.stores.of(location), location.key, None, 0, HEADER_BYTES, self.counts)
        first = await fetch_start(start, self.fetch)
        _refuse_replaced(item, first.etag)

        async def get(begin: int, end: int) -> bytes:
            wanted = start._replace(etag=first.etag, start=begin, stop=end)
            return bytes(await fetch_range(wanted, self.fetch))

        return Scene(
            name=candidate.scene,
            href=item.href,
            time=candidate.time,
            groups=candidate.groups,
            size=first.size,
            etag=first.etag,
            modified=first.modified,
            header=await read_header_async(get, first.size, item.href, bytes(first.data)),
        )


def _refuse_replaced(item: StoredObject, etag: str | None) -> None:
    if item.etag is not None and etag is not None and item.etag != etag:
        raise ReadError(item.href, f"changed between listing ({item.etag}) and reading its header ({etag}); run again")


# --- one stack --------------------------------------------------------------------------------------------------


def make_stack(source: SourceSettings, scenes: Iterable[Scene]) -> Stack:
    """Hold every scene against the first: grid, dtype, nodata.

    Raises SourceError that names the scene and both values, ConfigError for a setting that fits no pixel.
    """
    scenes = tuple(scenes)
    first = scenes[0].header
    if first.dtype.startswith("complex"):
        raise SourceError(
            f"{scenes[0].href}: samples are complex ({first.dtype}), and statistics are of real numbers; write their "
            "magnitude, or real and imaginary parts as bands, to files of their own"
        )
    for scene in scenes[1:]:
        _compare(scene, scenes[0])
    return Stack(
        name=source.name,
        grid=grid_of(first),
        dtype=np.dtype(first.dtype),
        nodata=resolve_nodata(source.nodata, first.nodata, np.dtype(first.dtype)),
        units=source.units,
        scenes=scenes,
    )


def grid_of(header: Header) -> Grid:
    """The grid a header describes."""
    name = f"EPSG:{header.epsg}" if header.epsg else _crs_name(header.crs)
    return Grid(header.crs or None, name, header.transform, *header.shape)


def _crs_name(wkt: str) -> str:
    named = re.match(r'\w+\["([^"]+)"', wkt)
    return named[1] if named else "no CRS"


def resolve_nodata(option: float | int | None, header: float | int | None, dtype: np.dtype) -> float | int | None:
    """The setting wins over the file's own tag; None where neither says. Raises ConfigError for one of no pixel."""
    return exact_nodata(option, dtype) if option is not None else header


def _compare(scene: Scene, first: Scene) -> None:
    got, wanted = scene.header, first.header
    table = [
        ("CRS", grid_of(got).crs_name, grid_of(wanted).crs_name, got.crs == wanted.crs),
        ("transform", got.transform, wanted.transform, got.transform == wanted.transform),
        ("shape", got.shape, wanted.shape, got.shape == wanted.shape),
        ("dtype", got.dtype, wanted.dtype, got.dtype == wanted.dtype),
        ("nodata", got.nodata, wanted.nodata, _same_nodata(got.nodata, wanted.nodata)),
        ("bands", got.bands, wanted.bands, got.bands == wanted.bands),
    ]
    for what, value, expected, same in table:
        if not same:
            raise SourceError(
                f"{scene.href} has {what} {value}, the stack has {expected} (from {first.href}); "
                f"leave it out with source.exclude=['*{scene.name}*']"
            )


def _same_nodata(one: float | None, other: float | None) -> bool:
    return one == other or (one != one and other != other)  # NaN is the same nodata as NaN  # noqa: PLR0124
