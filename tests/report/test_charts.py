"""Axes have round labels in their places, charts draw what they are given, pictures show any raster."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import assume, given
from hypothesis import strategies as st
from imagecodecs import png_decode
from rasterio.transform import Affine, from_origin
from scenes_on_disk import write_scene

from runner.base import humanize
from runner.report import results
from runner.report.charts import Plot, spread_evenly, tag
from runner.report.picture import picture_of, read_bands, read_raster, read_rasters
from runner.report.scales import Scale, Tick, byte_ticks, duration_ticks, number_ticks, scale_of, time_ticks

UNKNOWN = humanize.UNKNOWN
TIMES = "\N{MULTIPLICATION SIGN}"
MINUS = "\N{MINUS SIGN}"


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()


# --- numbers for people ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (humanize.count(1234567), "1,234,567"),
        (humanize.count(None), UNKNOWN),
        (humanize.count(float("nan")), UNKNOWN),
        (humanize.size(999), "999 B"),
        (humanize.size(1000), "1 kB"),
        (humanize.size(999_960), "1 MB"),
        (humanize.size(86_179_529), "86.2 MB"),
        (humanize.size(9.71e15), "9,710 TB"),
        (humanize.seconds(0.0432), "43.2 ms"),
        (humanize.seconds(0.432), "0.432 s"),
        (humanize.seconds(9.996), "10.0 s"),
        (humanize.seconds(99.96), "1:40 min"),
        (humanize.seconds(3599.6), "1:00 h"),
        (humanize.seconds(7500), "2:05 h"),
        (humanize.value(0.135791113), "0.1358"),
        (humanize.value(-3e-9), "-3.000e-09"),
        (humanize.value(2_400_000), "2,400,000"),
        (humanize.percent(0), "0 %"),
        (humanize.percent(0.0001), "< 0.1 %"),
        (humanize.percent(0.9999), "> 99.9 %"),
        (humanize.percent(1), "100 %"),
        (humanize.rate(17_700), "17.7 kB/s"),
        (humanize.rate(7.97e6), "7.97 MB/s"),
        (humanize.rate(2.15e9), "2.15 GB/s"),
        (humanize.rate(None), UNKNOWN),
        (humanize.values(0.11, 0.16), "0.11 to 0.16"),
        (humanize.values(8.0, 8.0), "8"),
        (humanize.plural(1, "scene"), "1 scene"),
        (humanize.plural(1200, "pass", "passes"), "1,200 passes"),
        (humanize.span(0, 1), "0"),
        (humanize.span(512, 1024), "512 to 1,023"),
        (humanize.span(float("nan"), 3), UNKNOWN),
        (humanize.by(["5,490", "5,490"]), f"5,490 {TIMES} 5,490"),
        (humanize.common_start(["s3://b/2020/a.tif", "s3://b/2021/a.tif"]), "s3://b/"),
        (humanize.common_start(["/x/a.tif"]), "/x/"),
        (humanize.common_start(["a", "b"]), ""),
        (humanize.cut("0123456789", 5), "01\N{HORIZONTAL ELLIPSIS}89"),
    ],
)
def test_numbers_are_shown_for_people(shown: str, expected: str) -> None:
    assert shown == expected


# --- axes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["t2m_20230101", "t2m_20230113"], ("t2m_", "")),
        (["LC09_20240105_B4", "LC09_20240117_B4"], ("LC09_", "_B4")),
        (["S1A_20200106_10TET_ASC", "S1B_20200112_10TET_DSC"], ("", "")),
        (["scene", "scene_2"], ("", "")),
        (["only_one"], ("", "")),
        ([], ("", "")),
    ],
)
def test_what_all_names_share_is_cut_at_separators(names: list[str], expected: tuple[str, str]) -> None:
    assert humanize.common_parts(names) == expected


def test_names_break_at_separators_and_never_in_a_word() -> None:
    assert humanize.breakable("S1A_20200106_ASC") == "S1A_<wbr>20200106_<wbr>ASC"
    assert humanize.breakable("<b>1.5") == "&lt;b&gt;1.5"


@given(low=st.floats(-1e9, 1e9), span=st.floats(1e-6, 1e9), most=st.integers(1, 12))
def test_ticks_are_round_few_and_in_their_places(low: float, span: float, most: int) -> None:
    assume(span > 1e-9 * abs(low))  # or floats are too coarse
    scale = Scale(low, low + span)
    ticks = number_ticks(scale, most)
    assert len(ticks) <= most + 1
    assert all(-1e-6 <= tick.at <= 1 + 1e-6 for tick in ticks)
    steps = np.diff([tick.at for tick in ticks])
    assert np.allclose(steps, steps[0] if steps.size else 0)


@pytest.mark.parametrize(
    ("scale", "most", "expected"),
    [
        (Scale(0, 1), 5, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (Scale(499980, 529980), 3, ["500,000", "510,000", "520,000"]),
        (Scale(-0.15, 0.12), 3, [f"{MINUS}0.1", "0", "0.1"]),
        (Scale(0.08797, 0.08801), 3, ["0.08798", "0.08800"]),
        (Scale(0.1234567, 0.1234571), 3, ["0.1234568", "0.1234570"]),
        (Scale(0, 3e-7), 3, ["0", "1e-07", "2e-07", "3e-07"]),
        (Scale(3e12, 5e12), 2, ["3e+12", "4e+12", "5e+12"]),
    ],
)
def test_labels_have_the_digits_that_tell_them_apart(scale: Scale, most: int, expected: list[str]) -> None:
    assert [tick.text for tick in number_ticks(scale, most)] == expected


@pytest.mark.parametrize(
    ("high", "expected"), [(1, ["0", "1"]), (3, ["0", "1", "2", "3"]), (40, ["0", "10", "20", "30", "40"])]
)
def test_counts_have_whole_labels(high: float, expected: list[str]) -> None:
    assert [tick.text for tick in number_ticks(Scale(0, high), 6, whole=True)] == expected


def test_rates_are_labelled_in_the_unit_that_fits() -> None:
    assert [tick.text for tick in byte_ticks(Scale(0, 60_000), 3, "/s")] == ["0", "20 kB/s", "40 kB/s", "60 kB/s"]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2020-01-06", "2020-12-31", ["2020-03", "2020-05", "2020-07", "2020-09", "2020-11"]),
        ("2015-05-01", "2024-02-01", ["2016", "2018", "2020", "2022", "2024"]),
        ("2020-01-06", "2020-03-12", ["2020-02", "2020-03"]),
        ("2020-01-06", "2020-02-12", ["2020-01-10", "2020-01-20", "2020-02-01", "2020-02-10"]),
        ("2020-01-06", "2020-01-29", ["2020-01-10", "2020-01-15", "2020-01-20", "2020-01-25"]),
        ("2020-01-06T22:00", "2020-01-07T04:00", ["22:00", "23:00", "01-07", "01:00", "02:00", "03:00", "04:00"]),
        ("2020-01-06T22:00:00", "2020-01-06T22:00:20", ["22:00", "22:00:05", "22:00:10", "22:00:15", "22:00:20"]),
    ],
)  # fmt: skip
def test_dates_are_labelled_as_their_range_asks(first: str, last: str, expected: list[str]) -> None:
    ticks = time_ticks(Scale(seconds(first), seconds(last)), 7)
    assert [tick.text for tick in ticks] == expected
    full = {"2020-03": "2020-03-01", "2016": "2016-01-01"}.get(ticks[0].text)
    if full:
        assert ticks[0].at == pytest.approx((seconds(full) - seconds(first)) / (seconds(last) - seconds(first)))


@given(start=st.integers(0, 10**10), span=st.integers(1, 10**10))
def test_any_range_of_dates_has_a_few_labels(start: int, span: int) -> None:
    ticks = time_ticks(Scale(start, start + span), 7)
    assert len(ticks) <= 8
    assert all(0 <= tick.at <= 1 for tick in ticks)


@pytest.mark.parametrize(("most", "last"), [(40, "40 s"), (240, "4 min"), (4 * 3600, "4 h")])
def test_durations_are_in_the_unit_that_suits_them(most: float, last: str) -> None:
    assert duration_ticks(Scale(0, most), 4)[-1] == Tick(1.0, last)


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [0.0, 0.0], [-1.0, 2.0]])
def test_a_scale_has_a_width_whatever_the_values(values: list[float]) -> None:
    for zero in (False, True):
        scale = scale_of(np.array(values, float), zero=zero, margin=0.1)
        assert scale.low < scale.high


# --- marks ----------------------------------------------------------------------------------------------------------

PLOT = Plot(Scale(0, 10), Scale(0, 1), 100)


def test_attributes_and_text_are_escaped() -> None:
    assert tag("b", '<i>"', title="<'\"&>") == '<b title="&lt;&#39;&#34;&amp;&gt;">&lt;i&gt;&#34;</b>'


def test_a_line_breaks_at_gaps_and_keeps_lonely_points() -> None:
    ys = np.array([0, 0.5, np.nan, 1, np.nan, 0.25, 0.5])
    line = PLOT.line(np.arange(7.0), ys, "x")
    assert 'd="M0.0,100.0 100.0,50.0M300.0,0.0h0M500.0,75.0 600.0,50.0"' in line


def test_a_staircase_goes_up_over_and_back() -> None:
    edges = np.array([0.0, 1, 2, 3])
    area = PLOT.steps(edges, np.zeros(3), np.array([1, 0.5, 0]), "x")
    assert 'd="M0.0,100.0V0.0H100.0V50.0H200.0V100.0H100.0V100.0H0.0z"' in area


INTERVALS = st.lists(
    st.tuples(st.floats(0, 9), st.floats(0, 1), st.floats(0, 1e6)) | st.just((np.nan, 1.0, 5.0)), max_size=30
)


@given(intervals=INTERVALS, bins=st.integers(1, 50))
def test_what_is_spread_over_time_adds_up(intervals: list[tuple[float, float, float]], bins: int) -> None:
    start, length, amount = (
        (np.array(column) for column in zip(*intervals, strict=True)) if intervals else [np.zeros(0)] * 3
    )
    edges = np.linspace(0, 11, bins + 1)
    spread = spread_evenly(start, start + length, amount, edges)
    assert spread.sum() == pytest.approx(amount[np.isfinite(start)].sum(), rel=1e-6, abs=1e-3)


def test_an_amount_lies_where_its_time_does() -> None:
    spread = spread_evenly(np.array([1.0]), np.array([3.0]), np.array([8.0]), np.array([0, 1, 2, 2.5, 3, 4]))
    assert spread == pytest.approx([0, 4, 2, 2, 0])


# --- pictures -------------------------------------------------------------------------------------------------------

RAMP = np.linspace(1, 2, 40 * 30, dtype=np.float32).reshape(40, 30)


@pytest.mark.parametrize(
    ("values", "profile", "expected"),
    [
        (RAMP, {}, {"valid": 1.0, "beyond": (True, True)}),
        (np.full((40, 30), 5, np.float32), {}, {"valid": 1.0, "stretch": (4.5, 5.5), "beyond": (False, False)}),
        (np.full((40, 30), 5e307), {}, {"valid": 1.0, "beyond": (False, True)}),
        (np.where(RAMP > 1.5, 1.7e308, -1.7e308), {}, {"stretch": (-4e307, 4e307), "beyond": (True, True)}),
        (np.full((40, 30), np.nan, np.float32), {"nodata": np.nan}, {"valid": 0.0, "stretch": (0.0, 1.0)}),
        (np.zeros((40, 30), np.int32), {"nodata": 0}, {"valid": 0.0, "stretch": (0.0, 1.0)}),
        (np.full((40, 30), 7, np.int32), {"nodata": 0}, {"valid": 1.0, "stretch": (6.5, 7.5)}),
        (np.where(RAMP > 1.5, RAMP, 0), {}, {"valid": 0.5}),
        (RAMP.astype(np.float64)[:1, :1], {}, {"picture_shape": (1, 1)}),
        (np.tile(RAMP, (10, 1)), {}, {"picture_shape": (100, 8)}),
        (RAMP, {"crs": None}, {"crs": "", "axis_unit": ""}),
        (RAMP, {"crs": "EPSG:4326", "transform": from_origin(10, 50, 0.1, 0.1)}, {"axis_unit": "degrees"}),
        (RAMP, {"crs": "EPSG:2263"}, {"axis_unit": "US survey foot"}),
        (RAMP, {"transform": Affine.rotation(30) * Affine.scale(20, -20)}, {"crs": "EPSG:32610"}),
        (RAMP, {"transform": Affine(20, 0, 0, 0, 20, 0)}, {"crs": "EPSG:32610"}),  # south is up
    ],
    ids=[
        "ramp", "constant", "huge", "far apart", "all NaN", "no counts", "one count", "half", "one pixel", "tall",
        "no CRS", "degrees", "feet", "rotated", "south up",
    ],
)  # fmt: skip
def test_any_raster_has_a_picture(
    tmp_path: Path, values: np.ndarray, profile: dict[str, object], expected: dict[str, object]
) -> None:
    path = write_scene(tmp_path / "x.tif", values, **profile)
    raster = read_raster(path, 100)
    assert {name: getattr(raster, name) for name in expected} == expected
    colours = png_decode(raster.png)
    assert colours.shape[:2] == raster.picture_shape
    assert (colours[..., 3] == 0).mean() == pytest.approx(1 - raster.valid, abs=0.01)
    figure = results.raster_figure(raster, large=True)
    assert 'class="xs"><span' in figure
    if raster.transform[1]:
        assert "the grid is rotated" in figure
    if raster.transform[4] > 0:
        first, last = (figure.index(f">{label}<") for label in ("0", "800"))
        assert first < last


def test_a_picture_is_read_from_the_overviews_and_holds_the_means(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((1024, 1024)).astype(np.float32)
    path = write_scene(tmp_path / "x.tif", values)
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    picture = read_raster(path, 256)
    assert picture.picture_shape == (256, 256)
    means = values.reshape(256, 4, 256, 4).mean(axis=(1, 3))
    assert picture.stretch == pytest.approx(np.percentile(means, (2, 98)), rel=1e-3)


@pytest.mark.parametrize("shape", [(1024, 1024), (1001, 777)])
def test_a_picture_has_the_pixels_of_its_overview(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = write_scene(tmp_path / "x.tif", np.random.default_rng(1).random(shape).astype(np.float32))
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews([2, 4], rasterio.enums.Resampling.average)
    with rasterio.open(path, overview_level=1) as small:
        expected = picture_of(small.read(1), np.ones(small.shape, np.bool_))
    picture = read_raster(path, 256)
    assert (picture.stretch, picture.png) == expected


def test_bands_of_a_file_are_pictures_of_which_the_first_is_large(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    profile = {"driver": "GTiff", "width": 90, "height": 100, "count": 3, "dtype": "float32"}
    with rasterio.open(
        path, "w", crs="EPSG:32610", transform=from_origin(500000, 4000000, 20, 20), **profile
    ) as raster:
        for number, name in enumerate(("mean", "std", "mean"), start=1):
            raster.write(np.full((100, 90), number, np.float32), number)
            raster.update_tags(number, statistic=name, STATISTICS_MEAN=number)
    bands = read_bands(path, (50, 20), pytest.fail)
    assert [(band.file, band.mean, max(band.picture_shape)) for band in bands] == [
        ("x.tif, band 1", 1, 50),
        ("x.tif, band 2", 2, 20),
        ("x.tif, band 3", 3, 20),
    ]
    assert [read_raster(path, 20, name).mean for name in ("", "mean", "std", "none such")] == [1, 1, 2, 1]


def test_a_band_that_cannot_be_read_is_named_and_the_others_are_pictures(tmp_path: Path) -> None:
    path, whole = tmp_path / "x.tif", np.arange(128 * 128, dtype=np.float32).reshape(128, 128)
    form = {"compress": "deflate", "interleave": "band", "tiled": True, "blockxsize": 128, "blockysize": 128}
    profile = {"driver": "GTiff", "width": 128, "height": 128, "count": 3, "dtype": "float32", **form}
    with rasterio.open(
        path, "w", crs="EPSG:32610", transform=from_origin(500000, 4000000, 20, 20), **profile
    ) as raster:
        for number in (1, 2, 3):
            raster.write(whole + number, number)
    with rasterio.open(path) as raster:
        offset = int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(200))
    named: list[str] = []

    def refused(name: str, error: Exception) -> None:
        named.append(name)

    bands = read_bands(path, (100, 20), refused)
    assert (named, [band.file for band in bands]) == (["x.tif, band 1"], ["x.tif, band 2", "x.tif, band 3"])
    assert max(bands[0].picture_shape) == 100
    of_groups = read_rasters([(path, 1), (path, 3), (tmp_path / "none.tif", 1)], 20, refused)
    assert (named[1:], [band.file for band in of_groups]) == (["x.tif, band 1", "none.tif"], ["x.tif, band 3"])


COUNTS = np.arange(40 * 30, dtype=np.int32).reshape(40, 30)


@pytest.mark.parametrize(
    ("values", "labels", "said"),
    [
        (np.full((40, 30), 8, np.int32), ["8"], "8 everywhere"),
        (np.full((40, 30), 0.25, np.float32), ["0.25"], "0.25 everywhere"),
        (7 + COUNTS % 6, ["7", "8", "9", "10", "11", "12"], "values from 7 to 12"),
        (1 + COUNTS % 40, ["10", "20", "30", "40"], "values from 1 to 40"),
    ],
    ids=["one count", "one value", "a few counts", "many counts"],
)
def test_a_colour_bar_has_whole_labels_for_counts_and_one_for_a_constant(
    tmp_path: Path, values: np.ndarray, labels: list[str], said: str
) -> None:
    path = write_scene(tmp_path / "x.tif", values)
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(1, STATISTICS_MINIMUM=values.min(), STATISTICS_MAXIMUM=values.max())
    figure = results.raster_figure(read_raster(path, 100), large=True)
    bar = figure.split('class="scale"')[1].split('class="xs"')[0]
    assert re.findall(r"<span[^>]*>([^<]+)</span>", bar) == labels
    assert said in figure
    assert ("linear-gradient" in bar) == (len(np.unique(values)) == 6)  # a block for each value


@pytest.mark.parametrize(("rasters", "expected"), [(1, 1), (2, 2), (3, 3), (4, 2), (6, 3), (8, 3)])
def test_no_row_of_rasters_has_one_beside_nothing(rasters: int, expected: int) -> None:
    assert results.columns(rasters) == expected
