"""Dates and times: found in keys by named groups, and limited to a range of days."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from string import digits
from typing import NamedTuple

from runner.errors import ConfigError

_END = datetime.max.replace(tzinfo=UTC)
TIME_GROUPS = frozenset({"datetime", "date", "year", "month", "day", "doy", "hour", "minute", "second"})
_YEARS = range(1800, 2501)  # of acquisitions and models; other numbers of eight digits are none
_CLOCK = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d)?)?")  # HH, HHMM, HHMMSS
_ORDINAL = re.compile(r"(\d{7})[T_-]?(\d\d)(\d\d)(\d\d)?")  # YYYYDDD and a time of day


def time_groups(pattern: str) -> frozenset[str]:
    """The groups of `pattern` that make the time; the others become columns.

    Raises ConfigError if it is not a regular expression, or names no date.
    """
    try:
        groups = re.compile(pattern).groupindex.keys()
    except re.error as error:
        raise ConfigError(f"source.datetime_regex={pattern}: not a regular expression: {error}") from error
    time_names = TIME_GROUPS & groups
    day_alone = "day" in time_names and "month" not in time_names
    if not ({"datetime", "date", "doy"} & time_names or ("year" in time_names and not day_alone)):
        raise ConfigError(
            f"source.datetime_regex={pattern}: wanted a named group datetime or date, or year (with month and day, or "
            "with month, or alone), or doy (day of the year, with or after the year), such as "
            r"(?P<date>\d{8}) or (?P<doy>\d{7})"
        )
    return time_names


class KeyTime(NamedTuple):
    """Time read from a key, all named groups that matched, and whether they stand in a folder's name."""

    time: datetime
    groups: dict[str, str]
    in_folder: bool = False


def time_of_key(pattern: str, key: str) -> KeyTime:
    """The first date in the key's last part that has one; parts lie between slashes, the file name is the last.

    Products name the time of acquisition before that of processing, and folders hold exports of any day. In one part a
    full date comes before seven digits, which may be a number of another kind. Matches that are not a date are passed
    over. Raises ValueError that says what was found instead.
    """
    problem = "finds no date in it"
    for match in _matches(pattern, key):
        groups = _named(match)
        try:
            _refuse_part_of_number(match)
            return KeyTime(_plausible(time_of(groups)), groups, "/" in key[_end_of_time(match) :])
        except (ValueError, KeyError) as error:
            spelled = " ".join(text for name, text in groups.items() if name in TIME_GROUPS)
            problem = f"finds '{spelled}', which is not a date ({error})"
    raise ValueError(problem)


def groups_of_key(pattern: str, key: str) -> dict[str, str]:
    """The named groups of the first match in the key's last part that has one, whether it spells a date or not."""
    match = next(_matches(pattern, key), None)
    return _named(match) if match else {}


def _end_of_time(match: re.Match[str]) -> int:
    """Where the last group of the time ends: what the pattern matches behind it may be in another part of the key."""
    return max(match.end(name) for name in _named(match) if name in TIME_GROUPS)


def _named(match: re.Match[str]) -> dict[str, str]:
    return {name: text for name, text in match.groupdict().items() if text is not None}


def _matches(pattern: str, key: str) -> Iterator[re.Match[str]]:
    """Matches that start in the file name, then those that start in the folder above it, and so on."""
    compiled, stop = re.compile(pattern), len(key) + 1
    while stop:
        start = key.rfind("/", 0, stop - 1) + 1
        yield from sorted((match for match in compiled.finditer(key, start) if match.start() < stop), key=_day_number)
        stop = start


def _day_number(match: re.Match[str]) -> bool:
    """Tell if a match is of seven digits alone, without a full date or a time of day that shows what they are."""
    groups = match.groupdict()
    return groups.get("doy") is not None and groups.get("hour") is None


def _refuse_part_of_number(match: re.Match[str]) -> None:
    """Raise ValueError for digits cut out of a longer number, unless the rest of it is a time of day."""
    if match.span() not in [match.span(name) for name in _named(match) if name in ("date", "doy")]:
        return  # the pattern says what stands around it
    head, tail = match.string[: match.start()], match.string[match.end() :]
    before, after = head[len(head.rstrip(digits)) :], tail[: len(tail) - len(tail.lstrip(digits))]
    if before or (after and not _CLOCK.fullmatch(after)):
        raise ValueError(f"it is part of {before}{match[0]}{after}")


