"""The page of an archive: its figures, its map, its stacks and its means are those of its folder."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_folders import make_archive_folder, make_large_archive
from browser import measured
from report_page import Page

from runner.base import humanize
from runner.record.stacks import FOLDER, StackRow, read_stacks, write_stacks
from runner.report.page import write_report
from runner.report.stack_map import extent_of, footprints, stack_map
from runner.report.stack_workers import host_rows, lanes_figure

STACKS = {"10TET_VV": "COMPLETED", "10TET_VH": "FAILED", "11TLN_VV": "COMPLETED", "11TLN_VH": "COMPLETED"}
ROW = StackRow(stack="a_VV", values={"tile": "a", "band": "VV"}, status="COMPLETED", worker="host:1", scenes=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive_folder(tmp_path_factory.mktemp("archive") / "run", STACKS)


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(write_report(folder))


def test_the_figures_are_those_of_the_table_of_stacks(folder: Path, page: Page) -> None:
    rows = read_stacks(folder)
    table = pq.read_table(folder / "spatial_mean.parquet").to_pandas()
    figures = page.figures
    assert figures["stacks done"] == [3]
    assert figures["scenes"] == [sum(row.scenes or 0 for row in rows)]
    assert figures["fetched"] == [sum(row.bytes or 0 for row in rows)]
    (mean,) = (figures[name] for name in figures if name.startswith("mean"))
    assert mean == pytest.approx([table.groupby("stack")["mean"].mean().mean()])


def test_a_failed_stack_comes_first_with_its_whole_error_and_the_way_to_go_on(folder: Path, page: Page) -> None:
    error = next(row.error for row in read_stacks(folder) if row.status == "FAILED")
    assert page.rows("table")[0] == ["10TET_VH", "failed", error]
    assert f"log resume {folder}" in page.one("p.remedy code").text


def test_every_stack_is_a_row_with_a_link_to_its_own_page(folder: Path, page: Page) -> None:
    rows = page.rows("table.all")
    assert [row[0] for row in rows] == ["10TET_VH", "10TET_VV", "11TLN_VV", "11TLN_VH"]
    links = {link.text: link.attributes["href"] for link in page.all("table.all a")}
    assert links == {name: f"{FOLDER}/{name}/report.html" for name in STACKS}
    assert (
        f"all alike in: scenes 4; skipped 0; pixels {humanize.sides((32, 48))}; type float32"
        in page.one("summary").text
    )


def test_the_page_of_a_stack_links_back_to_that_of_the_archive(folder: Path) -> None:
    page = Page(write_report(folder / "stacks/10TET_VV"))
    assert page.one("header a").attributes["href"] == "../../report.html"
    assert page.one("h1").text == "10TET_VV"


def test_every_complete_stack_has_a_small_picture(page: Page) -> None:
    assert [one.text for one in page.all("div.thumbnails a")] == ["10TET_VV", "11TLN_VV", "11TLN_VH"]
    assert {picture.shape for picture in page.pictures} == {(4, 32, 48)}


def test_means_have_a_panel_for_each_value_of_one_group_and_a_line_for_each_stack(folder: Path, page: Page) -> None:
    lines = [group.all("title")[0].text for group in page.all("figure.chart svg g")]
    assert sorted(lines) == ["10TET_VV", "11TLN_VH", "11TLN_VV"]
    dots = page.all("figure.chart svg g path.dot")
    means = pq.read_table(folder / "spatial_mean.parquet")["mean"].to_numpy()
    assert len(dots) == np.isfinite(means).sum()


def test_a_page_is_made_again_to_the_byte_and_loads_nothing(folder: Path, page: Page) -> None:
    assert write_report(folder).read_text("utf-8") == page.source
    assert not re.search(r"(src|href)=\"?(https?:|//)", page.source)
    assert "<script" not in page.source


def test_an_archive_that_ended_before_it_found_its_stacks_has_a_page(tmp_path: Path) -> None:
    folder = make_archive_folder(tmp_path / "run", {"10TET_VV": "WAITING"})
    for name in ("stacks.parquet", "inputs.parquet"):
        (folder / name).unlink()
    page = Page(write_report(folder))
    assert page.one("span.status").text == "INTERRUPTED"
    assert "before it wrote stacks.parquet, inputs.parquet" in page.one("section.gaps p").text.replace(
        "inputs.parquet, stacks.parquet", "stacks.parquet, inputs.parquet"
    )


def test_a_stack_that_has_not_begun_has_no_link(tmp_path: Path) -> None:
    page = Page(write_report(make_archive_folder(tmp_path / "run", {"a_VV": "WAITING", "b_VV": "COMPLETED"})))
    assert [row[:2] for row in page.rows("table.all")] == [["a_VV", "waiting"], ["b_VV", "completed"]]
    assert [link.text for link in page.all("table.all a")] == ["b_VV"]


def test_damaged_tables_are_named_and_cost_no_more_than_themselves(tmp_path: Path) -> None:
    folder = make_archive_folder(tmp_path / "run", {"a_VV": "COMPLETED"})
    (folder / "spatial_mean.parquet").write_bytes(b"PAR1")
    page = Page(write_report(folder))
    assert "spatial_mean.parquet cannot be read" in page.one("section.gaps").text
    assert len(page.pictures) == 1


def test_names_from_outside_stay_text(tmp_path: Path) -> None:
    folder = make_archive_folder(tmp_path / "run", {"a_VV": "COMPLETED"})
    evil = "<script>x</script>"
    row = replace(ROW, values={"tile": evil, "band": evil}, status="FAILED", error=evil, crs=evil, west=0.0, south=0.0,
                  east=1.0, north=1.0)  # fmt: skip
    write_stacks(folder, ("tile", "band"), [row])
    assert "<script" not in write_report(folder).read_text("utf-8")


# --- stacks without results -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of one complete stack, one that failed before its headers, one outside, one of a later version."""
    folder = make_archive_folder(tmp_path_factory.mktemp("partial") / "run", {"a_VV": "COMPLETED"})
    (complete,) = read_stacks(folder)
    bare = [
        StackRow(stack=f"{tile}_VV", values={"tile": tile, "band": "VV"}, status=status, error="it is short")
        for tile, status in {"b": "FAILED", "c": "OUTSIDE", "d": "STALE"}.items()
    ]
    write_stacks(folder, ("tile", "band"), [complete, *bare])
    return Page(write_report(folder))


