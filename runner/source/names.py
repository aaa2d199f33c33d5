"""Names and dates of listed objects: from their keys, or from a manifest."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from runner.errors import SourceError, printable
from runner.model import StoredObject, path_of
from runner.settings import SourceSettings
from runner.source.folder import constant_prefix
from runner.source.listing import whole_url
from runner.source.patterns import pattern_of_dates
from runner.source.times import TIME_GROUPS, groups_of_key, time_of_key

_DATES = r"""'source.datetime_regex="(?P<date>\d{8})"', or with (?P<doy>\d{7}) or (?P<datetime>\d{14})"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listed object with the name and time it goes by; the time may be read from a folder's name."""

    item: StoredObject
    scene: str
    time: datetime
    groups: dict[str, str]
    by_folder: bool = False


def name_candidates(source: SourceSettings, items: Sequence[StoredObject]) -> list[Candidate]:
    """Name and date objects by `source.datetime_regex`, or by their manifest.

    What has no name of its own goes by the shortest part of its path that tells it from the others. Raises SourceError
    for keys without a date.
    """
    named: list[Candidate] = []
    problems: dict[str, ValueError] = {}
    for item in items:
        try:
            named.append(_dated(source, item))
        except ValueError as error:
            problems[item.href] = error
    if problems:
        raise SourceError(_undated(source, problems, len(items)))
    hrefs = [candidate.item.href for candidate in named if not candidate.scene]
    names = dict(zip(hrefs, _short_names(source, hrefs), strict=True))
    return [item if item.scene else replace(item, scene=names[item.item.href]) for item in named]


def _undated(source: SourceSettings, problems: Mapping[str, ValueError], listed: int) -> str:
    """The problem of the pattern with the first of these keys, and a pattern that finds a date in all."""
    href, problem = next(iter(problems.items()))
    more = f", and so for {len(problems)} of {listed} objects" if len(problems) > 1 else ""
    few = ", or leave out what has none with source.exclude" if 2 * len(problems) < listed else ""
    proposal = pattern_of_dates([*problems])
    pattern = f"""'source.datetime_regex="{proposal}"'""" if proposal else _DATES
    what = f"{printable(href)}: source.datetime_regex={source.datetime_regex} {problem}{more}"
    return f"{what}; say what the date looks like, as by {pattern}{few}"


def _dated(source: SourceSettings, item: StoredObject) -> Candidate:
    """A candidate with the name its key or manifest gives, "" if none does. Raises ValueError if there is no date."""
    pattern = source.datetime_regex
    if item.time is None:
        assert pattern is not None
        time, groups, by_folder = time_of_key(pattern, item.href)
    else:
        time, groups, by_folder = item.time, groups_of_key(pattern, item.href) if pattern else {}, False
    groups = {name: text for name, text in groups.items() if name not in TIME_GROUPS} | dict(item.columns)
    return Candidate(item, groups.pop("scene", ""), time, groups, by_folder)


def describe_folder_dates(source: SourceSettings, chosen: Sequence[Candidate]) -> list[str]:
    """A line on dates that were read from folders since the file names have none; none if the pattern names scenes."""
    dated = [candidate for candidate in chosen if candidate.by_folder]
    if not dated or "(?P<scene>" in (source.datetime_regex or ""):
        return []
    folder, name = dated[0].item.href.split("/")[-2:]
    return [
        f"the dates of {len(dated)} of {len(chosen)} scenes are from the folder, since their file names have none: "
        f"{printable(folder)}/{printable(name)} is of {dated[0].time:%Y-%m-%d}"
    ]


def _short_names(source: SourceSettings, hrefs: Sequence[str]) -> list[str]:
    """Below a glob's constant part the whole path; of several globs, or a manifest, the last parts that tell apart."""
    paths = [re.sub(r"\.tiff?$", "", path_of(href), flags=re.IGNORECASE) for href in hrefs]
    if not source.kind.names_scenes and len(source.urls) == 1:
        common = constant_prefix(path_of(whole_url(source.urls[0])))
        return [path.removeprefix(common) for path in paths]
    return shortest_names(paths)


def shortest_names(paths: Sequence[str]) -> list[str]:
    """The fewest last parts of paths that tell them all apart, less the parts at the end that all of them share."""
    parts = [path.split("/") for path in paths]
    longest = max(map(len, parts), default=0)
    count = next((count for count in range(1, longest) if _distinct(names[-count:] for names in parts)), longest)
    parts = [names[-count:] for names in parts]
    while min(map(len, parts), default=0) > 1 and len({names[-1] for names in parts}) == 1:
        parts = [names[:-1] for names in parts]
    return ["/".join(names) for names in parts]


def _distinct(parts: Iterable[list[str]]) -> bool:
    tails = [tuple(tail) for tail in parts]
    return len(set(tails)) == len(tails)
