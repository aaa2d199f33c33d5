"""Masks among the listed scenes: a pattern that is too wide matches both, and no mask has a mask of its own."""

import fnmatch
from collections.abc import Sequence
from contextlib import suppress

from runner.base.humanize import plural
from runner.errors import SourceError, printable
from runner.settings import MaskSettings, SourceSettings
from runner.source.hints import matches, written
from runner.source.listing import whole_url
from runner.source.mask_files import replaced
from runner.source.names import Candidate
from runner.source.narrow import narrower_url, split_names
from runner.source.selection import excluded_by


def refuse_listed_masks(source: SourceSettings, mask: MaskSettings, listed: Sequence[Candidate]) -> None:
    """Raise SourceError for listed scenes that are masks of other ones by `mask.href.replace`, with the way out."""
    if mask.href.replace is None:
        return
    of_masks: dict[str, str] = {}
    for scene in listed:
        with suppress(SourceError):  # as for the masks themselves
            of_masks.setdefault(replaced(mask.href.replace, scene.item.href), scene.item.href)
    chosen = [scene for scene in listed if not excluded_by(source, scene.scene)]
    masks = [scene for scene in chosen if scene.item.href in of_masks]
    if not masks:
        return
    first = masks[0].item.href
    raise SourceError(
        f"source.url={source.shown_url} matches {plural(len(masks), 'mask')} beside "
        f"{plural(len(chosen) - len(masks), 'scene')}: {printable(first)} is the mask of {printable(of_masks[first])} "
        f"(mask.href.replace); {_way_out(source, of_masks[first], masks, chosen)}"
    )


def _way_out(source: SourceSettings, scene: str, masks: Sequence[Candidate], chosen: Sequence[Candidate]) -> str:
    """A url, or what to exclude, that leaves the scenes and no mask."""
    hrefs = {mask.item.href for mask in masks}
    scenes = [other for other in chosen if other.item.href not in hrefs]
    if not source.kind.names_scenes and len(source.urls) == 1:
        url = narrower_url(whole_url(source.urls[0]), [(other.item.href, other.time) for other in chosen])
        if url and all(matches(url, other.item.href) for other in scenes):
            return f"write {written(url)}"
    pattern = _ending_of(masks[0].item.href, scene)
    taken = [other for other in chosen if fnmatch.fnmatchcase(other.item.href, pattern)]
    if {other.item.href for other in taken} != hrefs:
        return "narrow source.url to the scenes, or leave the masks out with source.exclude"
    return f"leave the masks out with 'source.exclude={','.join(map(printable, [*source.exclude, pattern]))}'"


def _ending_of(mask: str, scene: str) -> str:
    """A pattern of the end that the name of a mask has and that of its scene does not."""
    _, own = split_names([scene, mask])
    return f"*{own.before[-1:]}{own.part}{own.after}"
