"""The objects of an archive: a glob over a bucket or a folder, or a manifest."""

import asyncio
import re
from collections.abc import Coroutine, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from fsspec.utils import glob_translate

from runner.base.suggest import nearest
from runner.errors import SourceError, printable
from runner.model import StoredObject, locate
from runner.read.fetch import FAILURES
from runner.read.refusals import refusal_of
from runner.read.services import S3, is_on_the_web, is_remote, service_of
from runner.read.store_errors import LOCAL_HINT, access_hint, is_denied, is_missing, reason_of
from runner.settings import SourceKind, SourceSettings
from runner.source.bucket_walk import Walked
from runner.source.cloud_listing import list_cloud
from runner.source.columns import text_columns
from runner.source.documents import read_document
from runner.source.folder import (
    files_around,
    files_with_sidecars,
    list_folder,
    missing_folder,
    refuse_odd_names,
    whole_path,
)
from runner.source.hints import is_tiff, missing_hint, nothing_hint
from runner.source.remarks import Remarks
from runner.source.s3_listing import list_keys
from runner.source.sidecars import by_folded_name, may_be_sidecar, with_sidecars
from runner.source.stac import list_items
from runner.source.stores import Stores
from runner.source.times import as_utc

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'"}
_TABLES = (".csv", ".parquet", ".pq")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")


def list_all(source: SourceSettings, stores: Stores, remarks: Remarks | None = None) -> list[StoredObject]:
    """The objects of every url, each once, in the order of their hrefs. Raises as `list_objects`."""
    if source.kind is SourceKind.stac:
        return list_objects(source, stores, remarks)
    listings = [list_objects(replace(source, url=url), stores, remarks) for url in source.urls]
    if len(listings) == 1:
        return listings[0]
    return sorted({item.href: item for listing in listings for item in listing}.values(), key=lambda item: item.href)


def list_objects(source: SourceSettings, stores: Stores, remarks: Remarks | None = None) -> list[StoredObject]:
    """Every object that one url of the source names, in the order of their hrefs, each with the files that are seen
    beside it; those of all urls, if they are of STAC items.

    What the source says beside them goes to `remarks`. Raises SourceError if the archive cannot be read or nothing
    matches.
    """
    if source.kind is SourceKind.stac:
        return _list_stac(source, stores, remarks or Remarks())
    url = whole_url(source.url)
    if source.kind is SourceKind.manifest:
        rows = _read_manifest(source, stores)
        refuse_odd_names([row.href for row in rows if not is_remote(row.href)])
        objects = list(files_with_sidecars(rows))
    elif is_on_the_web(url):
        objects = [_on_the_web(url)]
    else:
        objects = _listed_glob(source, url, stores)
    if not objects:
        raise _nothing(source, url)
    if source.kind is SourceKind.glob and all(locate(item.href).key.endswith(_TABLES) for item in objects):
        raise SourceError(
            f"source.url={source.url}: a table, wanted TIFFs; a table of scenes is read by source=manifest"
        )
    return sorted(dict.fromkeys(objects), key=lambda item: item.href)


def _list_stac(source: SourceSettings, stores: Stores, remarks: Remarks) -> list[StoredObject]:
    """The assets of the items of every url, which may be a pattern of files."""
    files: list[str] = []
    for url in map(whole_url, source.urls):
        is_pattern = "*" in url and not is_on_the_web(url)
        files += [item.href for item in _listed_glob(source, url, stores)] if is_pattern else [url]
    rows = list_items(source, files, stores, remarks)
    refuse_odd_names([row.href for row in rows if not is_remote(row.href)])
    return sorted(dict.fromkeys(files_with_sidecars(rows)), key=lambda item: item.href)


def _listed_glob(source: SourceSettings, url: str, stores: Stores) -> list[StoredObject]:
    """What a pattern of a bucket or of a folder names. Raises SourceError if that is nothing."""
    others: list[str] = []
    objects = list(_list_bucket(url, stores, others) if is_remote(url) else list_folder(url))
    if not objects and not is_remote(url):
        others += filter(is_tiff, files_around(url))
    if not objects:
        raise _nothing(source, url, others)
    return objects


def _nothing(source: SourceSettings, url: str, others: Sequence[str] = ()) -> SourceError:
    """The error of a url that names nothing, where there are other TIFFs."""
    missing = None if is_remote(url) else missing_folder(url)
    hint = missing_hint(missing) if missing else nothing_hint(url, others)
    return SourceError(f"source.url={source.url}: nothing matches{hint}")


def whole_url(url: str) -> str:
    """The url, or the absolute path that it stands for."""
    return url if is_remote(url) else whole_path(url)


def _on_the_web(url: str) -> StoredObject:
    """The one object that a web address names. Raises SourceError for a pattern."""
    if re.search(r"[*\[]", url):
        raise SourceError(
            f"source.url={url}: a web server has no listing, so a pattern cannot be matched; name the scenes in a "
            "table (source=manifest) or take them from a STAC catalog (source=stac)"
        )
    return StoredObject(url)


