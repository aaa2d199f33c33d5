"""The objects of an archive: a glob over a bucket or a folder, or a manifest."""

import asyncio
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from fsspec.utils import glob_translate

from runner.base.suggest import nearest
from runner.errors import SourceError, printable
from runner.model import StoredObject, locate
from runner.read.fetch import FAILURES, ByteRange, fetch_start
from runner.read.refusals import ACCESS_HINT, refusal_of
from runner.read.store_errors import LOCAL_HINT, MissingError, is_denied, is_missing, reason_of
from runner.settings import SourceKind, SourceSettings
from runner.source.folder import (
    constant_prefix,
    files_around,
    files_with_sidecars,
    list_folder,
    missing_folder,
    refuse_odd_names,
    whole_path,
)
from runner.source.gather import gather
from runner.source.hints import is_tiff, missing_hint, nothing_hint
from runner.source.s3_listing import list_keys
from runner.source.sidecars import by_folded_name, may_be_sidecar, with_sidecars
from runner.source.stores import Stores, describe
from runner.source.times import as_utc

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'"}
_TABLES = (".csv", ".parquet", ".pq")
_MOST_MANIFEST_BYTES = 2**30
_MOST_OTHERS = 10_000  # TIFFs that do not match, to say what there is where nothing does


def list_objects(source: SourceSettings, stores: Stores) -> list[StoredObject]:
    """Every object the source's url names, in the order of their hrefs, each with the files that are seen beside it.

    Raises SourceError if the archive cannot be read or nothing matches.
    """
    others: list[str] = []
    url = whole_url(source.url)
    if source.kind is SourceKind.manifest:
        rows = _read_manifest(source, stores)
        refuse_odd_names([row.href for row in rows if not row.href.startswith("s3://")])
        objects = list(files_with_sidecars(rows))
    elif url.startswith("s3://"):
        objects = list(_list_bucket(url, stores, others))
    else:
        objects = list(list_folder(url))
        others += [] if objects else filter(is_tiff, files_around(url))
    if not objects:
        missing = None if url.startswith("s3://") else missing_folder(url)
        hint = missing_hint(missing) if missing else nothing_hint(url, others)
        raise SourceError(f"source.url={source.url}: nothing matches{hint}")
    if source.kind is SourceKind.glob and all(item.href.endswith(_TABLES) for item in objects):
        raise SourceError(
            f"source.url={source.url}: a table, wanted TIFFs; a table of scenes is read by source=manifest"
        )
    return sorted(dict.fromkeys(objects), key=lambda item: item.href)


def whole_url(url: str) -> str:
    """The url, or the absolute path that it stands for."""
    return url if url.startswith("s3://") else whole_path(url)


def _list_bucket(url: str, stores: Stores, others: list[str]) -> Iterator[StoredObject]:
    """The objects that match, with the files beside them; TIFFs that do not match go to `others`, up to some."""
    sidecars: set[str] = set()
    objects: list[StoredObject] = []
    bucket, pattern = locate(url)
    assert bucket is not None
    try:
        matches = re.compile(glob_translate(pattern)).match
    except ValueError as error:
        raise SourceError(f"source.url={url}: {error}; write '**' between slashes, as in prefix/**/*.tif") from error
    try:
        listed = asyncio.run(list_keys(bucket, constant_prefix(pattern), stores))
    except FAILURES as error:
        raise unreadable(f"s3://{bucket}", error, stores) from error
    for item in listed:
        key = locate(item.href).key
        if may_be_sidecar(item.href):
            sidecars.add(item.href)
        if matches(key) and not key.endswith("/"):
            objects.append(item)
        elif len(others) < _MOST_OTHERS and is_tiff(key):
            others.append(item.href)
    names = by_folded_name(sidecars)
    yield from (with_sidecars(item, names) for item in objects)


def unreadable(what: str, error: Exception, stores: Stores) -> SourceError:
    """Say why a bucket or a manifest in it cannot be read, and what to do."""
    refusal = refusal_of(error)
    if is_denied(error):
        hint = f"access denied; {ACCESS_HINT}"
    elif (refusal and refusal.code == "NoSuchBucket") or is_missing(error):
        hint = "it does not exist there; check the name and source.s3.endpoint_url"
    else:
        hint = f"it cannot be listed: {reason_of(error)}"
    return SourceError(f"{what}: {hint} (read with {describe(stores.s3)})")


def cause_of(text: str) -> str:
    """An error's first line, cut where it is too long for a message."""
    sentences = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"\s+", " ", sentences[0])[:300] if sentences else "no reason given"


def _read_manifest(source: SourceSettings, stores: Stores) -> list[StoredObject]:
    """The objects that the rows of a manifest name, each once."""
    table = _open_manifest(source, stores)
    missing = sorted({"href", "datetime"} - set(table.columns))
    if missing:
        raise SourceError(
            f"{source.url}: wanted the columns href and datetime, got {len(table.columns)} columns without "
            f"{' and '.join(missing)}{_near(missing, table.columns)}"
        )
    base = whole_url(source.url).rpartition("/")[0] + "/"
    items: dict[str, tuple[int, StoredObject]] = {}
    for row, values in enumerate(table.to_dict("records"), start=1):
        item = _manifest_item(f"{source.url}: row {row}", base, values)
        first, twin = items.setdefault(item.href, (row, item))
        if twin != item:
            raise SourceError(f"{source.url}: {_contradiction(first, twin, row, item)}")
    return [item for _, item in items.values()]


