"""The objects of an earlier run, found again: by their hrefs, in the same order, each held against its ETag."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import obstore

from runner.base.humanize import listed
from runner.errors import SourceError
from runner.model import SIGNED, LeftOut, Scene, StoredObject, locate
from runner.read.fetch import FAILURES, retried
from runner.read.refusals import refusal_of
from runner.read.store_errors import ChangedError, MissingError, explain, is_missing
from runner.read.version import same_version
from runner.settings import OnError, Sidecars, SourceSettings
from runner.source.folder import files_with_sidecars
from runner.source.gather import gather
from runner.source.headers import read_headers
from runner.source.listing import list_all, unreadable
from runner.source.names import Candidate, name_candidates
from runner.source.sidecars import refuse_masks
from runner.source.stores import Stores

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

_IN_FLIGHT = 64
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Lookup:
    """A recorded object and what lies there now; None if nothing does. And so for the mask in a file of its own."""

    recorded: StoredObject
    current: StoredObject | None
    mask: "Lookup | None" = None

    @property
    def is_there(self) -> bool:
        """True if it lies there, and its mask too, whatever they are."""
        return self.current is not None and (self.mask is None or self.mask.is_there)

    @property
    def problem(self) -> str | None:
        """The difference from the recorded object, with both ETags; None if it is the same, and its mask too."""
        own = self._own_problem
        return own if own or self.mask is None else self.mask.problem

    @property
    def _own_problem(self) -> str | None:
        recorded, current = self.recorded, self.current
        if current is None:
            return f"{recorded.href} is gone (recorded with ETag {recorded.etag})"
        if recorded.size is None and recorded.etag is None:
            return None  # named by the settings alone
        if recorded.etag and current.etag:
            same = same_version(recorded.etag, current.etag) and recorded.size in (None, current.size)
        else:
            same = (recorded.size, recorded.modified) == (current.size, current.modified)
        text = f"{recorded.href} has changed: recorded with {_version(recorded)}, now {_version(current)}"
        return None if same else text


def _version(item: StoredObject) -> str:
    return f"ETag {item.etag}, {item.size} bytes of {item.modified}"


def renew_signatures(source: SourceSettings, recorded: Sequence[StoredObject], stores: Stores) -> None:
    """List a source anew where recorded addresses were signed: the record has no signatures, and old ones expire."""
    if any(locate(item.href).query == SIGNED for item in recorded):
        list_all(source, stores)


def look_up(recorded: Sequence[StoredObject], stores: Stores) -> list[Lookup]:
    """Look what lies at each href now, in order, without reading contents. Raises SourceError where no answer comes."""

    async def look(item: StoredObject) -> Lookup:
        try:
            meta = await answer(item, obstore.head_async)
        except FAILURES as error:
            if refusal_of(error) or is_missing(error):
                return await look_closer(item)
            raise unreadable(item.href, error, stores) from error
        return _lookup(item, meta)

    async def look_closer(item: StoredObject) -> Lookup:
        """Ask by GET: the refusal of a HEAD has no room for its reason, and some servers know no HEAD."""
        try:
            meta = (await answer(item, obstore.get_async)).meta
        except FAILURES as error:
            fault = explain(error, item.href, "it", 1)
            if isinstance(fault, MissingError):
                return Lookup(item, None)
            refusal = refusal_of(error)
            if is_missing(error) and not (refusal and refusal.has_remedy):
                raise SourceError(str(fault)) from error
            raise unreadable(item.href, error, stores) from error
        return _lookup(item, meta)

    def answer(item: StoredObject, ask: "Callable[[ObjectStore, str], Awaitable[Answer]]") -> Awaitable[Answer]:
        location = stores.locate(item.href)
        store = stores.of(location)
        return retried(lambda: ask(store, location.key), stores.fetch, stores.counts)

    masks = [item.mask for item in recorded if item.mask]
    lookups = asyncio.run(gather(look, [*recorded, *masks], _IN_FLIGHT))
    of_masks = iter(lookups[len(recorded) :])
    return [
        replace(lookup, mask=next(of_masks) if lookup.recorded.mask else None) for lookup in lookups[: len(recorded)]
    ]


def _lookup(item: StoredObject, meta: "ObjectMeta") -> Lookup:
    current = StoredObject(item.href, meta["size"], meta["e_tag"], meta["last_modified"], sidecars=item.sidecars)
    return Lookup(item, current)


def refuse_replaced(scenes: Sequence[Scene], stores: Stores) -> None:
    """Raise ChangedError for the first scene that is not the object any more whose header was read.

    For readers that cannot pin what they read: what is the same before and after was the same meanwhile.
    """
    files = [file for scene in scenes for file in (scene, scene.mask) if file]
    recorded = [StoredObject(file.href, file.size, file.etag, file.modified) for file in files]
    for lookup in look_up(recorded, stores) if recorded else ():
        if lookup.problem and lookup.current:
            raise ChangedError(lookup.recorded.href, f"changed during the run, while GDAL read it: {lookup.problem}")


def refuse_problems(
    lookups: Sequence[Lookup], on_error: OnError, on_missing: OnError = OnError.stop, *, pinned: bool
) -> None:
    """Raise SourceError that names what is gone (unless it is skipped) and, if `pinned`, what has changed.

    `on_missing` is for masks that are gone.
    """
    policies = {True: on_missing, False: on_error}  # by whether the scene itself is there
    stops = (pinned if lookup.is_there else policies[lookup.current is not None] is OnError.stop for lookup in lookups)
    problems = [lookup.problem for lookup, stop in zip(lookups, stops, strict=True) if stop and lookup.problem]
    if not problems:
        return
    remedies = ["bring back what was recorded", *_remedies(lookups, pinned=pinned)]
    raise SourceError(
        f"{len(problems)} of {len(lookups)} objects are not as recorded: {listed(problems, 5, '; ')}; "
        f"{', '.join(remedies[:-1])}{' or ' if remedies[1:] else ''}{remedies[-1]}"
    )


def _remedies(lookups: Sequence[Lookup], *, pinned: bool) -> Iterator[str]:
    """What else helps: leaving out what is gone, unless nothing would be left, and reading what has changed."""
    gone = [lookup for lookup in lookups if not lookup.is_there]
    if len(gone) < len(lookups):
        if any(lookup.current is None for lookup in gone):
            yield "leave out scenes that are gone with on_error=skip"
        if any(lookup.current for lookup in gone):
            yield "leave out scenes whose masks are gone with mask.on_missing=skip"
    if pinned and any(lookup.is_there and lookup.problem for lookup in lookups):
        yield "read what has changed as it is now by --unpinned"


def read_scenes(
    source: SourceSettings,
    recorded: Sequence[tuple[Lookup, str | None]],
    stores: Stores,
    progress: Callable[[int, int], None],
    on_error: OnError = OnError.stop,
) -> tuple[tuple[Scene, ...], tuple[LeftOut, ...]]:
    """The scenes of these objects as they are now, in this order, with the names that they were recorded by.

    Every later read of a scene is pinned to the ETag its header was read with. Files beside it are those of now; of a
    bucket those that were recorded, since only a listing would show more. An object that is gone, changes meanwhile or
    cannot be read is left out if `on_error` is skip; else raises SourceError. One whose mask is gone is left out.
    """
    lookups = [lookup for lookup, _ in recorded]
    named = list(zip(_with_sidecars(source, lookups), (name for _, name in recorded), strict=True))
    skipped = [not lookup.is_there and (lookup.current or on_error is OnError.skip) for lookup, _ in named]
    left_out = [_left_out(*both) for both, skip in zip(named, skipped, strict=True) if skip]
    named = [both for both, skip in zip(named, skipped, strict=True) if not skip]
    chosen = [_candidate(source, lookup, name) for lookup, name in named]
    scenes, unread = asyncio.run(read_headers(chosen, stores, on_error, progress))
    if not scenes:
        raise SourceError(f"none of {len(lookups)} recorded objects can be read: {(left_out + unread)[0].reason}")
    return tuple(scenes), (*left_out, *unread)


def _with_sidecars(source: SourceSettings, lookups: Sequence[Lookup]) -> list[Lookup]:
    """The objects with the files beside them that the settings let be read. Raises SourceError for masks."""
    read = source.sidecars is Sidecars.read
    objects = [lookup.current for lookup in lookups if lookup.current]
    items = [item if read and is_in_bucket(item.href) else replace(item, sidecars=()) for item in objects]
    if read:
        items = list(files_with_sidecars(items))
    refuse_masks(items)
    present = iter(items)
    return [replace(lookup, current=next(present)) if lookup.current else lookup for lookup in lookups]


def is_in_bucket(href: str) -> bool:
    """Tell if an object lies in a bucket, not on this machine."""
    return locate(href).root is not None


def _left_out(lookup: Lookup, name: str | None) -> LeftOut:
    item = lookup.recorded
    reason = f"it is gone (recorded with ETag {item.etag})" if lookup.current is None else f"its mask: {lookup.problem}"
    return LeftOut(item, name, item.time, reason, skipped=True)


def _candidate(source: SourceSettings, lookup: Lookup, name: str | None) -> Candidate:
    """The object with its recorded date and groups; groups that an older run did not record follow from the key."""
    if lookup.current is None:
        raise SourceError(str(lookup.problem))
    then, mask = lookup.recorded, lookup.mask.current if lookup.mask else None
    (candidate,) = name_candidates(source, [replace(lookup.current, time=then.time, columns=then.columns, mask=mask)])
    return replace(candidate, scene=name or candidate.scene)
