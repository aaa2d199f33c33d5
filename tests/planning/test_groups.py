"""Groups of scenes by the calendar and by named groups, their labels, and the lots that several stages share."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from runner.errors import PlanError
from runner.model import Scene
from runner.planning.groups import CALENDAR, Groups, group_scenes, lots_of


def scene(time: str, **groups: str) -> Scene:
    nothing: Any = None
    when = datetime.fromisoformat(time).replace(tzinfo=UTC)
    return Scene(time, f"{time}.tif", when, groups, 0, None, None, nothing)


def labels(by: str, *times: str) -> list[str]:
    groups = group_scenes("stages.a.group_by", [by], [scene(time) for time in sorted(times)])
    return [groups.labels[number] for number in groups.numbers]


@pytest.mark.parametrize(
    ("by", "label"),
    [
        ("month", "month-12"),
        ("season", "DJF"),
        ("year", "2019"),
        ("year_month", "2019-12"),
        ("year_season", "2020-DJF"),
        ("week", "2020-W01"),
        ("date", "2019-12-31"),
        ("day_of_year", "day-365"),
    ],
)
def test_a_scene_is_in_the_group_of_its_time_in_utc(by: str, label: str) -> None:
    assert labels(by, "2019-12-31T23:59:59") == [label]


@pytest.mark.parametrize("by", CALENDAR)
def test_groups_of_the_calendar_are_in_the_order_of_time(by: str) -> None:
    days = [date(2019, 12, 1) + timedelta(days=number) for number in range(500)]
    found = group_scenes("stages.a.group_by", [by], [scene(day.isoformat()) for day in days])
    cyclic = by in ("month", "season", "day_of_year")
    first = [found.numbers.index(number) for number in range(len(found.labels))]
    year = [number for number, day in zip(found.numbers, days, strict=True) if day.year == 2020 and day.month < 12]
    assert year == sorted(year)
    assert cyclic or first == sorted(first)
    assert sum(found.sizes) == 500


def test_seasons_are_whole_winters() -> None:
    times = ["2019-11-30", "2019-12-01", "2020-02-29", "2020-03-01", "2020-12-01"]
    assert labels("year_season", *times) == ["2019-SON", "2020-DJF", "2020-DJF", "2020-MAM", "2021-DJF"]


def test_several_keys_make_a_group_of_each_combination_that_occurs() -> None:
    scenes = [scene("2020-01-06", orbit="ASC"), scene("2020-07-06", orbit="DSC"), scene("2021-01-06", orbit="ASC")]
    found = group_scenes("stages.a.group_by", ["orbit", "year"], scenes)
    assert found.labels == ("ASC_2020", "ASC_2021", "DSC_2020")
    assert found.numbers == (0, 2, 1)
    assert [found.members(number) for number in range(3)] == [[0], [2], [1]]


def test_numbers_are_in_the_order_of_numbers_and_names_are_safe_for_files() -> None:
    tracks = ["10", "9", "a/b", "../x", "é ü"]
    found = group_scenes("stages.a.group_by", ["track"], [scene("2020-01-06", track=track) for track in tracks])
    assert found.labels == ("9", "10", "..-x", "a-b", "é-ü")


@pytest.mark.parametrize(
    ("by", "groups", "message"),
    [
        ("mnth", [{"orbit": "ASC"}], r"stages.a.group_by=mnth: there is no such group; did you mean 'month'; scenes"
         " have the named groups orbit, and the calendar has month, season,"),
        ("orbits", [{"orbit": "ASC"}], "did you mean 'orbit'"),
        ("orbit", [{}], "scenes have no named groups"),
        ("orbit", [{"orbit": "ASC"}, {}, {"orbit": ""}], "2 of 3 scenes do not have this group, such as 2020-01-07.tif;"
         r" leave them out by source.where.orbit='\*'"),
        ("orbit", [{"orbit": "a/b"}, {"orbit": "A-B"}], "the groups A-B and a/b would both be written as a-b"),
        ("orbit", [{"orbit": "x" * 300}], "is too long for the name of a file"),
    ],
)  # fmt: skip
def test_groups_that_cannot_be_are_refused(by: str, groups: list[dict[str, str]], message: str) -> None:
    scenes = [scene(f"2020-01-{day:02}", **named) for day, named in enumerate(groups, start=6)]
    with pytest.raises(PlanError, match=message):
        group_scenes("stages.a.group_by", [by], scenes)


def test_stages_share_lots_of_which_their_groups_are_made() -> None:
    halves, parity = Groups(("a",), ("x", "y"), (0, 0, 1, 1, 1)), Groups(("b",), ("e", "o"), (0, 1, 0, 1, 0))
    lots = lots_of({"halves": halves, "parity": parity, "all": None}, 5)
    assert lots.numbers == (0, 1, 2, 3, 2)
    assert lots.sizes == (1, 1, 2, 1)
    assert lots.of_groups == {"halves": ((0, 1), (2, 3)), "parity": ((0, 2), (1, 3)), "all": ((0, 1, 2, 3),)}
    assert [lots.scenes_of("halves", group) for group in (0, 1)] == [2, 3]
    assert lots.of_range(1, 3) == [1, 2]


def test_scenes_without_groups_are_one_lot() -> None:
    lots = lots_of({"all": None, "one": Groups(("year",), ("2020",), (0, 0, 0))}, 3)
    assert (lots.numbers, lots.sizes, lots.of_range(0, 3), lots.of_scene(2)) == ((), (3,), [0], 0)
    assert lots.of_groups == {"all": ((0,),), "one": ((0,),)}