def test_only_what_every_stack_has_is_said_to_be_alike(partial: Page) -> None:
    assert partial.one("summary").text == "4 stacks"
    rows = {row[0]: row for row in partial.rows("table.all")}
    assert rows["a_VV"][2] == "4"
    assert rows["b_VV"][2] == humanize.UNKNOWN


def test_figures_say_of_how_many_stacks_they_are(partial: Page) -> None:
    notes = {one.all("div.label")[0].text: one.all("div.note")[0].text for one in partial.all("div.figure")}
    (mean,) = (note for name, note in notes.items() if name.startswith("mean"))
    assert mean.startswith("1 of 4 stacks: ")
    assert notes["scenes"].endswith("; in 1 of 4 stacks")
    assert notes["fetched"] == "by 1 of 4 stacks"


def test_stacks_outside_and_of_unknown_status_are_neither_failed_nor_complete(partial: Page) -> None:
    assert partial.figures["stacks done"] == [1]
    assert "1 failed, 1 outside of the box or area, 1 stale" in partial.source
    assert [row.all("td")[0].text for row in partial.all("tr.bad")] == ["b_VV"]
    assert [row[:2] for row in partial.rows("table.all")] == [
        ["b_VV", "failed"], ["c_VV", "outside of the box or area"], ["d_VV", "stale"], ["a_VV", "completed"],
    ]  # fmt: skip


