"""The objects of a bucket that a glob may name: its folders are walked, many at a time, and flat from `**` on.

A flat listing has a thousand keys a page, and one page comes after the other. A listing of one folder passes over all
that lies deeper.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from glob import has_magic
from typing import Final, Protocol

from fsspec.utils import glob_translate

from runner.model import StoredObject, locate
from runner.source.folder import constant_prefix
from runner.source.gather import gather

_AT_ONCE: Final = 32  # folders
_MOST_OTHERS: Final = 10_000  # objects, to say what there is where nothing matches
_MOST_FOLDERS: Final = 8  # on a page of a flat listing, for which it is worth while to ask for each by itself


class Pages(Protocol):
    """A listing, page by page: objects, and folders as prefixes that end with a slash."""

    ended: bool

    @property
    def objects(self) -> Sequence[StoredObject]:
        """Those of the pages so far."""

    @property
    def folders(self) -> Sequence[str]:
        """Those of the pages so far; none of a flat listing."""

    async def more(self) -> None:
        """Ask for the next page."""


class Bucket(Protocol):
    """A bucket that can be listed. A prefix ends with a slash, or is empty."""

    def flat(self, prefix: str) -> Pages:
        """The listing of all that lies below a prefix."""

    def folder(self, prefix: str) -> Pages:
        """The listing of one folder; a server that knows no folders has more."""


@dataclass(slots=True)
class Walked:
    """Objects on the way of a glob; `others` are the first below its folders, where none matches."""

    objects: list[StoredObject] = field(default_factory=list)
    others: Sequence[StoredObject] = ()


async def walk(bucket: Bucket, pattern: str) -> Walked:
    """Every object that a glob may name, with all that lies beside it, and where none matches, others.

    Raises what a page raises that could not be had.
    """
    prefix, found = constant_prefix(pattern), Walked()
    folders, parts = [prefix], pattern[len(prefix) :].split("/")
    while folders and parts[0] != "**" and len(parts) > 1:
        folders = await _step(bucket, folders, parts.pop(0), found)
    ask = bucket.flat if parts[0] == "**" else bucket.folder
    for pages in await gather(lambda folder: _whole(ask(folder)), folders, _AT_ONCE):
        found.objects += pages.objects
    matches = re.compile(glob_translate(pattern)).match
    if not any(matches(locate(item.href).key) for item in found.objects):
        found.others = await _first_below(bucket, prefix)
    return found


async def _step(bucket: Bucket, folders: Sequence[str], part: str, found: Walked) -> list[str]:
    """The folders one level below that fit a part of a glob. Objects of folders that are seen whole are found."""
    if not has_magic(part):
        return [f"{folder}{part}/" for folder in folders]
    matches = re.compile(glob_translate(part)).match

    def fitting(names: Sequence[str], folder: str) -> list[str]:
        return [name for name in names if matches(name[len(folder) : -1])]

    async def look(folder: str) -> list[str]:
        pages = bucket.flat(folder)
        await pages.more()
        if len(fitting(_folders_on(pages, folder), folder)) > _MOST_FOLDERS:
            await _whole(pages)
        if pages.ended:
            found.objects += pages.objects
            return []
        inside = await _whole(bucket.folder(folder))
        found.objects += inside.objects  # all that lies below, if the server knows no folders
        return fitting(inside.folders, folder)

    return [below for names in await gather(look, folders, _AT_ONCE) for below in names]


def _folders_on(pages: Pages, folder: str) -> list[str]:
    """The folders one level below that are seen in a flat listing."""
    keys = (locate(item.href).key[len(folder) :] for item in pages.objects)
    return [f"{folder}{name}/" for name in dict.fromkeys(key.partition("/")[0] for key in keys if "/" in key)]


async def _first_below(bucket: Bucket, prefix: str) -> Sequence[StoredObject]:
    pages = bucket.flat(prefix)
    while not pages.ended and len(pages.objects) < _MOST_OTHERS:
        await pages.more()
    return pages.objects


async def _whole(pages: Pages) -> Pages:
    while not pages.ended:
        await pages.more()
    return pages
