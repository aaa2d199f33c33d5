"""Scenes are named, dated, filtered, and held against each other before anything is computed."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from jobs import compose, local_source
from rasterio.crs import CRS
from rasterio.transform import from_origin
from scenes_on_disk import speckle, write_scene

from runner.errors import ConfigError, SourceError
from runner.model import Inputs, StoredObject
from runner.planning.masking import make_rule
from runner.settings import Duplicates, OnError, S3Settings, SourceKind, SourceSettings
from runner.source.names import Candidate, name_candidates
from runner.source.scenes import find_inputs
from runner.source.selection import choose
from runner.source.stack import crs_name, resolve_nodata
from runner.source.stores import Stores
from runner.source.twins import describe_twins

SENTINEL1 = r"(?P<scene>(?P<satellite>S1[AB])_(?P<date>\d{8})_(?P<tile>\w{5})_(?P<orbit>ASC|DSC))"


def find(source: SourceSettings, on_error: OnError = OnError.stop) -> Inputs:
    return find_inputs(source, Stores(S3Settings()), on_error, lambda done, total: None)


def candidate(scene: str, day: int, ending: str = ".tif", **groups: str) -> Candidate:
    return Candidate(StoredObject(f"s3://b/{scene}{ending}"), scene, datetime(2020, 1, day, tzinfo=UTC), groups)


def names(candidates: list[Candidate]) -> list[str]:
    return [one.scene for one in candidates]


def test_a_key_gives_the_scene_its_name_date_and_columns() -> None:
    item = StoredObject("s3://b/tiles/RTC/1/IW/10/T/ET/2020/S1B_20200106_10TET_ASC/Gamma0_VV.tif")
    (named,) = name_candidates(SourceSettings(url="s3://b/**/*.tif", datetime_regex=SENTINEL1), [item])
    assert named.scene == "S1B_20200106_10TET_ASC"
    assert named.time == datetime(2020, 1, 6, tzinfo=UTC)
    assert named.groups == {"satellite": "S1B", "tile": "10TET", "orbit": "ASC"}


def test_without_a_scene_group_the_path_below_the_wildcard_is_the_name() -> None:
    source = SourceSettings(url="s3://b/p/**/*.tif", datetime_regex=r"(?P<date>\d{8})")
    assert name_candidates(source, [StoredObject("s3://b/p/x/20200106.tif")])[0].scene == "x/20200106"


@pytest.mark.parametrize(("key", "problem"), [("latest.tif", "finds no date"), ("20201399.tif", "is not a date")])
def test_a_key_without_a_date_is_named(key: str, problem: str) -> None:
    source = SourceSettings(url="s3://b/*.tif", datetime_regex=r"(?P<date>\d{8})")
    with pytest.raises(SourceError, match=f"s3://b/{key}.*{problem}"):
        name_candidates(source, [StoredObject(f"s3://b/{key}")])


@pytest.mark.parametrize(
    ("changes", "kept", "reasons"),
    [
        ({}, ["a", "b", "c"], []),
        ({"limit": 2}, ["a", "b"], ["beyond source.limit=2"]),
        ({"start": "2020-01-02"}, ["b", "c"], ["outside of source.start=2020-01-02, source.end=null"]),
        ({"end": "2020-01-02"}, ["a", "b"], ["outside of source.start=null, source.end=2020-01-02"]),
        ({"exclude": ["b"]}, ["a", "c"], ["source.exclude=b"]),
        ({"exclude": ["s3://b/c*"]}, ["a", "b"], ["source.exclude=s3://b/c*"]),
        ({"exclude": ["a"], "limit": 1}, ["b"], ["source.exclude=a", "beyond source.limit=1"]),
    ],
)
def test_filters_keep_their_reasons(changes: dict[str, object], kept: list[str], reasons: list[str]) -> None:
    listed = [candidate("c", 3), candidate("a", 1), candidate("b", 2)]
    chosen, left_out = choose(SourceSettings(**changes), listed)  # type: ignore[arg-type]
    assert names(chosen) == kept
    assert [one.reason for one in left_out] == reasons


@pytest.mark.parametrize(
    ("policy", "kept"),
    [(Duplicates.keep, ["a", "b", "c"]), (Duplicates.first, ["a", "c"]), (Duplicates.last, ["b", "c"])],
)
def test_scenes_of_one_time_are_kept_by_policy(policy: Duplicates, kept: list[str]) -> None:
    chosen, _ = choose(SourceSettings(duplicates=policy), [candidate("a", 1), candidate("b", 1), candidate("c", 2)])
    assert names(chosen) == kept


def test_scenes_of_one_time_are_refused_with_what_tells_them_apart() -> None:
    """Two bands of eight dates, caught by one pattern, would be averaged as 16 scenes."""
    bands = [landsat(day, band) for day in range(1, 9) for band in ("B2", "B3")]
    with pytest.raises(SourceError) as caught:
        choose(SourceSettings(), bands)
    text = str(caught.value)
    assert "16 scenes have only 8 times: s3://b/LC08_20200101_SR_B2.TIF and s3://b/LC08_20200101_SR_B3.TIF" in text
    assert "2020-01-01 00:00:00 and differ in 'B2', 'B3'" in text
    assert "If these are bands, tiles or versions, narrow source.url to one of them" in text
    assert "say source.duplicates=keep" in text


def test_a_pattern_that_catches_two_bands_is_refused_by_the_plain_command(tmp_path: Path) -> None:
    for name in ("20200106_20200823_02_T1_SR_B4", "20200106_20200823_02_T1_SR_B5", "20200122_20200823_02_T1_SR_B4"):
        write_scene(tmp_path / f"LC08_L2SP_044034_{name}.TIF", speckle((20, 20)))
    bands = compose("source=local", f"source.url={tmp_path}/*_SR_B?.TIF").source
    with pytest.raises(
        SourceError, match=r"2 scenes have only 1 time: .* 2020-01-06 .* differ in 'B4', 'B5'"
    ) as caught:
        find(bands)
    bands.url = f"{tmp_path}/*_SR_B4.TIF"
    assert f"""such as 'source.url="{bands.url}"'""" in str(caught.value)
    assert [scene.time.day for scene in find(bands).stack.scenes] == [6, 22]


@pytest.mark.parametrize(
    ("pattern", "keys", "said"),
    [
        (
            r"(?P<date>\d{8})",
            ["x_20200106T141516.tif", "x_20200106T141541.tif"],
            "If the names hold times of day, set "
            r"""'source.datetime_regex="(?<!\d)(?P<datetime>\d{8}T\d{6})(?!\d)"'. If""",
        ),
        (
            r"(?P<date>\d{8})",
            ["export_20240301/ndvi_202001.tif", "export_20240301/ndvi_202002.tif"],
            "The date is from the folder; if the file names hold it, set "
            r"""'source.datetime_regex="(?<!\d)(?P<year>\d{4})[-_.]?(?P<month>\d\d)(?!\d)"'. If""",
        ),
        (r"(?P<date>\d{8})", ["20200106_10TET.tif", "20200106_11TET.tif"], "'11TET'. If these are bands"),
    ],
)
def test_scenes_whose_names_hold_other_times_are_refused_with_the_pattern(
    pattern: str, keys: list[str], said: str
) -> None:
    source = SourceSettings(url="s3://b/**/*.tif", datetime_regex=pattern)
    named = name_candidates(source, [StoredObject(f"s3://b/{key}") for key in keys])
    with pytest.raises(SourceError, match="2 scenes have only 1 time") as caught:
        choose(source, named)
    assert said in str(caught.value)


def test_a_manifest_is_not_told_to_change_patterns() -> None:
    with pytest.raises(
        SourceError,
        match="list one of them in the manifest, or part them .*'source.stack_by=.*; .* a column of the manifest",
    ) as caught:
        choose(SourceSettings(kind=SourceKind.manifest), [candidate("a", 1), candidate("b", 1)])
    assert "datetime_regex" not in str(caught.value)
    assert "source.url" not in str(caught.value)


def landsat(day: int, band: str, **groups: str) -> Candidate:
    return candidate(f"LC08_202001{day:02}_SR_{band}", day, ending=".TIF", **groups)


def each(day: int, **groups: tuple[str, str]) -> list[Candidate]:
    """Two scenes of one day, with these two values of each group."""
    return [candidate(f"{day}{'ab'[at]}", day, **{name: pair[at] for name, pair in groups.items()}) for at in (0, 1)]


TOLD_APART = {  # groups of two scenes on each of two days, and the group that tells them apart, or why none does
    "a satellite": ([{"satellite": ("S1A", "S1B")}] * 2, "told apart by 'satellite'"),
    "an orbit that differs on one day": (
        [{"orbit": ("7", "9"), "tile": ("x", "x")}, {"orbit": ("9", "7")}], "told apart by 'orbit'"
    ),
    "ids": ([{"id": ("1", "2")}, {"id": ("3", "4")}], "differ in '1a', '1b' ('id' is of single scenes"),
    "sizes, two of them equal": ([{"size": ("1", "2")}, {"size": ("3", "2")}], "'size' is of single scenes"),
    "a satellite beside ids": (
        [{"satellite": ("A", "B"), "id": ("1", "2")}, {"satellite": ("A", "B"), "id": ("3", "4")}],
        "told apart by 'satellite'",
    ),
    "bands": ([{"band": ("1", "2")}] * 2, "4 scenes have only 2 times: .* told apart by 'band', and bands are not"),
    "assets": ([{"asset_key": ("red", "swir")}] * 2, "told apart by 'asset_key', and bands are not"),
    "polarizations of any name": ([{"p": ("VV", "VH")}] * 2, "told apart by 'p', and bands are not"),
    "bands of two satellites": (
        [{"satellite": ("A", "B"), "band": ("1", "2")}] * 2, "told apart by 'band', and bands are not"
    ),
    "products that are the same on each day": (
        [{"satellite": ("A", "B"), "product": ("x", "x")}] * 2, "told apart by 'satellite'"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("days", "said"), TOLD_APART.values(), ids=TOLD_APART.keys())
def test_scenes_of_one_time_need_kinds_that_tell_them_apart_and_bands_make_no_stack(
    days: list[dict[str, tuple[str, str]]], said: str
) -> None:
    scenes = [one for day, groups in enumerate(days, start=1) for one in each(day, **groups)]
    if "bands are not" in said or "single" in said:
        with pytest.raises(SourceError, match=said.replace("(", r"\(")):
            choose(SourceSettings(), scenes)
        assert len(choose(SourceSettings(duplicates=Duplicates.keep), scenes)[0]) == 4
    else:
        assert len(choose(SourceSettings(), scenes)[0]) == 4
        (line,) = describe_twins(scenes, scenes)
        assert line.startswith("2 scenes")
        assert line.endswith(said)


def test_scenes_of_one_time_are_refused_by_stop_whatever_tells_them_apart() -> None:
    scenes = [one for day in (1, 2) for one in each(day, satellite=("S1A", "S1B"))]
    assert describe_twins(scenes, scenes) == ["2 scenes each on 2 dates, told apart by 'satellite'"]
    with pytest.raises(SourceError, match="4 scenes have only 2 times:"):
        choose(SourceSettings(duplicates=Duplicates.stop), scenes)


def test_what_tells_scenes_apart_shows_in_the_whole_archive_whatever_days_are_asked_for() -> None:
    scenes = [one for day in (1, 2) for one in each(day, satellite=("S1A", "S1B"))]
    assert len(choose(SourceSettings(end="2020-01-01"), scenes)[0]) == 2


def test_scenes_of_one_time_are_refused_whatever_the_limit_cuts() -> None:
    with pytest.raises(SourceError, match="2 scenes have only 1 time:"):
        choose(SourceSettings(limit=1), [candidate("a", 1), candidate("b", 1)])


def test_a_folder_becomes_a_stack_in_order_of_time(folder_of_scenes: Path) -> None:
    stack = find(local_source(folder_of_scenes)).stack
    assert [scene.time.day for scene in stack.scenes] == [6, 12, 18, 24]
    assert (stack.grid.height, stack.grid.width, stack.grid.crs_name) == (300, 500, "EPSG:32610")
    assert (stack.dtype, stack.nodata) == (np.dtype("float32"), 0)
    assert all(scene.etag and scene.size for scene in stack.scenes)


@pytest.mark.parametrize(
    ("profile", "dtype", "words"),
    [
        ({"crs": "EPSG:32611"}, "float32", r"4 with CRS EPSG:32610 \(.*\), 1 with CRS EPSG:32611"),
        ({"nodata": -1}, "float32", r"4 with nodata 0.0 \(.*\), 1 with nodata -1.0"),
        ({}, "uint16", r"4 of type float32 \(.*\), 1 of type uint16"),
    ],
)
def test_a_scene_on_another_grid_ends_the_run_with_both_values(
    folder_of_scenes: Path, profile: dict[str, object], dtype: str, words: str
) -> None:
    write_scene(folder_of_scenes / "S1A_20200130_ASC.tif", speckle((300, 500)).astype(dtype), **profile)
    with pytest.raises(SourceError, match=words) as caught:
        find(local_source(folder_of_scenes))
    assert "S1A_20200130_ASC" in str(caught.value)


def test_a_scene_of_another_shape_ends_the_run(folder_of_scenes: Path) -> None:
    write_scene(folder_of_scenes / "S1A_20200130_ASC.tif", speckle((300, 400)))
    with pytest.raises(SourceError, match=r"4 of 300 x 500 pixels \(.*\), 1 of 300 x 400 pixels"):
        find(local_source(folder_of_scenes))


def test_an_excluded_key_needs_no_date(folder_of_scenes: Path) -> None:
    write_scene(folder_of_scenes / "mask.tif", speckle((300, 500)))
    inputs = find(local_source(folder_of_scenes, exclude=["*/mask.tif"]))
    assert [item.reason for item in inputs.left_out] == ["source.exclude=*/mask.tif"]


def test_nan_is_the_same_nodata_as_nan(tmp_path: Path) -> None:
    for day in (1, 2):
        write_scene(tmp_path / f"2020010{day}.tif", speckle((50, 50)), nodata=float("nan"))
    assert len(find(local_source(tmp_path)).stack.scenes) == 2


def test_what_is_no_tiff_ends_the_run_and_is_named(folder_of_scenes: Path) -> None:
    (folder_of_scenes / "S1A_20200130_ASC.tif").write_text("<VRTDataset/>")
    with pytest.raises(SourceError, match=r"S1A_20200130_ASC.tif.*source.exclude"):
        find(local_source(folder_of_scenes))


def test_an_unreadable_scene_may_be_skipped_with_its_reason(folder_of_scenes: Path) -> None:
    (folder_of_scenes / "S1A_20200130_ASC.tif").write_text("<html>")
    inputs = find(local_source(folder_of_scenes), OnError.skip)
    assert len(inputs.stack.scenes) == 4
    assert [item.scene for item in inputs.left_out] == ["S1A_20200130_ASC"]
    assert inputs.left_out[0].reason


def test_nothing_that_matches_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing matches; .* goes below"):
        find(local_source(tmp_path))


def test_filters_that_leave_nothing_say_why(folder_of_scenes: Path) -> None:
    with pytest.raises(
        SourceError, match=r"none of 4 objects is left, which are of 2020-.* to 2020-.*; left out: outside of"
    ):
        find(local_source(folder_of_scenes, start="2021-01-01"))


def test_two_scenes_of_one_name_are_refused(folder_of_scenes: Path) -> None:
    with pytest.raises(SourceError, match="are both named 'S1A'"):
        find(local_source(folder_of_scenes, datetime_regex=r"(?P<scene>S1A)_(?P<date>\d{8})"))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_manifest_names_scenes_and_dates(folder_of_scenes: Path, ending: str) -> None:
    paths = sorted(folder_of_scenes.glob("*.tif"))[:2]
    table = pd.DataFrame({"href": [paths[0].name, str(paths[1])], "datetime": ["2021-05-01T10:00:00", "2021-05-02"]})
    manifest = folder_of_scenes / f"scenes.{ending}"
    table.to_csv(manifest, index=False) if ending == "csv" else table.to_parquet(manifest)
    stack = find(SourceSettings(kind=SourceKind.manifest, url=str(manifest))).stack
    assert [scene.time.isoformat() for scene in stack.scenes] == [
        "2021-05-01T10:00:00+00:00",
        "2021-05-02T00:00:00+00:00",
    ]


@pytest.mark.parametrize(("kind", "other"), [(SourceKind.glob, "manifest"), (SourceKind.manifest, "local")])
def test_a_table_and_a_pattern_of_tiffs_are_sent_to_the_source_that_reads_them(
    tmp_path: Path, kind: SourceKind, other: str
) -> None:
    (tmp_path / "scenes.csv").write_text("href,datetime\n")
    url = str(tmp_path / ("scenes.csv" if kind is SourceKind.glob else "**/*.tif"))
    with pytest.raises(SourceError, match=rf"source={other}$"):
        find(SourceSettings(kind=kind, url=url, datetime_regex=r"(?P<date>\d{8})"))


def test_a_folder_in_place_of_a_manifest_is_sent_to_the_source_that_reads_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="wanted a CSV or Parquet table of scenes; TIFFs are named by source=local"):
        find(SourceSettings(kind=SourceKind.manifest, url=str(tmp_path)))


@pytest.mark.parametrize(
    ("crs", "name"),
    [
        ("", "no CRS"),
        (CRS.from_epsg(4326).to_wkt(), "WGS 84"),
        (CRS.from_proj4("+proj=laea +lat_0=52 +R=6371228").to_wkt(), "Lambert Azimuthal Equal Area without a name"),
        (CRS.from_proj4("+proj=longlat +R=6371228").to_wkt(), "a CRS without a name"),
    ],
)
def test_a_crs_goes_by_its_name_or_says_that_it_has_none(folder_of_scenes: Path, crs: str, name: str) -> None:
    header = replace(find(local_source(folder_of_scenes)).stack.scenes[0].header, crs=crs, epsg=None)
    assert crs_name(header) == name


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("file,when\na,b\n", "got 2 columns without datetime and href"),
        ("href,datetime\na.tif,soon\n", "row 1 has datetime 'soon'"),
    ],
)
def test_a_bad_manifest_says_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "scenes.csv").write_text(text)
    with pytest.raises(SourceError, match=problem):
        find(SourceSettings(kind=SourceKind.manifest, url=str(tmp_path / "scenes.csv")))


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none.csv: there is no such manifest"):
        find(SourceSettings(kind=SourceKind.manifest, url=str(tmp_path / "none.csv")))


@pytest.mark.parametrize(
    ("option", "header", "dtype", "expected"),
    [
        (None, None, "float32", None),
        (None, 0, "float32", 0),
        (None, -9999, "uint8", -9999),  # a tag that no pixel has is common, and means that there is no nodata
        (5, 0, "float32", 5.0),
        (5.0, None, "int16", 5),
        (math.nan, 0, "float32", math.nan),
        (math.inf, 0, "float64", math.inf),
        (2**63 - 1, 0, "int64", 2**63 - 1),
        (2**64 - 1, 0, "uint64", 2**64 - 1),
        (-(2**63) + 1, 0, "int64", -(2**63) + 1),
    ],
)
def test_the_setting_wins_over_the_files_nodata(
    option: float | None, header: float | None, dtype: str, expected: float | None
) -> None:
    assert repr(resolve_nodata(option, header, np.dtype(dtype))) == repr(expected)


@pytest.mark.parametrize(
    ("option", "dtype", "wanted"),
    [
        (-9999, "uint8", "a whole number from 0 to 255"),
        (1.5, "int16", "a whole number from -32768 to 32767"),
        (math.nan, "uint8", "a whole number"),
        (2.0**63, "int64", "a whole number from -9223372036854775808 to 9223372036854775807"),
        (-1, "uint64", "a whole number from 0 to 18446744073709551615"),
        (1e300, "float32", "a number of that size"),
    ],
)
def test_a_setting_that_no_pixel_can_be_is_refused(option: float, dtype: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_nodata(option, None, np.dtype(dtype))
    assert f"source.nodata={option}: no pixel of type {dtype} has this value; wanted {wanted}" in str(caught.value)


@pytest.mark.parametrize(("dtype", "lowest", "nodata"), [("int64", 2**63 - 4, 2**63 - 1), ("uint64", 0, 2**64 - 1)])
def test_nodata_of_64_bits_is_left_out_and_no_other_pixel(tmp_path: Path, dtype: str, lowest: int, nodata: int) -> None:
    pixels = np.array([[lowest, nodata - 1, nodata]], dtype)
    write_scene(tmp_path / "20200106.tif", pixels, nodata=None)
    job = compose("source=local", f"source.url={tmp_path}/*.tif", f"source.nodata={nodata}")
    rule = make_rule(job, find(job.source).stack)
    assert rule.pixels.valid(pixels).tolist() == [[True, True, False]]


@pytest.mark.parametrize("dtype", ["complex_int16", "complex64"])
def test_complex_samples_are_refused_with_what_to_do(tmp_path: Path, dtype: str) -> None:
    write_scene(tmp_path / "20200101.tif", np.zeros((8, 8), "complex64"), dtype=dtype)
    with pytest.raises(SourceError, match=rf"20200101.tif: samples are complex \({dtype}\), .* write their magnitude"):
        find(local_source(tmp_path))


def test_a_manifests_scenes_of_one_name_are_refused_with_its_column(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scene(tmp_path / f"{name}.tif", speckle((20, 20)))
    (tmp_path / "list.csv").write_text("href,datetime,scene\na.tif,2020-01-01,x\nb.tif,2020-01-02,x\n")
    with pytest.raises(SourceError, match="are both named 'x'; let the manifest's column 'scene' tell them apart"):
        find(SourceSettings(kind=SourceKind.manifest, url=str(tmp_path / "list.csv")))


def test_the_remedy_of_leaving_a_scene_out_is_given_once(tmp_path: Path) -> None:
    lab = {
        "driver": "GTiff",
        "width": 16,
        "height": 16,
        "count": 3,
        "dtype": "uint8",
        "photometric": "CIELAB",
        "transform": from_origin(0, 9, 1, 1),
    }
    with rasterio.open(tmp_path / "20200101.tif", "w", **lab) as raster:
        raster.write(np.ones((3, 16, 16), np.uint8))
    (tmp_path / "20200102.tif").write_text("<html>")
    for day, said in ((1, "CIELab"), (2, "not a TIFF")):
        with pytest.raises(SourceError, match=f"{said}.*; leave it out with source.exclude") as caught:
            find(local_source(tmp_path, url=f"{tmp_path}/2020010{day}.tif"))
        assert str(caught.value).count("leave it out") == 1