# --- the map ----------------------------------------------------------------------------------------------------------


def at(name: str, west: float, south: float = 40.0, status: str = "COMPLETED", size: float = 1.0) -> StackRow:
    tile, _, band = name.partition("_")
    box = {"west": west, "south": south, "east": west + size, "north": south + size}
    return replace(ROW, stack=name, values={"tile": tile, "band": band}, status=status, **box)


def drawn(rows: list[StackRow]) -> str:
    return str(stack_map(rows, footprints(rows)))


def test_stacks_of_one_extent_share_a_footprint_in_the_colour_of_the_worst() -> None:
    rows = [at("a_VV", 10.0), at("a_VH", 10.0, status="FAILED"), at("b_VV", 12.0)]
    found = footprints(rows)
    assert [(one.status, len(one.rows)) for one in found] == [("COMPLETED", 1), ("FAILED", 2)]
    assert "<title>a_VV, a_VH: 1 FAILED, 1 COMPLETED</title>" in drawn(rows)


def test_a_footprint_is_named_by_the_groups_that_are_one_in_it() -> None:
    names = re.findall(
        r'<span style="left:[^>]*>([^<]*)</span>', drawn([at("a_VV", 10), at("a_VH", 10), at("b_VV", 12)])
    )
    assert set(names) >= {"a", "b_VV"}


def test_the_map_names_the_stacks_whose_place_is_not_known() -> None:
    rows = [at("a_VV", 10), *(replace(ROW, stack=f"lost{number}", status="FAILED") for number in range(10))]
    names = ", ".join(f"lost{number}" for number in range(8))
    assert f"Of 10 stacks the place is not known: {names} and 2 more." in drawn(rows)


@pytest.mark.parametrize(("status", "css"), [("OUTSIDE", "footprint outside"), ("GRID", "footprint")])
def test_a_stack_outside_or_of_unknown_status_is_neutral_on_the_map(status: str, css: str) -> None:
    svg = drawn([at("a_VV", 10), at("b_VV", 12, status=status)])
    assert f'class="{css}"' in svg
    assert f'class="swatch {css}"' in svg


def test_the_name_of_a_small_footprint_at_the_right_edge_stands_on_its_left() -> None:
    rows = [at("left_VV", 10, size=0.01), at("right_VV", 12, size=0.01)]
    names = {
        name: css for css, name in re.findall(r'<span class="(\w+)" style="left:[^>]*>([^<]*)</span>', drawn(rows))
    }
    assert names == {"left_VV": "beside", "right_VV": "before"}


@pytest.mark.parametrize(
    ("wests", "extent"),
    [
        ([10.0, 12.0], (10, 13)),
        ([-1.0, 0.0], (-1, 1)),
        ([179.5, -179.0], (179.5, 182)),
        ([-179.0, 178.0], (178, 182)),
        ([170.0, -170.0, 175.0], (170, 191)),
    ],
    ids=["plain", "Greenwich", "antimeridian", "the other way", "three"],
)
def test_the_map_goes_round_the_earth_where_there_is_most_room(wests: list[float], extent: tuple[float, float]) -> None:
    place = extent_of(footprints([at(f"t{number}_VV", west) for number, west in enumerate(wests)]))
    assert place is not None
    assert (place.west, place.east) == pytest.approx(extent)


def test_without_any_extent_there_is_no_map() -> None:
    assert drawn([ROW]) == ""


@pytest.mark.parametrize("crosses", [False, True])
def test_places_on_the_map_are_those_of_the_degrees(crosses: bool) -> None:
    first = 179.0 if crosses else 10.0
    rows = [at("a_VV", first), at("b_VV", first + 3 if not crosses else -178.0)]
    boxes = [tuple(map(float, found)) for found in re.findall(r'd="M([\d.]+),([\d.]+)h([\d.]+)v', drawn(rows))]
    (left, top, wide), (other, other_top, _) = boxes
    assert (other - left) / wide == pytest.approx(3, rel=0.01)
    assert top == other_top


