"""What stands first on the page: what was computed of what, when and where; then how the run went."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_folders import write_run
from report_page import Page, edited
from run_folders import SMALL, make_run_folder

from runner.report.gather import read_folder
from runner.report.overview import title
from runner.report.page import write_report
from runner.report.place import in_words, locator, place_of

TINY = replace(SMALL, scenes=8, height=64, width=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_run_folder(tmp_path / "run", TINY)


# --- the title --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "url", "expected"),
    [
        ("demo", "s3://demo-sentinel1-rtc/tiles/**/*.tif", "demo"),
        ("lake", "/data/tiles/*.tif", "lake"),
        ("local", "/data/lake_constance/**/*_VV.tif", "lake_constance"),
        ("local", "data/2024/S1?_*/x.tif", "2024"),
        ("local", "s3://my-bucket/tiles/{a,b}/*.tif", "my-bucket/tiles"),
        ("local", "s3://my-bucket/**/*.tif", "my-bucket"),
        ("local", "s3://my-bucket/a/b/*.tif", "my-bucket/b"),
        ("manifest", "lists/scenes.csv", "scenes"),
        ("source", "/data/one.tif", "one"),
        ("local", "*.tif", "2020"),  # the last folder that all objects share
    ],
)
def test_the_title_is_the_sources_name_or_where_its_files_lie(folder: Path, name: str, url: str, expected: str) -> None:
    def named(facts: dict[str, Any]) -> None:
        facts["stack"]["name"] = name
        facts["config"]["source"].update(name=name, url=url)

    page = edited(folder, named)
    assert page.one("h1").text == expected
    assert page.one("title").text == f"{expected}, completed: run"


def test_a_run_that_ended_before_its_scenes_were_found_is_named_by_its_source(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", {"source.name": "local", "source.url": "/a/lake/*"}, status="FAILED", stack=None
    )
    assert title(read_folder(folder)) == "lake"


def test_an_empty_folder_is_named_by_itself(tmp_path: Path) -> None:
    assert title(read_folder(tmp_path)) == tmp_path.name


# --- what it is about -------------------------------------------------------------------------------------------------


def cards(page: Page) -> dict[str, tuple[str, str]]:
    """Number and note of each figure by its label."""
    tiles = page.all("div.figure")
    return {tile.all("div.label")[0].text: tuple(tile.all(f"div.{part}")[0].text for part in ("number", "note"))
            for tile in tiles}  # fmt: skip


def test_science_comes_before_performance(folder: Path) -> None:
    page = Page(write_report(folder))
    labels = [label.text for label in page.all("div.label")]
    assert labels[:5] == ["period", "scenes", "valid pixels", "mean, in gamma0, linear power", "place"]
    source = page.source
    assert source.index('aria-label="what it is about"') < source.index("<h2>Results</h2>")
    assert source.index("<h2>Results</h2>") < source.index("<h2>How it ran</h2>") < source.index("wall time")


def test_the_figures_say_when_how_much_and_from_what_to_what(folder: Path) -> None:
    table = pq.read_table(folder / "spatial_mean.parquet").to_pydict()
    known = [mean for mean in table["mean"] if mean is not None]
    found = cards(Page(write_report(folder)))
    assert found["period"] == ("2020-01-06 to 2020-02-17", "42 days, a scene every 6 days")
    assert found["scenes"] == ("8", "2 skipped: beyond source.limit=8")
    assert found["valid pixels"][0] == f"{100 * np.mean(table['valid_fraction']):.1f} %"
    assert found["mean, in gamma0, linear power"][1].startswith(f"scenes {min(known):.4g} to {max(known):.4g}; pixels")


def test_scenes_skipped_for_several_reasons_are_counted(folder: Path) -> None:
    table = pq.read_table(folder / "inputs.parquet")
    reasons = [None] * 8 + ["truncated", "gone"]
    at = table.column_names.index("reason")
    pq.write_table(table.set_column(at, "reason", [pa.array(reasons, pa.string())]), folder / "inputs.parquet")
    assert cards(Page(write_report(folder)))["scenes"] == ("8", "2 skipped")


def test_without_rasters_the_place_is_the_records(folder: Path) -> None:
    whole = cards(Page(write_report(folder)))["place"]
    for path in folder.glob("*.tif"):
        path.unlink()
    assert cards(Page(write_report(folder)))["place"] == whole


@pytest.mark.parametrize(
    ("crs", "transform", "shape", "shown"),
    [
        ("EPSG:32610", (20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0), (1600, 1500), "47.71° N, 122.80° W"),
        ("EPSG:4326", (0.1, 0.0, -10.0, 0.0, -0.1, 70.0), (180, 360), "61° N, 8° E"),
        ("EPSG:4326", (0.1, 0.0, 170.0, 0.0, -0.1, -10.0), (100, 200), "15° S, 180° W"),  # across the antimeridian
        ("EPSG:3031", (1000.0, 0.0, -3e6, 0.0, -1000.0, 3e6), (6000, 6000), "90° S, 0° E"),  # around the pole
        ("EPSG:32633", (1.0, 0.0, 500000.0, 0.0, -1.0, 5e6), (30, 30), "45.15334° N, 15.00019° E"),
    ],
)
def test_a_grid_is_placed_by_its_centre_in_degrees(
    crs: str, transform: tuple[float, float, float, float, float, float], shape: tuple[int, int], shown: str
) -> None:
    place = place_of(crs, transform, shape)
    assert place is not None
    assert in_words(place).replace("\N{NO-BREAK SPACE}", " ") == shown
    assert place.west <= place.east
    assert f'aria-label="where on Earth: {in_words(place)}"' in locator(place)


def test_a_grid_across_the_antimeridian_is_at_both_ends_of_the_map() -> None:
    place = place_of("EPSG:4326", (0.1, 0.0, 170.0, 0.0, -0.1, -10.0), (100, 200))
    assert place is not None
    assert (place.west, place.east) == pytest.approx((170, 190))
    assert locator(place).count('class="area"') == 2


@pytest.mark.parametrize("crs", ["no such CRS", 'LOCAL_CS["somewhere"]'])
def test_a_crs_that_leads_to_no_degrees_has_no_place(crs: str) -> None:
    assert place_of(crs, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), (10, 10)) is None


# --- scenes -----------------------------------------------------------------------------------------------------------


def with_table(folder: Path, change: Callable[[dict[str, list[Any]]], object]) -> Page:
    """The page after a change of the spatial table's columns."""
    table = pq.read_table(folder / "spatial_mean.parquet")
    columns = table.to_pydict()
    change(columns)
    pq.write_table(pa.table(columns).replace_schema_metadata(table.schema.metadata), folder / "spatial_mean.parquet")
    return Page(write_report(folder))


