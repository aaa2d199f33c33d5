"""Patterns of dates as archives write them, proposed where another pattern finds none, or one date for several keys."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from typing import Final

from runner.source.times import time_of_key

_TIMES: Final = (  # with a time of day
    r"(?P<datetime>\d{8}T\d{6})",
    r"(?P<datetime>\d{8}[_-]\d{6})",
    r"(?P<datetime>\d{4}-\d\d-\d\d[T_]\d\d[:-]?\d\d)",
    r"(?P<datetime>\d{14})",
    r"(?P<datetime>\d{13})",
    r"(?P<datetime>\d{12})",
    r"(?P<datetime>\d{10})",
)
_DAYS: Final = (
    r"(?P<date>\d{8})",
    r"(?P<date>\d{4}[-_.]\d\d?[-_.]\d\d?)",
    r"(?P<date>\d\d?[A-Za-z]{3}\d{4})",
    r"(?P<doy>\d{7})",
    r"(?P<year>\d{4})[-_.](?P<doy>\d{3})",
    r"(?P<year>\d{4})[-_.]?(?P<month>\d\d)",
    r"(?P<year>\d{4})",
)

_FOLDERS: Final = (
    r"(?P<year>\d{4})/(?P<month>\d\d?)/(?P<day>\d\d?)",
    r"(?P<year>\d{4})/(?P<doy>\d{3})",
    r"(?P<year>\d{4})/(?P<month>\d\d?)",
)


def pattern_of_times(groups: Sequence[Sequence[str]]) -> str | None:
    """A pattern of times of day that tells keys of one date apart, of each group; None if no known one does."""
    return _first(_TIMES, lambda times: all(len(set(group)) == len(group) for group in times), _names(groups))


def pattern_of_names(groups: Sequence[Sequence[str]]) -> str | None:
    """A pattern that finds in every file name a date, another one for each key; None if no known one does."""
    names = _names(groups)
    return _first(_TIMES + _DAYS, lambda times: len(set(chain(*times))) == sum(map(len, times)), names)


def pattern_of_dates(keys: Sequence[str]) -> str | None:
    """A pattern that finds a date in every file name, or else in the folders of all; None if no known one does."""
    return _first(_TIMES + _DAYS, any, _names([keys])) or _first(_DAYS[:-1] + _FOLDERS, any, [keys])


def _names(groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """The file names of keys."""
    return [[key.rpartition("/")[2] for key in keys] for keys in groups]


def _first(
    patterns: Sequence[str], predicate: Callable[[list[list[datetime]]], bool], groups: Sequence[Sequence[str]]
) -> str | None:
    bounded = (rf"(?<!\d){pattern}(?!\d)" for pattern in patterns)
    return next((pattern for pattern in bounded if (times := _times(pattern, groups)) and predicate(times)), None)


def _times(pattern: str, groups: Sequence[Sequence[str]]) -> list[list[datetime]]:
    """The time in each key; empty if one has none."""
    try:
        return [[time_of_key(pattern, key).time for key in keys] for keys in groups]
    except ValueError:
        return []