# --- many -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ten_thousand_stacks_make_a_page_below_ten_megabytes(tmp_path: Path) -> None:
    bands = ("VV", "VH", "B04", "B08")
    rows = [
        replace(
            at(f"{west:02}{south:02}_{band}", west * 3.0, south * 1.5 - 60, size=1.2),
            crs=f"EPSG:326{west:02}", dtype="float32", height=5490, width=5490, bytes=10**9 + west,
            seconds=30.0 + south,
            error="it is short; " * 50 if south % 10 == 0 and band == "VV" else None,
            status="FAILED" if south % 10 == 0 and band == "VV" else "COMPLETED",
        )
        for west in range(50) for south in range(50) for band in bands
    ]  # fmt: skip
    stacks = [row.stack for row in rows for _ in range(6)]
    times = pa.array(np.tile(np.arange(6), len(rows)) * 86400 * 10**6, pa.timestamp("us", "UTC"))
    means = np.random.default_rng(1).random(len(stacks))
    table = pa.table({"stack": stacks, "datetime": times, "mean": means, "valid_fraction": means})
    folder = make_large_archive(tmp_path / "run", rows, table)
    started = time.monotonic()
    path = write_report(folder)
    assert time.monotonic() - started < 20
    assert path.stat().st_size < 10_000_000
    page = path.read_text("utf-8")
    assert page.count('class="footprint') == 2500
    assert page.count("report.html") >= 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "stacks", [STACKS, {f"{tile:02}TET_VV": "COMPLETED" for tile in range(30)}], ids=["few", "many"]
)
def test_it_fits_every_width_and_no_label_lies_on_another(tmp_path: Path, stacks: dict[str, str]) -> None:
    folder = make_archive_folder(tmp_path / "run", stacks)
    boxes = [at(row.stack, number % 6 * 1.1, number // 6 * 1.1) for number, row in enumerate(read_stacks(folder))]
    fields = ("west", "south", "east", "north")
    rows = [
        replace(row, **{name: getattr(box, name) for name in fields})
        for row, box in zip(read_stacks(folder), boxes, strict=True)
    ]
    write_stacks(folder, ("tile", "band"), rows)
    for one in measured(write_report(folder), tmp_path):
        told = {name: one[name] for name in ("overflow", "overlapping", "outside", "cut")}
        assert told == {"overflow": 0, "overlapping": [], "outside": [], "cut": []}, one["width"]
        assert all(one["pictures"])


def test_who_ran_what_when_is_said_by_host_and_drawn_by_worker(folder: Path, page: Page) -> None:
    assert not page.all("table.hosts")  # one process ran all
    rows, began = read_stacks(folder), datetime(2026, 1, 6, tzinfo=UTC)
    spread = [
        replace(row, worker=f"node{number % 2}:{number}", started=began + timedelta(seconds=10 * number), seconds=5.0)
        for number, row in enumerate(rows)
    ]
    hosts = host_rows(spread)
    assert [(host.host, host.processes, host.stacks) for host in hosts] == [("node0", "2", "2"), ("node1", "2", "2")]
    assert [(host.busy, host.span) for host in hosts] == [("10.0 s", "0 s to 25.0 s"), ("10.0 s", "10.0 s to 35.0 s")]
    assert [host.failed for host in hosts] == [
        "1" if any(row.status == "FAILED" for row in spread[number::2]) else "" for number in (0, 1)
    ]
    figure = str(lanes_figure(spread))
    assert [figure.count(f'title="node{number % 2}:{number}"') for number in range(4)] == [1, 1, 1, 1]
    many = [replace(row, stack=f"s{number}_{row.stack}") for number in range(2000) for row in spread]
    assert len(str(lanes_figure(many))) < 100_000
