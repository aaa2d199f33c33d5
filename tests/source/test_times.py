"""Dates are found in keys and limited to days."""

from datetime import UTC, datetime

import pytest
from jobs import compose

from runner.errors import ConfigError
from runner.source.times import day_range, groups_of_key, time_groups, time_of, time_of_key


@pytest.fixture(scope="module")
def pattern_of_folders() -> str:
    """That of source=local, whose composition takes longer than any of these tests."""
    pattern = compose("source=local", "source.url=x/*.tif").source.datetime_regex
    assert pattern is not None
    return pattern


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"date": "20200106"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"date": "2020-01-06"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"date": "2020.01.06"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"date": "2020/01/06"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"datetime": "20200106T183005"}, datetime(2020, 1, 6, 18, 30, 5, tzinfo=UTC)),
        ({"datetime": "20200106183005"}, datetime(2020, 1, 6, 18, 30, 5, tzinfo=UTC)),
        ({"datetime": "202001061830"}, datetime(2020, 1, 6, 18, 30, tzinfo=UTC)),
        ({"datetime": "2020-01-06T18:30:05+02:00"}, datetime(2020, 1, 6, 16, 30, 5, tzinfo=UTC)),
        ({"date": "20200106", "hour": "18", "minute": "30"}, datetime(2020, 1, 6, 18, 30, tzinfo=UTC)),
        ({"year": "2020", "month": "01", "day": "06"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"year": "2020", "month": "1", "day": "6", "hour": "7"}, datetime(2020, 1, 6, 7, tzinfo=UTC)),
        ({"doy": "2020060"}, datetime(2020, 2, 29, tzinfo=UTC)),
        ({"doy": "2021-060"}, datetime(2021, 3, 1, tzinfo=UTC)),
        ({"year": "2020", "doy": "366"}, datetime(2020, 12, 31, tzinfo=UTC)),
        ({"doy": "2020001", "hour": "18", "minute": "45"}, datetime(2020, 1, 1, 18, 45, tzinfo=UTC)),
        ({"date": "2020006"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"date": "2020-1-6"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"date": "06Jan2020"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"date": "6-JAN-2020"}, datetime(2020, 1, 6, tzinfo=UTC)),
        ({"datetime": "2020010618"}, datetime(2020, 1, 6, 18, tzinfo=UTC)),
        ({"datetime": "2020006183005"}, datetime(2020, 1, 6, 18, 30, 5, tzinfo=UTC)),
        ({"datetime": "2020006T1830"}, datetime(2020, 1, 6, 18, 30, tzinfo=UTC)),
        ({"year": "2020", "month": "02"}, datetime(2020, 2, 1, tzinfo=UTC)),  # a month goes by its first day
        ({"year": "2020"}, datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_named_groups_make_a_time_in_utc(groups: dict[str, str], expected: datetime) -> None:
    assert time_of(groups) == expected


@pytest.mark.parametrize(
    "groups",
    [
        {"date": "20201341"},
        {"date": "last week"},
        {"year": "2020", "month": "13", "day": "1"},
        {"doy": "2021366"},
        {"doy": "2021000"},
        {"year": "2021", "doy": "2021001"},
        {"date": "2021366"},
        {"date": "2020-13-6"},
        {"date": "06Jam2020"},
        {"date": "06-01-2020"},  # day and month cannot be told apart
        {"datetime": "2021366183005"},
        {"datetime": "2020010625"},
        {"year": "2020", "month": "13"},
    ],
)
def test_what_is_no_date_raises(groups: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        time_of(groups)


ANY = r"(?P<date>\d{8})"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("s3://b/tiles/2020/S1B_20200106_10TET_ASC/Gamma0_VV.tif", (2020, 1, 6)),  # Sentinel-1 RTC
        ("S1A_IW_GRDH_1SDV_20200106T141502_20200107T141527_030687_03847B.tif", (2020, 1, 6, 14, 15, 2)),
        ("/data/export_20240301/VV_20200106.tif", (2020, 1, 6)),  # the file name before its folders
        ("/data/20240301/S1B_20200106/VV.tif", (2020, 1, 6)),  # the nearest folder
        ("LC08_L2SP_044034_20200106_20200823_02_T1_SR_B4.TIF", (2020, 1, 6)),  # acquired, then processed
        ("S2A_MSIL2A_20200106T184751_N0213_R070_T10TET_20200108T203512.tif", (2020, 1, 6, 18, 47, 51)),
        ("T10TET_20200106T184751_B04_10m.tif", (2020, 1, 6, 18, 47, 51)),
        ("20200106_184503_1014_3B_AnalyticMS.tif", (2020, 1, 6)),  # PlanetScope
        ("3B-DAY.MS.MRG.3IMERG.20200106-S000000-E235959.V06.tif", (2020, 1, 6)),
        ("site_12345678_20200106.tif", (2020, 1, 6)),  # a number that is not a date
        ("id_18991399_00010101_20200106.tif", (2020, 1, 6)),
        ("MOD13Q1.A2020001.h09v05.061.2020101123456.tif", (2020, 1, 1)),  # by the day of the year
        ("HLS.L30.T10TET.2020001T184503.v2.0.B04.tif", (2020, 1, 1, 18, 45, 3)),
        ("/data/HLS.L30.T10TET.2020001T184503.v2.0.B04_20240301.tif", (2020, 1, 1, 18, 45, 3)),
        ("era5_t2m_20200106T1200.tif", (2020, 1, 6, 12)),
        ("x_20200106T10TET.tif", (2020, 1, 6)),  # a tile, not a time of day
        ("x_20200106T2560.tif", (2020, 1, 6)),
        ("/data/proc20211212/L8_2020-01-06.tif", (2020, 1, 6)),  # separators are no reason to ask the folder
        ("/data/20211212/L8_2020.01.06.tif", (2020, 1, 6)),
        ("2000123_scene_2020_01_06.tif", (2020, 1, 6)),  # a full date before seven digits
        ("order_2020001_scene_20200106.tif", (2020, 1, 6)),
        ("2015118_2020-01-06_RE1_BGRN_SR.tif", (2020, 1, 6)),  # RapidEye, after its tile
        ("dt=2020-01-06/part=2021001.tif", (2020, 1, 6)),
        ("chirps-v2.0.2020.01.06.tif", (2020, 1, 6)),
        ("x_2020-01.06_20200107.tif", (2020, 1, 7)),  # of two separators it is not a date
        ("tile_1024_10_12_20200106.tif", (2020, 1, 6)),
    ],
)
def test_a_folder_of_files_is_dated_by_their_products_date_of_acquisition(
    pattern_of_folders: str, key: str, expected: tuple[int, ...]
) -> None:
    assert time_of_key(pattern_of_folders, key).time == datetime(*expected, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        (ANY, "20200106184503.tif", datetime(2020, 1, 6, tzinfo=UTC)),  # what follows is a time of day
        (r"(?P<datetime>\d{14})", "20200106184503.tif", datetime(2020, 1, 6, 18, 45, 3, tzinfo=UTC)),
        (r"(?P<datetime>\d{8}_\d{6})", "20200106_184503_3B.tif", datetime(2020, 1, 6, 18, 45, 3, tzinfo=UTC)),
        (r"s(?P<doy>\d{7})(?P<hour>\d\d)(?P<minute>\d\d)", "s20200061800123.tif", datetime(2020, 1, 6, 18, tzinfo=UTC)),
        (r"(?P<year>\d{4})/(?P<month>\d\d)/(?P<day>\d\d)/", "a/2020/01/06/B4.tif", datetime(2020, 1, 6, tzinfo=UTC)),
        (r"^s3://b/(?P<date>\d{8})/.*", "s3://b/20200106/20240301.tif", datetime(2020, 1, 6, tzinfo=UTC)),
        (r"/(?P<date>\d{8})/", "x/20200106/20240301.tif", datetime(2020, 1, 6, tzinfo=UTC)),  # a folder, if asked for
        (r"chirps.*\.(?P<date>\d{4}\.\d\d\.\d\d)", "chirps-v2.0.2020.01.06.tif", datetime(2020, 1, 6, tzinfo=UTC)),
    ],
)
def test_a_pattern_says_which_part_of_the_key_is_the_time(pattern: str, key: str, expected: datetime) -> None:
    assert time_of_key(pattern, key).time == expected


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("latest.tif", "finds no date in it"),
        ("20201399.tif", "finds '20201399', which is not a date"),
        ("12340101.tif", "which is not a date (of the year 1234)"),
        ("MOD13Q1.h09v05.2020101123456.tif", "finds '20201011', which is not a date (it is part of 2020101123456)"),
        ("OR_s20201011800123.tif", "(it is part of 20201011800123)"),
        ("id120200106.tif", "finds '12020010', which is not a date (it is part of 120200106)"),
    ],
)
def test_numbers_that_are_no_date_are_none(key: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"finds") as caught:
        time_of_key(ANY, key)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("key", "in_folder"),
    [("d/20200106.tif", False), ("20200106/x.tif", True), ("20200106", False), ("d_20200106/y/x.tif", True)],
)
def test_a_date_of_a_folder_is_known_as_such(key: str, in_folder: bool) -> None:
    assert time_of_key(ANY, key).in_folder is in_folder