def test_scenes_are_coloured_by_orbit_with_a_line_for_each(folder: Path) -> None:
    orbits = ["ASC", "DSC"] * 4

    def by_orbit(columns: dict[str, list[Any]]) -> None:
        columns["orbit"], columns["satellite"] = orbits, ["S1A", "S1A", "S1B", "S1B"] * 2
        columns["mean"] = [0.1 if orbit == "ASC" else 0.2 for orbit in orbits]

    page = with_table(folder, by_orbit)
    name = page.all("div.panel div.name")[0]
    assert "by orbit" in name.text
    assert [key.text for key in name.all("span.key")] == ["ASC", "DSC"]
    for at, orbit in enumerate(("ASC", "DSC")):
        dots = [dot for dot in page.all(f"path.dot.series{at}") if ": mean " in dot.text]
        assert len(dots) == orbits.count(orbit)
        assert page.all(f"path.line.series{at}")


def test_one_line_goes_through_orbits_that_do_not_differ(folder: Path) -> None:
    def alike(columns: dict[str, list[Any]]) -> None:
        columns["orbit"] = ["ASC", "DSC", "DSC", "ASC"] * 2
        columns["mean"] = [0.1, 0.2, 0.3, 0.4, 0.4, 0.3, 0.2, 0.1]

    page = with_table(folder, alike)
    assert page.all("path.line.thread")
    assert not page.all("path.line.series1")


@pytest.mark.parametrize("words", [["one"] * 8, [str(at) for at in range(8)], ["a"] * 7 + ["b"]])
def test_words_that_make_no_groups_colour_nothing(folder: Path, words: list[str]) -> None:
    page = with_table(folder, lambda columns: columns.update(orbit=words))
    assert not page.all("path.dot.series1")


def test_scenes_that_are_all_alike_are_told_in_a_line(folder: Path) -> None:
    page = with_table(folder, lambda columns: columns.update(valid_fraction=[1.0] * 8))
    assert "Every scene has 100 % valid pixels." in page.text
    assert not page.rows("div.pictures table")


def test_scenes_with_every_pixel_are_not_listed_and_shared_parts_of_names_are_cut(folder: Path) -> None:
    def named(columns: dict[str, list[Any]]) -> None:
        columns["scene"] = [f"lake_{at}_VV" for at in range(8)]
        columns["valid_fraction"] = [1.0, 0.5, 0.25, *[1.0] * 5]

    page = with_table(folder, named)
    assert [row[::2] for row in page.rows("div.pictures table")] == [["2", "25.0 %"], ["1", "50.0 %"]]
    assert page.all("div.pictures th")[0].text == "scene lake_…_VV"