def _plausible(time: datetime) -> datetime:
    if time.year not in _YEARS:
        raise ValueError(f"of the year {time.year}")
    return time


def time_of(groups: dict[str, str]) -> datetime:
    """The time that named groups spell, in UTC: ISO 8601 in `datetime` or `date`, else `doy`, else the single parts.

    Dates may have any separators, and the first day stands for a month or a year. Raises ValueError or KeyError if the
    groups spell none.
    """
    if groups.get("datetime"):
        return _moment(groups["datetime"])
    day = _day_of(groups)
    hour, minute, second = (int(groups.get(name) or 0) for name in ("hour", "minute", "second"))
    return day.replace(hour=hour or day.hour, minute=minute or day.minute, second=second or day.second)


def _moment(text: str) -> datetime:
    """Date and time of day: ISO 8601, its digits alone, or YYYYDDD and HHMM or HHMMSS."""
    ordinal = _ORDINAL.fullmatch(text)
    if ordinal:
        hour, minute, second = (int(part or 0) for part in ordinal.groups()[1:])
        return _day_of_year(ordinal[1]).replace(hour=hour, minute=minute, second=second)
    return as_utc(datetime.fromisoformat(re.sub(r"^(\d{8})(?=\d\d)", r"\1T", text)))


def _day_of(groups: dict[str, str]) -> datetime:
    if groups.get("date"):
        return _date(groups["date"])
    if groups.get("doy"):
        return _day_of_year(groups.get("year", "") + re.sub(r"\D", "", groups["doy"]))
    month, day = (int(groups.get(name) or 1) for name in ("month", "day"))
    return datetime(int(groups["year"]), month, day, tzinfo=UTC)


def _date(text: str) -> datetime:
    """A date: YYYYMMDD, YYYYDDD, 2020-1-6, 06Jan2020, or else ISO 8601."""
    parts = re.split(r"[-._/ ]", text)
    if re.fullmatch(r"\d{7}", text):
        return _day_of_year(text)
    if len(parts) == 3 and len(parts[0]) == 4 and all(map(str.isdecimal, parts)):
        year, month, day = map(int, parts)
        return datetime(year, month, day, tzinfo=UTC)
    if re.fullmatch(r"\d{1,2}[A-Za-z]{3}\d{4}", "".join(parts)):
        return datetime.strptime("".join(parts), "%d%b%Y").replace(tzinfo=UTC)
    return as_utc(datetime.fromisoformat("-".join(parts)))


def _day_of_year(text: str) -> datetime:
    """The day that %Y%j spells."""
    year, number = int(text[:4]), int(text[4:] or 0)
    day = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=number - 1)
    if len(text) > 7 or day.year != year:
        raise ValueError(f"{year} has no day {text[4:] or 0}")
    return day


def as_utc(time: datetime) -> datetime:
    """`time` in UTC; a time without a zone is taken to be UTC already."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def day_range(start: str | None, end: str | None) -> tuple[datetime, datetime]:
    """The half-open range of times from `start` to `end`; an end without a clock time includes its whole day.

    Raises ConfigError for what is not a date, or an end before the start.
    """
    first = _parse("source.start", start) if start else datetime.min.replace(tzinfo=UTC)
    if not end:
        return first, _END
    last = _parse("source.end", end)
    is_day = len(end.strip()) <= len("2020-01-06")
    step = timedelta(days=1) if is_day else timedelta(microseconds=1)
    last = min(last, _END - step) + step
    if last <= first:
        raise ConfigError(f"source.end={end} lies before source.start={start}")
    return first, last


def _parse(key: str, text: str) -> datetime:
    try:
        return as_utc(datetime.fromisoformat(text))
    except ValueError as error:
        raise ConfigError(f"{key}={text}: wanted a date such as 2020-01-06 or 2020-01-06T18:30:00") from error
