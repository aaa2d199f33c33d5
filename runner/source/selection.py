"""Selection among listed objects: the filters of the source, scenes of one date, the limit."""

import fnmatch
from datetime import datetime

from runner.errors import SourceError
from runner.model import LeftOut
from runner.settings import Duplicates, SourceSettings
from runner.source.names import Candidate
from runner.source.times import day_range


def choose(source: SourceSettings, listed: list[Candidate]) -> tuple[list[Candidate], list[LeftOut]]:
    """Apply the filters of the source, in order of time; what is left out keeps its reason."""
    start, stop = day_range(source.start, source.end)
    kept: list[Candidate] = []
    left_out: list[LeftOut] = []
    for candidate in sorted(listed, key=lambda one: (one.time, one.scene, one.item.href)):
        reason = _excluded(source, candidate, start, stop) or _duplicate(source.duplicates, candidate, kept)
        if reason is None and source.duplicates is Duplicates.last and kept and kept[-1].time == candidate.time:
            left_out.append(_left_out(kept.pop(), f"{candidate.scene} has the same time; source.duplicates=last"))
        if reason is None and source.limit is not None and len(kept) == source.limit:
            reason = f"beyond source.limit={source.limit}"
        if reason is None:
            kept.append(candidate)
        else:
            left_out.append(_left_out(candidate, reason))
    return kept, left_out


def _left_out(candidate: Candidate, reason: str) -> LeftOut:
    return LeftOut(candidate.item, candidate.scene, candidate.time, reason)


def _excluded(source: SourceSettings, candidate: Candidate, start: datetime, stop: datetime) -> str | None:
    if not start <= candidate.time < stop:
        return f"outside of source.start={source.start}, source.end={source.end}"
    return excluded_by(source, candidate.scene) or excluded_by(source, candidate.item.href)


def excluded_by(source: SourceSettings, text: str) -> str | None:
    """The pattern of the source that excludes a scene's name or an href; an href before it needs a date."""
    return next((f"source.exclude={one}" for one in source.exclude if fnmatch.fnmatchcase(text, one)), None)


def _duplicate(policy: Duplicates, candidate: Candidate, kept: list[Candidate]) -> str | None:
    if not kept or kept[-1].time != candidate.time or policy in (Duplicates.keep, Duplicates.last):
        return None
    if policy is Duplicates.first:
        return f"{kept[-1].scene} has the same time; source.duplicates=first"
    raise SourceError(
        f"{candidate.item.href} and {kept[-1].item.href} have one time, {candidate.time:%Y-%m-%d %H:%M:%S}; "
        "choose source.duplicates=keep, first or last"
    )


def refuse_equal_names(chosen: list[Candidate]) -> None:
    """Raise SourceError for two scenes of one name."""
    seen: dict[str, Candidate] = {}
    for candidate in chosen:
        twin = seen.setdefault(candidate.scene, candidate)
        if twin is not candidate:
            raise SourceError(
                f"{twin.item.href} and {candidate.item.href} are both named '{candidate.scene}'; narrow source.url, "
                "or let the group 'scene' of source.datetime_regex tell them apart"
            )