def _list_bucket(url: str, stores: Stores, others: list[str]) -> Iterator[StoredObject]:
    """The objects that match, with the files beside them; other TIFFs, where none does, go to `others`."""
    sidecars: set[str] = set()
    objects: list[StoredObject] = []
    root, pattern, _ = locate(url)
    assert root is not None
    try:
        matches = re.compile(glob_translate(pattern)).match
    except ValueError as error:
        raise SourceError(f"source.url={url}: {error}; write '**' between slashes, as in prefix/**/*.tif") from error
    try:
        listed = asyncio.run(_listed(root, pattern, stores))
    except FAILURES as error:
        raise unreadable(root, error, stores) from error
    for item in {item.href: item for item in (*listed.objects, *listed.others)}.values():
        key = locate(item.href).key
        if may_be_sidecar(item.href):
            sidecars.add(item.href)
        if matches(key) and not key.endswith("/"):
            objects.append(item)
        elif is_tiff(key):
            others.append(item.href)
    names = by_folded_name(sidecars)
    yield from (with_sidecars(item, names) for item in objects)


def _listed(root: str, pattern: str, stores: Stores) -> Coroutine[None, None, Walked]:
    if root.startswith("s3://"):
        return list_keys(root.removeprefix("s3://"), pattern, stores)
    return list_cloud(root, pattern, stores)


def unreadable(href: str, error: Exception, stores: Stores) -> SourceError:
    """Say why a bucket or an object in it cannot be read, and what to do."""
    refusal = refusal_of(error)
    if is_denied(error):
        hint = f"access denied; {access_hint(href)}"
    elif (refusal and refusal.code in _NO_BUCKET) or is_missing(error):
        hint = f"it does not exist there; check the name and {(service_of(href) or S3).address}"
    else:
        hint = f"it cannot be listed: {reason_of(error, href)}"
    return SourceError(f"{href}: {hint} (read with {stores.describe(href)})")


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
    base = whole_url(source.url).partition("?")[0].rpartition("/")[0] + "/"
    items: dict[str, tuple[int, StoredObject]] = {}
    for row, values in enumerate(table.to_dict("records"), start=1):
        item = _manifest_item(f"{source.url}: row {row}", base, values, stores)
        first, twin = items.setdefault(item.href, (row, item))
        if twin != item:
            raise SourceError(f"{source.url}: {_contradiction(first, twin, row, item)}")
    return [item for _, item in items.values()]


def _manifest_item(row: str, base: str, values: dict[Hashable, object], stores: Stores) -> StoredObject:
    href, time = values.pop("href"), values.pop("datetime")
    if not isinstance(href, str) or not href.strip():
        raise SourceError(f"{row} has no href; wanted s3://bucket/key or a path, or no such row")
    path = stores.unsigned(_absolute(href, base))
    _refuse_special(path)
    return StoredObject(path, time=_manifest_time(row, time), columns=text_columns(values))


def _contradiction(first: int, twin: StoredObject, row: int, item: StoredObject) -> str:
    """The difference of two rows on one object."""
    text = f"rows {first} and {row} both name {printable(item.href)}"
    if twin.time != item.time:
        return f"{text}, with the times {twin.time:%Y-%m-%d %H:%M:%S} and {item.time:%Y-%m-%d %H:%M:%S}; wanted one"
    names = sorted({name for name, _ in set(twin.columns) ^ set(item.columns)})
    return f"{text}, and differ in {', '.join(map(repr, names))}; one object is one scene, and source.band is its band"


def _refuse_special(path: str) -> None:
    """Raise SourceError for a pipe, a socket or a device, whose reader may wait for ever."""
    if not is_remote(path) and Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
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


def _open_manifest(source: SourceSettings, stores: Stores) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 - of manifests alone; it takes 0.4 s

    _refuse_special(whole_url(source.url))
    if Path(whole_url(source.url)).is_dir() or is_tiff(source.url):
        raise SourceError(
            f"source.url={source.url}: wanted a CSV or Parquet table of scenes; TIFFs are named by source=local"
        )
    url = source.url
    table = BytesIO(read_document(url, "manifest", stores)) if is_remote(url) else url
    try:
        if locate(url).key.endswith((".parquet", ".pq")):
            return pd.read_parquet(table)
        return pd.read_csv(table, dtype=str, keep_default_na=False, na_values=[""])  # 007 stays 007, and NA is a text
    except FileNotFoundError as error:
        raise SourceError(f"{source.url}: there is no such manifest") from error
    except PermissionError as error:
        raise SourceError(f"{source.url}: permission denied; {LOCAL_HINT}") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{source.url}: not a CSV or Parquet table: {cause_of(str(error))}") from error


def _absolute(href: str, base: str) -> str:
    """A manifest's href; a relative one starts at the manifest's own folder."""
    if is_remote(href):
        return href
    if "://" in href:
        azure = "; Azure's abfs:// is az:// here" if href.startswith("abfs") else ""
        raise SourceError(
            f"{printable(href)}: wanted s3://bucket/key, gs://, az://, https:// or a path in the column href{azure}"
        )
    if is_on_the_web(base):
        return urljoin(base, href)
    return base + href if is_remote(base) else whole_path(str(Path(base) / href))


def _manifest_time(row: str, value: object) -> datetime:
    try:
        return as_utc(datetime.fromisoformat(str(value).strip()))
    except ValueError as error:
        raise SourceError(f"{row} has datetime {value!r}; wanted a date such as 2020-01-06") from error
