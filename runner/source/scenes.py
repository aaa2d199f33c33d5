"""From listed objects to a stack: list, name, choose, read headers, hold them against each other."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from runner.errors import SourceError
from runner.model import Inputs, LeftOut
from runner.settings import OnError, Sidecars, SourceSettings
from runner.source.headers import read_headers
from runner.source.listing import list_objects
from runner.source.names import Candidate, describe_folder_dates, name_candidates
from runner.source.passed_over import NO_SCENE, describe_passed_over, split_scenes
from runner.source.remarks import Remarks, describe_stated
from runner.source.selection import choose, excluded_by, refuse_equal_names
from runner.source.sidecars import refuse_masks
from runner.source.stack import make_stack
from runner.source.stores import Stores
from runner.source.twins import describe_twins


def find_inputs(
    source: SourceSettings,
    stores: Stores,
    on_error: OnError,
    progress: Callable[[int, int], None],
) -> Inputs:
    """List the source, choose its scenes, read their headers and make one stack of them.

    Raises SourceError for an archive that cannot be read, a key without a date, or a scene that fits no stack, and
    StoreError where the store, the credentials or the network fail.
    """
    remarks = Remarks()
    listing = list_objects(source, stores, remarks)
    objects, passed_over = (listing, []) if source.kind.names_scenes else split_scenes(listing)
    if source.sidecars is Sidecars.ignore:
        objects = [replace(item, sidecars=()) for item in objects]
    named = [item for item in objects if not excluded_by(source, item.href)]
    listed = name_candidates(source, named)
    chosen, left_out = choose(source, listed)
    excluded = ((item, excluded_by(source, item.href)) for item in objects)
    left_out += [LeftOut(item, None, None, reason) for item, reason in excluded if reason]
    left_out += [LeftOut(item, None, None, NO_SCENE) for item in passed_over] + remarks.left_out
    refuse_equal_names(source, chosen)
    refuse_masks([candidate.item for candidate in chosen])
    scenes, unread = asyncio.run(read_headers(chosen, stores, on_error, progress))
    if not scenes:
        raise SourceError(
            f"source.url={source.url}: none of {len(objects)} objects is left{_period(listed)}; "
            f"{_reasons(left_out + unread)}"
        )
    notes = remarks.notes + describe_stated(remarks.stated, scenes, source)
    notes += describe_passed_over(passed_over) + describe_folder_dates(source, chosen) + describe_twins(chosen, listed)
    return Inputs(make_stack(source, scenes), tuple(left_out + unread), stores.counts, tuple(notes))


def _period(listed: list[Candidate]) -> str:
    """The days that the objects are of."""
    days = sorted(f"{candidate.time:%Y-%m-%d}" for candidate in listed)
    return f", which are of {days[0]} to {days[-1]}" if days else ""


def _reasons(left_out: list[LeftOut]) -> str:
    reasons = sorted({item.reason for item in left_out})
    return "left out: " + "; ".join(reasons[:5])