@pytest.mark.parametrize(
    ("pattern", "in_folder"),
    [
        (r"(?P<year>\d{4})/(?P<month>\d\d)", True),
        (r"(?P<year>\d{4})/(?P<month>\d\d)/", True),
        (r"(?P<year>\d{4})/(?P<month>\d\d)/(?P<band>B\d)", True),
        (r"(?P<year>\d{4})/\d\d/B4_(?P<doy>\d{3})", False),
    ],
)
def test_a_date_is_of_a_folder_wherever_the_pattern_ends(pattern: str, in_folder: bool) -> None:
    assert time_of_key(pattern, "2020/06/B4_152.tif").in_folder is in_folder


def test_groups_are_found_without_a_date_too() -> None:
    assert groups_of_key(r"(?P<orbit>ASC|DSC)?_(?P<date>\d{8})?", "ASC_x.tif") == {"orbit": "ASC"}


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"(?P<satellite>S1[AB])_(?P<date>\d{8})", {"date"}),
        (r"(?P<tile>h\d\dv\d\d).*(?P<doy>\d{7})", {"doy"}),
        (r"(?P<year>\d{4})_(?P<doy>\d{3})", {"doy", "year"}),
        (r"(?P<variable>t2m)_(?P<year>\d{4})(?P<month>\d{2})", {"year", "month"}),
        (r"y(?P<year>\d{4})", {"year"}),
    ],
)
def test_groups_that_are_not_of_the_time_become_columns(pattern: str, groups: set[str]) -> None:
    assert time_groups(pattern) == groups


@pytest.mark.parametrize("pattern", [r"(?P<month>\d\d)", r"(?P<year>\d{4})_(?P<day>\d\d)", r"(?P<hour>\d\d)"])
def test_a_pattern_that_can_give_no_day_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="wanted a named group datetime or date, or year"):
        time_groups(pattern)


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
