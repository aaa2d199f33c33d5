"""The objects of an earlier run, found again: by their hrefs, in the same order, each held against its ETag."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import obstore

from runner.base.humanize import listed
from runner.errors import SourceError
from runner.model import LeftOut, Scene, StoredObject, locate
from runner.read.fetch import FAILURES, retried
from runner.read.refusals import refusal_of
from runner.read.store_errors import ChangedError, MissingError, explain, is_missing
from runner.read.version import same_version
from runner.settings import OnError, Sidecars, SourceSettings
from runner.source.folder import files_with_sidecars
from runner.source.gather import together
from runner.source.headers import read_headers
from runner.source.listing import unreadable
from runner.source.names import Candidate, name_candidates
from runner.source.sidecars import refuse_masks
from runner.source.stores import Stores

if TYPE_CHECKING:
    from obstore import ObjectMeta

_IN_FLIGHT = 64
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Found:
    """A recorded object and what lies there now; None if nothing does."""

    recorded: StoredObject
    now: StoredObject | None

    @property
    def problem(self) -> str | None:
        """The difference from the recorded object, with both ETags; None if it is the same."""
        then, now = self.recorded, self.now
        if now is None:
            return f"{then.href} is gone (recorded with ETag {then.etag})"
        if then.etag and now.etag:
            changed = not same_version(then.etag, now.etag) or then.size not in (None, now.size)
        else:
            changed = (then.size, then.modified) != (now.size, now.modified)
        return f"{then.href} has changed: recorded with {_version(then)}, now {_version(now)}" if changed else None


def _version(item: StoredObject) -> str:
    return f"ETag {item.etag}, {item.size} bytes of {item.modified}"


def look_up(recorded: Sequence[StoredObject], stores: Stores) -> list[Found]:
    """Look what lies at each href now, in order, without reading contents. Raises SourceError where no answer comes."""

    async def look(item: StoredObject) -> Found:
        location = locate(item.href)
        store = stores.of(location)
        try:
            meta = await asked(lambda: obstore.head_async(store, location.key))
        except FAILURES as error:
            if refusal_of(error) or is_missing(error):
                return await look_closer(item)
            raise unreadable(item.href, error, stores) from error
        return _found(item, meta)

    async def look_closer(item: StoredObject) -> Found:
        """Ask by GET: the refusal of a HEAD has no room for its reason, and some servers know no HEAD."""
        location = locate(item.href)
        store = stores.of(location)
        try:
            answer = await asked(lambda: obstore.get_async(store, location.key))
        except FAILURES as error:
            fault = explain(error, item.href, "it", 1)
            if isinstance(fault, MissingError):
                return Found(item, None)
            refusal = refusal_of(error)
            if is_missing(error) and not (refusal and refusal.has_remedy):
                raise SourceError(str(fault)) from error
            raise unreadable(item.href, error, stores) from error
        return _found(item, answer.meta)

    def asked(attempt: Callable[[], Awaitable[Answer]]) -> Awaitable[Answer]:
        return retried(attempt, stores.fetch, stores.counts)

    return asyncio.run(together(look, recorded, _IN_FLIGHT))


def _found(item: StoredObject, meta: "ObjectMeta") -> Found:
    now = StoredObject(item.href, meta["size"], meta["e_tag"], meta["last_modified"], sidecars=item.sidecars)
    return Found(item, now)


def refuse_replaced(scenes: Sequence[Scene], stores: Stores) -> None:
    """Raise ChangedError for the first scene that is not the object any more whose header was read.

    For readers that cannot pin what they read: what is the same before and after was the same meanwhile.
    """
    before = [StoredObject(scene.href, scene.size, scene.etag, scene.modified) for scene in scenes]
    for found in look_up(before, stores) if before else ():
        if found.problem and found.now:
            raise ChangedError(found.recorded.href, f"changed during the run, while GDAL read it: {found.problem}")


def refuse_problems(found: Sequence[Found], on_error: OnError, *, pinned: bool) -> None:
    """Raise SourceError that names what is gone (unless it is skipped) and, if `pinned`, what has changed."""
    problems = [one.problem for one in found if one.problem and (pinned if one.now else on_error is OnError.stop)]
    if not problems:
        return
    remedy = "bring them back, leave out what is gone with on_error=skip"
    remedy += ", or read what has changed as it is now by --unpinned" if pinned else ""
    raise SourceError(
        f"{len(problems)} of {len(found)} objects are not as recorded: {listed(problems, 5, '; ')}; {remedy}"
    )


def read_scenes(
    source: SourceSettings,
    recorded: Sequence[tuple[Found, str | None]],
    stores: Stores,
    progress: Callable[[int, int], None],
    on_error: OnError = OnError.stop,
) -> tuple[tuple[Scene, ...], tuple[LeftOut, ...]]:
    """The scenes of these objects as they are now, in this order, with the names that they were recorded by.

    Every later read of a scene is pinned to the ETag its header was read with. Files beside it are those of now; of a
    bucket those that were recorded, since only a listing would show more. An object that is gone, changes meanwhile or
    cannot be read is left out if `on_error` is skip; else raises SourceError.
    """
    found = [one for one, _ in recorded]
    named = list(zip(_with_sidecars(source, found), (name for _, name in recorded), strict=True))
    gone: list[LeftOut] = []
    if on_error is OnError.skip:
        gone = [_left_out(one, name) for one, name in named if not one.now]
        named = [(one, name) for one, name in named if one.now]
    chosen = [_candidate(source, one, name) for one, name in named]
    scenes, unread = asyncio.run(read_headers(chosen, stores, on_error, progress))
    if not scenes:
        raise SourceError(f"none of {len(found)} recorded objects can be read: {(gone + unread)[0].reason}")
    return tuple(scenes), (*gone, *unread)


def _with_sidecars(source: SourceSettings, found: Sequence[Found]) -> list[Found]:
    """The objects with the files beside them that the settings let be read. Raises SourceError for masks."""
    read = source.sidecars is Sidecars.read
    there = [one.now for one in found if one.now]
    bare = [one if read and is_in_bucket(one.href) else replace(one, sidecars=()) for one in there]
    present = list(files_with_sidecars(bare)) if read else bare
    refuse_masks(present)
    items = iter(present)
    return [replace(one, now=next(items)) if one.now else one for one in found]


def is_in_bucket(href: str) -> bool:
    """Tell if an object lies in a bucket, not on this machine."""
    return locate(href).bucket is not None


def _left_out(gone: Found, name: str | None) -> LeftOut:
    item = gone.recorded
    return LeftOut(item, name, item.time, f"it is gone (recorded with ETag {item.etag})", skipped=True)


def _candidate(source: SourceSettings, found: Found, name: str | None) -> Candidate:
    """The object with its recorded date and groups; groups that an older run did not record follow from the key."""
    if found.now is None:
        raise SourceError(str(found.problem))
    then = found.recorded
    (candidate,) = name_candidates(source, [replace(found.now, time=then.time, columns=then.columns)])
    return replace(candidate, scene=name or candidate.scene)
