"""Selection among listed objects: the filters of the source, scenes of one time, the limit."""

import fnmatch
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby, takewhile
from typing import Final

from runner.errors import SourceError, printable
from runner.model import LeftOut
from runner.settings import Duplicates, SourceSettings
from runner.source.names import Candidate
from runner.source.times import day_range

_MOST_NAMED: Final = 5


def choose(source: SourceSettings, listed: Sequence[Candidate]) -> tuple[list[Candidate], list[LeftOut]]:
    """Apply the filters of the source, in order of time; what is left out keeps its reason.

    Raises SourceError for scenes of one time that `source.duplicates` does not allow.
    """
    start, stop = day_range(source.start, source.end)
    kept: list[Candidate] = []
    left_out: list[LeftOut] = []
    for candidate in sorted(listed, key=lambda one: (one.time, one.scene, one.item.href)):
        reason = _excluded(source, candidate, start, stop)
        if reason is None:
            kept.append(candidate)
        else:
            left_out.append(_left_out(candidate, reason))
    kept, unwanted = _one_of_each_time(source, kept)
    beyond = [] if source.limit is None else kept[source.limit :]
    left_out += unwanted + [_left_out(one, f"beyond source.limit={source.limit}") for one in beyond]
    return kept[: source.limit], left_out


def _left_out(candidate: Candidate, reason: str) -> LeftOut:
    return LeftOut(candidate.item, candidate.scene, candidate.time, reason)


def _excluded(source: SourceSettings, candidate: Candidate, start: datetime, stop: datetime) -> str | None:
    if not start <= candidate.time < stop:
        return f"outside of source.start={source.start}, source.end={source.end}"
    return excluded_by(source, candidate.scene) or excluded_by(source, candidate.item.href)


def excluded_by(source: SourceSettings, text: str) -> str | None:
    """The pattern of the source that excludes a scene's name or an href; an href before it needs a date."""
    return next((f"source.exclude={one}" for one in source.exclude if fnmatch.fnmatchcase(text, one)), None)


def refuse_equal_names(chosen: Sequence[Candidate]) -> None:
    """Raise SourceError for two scenes of one name."""
    seen: dict[str, Candidate] = {}
    for candidate in chosen:
        twin = seen.setdefault(candidate.scene, candidate)
        if twin is not candidate:
            raise SourceError(
                f"{printable(twin.item.href)} and {printable(candidate.item.href)} are both named "
                f"'{printable(twin.scene)}'; narrow source.url, or let the group 'scene' of source.datetime_regex tell "
                "them apart"
            )


# --- scenes of one time -----------------------------------------------------------------------------------------


def _one_of_each_time(source: SourceSettings, ordered: list[Candidate]) -> tuple[list[Candidate], list[LeftOut]]:
    """The scenes that `source.duplicates` keeps, and the others."""
    times = [list(scenes) for _, scenes in groupby(ordered, key=lambda one: one.time)]
    policy = source.duplicates
    if policy in (Duplicates.auto, Duplicates.stop):
        _refuse_twins([scenes for scenes in times if len(scenes) > 1 and (policy is Duplicates.stop or _alike(scenes))])
    if policy not in (Duplicates.first, Duplicates.last):
        return ordered, []
    at = 0 if policy is Duplicates.first else -1
    unwanted = [
        _left_out(one, f"{scenes[at].scene} has the same time; source.duplicates={policy.value}")
        for scenes in times
        for one in scenes
        if one is not scenes[at]
    ]
    return [scenes[at] for scenes in times], unwanted


def _alike(scenes: Sequence[Candidate]) -> bool:
    """Whether the named groups are the same for two of these."""
    return max(Counter(tuple(sorted(one.groups.items())) for one in scenes).values()) > 1


def _refuse_twins(times: Sequence[Sequence[Candidate]]) -> None:
    """Raise SourceError that counts the scenes of one time, and says in which parts their names differ."""
    if not times:
        return
    first, second = (printable(one.item.href) for one in times[0][:2])
    parts = [printable(part) for part in differing_parts([one.item.href for one in times[0]]) if part]
    named = ", ".join(f"'{part}'" for part in parts[:_MOST_NAMED]) + ", ..." * (len(parts) > _MOST_NAMED)
    raise SourceError(
        f"{sum(map(len, times))} scenes have only {len(times)} time{'s' * (len(times) > 1)}: {first} and {second} are "
        f"both of {times[0][0].time:%Y-%m-%d %H:%M:%S} and differ in {named or 'nothing'}. If these are bands, tiles "
        f"or versions, narrow source.url to one of them, such as *{parts[0] if parts else ''}*; if all belong to the "
        "stack, let a named group of source.datetime_regex (or a column of the manifest) tell them apart, or say "
        "source.duplicates=keep; first or last takes one of each time"
    )


def differing_parts(texts: Sequence[str]) -> list[str]:
    """Parts of texts between their common start and end, in whole words: B2 of x_B2.tif beside x_B3.tif."""
    words = [re.findall(r"[^\W_]+|[\W_]+", text) for text in texts]
    head = _shared(words)
    tail = _shared([one[head:][::-1] for one in words])
    return sorted({"".join(one[head : len(one) - tail]) for one in words})


def _shared(words: Sequence[Sequence[str]]) -> int:
    """Number of words that all begin with."""
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False)))
