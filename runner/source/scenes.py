"""From listed objects to a stack: list and name them, choose, read headers, hold them against each other."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from runner.errors import SourceError
from runner.model import Inputs, LeftOut, Scene
from runner.settings import MaskSettings, OnError, Sidecars, SourceSettings
from runner.source.area import area_digest
from runner.source.band_parts import by_band
from runner.source.bands import with_bands
from runner.source.clouds import keep_clear
from runner.source.headers import read_headers
from runner.source.listed_masks import refuse_listed_masks
from runner.source.listing import list_all
from runner.source.mask_files import name_masks
from runner.source.names import Candidate, describe_folder_dates, name_candidates
from runner.source.parts import Part, keep_where, part, unmatched_where
from runner.source.passed_over import NO_SCENE, describe_passed_over, split_scenes
from runner.source.remarks import Remarks, Stated, describe_stated
from runner.source.selection import choose, excluded_by, refuse_equal_names
from runner.source.sidecars import refuse_masks
from runner.source.stack import describe_scale, make_stack
from runner.source.stores import Stores
from runner.source.twins import describe_twins

_MOST_REASONS: Final = 5


@dataclass(frozen=True, slots=True)
class Archive:
    """All that a source lists: the scenes by name and date, and what is left out of every stack.

    `notes` are lines for the console.
    """

    scenes: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    objects: int  # that may be scenes
    notes: tuple[str, ...] = ()
    stated: Mapping[str, Stated] = field(default_factory=dict)  # by STAC items, by href

    @property
    def stored_bytes(self) -> int | None:
        """Bytes of the scenes' objects, each once; None if the listing does not tell them."""
        sizes = {candidate.item.href: candidate.item.size for candidate in self.scenes}
        return None if None in sizes.values() else sum(size or 0 for size in sizes.values())

    def only(self, scenes: Sequence[Candidate]) -> "Archive":
        """Some of its scenes, as if they were all that the source lists, with what is stated of them."""
        return replace(self, scenes=tuple(scenes), left_out=(), objects=len(scenes), notes=())

    @classmethod
    def of(cls, scenes: Sequence[Candidate], notes: Sequence[str] = ()) -> "Archive":
        """Scenes that are known, as if they were all that a source lists."""
        return cls(tuple(scenes), (), len(scenes), tuple(notes))


def find_inputs(
    source: SourceSettings,
    stores: Stores,
    on_error: OnError,
    progress: Callable[[int, int], None],
    mask: MaskSettings | None = None,
) -> Inputs:
    """List the source, choose its scenes, read their headers and those of their masks, and make one stack of them.

    Raises SourceError for an archive that cannot be read, a key without a date, or a scene that fits no stack, and
    StoreError where the store, the credentials or the network fail.
    """
    archive = list_archive(source, stores)
    refuse_listed_masks(source, mask or MaskSettings(), archive.scenes)
    inputs = inputs_of(source, archive, read_chosen(source, archive, stores, on_error, progress, mask), stores)
    return replace(inputs, left_out=inputs.left_out + archive.left_out, notes=archive.notes + inputs.notes)


def list_archive(source: SourceSettings, stores: Stores) -> Archive:
    """List the source, and name and date what may be its scenes; `source.exclude` and `source.where` leave some out.

    Raises as `find_inputs`.
    """
    area_digest(source, stores)  # refuses a file that is none
    remarks = Remarks()
    listing = list_all(source, stores, remarks)
    objects, passed_over = (listing, []) if source.kind.names_scenes else split_scenes(listing)
    if source.sidecars is Sidecars.ignore:
        objects = [replace(item, sidecars=()) for item in objects]
    named = name_candidates(source, [item for item in objects if not excluded_by(source, item.href)])
    scenes, left_out = keep_where(source, named)
    scenes, cloudy = keep_clear(source, scenes)
    left_out += cloudy
    excluded = ((item, excluded_by(source, item.href)) for item in objects)
    left_out += [LeftOut(item, None, None, reason) for item, reason in excluded if reason]
    left_out += [LeftOut(item, None, None, NO_SCENE) for item in passed_over] + remarks.left_out
    notes = remarks.notes + describe_passed_over(passed_over) + unmatched_where(source, named)
    return Archive(tuple(scenes), tuple(left_out), len(objects), tuple(notes), remarks.stated)


def list_stacks(source: SourceSettings, stores: Stores, mask: MaskSettings) -> tuple[Archive, list[Part]]:
    """List the source, and part its scenes into stacks by `source.stack_by` and `source.bands`. Raises SourceError."""
    archive = list_archive(source, stores)
    refuse_listed_masks(source, mask, archive.scenes)
    return archive, by_band(source, part(source, archive.scenes), stores)


@dataclass(frozen=True, slots=True)
class ReadScenes:
    """The scenes that were chosen among listed ones, those whose headers were read, and the others."""

    chosen: tuple[Candidate, ...]
    scenes: tuple[Scene, ...]
    left_out: tuple[LeftOut, ...]


def read_chosen(  # noqa: PLR0913, PLR0917 - those of find_inputs, and what was listed
    source: SourceSettings,
    listed: Archive,
    stores: Stores,
    on_error: OnError,
    progress: Callable[[int, int], None],
    mask: MaskSettings | None = None,
) -> ReadScenes:
    """Choose among listed scenes and read their headers, for whichever band. Raises as `find_inputs`."""
    chosen, left_out = choose(source, listed.scenes)
    refuse_equal_names(source, chosen)
    refuse_masks([candidate.item for candidate in chosen])
    mask = mask or MaskSettings()
    chosen, unmasked = name_masks(mask, chosen)
    left_out += unmasked
    scenes, unread = asyncio.run(read_headers(chosen, stores, on_error, progress, mask.on_missing))
    if not scenes:
        raise SourceError(none_left(source, listed, [*left_out, *unread]))
    return ReadScenes(tuple(chosen), tuple(scenes), tuple(left_out + unread))


def inputs_of(source: SourceSettings, listed: Archive, read: ReadScenes, stores: Stores) -> Inputs:
    """One stack of scenes that were read, of the band of the settings. Raises as `find_inputs`."""
    notes = describe_folder_dates(source, read.chosen) + describe_twins(read.chosen, listed.scenes)
    stack = make_stack(source, read.scenes, stores)
    notes += describe_scale(source, with_bands(source.band, read.scenes))
    notes += describe_stated(listed.stated, stack, source)
    return Inputs(stack, read.left_out, stores.counts, tuple(notes))


def none_left(source: SourceSettings, listed: Archive, left_out: Sequence[LeftOut]) -> str:
    """The problem of a stack without a scene: which filters or faults took them."""
    reasons = sorted({item.reason for item in (*left_out, *listed.left_out)})
    more = "; ..." if len(reasons) > _MOST_REASONS else ""
    return (
        f"source.url={source.shown_url}: none of {listed.objects} objects is left{_period(listed.scenes)}; "
        f"left out: {'; '.join(reasons[:_MOST_REASONS])}{more}"
    )


def _period(listed: Sequence[Candidate]) -> str:
    """The days that the objects are of."""
    days = sorted(f"{candidate.time:%Y-%m-%d}" for candidate in listed)
    return f", which are of {days[0]} to {days[-1]}" if days else ""