def _manifest_item(row: str, base: str, values: dict[Hashable, object]) -> StoredObject:
    href, time = values.pop("href"), values.pop("datetime")
    if not isinstance(href, str) or not href.strip():
        raise SourceError(f"{row} has no href; wanted s3://bucket/key or a path, or no such row")
    path = _absolute(href, base)
    _refuse_special(path)
    return StoredObject(path, time=_manifest_time(row, time), columns=_columns(values))


def _contradiction(first: int, twin: StoredObject, row: int, item: StoredObject) -> str:
    """The difference of two rows on one object."""
    text = f"rows {first} and {row} both name {printable(item.href)}"
    if twin.time != item.time:
        return f"{text}, with the times {twin.time:%Y-%m-%d %H:%M:%S} and {item.time:%Y-%m-%d %H:%M:%S}; wanted one"
    names = sorted({name for name, _ in set(twin.columns) ^ set(item.columns)})
    return f"{text}, and differ in {', '.join(map(repr, names))}; one object is one scene, and source.band is its band"


def _refuse_special(path: str) -> None:
    """Raise SourceError for a pipe, a socket or a device, whose reader may wait for ever."""
    if not path.startswith("s3://") and Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
        raise SourceError(f"{path}: a pipe, a socket or a device, wanted a regular file; copy its content into one")


def _near(missing: Sequence[str], columns: Iterable[object]) -> str:
    """Columns that were probably meant. Others are not shown: the file may not be a manifest, but hold a secret."""
    names = list(map(str, columns))
    for separator, word in _SEPARATORS.items():
        if len(names) == 1 and {"href", "datetime"} <= {part.strip(' "') for part in names[0].split(separator)}:
            return f"; they are separated by {word}, wanted commas"
    known = {name.strip().lower(): name for name in names}
    near = [known[name] for column in missing if (name := nearest(column, known))]
    return f"; is it {' and '.join(map(repr, near))}? rename it" if near else ""


def _columns(values: Mapping[Hashable, object]) -> tuple[tuple[str, str], ...]:
    """A manifest's further columns as text: of numbers, texts, times and booleans; none where a value is missing."""
    return tuple(
        (str(name), str(value))
        for name, value in values.items()
        if isinstance(value, (str, int, float, date)) and value == value and not str(name).startswith("Unnamed:")  # noqa: PLR0124
    )


def _open_manifest(source: SourceSettings, stores: Stores) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 - of manifests alone; it takes 0.4 s

    _refuse_special(whole_url(source.url))
    if Path(whole_url(source.url)).is_dir() or is_tiff(source.url):
        raise SourceError(
            f"source.url={source.url}: wanted a CSV or Parquet table of scenes; TIFFs are named by source=local"
        )
    table = BytesIO(_object(source.url, stores)) if source.url.startswith("s3://") else source.url
    try:
        if source.url.endswith((".parquet", ".pq")):
            return pd.read_parquet(table)
        return pd.read_csv(table, dtype=str, keep_default_na=False, na_values=[""])  # 007 stays 007, and NA is a text
    except FileNotFoundError as error:
        raise SourceError(f"{source.url}: there is no such manifest") from error
    except PermissionError as error:
        raise SourceError(f"{source.url}: permission denied; {LOCAL_HINT}") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{source.url}: not a CSV or Parquet table: {cause_of(str(error))}") from error


def _object(url: str, stores: Stores) -> bytes:
    """A manifest that lies in a bucket. Raises SourceError, or ReadError if it cannot be had."""
    location = locate(url)
    request = ByteRange(url, stores.of(location), location.key, None, 0, _MOST_MANIFEST_BYTES, stores.counts)
    try:
        (answer,) = asyncio.run(gather(lambda request: fetch_start(request, stores.fetch), [request], 1))
    except MissingError as error:
        raise SourceError(f"{url}: there is no such manifest") from error
    if answer.size > _MOST_MANIFEST_BYTES:
        raise SourceError(f"{url}: {answer.size} bytes, wanted up to {_MOST_MANIFEST_BYTES}; is it a manifest?")
    return bytes(answer.data)


def _absolute(href: str, base: str) -> str:
    """A manifest's href; a relative one starts at the manifest's own folder."""
    if href.startswith("s3://"):
        return href
    if "://" in href:
        raise SourceError(f"{href}: wanted s3://bucket/key or a path in the column href")
    return base + href if base.startswith("s3://") else whole_path(str(Path(base) / href))


def _manifest_time(row: str, value: object) -> datetime:
    try:
        return as_utc(datetime.fromisoformat(str(value).strip()))
    except ValueError as error:
        raise SourceError(f"{row} has datetime {value!r}; wanted a date such as 2020-01-06") from error
