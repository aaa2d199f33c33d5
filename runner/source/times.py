"""Dates and times: found in keys by named groups, and limited to a range of days."""

import re
from datetime import UTC, datetime, timedelta

from runner.errors import ConfigError

_END = datetime.max.replace(tzinfo=UTC)
TIME_GROUPS = frozenset({"datetime", "date", "year", "month", "day", "hour", "minute", "second"})


def time_groups(pattern: str) -> frozenset[str]:
    """The groups of `pattern` that make the time; the others become columns.

    Raises ConfigError if it is no regular expression or names no date.
    """
    try:
        groups = re.compile(pattern).groupindex.keys()
    except re.error as error:
        raise ConfigError(f"source.datetime_regex={pattern}: not a regular expression: {error}") from error
    found = TIME_GROUPS & groups
    if not ({"datetime", "date"} & found or {"year", "month", "day"} <= found):
        raise ConfigError(
            f"source.datetime_regex={pattern}: wanted a named group datetime or date, or year, month and day, "
            r"such as (?P<date>\d{8})"
        )
    return found


def time_of(groups: dict[str, str]) -> datetime:
    """The time that named groups spell, in UTC: ISO 8601 in `datetime` or `date`, else the single parts.

    Raises ValueError if they spell none.
    """
    if groups.get("datetime"):
        return as_utc(datetime.fromisoformat(groups["datetime"]))
    if groups.get("date"):
        day = as_utc(datetime.fromisoformat(groups["date"]))
    else:
        day = datetime(int(groups["year"]), int(groups["month"]), int(groups["day"]), tzinfo=UTC)
    hour, minute, second = (int(groups.get(name) or 0) for name in ("hour", "minute", "second"))
    return day.replace(hour=hour or day.hour, minute=minute or day.minute, second=second or day.second)


def as_utc(time: datetime) -> datetime:
    """`time` in UTC; a time without a zone is taken to be UTC already."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def day_range(start: str | None, end: str | None) -> tuple[datetime, datetime]:
    """The half-open range of times from `start` to `end`; an end without a clock time includes its whole day.

    Raises ConfigError for what is no date, or an end before the start.
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
