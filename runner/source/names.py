"""Names and dates of listed objects: from their keys, or from a manifest."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from runner.errors import SourceError
from runner.model import StoredObject
from runner.settings import SourceSettings
from runner.source.times import time_groups, time_of


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listed object with the name and time it goes by."""

    item: StoredObject
    scene: str
    time: datetime
    groups: dict[str, str]


def name_candidate(source: SourceSettings, item: StoredObject) -> Candidate:
    """Name and date an object by `source.datetime_regex`, or by its manifest.

    Raises SourceError for a key the pattern does not match.
    """
    pattern = source.datetime_regex
    found = re.search(pattern, item.href) if pattern else None
    groups = {name: text for name, text in (found.groupdict() if found else {}).items() if text is not None}
    name = groups.pop("scene", None) or _short_name(item.href, source.url)
    if item.time is not None:
        return Candidate(item, name, item.time, groups)
    if found is None:
        raise SourceError(
            f"{item.href}: source.datetime_regex={pattern} finds no date in it; mend it or use source.exclude"
        )
    try:
        time = time_of(groups)
    except (ValueError, KeyError) as error:
        raise SourceError(f"{item.href}: '{found[0]}' is no date ({error}); mend source.datetime_regex") from error
    kept = {key: text for key, text in groups.items() if key not in time_groups(pattern or "")}
    return Candidate(item, name, time, kept)


def _short_name(href: str, url: str) -> str:
    """What tells an object from its neighbours: its path below the constant part of the url, without the ending."""
    common = re.split(r"[*?\[]", url)[0].rpartition("/")[0] + "/"
    below = href.removeprefix(common) if href.startswith(common) else PurePosixPath(href).name
    return re.sub(r"\.tiff?$", "", below, flags=re.IGNORECASE)