# --- how it went ------------------------------------------------------------------------------------------------------


def test_a_resumed_run_says_what_was_reused_and_why_less_was_fetched(folder: Path) -> None:
    trace = pq.read_table(folder / "trace.parquet").to_pandas()
    trace.loc[:9, "status"] = "reused"
    trace.to_parquet(folder / "trace.parquet")
    earlier = {"started": "2026-03-02T13:00:00+00:00", "seconds": 12.5, "status": "INTERRUPTED"}
    page = edited(folder, lambda facts: facts.update(attempts=[earlier]))
    said = page.all("section.banner")[0].text
    assert "this is attempt 2. 10 of 24 tasks had been finished before and were reused" in said
    assert "1: 2026-03-02 13:00:00 UTC, interrupted after 12.5 s; 2:" in said
    assert [chip.text for chip in page.all("span.status")] == ["COMPLETED", "resumed"]
    assert cards(page)["tasks"] == ("24", "10 of them reused, 0 attempts failed")
    assert cards(page)["fetched"][1].endswith("planned; the rest reused")


def test_a_run_at_one_go_says_nothing_of_attempts(folder: Path) -> None:
    assert "attempt 2" not in Page(write_report(folder)).text


def test_a_run_that_ended_early_names_what_it_did_not_write_in_one_line(tmp_path: Path) -> None:
    page = Page(write_report(make_run_folder(tmp_path, TINY, "FAILED")))
    assert "The run ended before it wrote outputs.json." in page.text
    assert not page.all("section.gaps li")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [([], "start it again, once it is fixed:"), (["output.dir=x"], "once it is fixed; its folder is used again:")],
)
def test_a_run_that_left_nothing_is_started_again_in_its_folder_if_that_was_named(
    folder: Path, overrides: list[str], said: str
) -> None:
    for path in folder.iterdir():
        if path.name != "run.json":
            path.unlink()
    page = edited(folder, lambda facts: facts.update(status="FAILED", passes=[], overrides=overrides))
    assert said in page.text


def test_what_the_banner_says_is_no_warning_of_its_own(tmp_path: Path) -> None:
    page = Page(write_report(make_run_folder(tmp_path, TINY, "FAILED")))
    assert [row[2] for row in page.rows("table") if len(row) == 3 and row[1] in ("error", "warning")] == [
        "503 Slow Down, tried again in 0.4 s"
    ]


def test_the_memory_line_begins_with_the_first_task(folder: Path) -> None:
    page = Page(write_report(folder))
    memory = next(panel for panel in page.all("div.panel") if panel.text.startswith("memory"))
    starts = [float(line.attributes["d"][1:].split(",")[0]) for line in memory.all("path.line.series0")]
    assert min(starts) == 0


PHASES = {"imports_seconds": 1.0, "archive_seconds": 5.0, "listing_seconds": 0.5, "compiling_seconds": 7.0}


def test_start_up_is_named_by_its_parts(folder: Path) -> None:
    def slow_start(facts: dict[str, Any]) -> None:
        facts["phases"] = PHASES
        facts["seconds"] += 12.5

    page = edited(folder, slow_start)
    legend = {key.text.rsplit(" ", 2)[0]: key.all("b")[0].text for key in page.all("p.legend span.key")}
    assert list(legend)[:4] == ["starting Python, imports", "demo archive", "listing and headers",
                                "compiling, once for each type of pixels"]  # fmt: skip
    assert legend["demo archive"] == "5.00 s"
    widths = [part.percent("width") for part in page.all("div.segments i")]
    assert sum(widths) == pytest.approx(100, abs=0.1)
    assert page.all("div.segments i.compile")


def test_compiling_has_its_own_colour_and_is_not_counted_as_computing(folder: Path) -> None:
    trace = pq.read_table(folder / "trace.parquet").to_pandas()
    trace["compile_seconds"] = [0.05, *[0.0] * (len(trace) - 1)]
    trace.to_parquet(folder / "trace.parquet")
    plain = Page(write_report(folder)).figures["computing"][0]
    page = edited(folder, lambda facts: facts["passes"][0].update(compile_seconds=0.05))
    assert len(page.all("rect.compile")) == 1
    assert "compiling" in page.all("div.panel")[-3].text
    assert page.figures["computing"][0] == pytest.approx(plain - 0.05)


def test_a_run_that_compiled_nothing_has_no_such_colour(folder: Path) -> None:
    page = Page(write_report(folder))
    assert not page.all("rect.compile")
    assert not page.all("span.legend i.compile")
