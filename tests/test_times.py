"""Dates are found in keys and limited to days."""

from datetime import UTC, datetime

import pytest

from runner.errors import ConfigError
from runner.source.times import day_range, time_groups, time_of


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"date": "20200106"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"date": "2020-01-06"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"datetime": "20200106T183005"}, datetime(2020, 1, 6, 18, 30, 5, tzinfo=UTC)),
        ({"datetime": "2020-01-06T18:30:05+02:00"}, datetime(2020, 1, 6, 16, 30, 5, tzinfo=UTC)),
        ({"date": "20200106", "hour": "18", "minute": "30"}, datetime(2020, 1, 6, 18, 30, tzinfo=UTC)),
        ({"year": "2020", "month": "01", "day": "06"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"year": "2020", "month": "1", "day": "6", "hour": "7"}, datetime(2020, 1, 6, 7, tzinfo=UTC)),
    ],
)
def test_named_groups_make_a_time_in_utc(groups: dict[str, str], expected: datetime) -> None:
    assert time_of(groups) == expected


@pytest.mark.parametrize(
    "groups", [{"date": "20201341"}, {"date": "last week"}, {"year": "2020", "month": "13", "day": "1"}]
)
def test_what_is_no_date_raises(groups: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        time_of(groups)


def test_groups_that_are_not_of_the_time_become_columns() -> None:
    assert time_groups(r"(?P<satellite>S1[AB])_(?P<date>\d{8})") == {"date"}


@pytest.mark.parametrize(
    ("end", "inside", "outside"),
    [
        ("2020-01-06", datetime(2020, 1, 6, 23, 59, tzinfo=UTC), datetime(2020, 1, 7, tzinfo=UTC)),
        ("2020-01-06T12:00:00", datetime(2020, 1, 6, 12, tzinfo=UTC), datetime(2020, 1, 6, 12, 1, tzinfo=UTC)),
    ],
)
def test_an_end_without_a_clock_time_includes_its_day(end: str, inside: datetime, outside: datetime) -> None:
    start, stop = day_range("2020-01-01", end)
    assert start <= inside < stop
    assert not start <= outside < stop


def test_the_last_day_of_all_is_an_end() -> None:
    assert day_range(None, "9999-12-31")[1].year == 9999


def test_no_range_holds_every_time() -> None:
    start, stop = day_range(None, None)
    assert start < datetime(1970, 1, 1, tzinfo=UTC) < stop


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ConfigError, match="lies before"):
        day_range("2020-01-02", "2020-01-01")
