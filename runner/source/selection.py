"""Selection among listed objects: the filters of the source, scenes of one time, the limit."""

import fnmatch
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from runner.errors import SourceError, printable
from runner.model import LeftOut
from runner.settings import Duplicates, SourceKind, SourceSettings
from runner.source.names import Candidate
from runner.source.times import day_range
from runner.source.twins import refuse_twins


def choose(source: SourceSettings, listed: Sequence[Candidate]) -> tuple[list[Candidate], list[LeftOut]]:
    """Apply the filters of the source, in order of time; what is left out keeps its reason.

    Raises SourceError for scenes of one time that `source.duplicates` does not allow.
    """
    start, stop = day_range(source.start, source.end)
    chosen: list[Candidate] = []
    left_out: list[LeftOut] = []
    for candidate in sorted(listed, key=lambda candidate: (candidate.time, candidate.scene, candidate.item.href)):
        reason = _excluded(source, candidate, start, stop)
        if reason is None:
            chosen.append(candidate)
        else:
            left_out.append(_left_out(candidate, reason))
    refuse_twins(source, chosen, listed)
    chosen, unwanted = _one_of_each_time(source, chosen)
    beyond = [] if source.limit is None else chosen[source.limit :]
    left_out += unwanted + [_left_out(candidate, f"beyond source.limit={source.limit}") for candidate in beyond]
    return chosen[: source.limit], left_out


def _left_out(candidate: Candidate, reason: str) -> LeftOut:
    return LeftOut(candidate.item, candidate.scene, candidate.time, reason)


def _excluded(source: SourceSettings, candidate: Candidate, start: datetime, stop: datetime) -> str | None:
    if not start <= candidate.time < stop:
        return f"outside of source.start={source.start or 'null'}, source.end={source.end or 'null'}"
    return excluded_by(source, candidate.scene) or excluded_by(source, candidate.item.href)


def excluded_by(source: SourceSettings, text: str) -> str | None:
    """The pattern of the source that excludes a scene's name or an href; an href before it needs a date."""
    return next((f"source.exclude={pattern}" for pattern in source.exclude if fnmatch.fnmatchcase(text, pattern)), None)


def refuse_equal_names(source: SourceSettings, chosen: Sequence[Candidate]) -> None:
    """Raise SourceError for two scenes of one name."""
    by_name: dict[str, Candidate] = {}
    for candidate in chosen:
        twin = by_name.setdefault(candidate.scene, candidate)
        if twin is not candidate:
            tell = (
                "let the manifest's column 'scene' tell them apart"
                if source.kind is SourceKind.manifest
                else "choose one collection by source.stac.collections, or leave one out with source.exclude"
                if source.kind is SourceKind.stac
                else "narrow source.url, or let the group 'scene' of source.datetime_regex tell them apart"
            )
            raise SourceError(
                f"{printable(twin.item.href)} and {printable(candidate.item.href)} are both named "
                f"'{printable(twin.scene)}'; {tell}"
            )


def _one_of_each_time(source: SourceSettings, ordered: list[Candidate]) -> tuple[list[Candidate], list[LeftOut]]:
    """The scenes that `source.duplicates` keeps, and the others."""
    policy = source.duplicates
    if policy not in (Duplicates.first, Duplicates.last):
        return ordered, []
    times = [list(scenes) for _, scenes in groupby(ordered, key=lambda scene: scene.time)]
    position = 0 if policy is Duplicates.first else -1
    unwanted = [
        _left_out(scene, f"{scenes[position].scene} has the same time; source.duplicates={policy.value}")
        for scenes in times
        for scene in scenes
        if scene is not scenes[position]
    ]
    return [scenes[position] for scenes in times], unwanted
