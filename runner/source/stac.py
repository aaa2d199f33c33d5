"""Scenes of STAC items: one asset of each, named by the item, with its properties as columns."""

import asyncio
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from runner.base.console import progress_bar
from runner.base.humanize import listed
from runner.base.suggest import did_you_mean
from runner.errors import SourceError, printable
from runner.model import LeftOut, StoredObject, locate
from runner.read.services import is_on_the_web, is_remote
from runner.read.store_errors import DeniedError
from runner.settings import SourceSettings, StacSettings
from runner.source.columns import text_columns
from runner.source.remarks import Remarks, Stated
from runner.source.stac_api import search
from runner.source.stac_catalog import Document, Item, Progress, catalog_of, is_api, read_stac, resolved, walk
from runner.source.stac_login import LOGIN_HINT, Login
from runner.source.stac_table import ENDINGS, read_table
from runner.source.stores import Stores
from runner.source.times import as_utc

_TIMES: Final = ("datetime", "start_datetime", "end_datetime")
_OF_APIS: Final = {  # conditions that are an API's to judge, and what chooses from other items
    "datetime": "source.start and source.end",
    "query": "source.max_cloud or source.where.PROPERTY",
}


def list_items(source: SourceSettings, files: Sequence[str], stores: Stores, remarks: Remarks) -> list[StoredObject]:
    """The asset of each item that has it, of an API, of one file or of several; items without it go to `remarks`.

    Raises SourceError for what is not STAC, and where no item has the asset.
    """
    items = [*_once(_found(source, files, stores))]
    if not items:
        raise SourceError(f"source.url={source.shown_url}: no STAC item{_chosen_by(source.stac)}")
    assert source.asset is not None
    having = [item for item in items if source.asset in item.content["assets"]]
    if not having:
        raise SourceError(f"source.asset={source.asset}: {_no_such_asset(source.asset, items)}")
    own_address = _without_alternate(source, having)
    objects = [_stored(item, source, stores) for item in having]
    lacking = [_left_out(item, source, stores) for item in items if source.asset not in item.content["assets"]]
    stated = [_stated(item.content["assets"][source.asset], source.band) for item in having]
    remarks.left_out.extend(lacking)
    remarks.stated.update((item.href, said) for item, said in zip(objects, stated, strict=True) if said)
    remarks.notes.extend(_described(items, lacking) + own_address)
    return objects


def _found(source: SourceSettings, files: Sequence[str], stores: Stores) -> list[Item]:
    """The items of tables, of addresses of the web, each of which may be an API, and of all other documents."""
    tables = [file for file in files if locate(file).key.endswith(ENDINGS)]
    web = [file for file in files if is_on_the_web(file) and file not in tables]
    documents = [file for file in files if file not in tables and file not in web]
    with progress_bar("STAC items") as progress:
        found = [_chosen(read_table(table, stores), source.stac) for table in tables]
        found += [_of_the_web(source, url, stores, progress) for url in web]
        if documents:
            found.append(_chosen(asyncio.run(walk(catalog_of(documents), "", stores, progress)), source.stac))
    return [item for items in found for item in items]


def _of_the_web(source: SourceSettings, url: str, stores: Stores, progress: Progress) -> list[Item]:
    login = Login.of(url, source.stac.login_from)
    try:
        root = asyncio.run(read_stac(url, stores, login))
        if is_api(root):
            return search(Item(root, url), source.stac, stores, progress, login)
        return _chosen(asyncio.run(walk(root, url, stores, progress, login)), source.stac)
    except DeniedError as error:
        raise SourceError(f"{error}; {LOGIN_HINT}") from error


def _chosen(items: Sequence[Item], settings: StacSettings) -> list[Item]:
    """The items of a file or a catalog that `source.stac` chooses. Raises SourceError for what only an API can."""
    for name, others in _OF_APIS.items():
        if getattr(settings, name):
            raise SourceError(
                f"source.stac.{name} is a condition for an API, and source.url is a file or a catalog; choose by "
                f"{others}, or name the root of the API"
            )
    chosen = [item for item in items if _is_chosen(item.content, settings)]
    return chosen[: settings.max_items]


