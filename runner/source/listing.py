"""Which objects an archive holds: a glob over a bucket or a folder, or a manifest."""

import asyncio
import glob
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fsspec.utils import glob_translate
from obstore.exceptions import PermissionDeniedError

from runner.errors import SourceError
from runner.model import StoredObject, locate
from runner.read.fetch import FAILURES
from runner.read.refusals import ACCESS_HINT, refusal_of
from runner.read.store_errors import LOCAL_HINT, is_denied, is_missing, reason_of
from runner.settings import SourceKind, SourceSettings
from runner.source.s3_listing import list_keys
from runner.source.stores import Stores, describe, s3fs_options
from runner.source.times import as_utc

if TYPE_CHECKING:
    import pandas as pd


def list_objects(source: SourceSettings, stores: Stores) -> list[StoredObject]:
    """Every object the source's url names, in the order of their hrefs.

    Raises SourceError if the archive cannot be read or nothing matches.
    """
    if source.kind is SourceKind.manifest:
        found = list(_read_manifest(source))
    elif source.url.startswith("s3://"):
        found = list(_list_bucket(source.url, stores))
    else:
        found = list(_list_folder(source.url))
    if not found:
        raise SourceError(f"source.url={source.url}: nothing matches{_nothing_hint(source.url)}")
    return sorted(found, key=lambda item: item.href)


def _nothing_hint(url: str) -> str:
    if not glob.has_magic(url):
        return "; name one object, or a glob such as 'prefix/**/*.tif'"
    return "; '*' stays within one folder, '**' goes below"


def constant_prefix(pattern: str) -> str:
    """The folders of a glob before its first wildcard, with a slash at the end, or nothing."""
    magic = re.search(r"[*?\[]", pattern)
    return pattern[: pattern.rfind("/", 0, magic.start() if magic else len(pattern)) + 1]


def _list_bucket(url: str, stores: Stores) -> Iterator[StoredObject]:
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
        if matches(key) and not key.endswith("/"):
            yield item


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


def _list_folder(pattern: str) -> Iterator[StoredObject]:
    _refuse_locked(str(Path(pattern).expanduser()))
    for path in glob.glob(str(Path(pattern).expanduser()), recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
        file = Path(path).resolve()
        if file.is_file():
            state = file.stat()
            yield StoredObject(str(file), state.st_size, None, datetime.fromtimestamp(state.st_mtime, UTC))


def _refuse_locked(pattern: str) -> None:
    """Raise SourceError for a folder on the pattern's way that may not be listed or entered: glob passes over it."""
    parts = Path(pattern).parts
    for at in range(1, len(parts)):
        listed = parts[at - 1] == "**" or glob.has_magic(parts[at])
        for folder in glob.glob(str(Path(*parts[:at])) + "/", recursive=True):  # noqa: PTH207 - as above
            if not os.access(folder, os.X_OK | (os.R_OK if listed else 0)):
                raise SourceError(f"{folder.rstrip('/')}: permission denied; {LOCAL_HINT}")


def _read_manifest(source: SourceSettings) -> Iterator[StoredObject]:
    table = _open_manifest(source)
    missing = {"href", "datetime"} - set(table.columns)
    if missing:
        raise SourceError(
            f"{source.url}: wanted the columns href and datetime, got {', '.join(map(str, table.columns)) or 'none'}"
        )
    base = constant_prefix(source.url)
    for row, (href, time) in enumerate(zip(table["href"], table["datetime"], strict=True)):
        yield StoredObject(_absolute(str(href), base), time=_manifest_time(source.url, row, time))


def _open_manifest(source: SourceSettings) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 - of manifests alone; it takes 0.4 s
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above

    remote = s3fs_options(source.s3) if source.url.startswith("s3://") else None
    read = pd.read_parquet if source.url.endswith((".parquet", ".pq")) else pd.read_csv
    try:
        return read(source.url, storage_options=remote)
    except FileNotFoundError as error:
        raise SourceError(f"{source.url}: there is no such manifest") from error
    except PermissionError as error:
        raise unreadable(source.url, PermissionDeniedError(str(error)), Stores(source.s3)) from error
    except BotoCoreError as error:
        raise SourceError(f"{source.url}: {error}; check AWS_PROFILE, or set source.s3.anonymous=true") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{source.url}: not a CSV or Parquet table: {cause_of(str(error))}") from error


def _absolute(href: str, base: str) -> str:
    """A manifest's href; a relative one starts at the manifest's own folder."""
    if href.startswith("s3://"):
        return href
    if "://" in href:
        raise SourceError(f"{href}: wanted s3://bucket/key or a path in the column href")
    if base.startswith("s3://"):
        return base + href
    return str((Path(base) / href).resolve())


def _manifest_time(url: str, row: int, value: object) -> datetime:
    try:
        return as_utc(datetime.fromisoformat(str(value).strip()))
    except ValueError as error:
        raise SourceError(f"{url}: row {row + 1} has datetime {value!r}; wanted a date such as 2020-01-06") from error
