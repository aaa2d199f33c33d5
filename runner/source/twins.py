"""Scenes of one time: what tells them apart, or the refusal with its ways out."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from runner.errors import SourceError, printable
from runner.settings import Duplicates, SourceKind, SourceSettings
from runner.source.hints import written
from runner.source.listing import whole_url
from runner.source.names import Candidate
from runner.source.narrow import differing_parts, narrower_url
from runner.source.patterns import pattern_of_names, pattern_of_times

_MOST_NAMED: Final = 5
_STACKS: Final = "part them into stacks by a named group, such as 'source.stack_by=[tile]'"
_BAND_NAMES: Final = re.compile(
    r"(eo[:_])?(band|channel|polari[sz]ation|pol|product|asset|variable|layer|measurement|parameter|quantity)"
    r"s?([_ -]?(name|id|type|key|number))?",
    re.IGNORECASE,
)
_BAND_VALUES: Final = re.compile(
    r"(SR_|ST_)?B(AND)?_?\d{1,2}A?|VV|VH|HH|HV|RED|GREEN|BLUE|NIR(08|09)?|SWIR\d{0,2}|PAN|QA(_\w+)?|SCL|UDM2?|FMASK",
    re.IGNORECASE,
)


def refuse_twins(source: SourceSettings, ordered: Sequence[Candidate], listed: Sequence[Candidate]) -> None:
    """Raise SourceError for scenes of one time, in order of time, that `source.duplicates` does not allow.

    `listed` are those scenes and all others of the archive, which show what a group is: an identifier or a kind.
    """
    if source.duplicates not in (Duplicates.auto, Duplicates.stop):
        return
    times = _crowded(ordered)
    telling = _telling(times, listed) if source.duplicates is Duplicates.auto else []
    alike = [scenes for scenes in times if _alike(scenes, telling)]
    bands = [name for name in _differing(times) if _is_band(name, listed)] if telling and not alike else []
    if alike or bands:
        text = f"{_described(alike or times, bands)}{_identifiers(times, listed)}"
        raise SourceError(f"{text}. {_ways_out(source, alike or times, ordered, bands)}")


def describe_twins(ordered: Sequence[Candidate], listed: Sequence[Candidate]) -> list[str]:
    """A line on scenes of one time that are kept since groups tell them apart; none if there are no such scenes."""
    times = _crowded(ordered)
    telling = _telling(times, listed)
    if not times or not telling:
        return []
    return [f"{_amount(times)}, told apart by {_names(telling)}"]


def _crowded(ordered: Sequence[Candidate]) -> list[list[Candidate]]:
    """The scenes of each time that has several."""
    times = (list(scenes) for _, scenes in groupby(ordered, key=lambda scene: scene.time))
    return [scenes for scenes in times if len(scenes) > 1]


def _differing(times: Sequence[Sequence[Candidate]]) -> list[str]:
    """Groups that differ within a time."""
    names = {name for scenes in times for scene in scenes for name in scene.groups}
    return sorted(n for n in names if any(len({scene.groups.get(n) for scene in scenes}) > 1 for scenes in times))


def _telling(times: Sequence[Sequence[Candidate]], listed: Sequence[Candidate]) -> list[str]:
    """Groups that differ within a time, and whose values are kinds of scenes."""
    return [name for name in _differing(times) if not _is_identifier(name, listed)]


def _is_identifier(name: str, listed: Sequence[Candidate]) -> bool:
    """Tell if most values of a group are of a single scene, as those of an id, a size or a checksum are."""
    counts = Counter(scene.groups[name] for scene in listed if name in scene.groups).values()
    return 2 * sum(count == 1 for count in counts) > len(counts)


def _is_band(name: str, listed: Sequence[Candidate]) -> bool:
    """Tell if a group holds bands, polarizations or the like, by its name or by all of its values."""
    values = {scene.groups[name] for scene in listed if name in scene.groups}
    return bool(_BAND_NAMES.fullmatch(name)) or all(map(_BAND_VALUES.fullmatch, values))


def _alike(scenes: Iterable[Candidate], telling: Sequence[str]) -> bool:
    """Tell if these groups are the same for two of the scenes."""
    return max(Counter(tuple(scene.groups.get(name) for name in telling) for scene in scenes).values()) > 1


# --- what is said -----------------------------------------------------------------------------------------------


def _described(times: Sequence[Sequence[Candidate]], bands: Sequence[str]) -> str:
    """A line on the scenes of one time, with the parts in which their names differ."""
    first, second = (printable(scene.item.href) for scene in times[0][:2])
    difference = (
        f"told apart by {_names(bands)}, and bands are not averaged together"
        if bands
        else f"differ in {_parts(times[0])}"
    )
    return f"{_count(times)}: {first} and {second} are both of {times[0][0].time:%Y-%m-%d %H:%M:%S} and {difference}"


def _count(times: Sequence[Sequence[Candidate]]) -> str:
    return f"{sum(map(len, times))} scenes have only {len(times)} time{'s' * (len(times) > 1)}"


def _amount(times: Sequence[Sequence[Candidate]]) -> str:
    sizes = {len(scenes) for scenes in times}
    scenes = f"{len(times[0])} scenes each" if len(sizes) == 1 and len(times) > 1 else f"{sum(map(len, times))} scenes"
    clock = any(scenes[0].time.time().replace(tzinfo=None).isoformat() != "00:00:00" for scenes in times)
    return f"{scenes} on {len(times)} {'time' if clock else 'date'}{'s' * (len(times) > 1)}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{printable(name)}'" for name in names)


def _parts(scenes: Sequence[Candidate]) -> str:
    parts = [part for part in differing_parts([scene.item.href for scene in scenes]) if part]
    return (_names(parts[:_MOST_NAMED]) + ", ..." * (len(parts) > _MOST_NAMED)) or "nothing"


def _identifiers(times: Sequence[Sequence[Candidate]], listed: Sequence[Candidate]) -> str:
    """Groups that differ and tell nothing apart."""
    names = [name for name in _differing(times) if _is_identifier(name, listed)]
    return f" ({_names(names)} is of single scenes, and tells no kinds apart)" if names else ""


def _ways_out(
    source: SourceSettings, times: Sequence[Sequence[Candidate]], scenes: Sequence[Candidate], bands: Sequence[str]
) -> str:
    if source.kind.names_scenes:
        stac = source.kind is SourceKind.stac
        choice = "choose one of them (source.stac, source.exclude)" if stac else "list one of them in the manifest"
        dates, columns = "", "a property of the items" if stac else "a column of the manifest"
    else:
        dates, columns = _dates(times), "a named group of source.datetime_regex"
        named = [(scene.item.href, scene.time) for scene in scenes]
        narrow = None if dates or len(source.urls) > 1 else narrower_url(whole_url(source.urls[0]), named)
        choice = f"narrow source.url to one of them{f', such as {written(narrow)}' if narrow else ''}"
    tell = "" if bands else f"let {columns} tell them apart, with values that recur, or "
    stacks = f"part them into stacks with 'source.stack_by=[{','.join(map(printable, bands))}]'" if bands else _STACKS
    return (
        f"{dates}If these are bands, tiles or versions, {choice}, or {stacks}; if all belong to the stack, {tell}say "
        "source.duplicates=keep; first or last takes one of each time"
    )


def _dates(times: Sequence[Sequence[Candidate]]) -> str:
    """The pattern that gives the scenes times of their own, where their names seem to hold them."""
    groups = [[scene.item.href for scene in scenes] for scenes in times]
    if times[0][0].by_folder:
        pattern, what = pattern_of_names(groups), "The date is from the folder; if the file names hold it, set "
    else:
        pattern, what = pattern_of_times(groups), "If the names hold times of day, set "
    return f"""{what}'source.datetime_regex="{pattern}"'. """ if pattern else ""