def _is_chosen(item: Document, settings: StacSettings) -> bool:
    return (
        (not settings.collections or item.get("collection") in settings.collections)
        and (not settings.ids or item["id"] in settings.ids)
        and (settings.bbox is None or _meets(item, settings.bbox))
    )


def _meets(item: Document, box: Sequence[float]) -> bool:
    """Tell if an item's box meets another. Raises SourceError for an item without one."""
    own = item.get("bbox")
    if isinstance(own, Mapping):  # of a table
        own = [own[name] for name in ("xmin", "ymin", "xmax", "ymax")]
    if not isinstance(own, list) or len(own) not in (4, 6):
        raise SourceError(f"STAC item {printable(item['id'])} has no bbox; leave out source.stac.bbox")
    west, south, east, north = *own[:2], *own[len(own) // 2 :][:2]
    over_the_antimeridian = west > east
    across = box[0] <= east or west <= box[2] if over_the_antimeridian else box[0] <= east and west <= box[2]
    return bool(across and box[1] <= north and south <= box[3])


def _once(items: Iterable[Item]) -> Iterable[Item]:
    """Each item once: pages of an API may overlap, and catalogs may share items."""
    seen = set()
    for item in items:
        key = item.content.get("collection"), item.content["id"], str(item.content["assets"])
        if key not in seen:
            seen.add(key)
            yield item


# --- one item -----------------------------------------------------------------------------------------------------


def _stored(item: Item, source: SourceSettings, stores: Stores) -> StoredObject:
    content, asset = item.content, source.asset or ""
    assets = tuple((name, href) for name, href in _assets(item, source, stores) if name == asset or _is_readable(href))
    href = dict(assets).get(asset, "")
    if not _is_readable(href):
        azure = "; Azure's abfs:// is az:// here" if href.startswith("abfs") else ""
        raise SourceError(
            f"STAC item {printable(content['id'])}: the asset {asset} is at {printable(href) or 'no href'}; wanted "
            f"s3://, gs://, az://, https:// or a path{azure}"
        )
    return StoredObject(href, time=_time(content), columns=_columns(content), assets=assets)


def _assets(item: Item, source: SourceSettings, stores: Stores) -> Iterable[tuple[str, str]]:
    for name, asset in item.content["assets"].items():
        addresses = _addresses(asset)
        href = addresses.get(source.stac.alternate, addresses.get(None))
        if href:
            yield name, stores.unsigned(resolved(href, item.base))


def _addresses(asset: object) -> dict[str | None, str]:
    """The hrefs of an asset by their names; that of its own is None, and may have a name too.

    Source: https://github.com/stac-extensions/alternate-assets, 1.2.
    """
    if not isinstance(asset, Mapping):
        return {}
    others = asset.get("alternate")
    named = {**(others if isinstance(others, Mapping) else {}), None: asset}
    if isinstance(name := asset.get("alternate:name"), str):
        named[name] = asset
    hrefs = ((name, part.get("href")) for name, part in named.items() if isinstance(part, Mapping))
    return {name: href for name, href in hrefs if isinstance(href, str) and href}


def _without_alternate(source: SourceSettings, having: Sequence[Item]) -> list[str]:
    """A line on assets that do not have the alternate address. Raises SourceError if none of them has it."""
    alternate = source.stac.alternate
    addresses = [_addresses(item.content["assets"][source.asset]) for item in having]
    lacking = sum(alternate not in names for names in addresses)
    if alternate is None or not lacking:
        return []
    if lacking < len(having):
        return [f"{lacking} of {len(having)} assets have no alternate address '{alternate}' and are read at their own"]
    known = sorted({name for names in addresses for name in names if name is not None})
    names = listed([printable(name) for name in known], 10)
    there = f"they have {names}{did_you_mean(alternate, known)}" if known else "leave it out"
    raise SourceError(f"source.stac.alternate={alternate}: none of {len(having)} assets has such an address; {there}")


def _is_readable(href: str) -> bool:
    return is_remote(href) or ("://" not in href and bool(href))


def _columns(content: Document) -> tuple[tuple[str, str], ...]:
    """The id as the scene's name, the collection, and all properties that are one value.

    Their names have letters, digits and underscores alone, so that they can be written as keys: eo_cloud_cover.
    """
    properties = {name: value for name, value in content["properties"].items() if name not in _TIMES}
    named: dict[Hashable, object] = {re.sub(r"\W", "_", name): value for name, value in properties.items()}
    if content.get("collection"):
        named["collection"] = content["collection"]
    return text_columns({**named, "scene": content["id"]})


def _time(content: Document) -> datetime:
    """The time of an item, or the start of its period. Raises SourceError."""
    properties = content["properties"]
    value = properties.get("datetime") or properties.get("start_datetime")
    try:
        return as_utc(value if isinstance(value, datetime) else datetime.fromisoformat(str(value)))
    except ValueError as error:
        raise SourceError(
            f"STAC item {printable(content['id'])}: its datetime is {value!r}; wanted a time such as "
            "2020-01-06T18:30:00Z in datetime, or in start_datetime"
        ) from error


def _left_out(item: Item, source: SourceSettings, stores: Stores) -> LeftOut:
    content = item.content
    href = stores.unsigned(next((href for _, href in _assets(item, source, stores)), item.base))
    return LeftOut(
        StoredObject(href),
        content["id"],
        _time(content),
        f"its STAC item has no asset {source.asset}: {_named_assets([item])}",
    )


def _stated(asset: Mapping[str, Any], band: int | str) -> Stated | None:
    """Scale, offset and nodata of a band: of the raster extension 1 (raster:bands), or of STAC 1.1 (bands)."""
    bands = asset.get("raster:bands") or asset.get("bands")
    named = [entry for entry in bands if isinstance(entry, Mapping)] if isinstance(bands, list) else []
    own = next((entry for number, entry in enumerate(named, start=1) if band in (number, entry.get("name"))), {})
    parts = {**asset, **own}
    scale, offset = (parts.get(f"raster:{name}", own.get(name)) for name in ("scale", "offset"))
    stated = Stated(_number(scale), _number(offset), parts.get("nodata"))
    return stated if stated != Stated() else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


# --- what is said -------------------------------------------------------------------------------------------------


def _no_such_asset(asset: str, items: Sequence[Item]) -> str:
    names = {name for item in items for name in item.content["assets"]}
    meant = did_you_mean(asset, names)
    return f"none of {len(items)} STAC items has such an asset; they have {_named_assets(items)}{meant}"


def _named_assets(items: Sequence[Item]) -> str:
    counts = Counter(name for item in items for name in item.content["assets"])
    return listed([printable(name) for name, _ in counts.most_common()], 30) or "none"


def _chosen_by(settings: StacSettings) -> str:
    values = {name: getattr(settings, name) for name in ("collections", "ids", "bbox", "datetime", "query")}
    chosen = ", ".join(f"source.stac.{name}={value}" for name, value in values.items() if value)
    return f" is of {chosen}; widen what is chosen" if chosen else " is there"


def _described(items: Sequence[Item], left_out: Sequence[LeftOut]) -> list[str]:
    notes = []
    if left_out:
        notes.append(f"{len(left_out)} of {len(items)} STAC items are left out: {left_out[0].reason}")
    periods = sum(not item.content["properties"].get("datetime") for item in items)
    if periods:
        notes.append(
            f"the times of {periods} of {len(items)} STAC items are the starts of their periods (start_datetime)"
        )
    return notes
