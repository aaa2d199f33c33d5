"""STAC items in JSON: a collection of items, an item, or a static catalog whose links are followed.

Source: STAC specification 1.1, "Item", "Catalog", "Collection" and "ItemCollection".
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urljoin

from runner.errors import SourceError, printable
from runner.read.services import is_on_the_web, is_remote
from runner.source.documents import Documents
from runner.source.folder import whole_path
from runner.source.gather import gather
from runner.source.http_client import CONNECTIONS
from runner.source.stac_login import Login
from runner.source.stores import Stores

Document: TypeAlias = Mapping[str, Any]
Progress: TypeAlias = Callable[[int, int], None]

_FOLLOWED: Final = ("item", "child")
_WANTED: Final = "wanted a STAC ItemCollection, Item, Collection, Catalog or API, or a stac-geoparquet table"


class Item(NamedTuple):
    """A STAC item as JSON, and the href of the document that relative hrefs start from."""

    content: Document
    base: str


async def read_stac(href: str, stores: Stores, login: Login | None = None) -> Document:
    """The document at an href, which is relative to nothing. Raises SourceError."""
    with closing(Documents(stores, login)) as documents:
        return parsed(await documents.read(href, "STAC document"), href)


async def walk(root: Document, href: str, stores: Stores, progress: Progress, login: Login | None = None) -> list[Item]:
    """The items of a document and of all that its links lead to, each document once. Raises SourceError."""
    with closing(Documents(stores, login)) as documents:
        walker = _Walker(documents, progress)
        walker.take(root, href)
        while walker.waiting:
            level, walker.waiting = walker.waiting, []
            await gather(walker.read, level, CONNECTIONS)
        return walker.items()


@dataclass(slots=True)
class _Walker:
    """Follows links level by level."""

    documents: Documents
    progress: Progress
    waiting: list[str] = field(default_factory=list)
    _seen: dict[str, list[Item]] = field(default_factory=dict)  # by href
    _done: int = 0

    async def read(self, href: str) -> None:
        self.take(parsed(await self.documents.read(href, "STAC document"), href), href)

    def take(self, document: Document, href: str) -> None:
        """Keep the items of a document, and remember where its links lead. Raises SourceError if it is not STAC."""
        kind = document.get("type")
        features = document.get("features") if kind == "FeatureCollection" else [document] if kind == "Feature" else []
        if not isinstance(features, list) or kind not in ("FeatureCollection", "Feature", "Catalog", "Collection"):
            raise SourceError(f"{printable(href)}: a document of type {kind!r}; {_WANTED}")
        self._seen[href] = [Item(checked(feature, href), _base(feature, href)) for feature in features]
        for target in _links(document, href):
            if target not in self._seen:
                self._seen[target] = []
                self.waiting.append(target)
        self._done += 1
        self.progress(self._done, len(self._seen))

    def items(self) -> list[Item]:
        """All items, in an order that does not follow from when an answer came."""
        return [item for href in sorted(self._seen) for item in self._seen[href]]


def parsed(data: bytes, href: str) -> Document:
    """A JSON object. Raises SourceError, without a word of the file: it may be another, and hold a secret."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{printable(href)}: not JSON; {_WANTED}") from error
    if not isinstance(document, dict):
        raise SourceError(f"{printable(href)}: JSON without an object; {_WANTED}")
    return document


def checked(feature: object, href: str) -> Document:
    """An item with all that is read of it. Raises SourceError for one that lacks it."""
    parts = {"id": str, "properties": dict, "assets": dict}
    if not isinstance(feature, dict) or not all(isinstance(feature.get(name), kind) for name, kind in parts.items()):
        name = feature.get("id") if isinstance(feature, dict) else None
        raise SourceError(
            f"{printable(href)}: {printable(str(name or 'a feature'))} is not a STAC item: it lacks "
            f"{' or '.join(parts)}; {_WANTED}"
        )
    return feature


def catalog_of(files: Sequence[str]) -> Document:
    """A catalog that leads to these files."""
    return {"type": "Catalog", "links": [{"rel": "item", "href": href} for href in files]}


def is_api(document: Document) -> bool:
    """Tell if a document is the root of an API that searches."""
    return isinstance(document.get("conformsTo"), list) or bool(_hrefs(document, ("search",)))


def resolved(href: str, base: str) -> str:
    """An href of a document, by the href of that document. No document of elsewhere leads to files of this machine."""
    if href.startswith("file://") and not is_remote(base):
        return href.removeprefix("file://")
    if "://" in href or is_on_the_web(base):
        return urljoin(base, href) if is_on_the_web(base) else href
    if not is_remote(base):
        return whole_path(href if href.startswith("/") else f"{base.rpartition('/')[0]}/{href}")
    scheme, _, path = base.partition("://")  # which urljoin does not know
    return f"{scheme}://{urljoin(f'http://{path}', href).removeprefix('http://')}"


def _links(document: Document, href: str) -> list[str]:
    """The documents that a catalog or a page leads to: items, children, and the next page of an API."""
    kind = document.get("type")
    if kind == "FeatureCollection":
        return [resolved(target, href) for target in _hrefs(document, ("next",))]
    if kind == "Feature":
        return []
    targets = _hrefs(document, _FOLLOWED) or _hrefs(document, ("items",))
    return [resolved(target, href) for target in targets]


def _hrefs(document: Document, relations: tuple[str, ...]) -> list[str]:
    links = document.get("links")
    found = [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []
    return [
        link["href"]
        for link in found
        if link.get("rel") in relations and isinstance(link.get("href"), str) and link.get("method", "GET") == "GET"
    ]


def _base(feature: object, href: str) -> str:
    """Where an item's relative hrefs start: at its own address if it states one, else at the document."""
    own = next(iter(_hrefs(feature, ("self",))), None) if isinstance(feature, dict) else None
    return own if own and is_remote(own) else href
