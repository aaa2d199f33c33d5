"""The report tells what lies in the run folder, tolerates what does not, loads nothing, and runs nothing."""

import json
import platform
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import rasterio
from report_page import Page, edited
from run_folders import ERROR, LARGE, PREFIX, SMALL, make_run_folder

from runner.errors import OutputError
from runner.record.run_folder import current_status
from runner.record.trace_table import SCHEMA as TRACE
from runner.report.page import write_report

PLAIN = re.compile(r"\d{4}-\d\d-|(COMPLETED|space|time)$")  # what can only be a time, a status, an axis
HOSTILE = """'"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;{{7*7}}"""


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run_folder(tmp_path_factory.mktemp("completed"))


@pytest.fixture(scope="module")
def page(completed: Path) -> Page:
    return Page(write_report(completed))


# --- figures --------------------------------------------------------------------------------------------------------


def test_the_figures_at_the_top_are_those_of_the_folder(completed: Path, page: Page) -> None:
    facts = json.loads((completed / "run.json").read_text())
    inputs = pq.read_table(completed / "inputs.parquet")
    (one,) = facts["passes"]
    used = pc.sum(inputs["used"]).as_py()
    table = pq.read_table(completed / "spatial_mean.parquet")
    assert page.figures == {
        "period": [],
        "scenes": [used, inputs.num_rows - used],
        "valid pixels": [pytest.approx(pc.mean(table["valid_fraction"]).as_py())],
        "mean, in gamma0, linear power": [pytest.approx(pc.mean(table["mean"]).as_py())],
        "place": [],
        "wall time": [facts["seconds"]],
        "computing": [one["compute_seconds"]],
        "tasks": [pq.read_metadata(completed / "trace.parquet").num_rows, 0],
        "fetched": [one["fetched"]["bytes"]],
        "throughput": [pytest.approx(one["fetched"]["bytes"] / one["compute_seconds"])],
        "requests": [one["fetched"]["requests"], one["fetched"]["retries"]],
        "peak memory": [one["peak_bytes"]],
    }


def test_figures_of_two_passes_are_added_up_and_memory_is_that_of_the_larger(tmp_path: Path) -> None:
    page = Page(write_report(make_run_folder(tmp_path, replace(SMALL, fused=False))))
    first, second = json.loads((tmp_path / "run.json").read_text())["passes"]
    assert page.figures["fetched"] == [first["fetched"]["bytes"] + second["fetched"]["bytes"]]
    assert page.figures["peak memory"] == [max(first["peak_bytes"], second["peak_bytes"])]
    assert [span.text for span in page.all("div.spans span")] == ["spatial_mean", "temporal_mean"]


def test_a_pass_that_did_not_end_is_told_by_its_trace(tmp_path: Path) -> None:
    page = Page(write_report(make_run_folder(tmp_path, status="FAILED")))
    trace = pq.read_table(tmp_path / "trace.parquet").to_pylist()
    failed = [row for row in trace if row["status"] == "failed"]
    assert page.figures["fetched"] == [sum(row["bytes"] or 0 for row in trace)]
    assert page.figures["tasks"] == [len(trace) - len(failed), len(failed)]
    assert "did not end; what it took is the sum of its attempts" in page.text
    assert page.all("path.plan")
    older = edited(tmp_path, lambda facts: facts.update(passes=[]))  # which knows nothing of it
    assert older.figures == page.figures
    assert "did not end" in older.text


def test_a_run_that_was_killed_tells_what_it_was_at(tmp_path: Path) -> None:
    page = Page(write_report(make_run_folder(tmp_path, status="KILLED")))
    names, said = (page.all(f"div.passes {element}") for element in ("dt", "dd"))
    facts = {name.text: fact.text for name, fact in zip(names, said, strict=True)}
    assert facts["end"] == "did not end"
    assert facts["cluster"] == "processes, 2 processes, 4 threads"
    assert facts["tasks"] == "24"
    assert facts["peak memory"] == "\N{EN DASH} (960 MB planned)"
    assert set(page.figures) == {"period", "scenes", "place", "wall time"}  # nothing of what nobody knows
    assert "GDAL_HTTP_MAX_RETRY" in page.text


def test_the_outputs_stand_with_their_hashes(completed: Path, page: Page) -> None:
    for file in json.loads((completed / "outputs.json").read_text())["files"]:
        assert file["name"] in page.text
        assert file["sha256"] in page.text
        assert all(values["sha256"] in page.text for values in file["values"])


def test_the_inputs_table_has_every_object_and_why_it_was_left_out(completed: Path, page: Page) -> None:
    rows = pq.read_table(completed / "inputs.parquet").to_pylist()
    cells = page.rows("table.inputs")
    prefix = page.one("details p.soft code").text
    assert sorted(prefix + row[0] for row in cells) == sorted(row["href"] for row in rows)
    assert {row[4] for row in cells} == {"", "beyond source.limit=20"}
    assert page.one("table.inputs thead").text.endswith("skipped because")
    assert (
        "all of EPSG:32610 320 \N{MULTIPLICATION SIGN} 300 float32" in page.one("details p.soft").text
    )  # in no column
    assert all(any(row["etag"].strip('"').startswith(cell[3][:8]) for row in rows) for cell in cells)


def test_every_scene_with_a_mean_is_a_dot_and_every_other_is_marked(completed: Path, page: Page) -> None:
    table = pq.read_table(completed / "spatial_mean.parquet").to_pylist()
    dots = [dot.text for dot in page.all("path.dot.series0") if ": mean " in dot.text]
    assert len(dots) == sum(row["mean"] is not None for row in table)
    assert [mark.text.split(",")[0] for mark in page.all("path.absent")] == [
        row["scene"] for row in table if row["mean"] is None
    ]
    first = table[0]
    assert dots[0] == f"{first['scene']}, {first['datetime']:%Y-%m-%d %H:%M}: mean {first['mean']:.4g}"


def test_the_line_of_the_means_is_broken_where_there_is_none(completed: Path, page: Page) -> None:
    means = pq.read_table(completed / "spatial_mean.parquet")["mean"].to_pylist()
    line = page.all("path.line.series0")[0].attributes["d"]
    assert line.count("M") == 2
    heights = [float(point.split(",")[1]) for point in re.findall(r"[\d.]+,[\d.]+", line)]
    known = [mean for mean in means if mean is not None]
    assert len(heights) == len(known)
    assert np.corrcoef(heights, known)[0, 1] == pytest.approx(-1, abs=1e-4)  # downwards, as SVG counts


def test_the_scenes_with_the_least_valid_pixels_come_first(completed: Path, page: Page) -> None:
    rows = pq.read_table(completed / "spatial_mean.parquet").to_pylist()
    rows.sort(key=lambda row: row["valid_fraction"])
    assert [row[0] for row in page.rows("div.pictures table")] == [row["scene"] for row in rows[:10]]


def test_each_attempt_is_a_bar_and_failed_ones_are_framed(tmp_path: Path, page: Page) -> None:
    assert len(page.all("g")) == SMALL.tasks
    failed = Page(write_report(make_run_folder(tmp_path, status="FAILED")))
    assert len(failed.all("rect.failed")) == 3
    assert [mark.text for mark in failed.all("path.lost")] == [
        "spatial_mean+temporal_mean, a task of tcp://127.0.0.1:41000: failed; lost with its worker"
    ]


def test_the_slowest_tasks_are_those_of_the_trace(completed: Path, page: Page) -> None:
    trace = pq.read_table(completed / "trace.parquet").to_pylist()
    trace.sort(key=lambda row: row["start"] - row["stop"])
    assert [row[0] for row in page.rows("div.slowest table")[:10]] == [f"task {row['task']}" for row in trace[:10]]


# --- pictures -------------------------------------------------------------------------------------------------------


def test_the_mean_is_drawn_in_viridis_from_the_2nd_to_the_98th_percentile(completed: Path, page: Page) -> None:
    with rasterio.open(completed / "temporal_mean.tif") as raster:
        values = raster.read(1)  # smaller than 900 pixels: drawn as it is
    colours = page.pictures[0]
    low, high = np.nanpercentile(values, (2, 98))
    seen = ~np.isnan(values)
    assert (colours[3] == np.where(seen, 255, 0)).all()
    at_most = np.abs(colours[:3] - np.array([0xFD, 0xE7, 0x25])[:, None, None]).max(axis=0)
    at_least = np.abs(colours[:3] - np.array([0x44, 0x01, 0x54])[:, None, None]).max(axis=0)
    assert (at_most[seen & (values > high)] == 0).all()
    assert (at_least[seen & (values < low)] == 0).all()
    order = np.argsort(values[seen])
    green = colours[1][seen][order].astype(int)  # which rises all the way in viridis
    assert (np.diff(green) >= 0).all()


def test_without_a_mean_the_large_picture_is_of_values_not_of_counts(tmp_path: Path) -> None:
    folder = make_run_folder(tmp_path / "run")
    (folder / "temporal_mean.tif").rename(folder / "temporal_slope.tif")
    first, second, *_ = Page(write_report(folder)).all("figure")
    assert ("temporal_slope.tif" in first.text, "temporal_count.tif" in second.text) == (True, True)


def test_coordinates_on_the_edges_are_where_the_transform_puts_them(completed: Path, page: Page) -> None:
    with rasterio.open(completed / "temporal_mean.tif") as raster:
        left, bottom, right, top = raster.bounds
    first = page.all("div.map")[0]
    xs = {tick.text: tick.percent("left") for tick in first.all("div.xs span")}
    ys = {tick.text: tick.percent("top") for tick in first.all("div.ys span") if tick.text.endswith(",000")}
    assert xs
    assert ys
    for label, at in xs.items():
        assert float(label.replace(",", "")) == pytest.approx(left + at / 100 * (right - left), abs=1)
    for label, at in ys.items():
        assert float(label.replace(",", "")) == pytest.approx(top + at / 100 * (bottom - top), abs=1)
    assert "EPSG:32610" in page.one("figcaption").text


# --- how it ended ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["COMPLETED", "FAILED", "INTERRUPTED", "KILLED"])
def test_the_page_says_how_the_run_ended(tmp_path: Path, ending: str) -> None:
    page = Page(write_report(make_run_folder(tmp_path, status=ending)))
    assert page.one("span.status").text == ending
    assert bool(page.all("section.banner")) == (ending != "COMPLETED")
    assert ("cog-stack-runner log resume" in page.text) == (ending != "COMPLETED")
    assert ("once it is fixed" in page.text) == (ending == "FAILED")


def test_an_error_is_told_with_its_place_and_what_to_do(tmp_path: Path) -> None:
    banner = Page(write_report(make_run_folder(tmp_path, status="FAILED"))).one("section.banner")
    message = banner.all("p.message")[0].text
    assert message.startswith("A scene cannot be read.")
    assert ERROR.message.removeprefix(PREFIX) in message
    assert ERROR.kind not in banner.text
    assert banner.text.count(PREFIX) == 1  # a long path stands once
    assert [name.text for name in banner.all("dt")] == ["pass", "scene", "task"]
    assert [fact.text for fact in banner.all("dd")] == [
        "spatial_mean+temporal_mean",
        ERROR.scene,
        "rows 160 to 185, columns 0 to 299, scenes 0 to 9",
    ]
    assert "fetch.in_flight" in banner.text  # the message's own remedy, and no other


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"status": "COMPLETED"}, "COMPLETED"),
        ({"status": "RUNNING", "age": 3}, "RUNNING"),
        ({"status": "RUNNING", "age": 16}, "KILLED"),
        ({"status": "RUNNING", "age": 3, "host": platform.node(), "pid": 2**22 + 1}, "KILLED"),  # beyond any pid
        ({"status": "RUNNING", "age": 3, "host": platform.node(), "pid": 1}, "RUNNING"),
        ({"status": "RUNNING", "age": 3, "host": "elsewhere", "pid": 2**22 + 1}, "RUNNING"),
        ({"status": "COMPLETED", "age": 99, "host": platform.node(), "pid": 2**22 + 1}, "COMPLETED"),
    ],
)
def test_a_run_without_a_sign_of_life_was_killed(facts: dict[str, Any], expected: str) -> None:
    beat = datetime.now(UTC) - timedelta(seconds=facts.get("age", 0))
    assert current_status(facts["status"], facts.get("host"), facts.get("pid"), None, beat) == expected


# --- what is missing or damaged -------------------------------------------------------------------------------------

FILES = ["run.json", "inputs.parquet", "trace.parquet", "outputs.json", "spatial_mean.parquet", "temporal_mean.tif"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return make_run_folder(tmp_path / "run", replace(SMALL, scenes=8, height=64, width=60))


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_there_is_named(small: Path, name: str) -> None:
    (small / name).unlink()
    assert name in [gap.text for gap in Page(write_report(small)).all("section.gaps code")]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"PAR1 <script>", b'{"status": [1, {"a": 2}], "passes": [3], "stack": []}'])
def test_a_damaged_file_costs_no_more_than_itself(small: Path, name: str, content: bytes) -> None:
    (small / name).write_bytes(content)
    page = Page(write_report(small))
    named = name in [gap.text for gap in page.all("section.gaps code")]
    assert named


def test_a_vrt_by_the_name_of_a_raster_is_not_opened(small: Path) -> None:
    (small / "temporal_mean.tif").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>")
    page = Page(write_report(small))
    assert "temporal_mean.tif" in [gap.text for gap in page.all("section.gaps code")]


def test_an_empty_folder_makes_a_page_that_says_so(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path))
    assert page.one("span.status").text == "UNKNOWN"
    assert len(page.all("section.gaps li")) == 4


def test_columns_that_are_not_there_are_unknown(small: Path) -> None:
    for name, kept in (("trace.parquet", ["pass", "status"]), ("inputs.parquet", ["href", "used"])):
        pq.write_table(pq.read_table(small / name).select(kept), small / name)
    page = Page(write_report(small))
    assert page.figures["scenes"] == [8, 2]
    assert not page.all("g")


def test_what_an_earlier_run_had_done_is_told_but_not_timed(small: Path) -> None:
    trace = pq.read_table(small / "trace.parquet").to_pandas()
    trace.loc[:3, "status"] = "reused"
    trace.loc[:3, ["start", "stop"]] -= timedelta(days=3)
    trace.to_parquet(small / "trace.parquet")
    page = Page(write_report(small))
    assert len(page.all("g")) == SMALL.tasks - 4
    assert "4 reused" in page.text


def test_what_dask_does_not_tell_of_the_xarray_engine_is_unknown(small: Path) -> None:
    trace = pq.read_table(small / "trace.parquet").to_pandas()
    trace[["start", "fetch_seconds", "decode_seconds", "reduce_seconds", "bytes", "requests", "retries"]] = None
    pq.write_table(pa.Table.from_pandas(trace, TRACE, preserve_index=False), small / "trace.parquet")

    def by_dask(facts: dict[str, Any]) -> None:
        facts["config"]["engine"] = "xarray"
        facts["passes"][0] |= dict.fromkeys(("fetched", "read_seconds", "reduce_seconds", "megabytes_per_second"))

    page = edited(small, by_dask)
    tiles = {tile.all("div.label")[0].text: tile.all("div.number")[0].text for tile in page.all("div.figure")}
    assert tiles["pieces of results"] == str(SMALL.tasks)
    assert "tasks" not in tiles
    assert "throughput" not in tiles
    assert "reading, all threads" not in page.text
    assert "not when it started" in page.text


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"report\.html: cannot be written"):
        write_report(tmp_path / "nowhere")


def test_nothing_is_left_beside_the_report_and_it_is_the_same_again(small: Path) -> None:
    before = set(small.iterdir())
    first = write_report(small).read_bytes()
    assert write_report(small).read_bytes() == first
    assert set(small.iterdir()) - before == {small / "report.html"}


# --- safety ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a failed run in which every string of run.json, every name and every tag is an attack."""
    folder = make_run_folder(tmp_path_factory.mktemp("hostile"), prefix=f"s3://bucket/{HOSTILE}/")
    spoil_parquet(folder / "inputs.parquet", ("scene", "etag", "crs", "reason", "dtype"))
    spoil_parquet(folder / "trace.parquet", ("pass", "error", "worker", "host"))
    spoil_parquet(folder / "spatial_mean.parquet", ("scene",), {"std": f"std{HOSTILE}"})
    with rasterio.open(folder / "temporal_mean.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        raster.update_tags(stage=HOSTILE, statistic=HOSTILE, units=HOSTILE, source=HOSTILE)
    (folder / "temporal_count.tif").rename(folder / f"{HOSTILE.replace('/', '')}.tif")
    for name in ("run.json", "outputs.json"):
        spoiled = spoil(json.loads((folder / name).read_text()))
        (folder / name).write_text(json.dumps(spoiled))
    (folder / "events.jsonl").write_text(json.dumps({"time": HOSTILE, "level": "ERROR", "event": HOSTILE}) + "\n{")
    return Page(write_report(folder))


def spoil(node: object) -> Any:
    """The tree with the attack behind every string and every name."""
    if isinstance(node, dict):
        return {key: spoil(value) for key, value in node.items()} | {HOSTILE: HOSTILE}
    if isinstance(node, list):
        return [spoil(item) for item in node]
    return f"{node}{HOSTILE}" if isinstance(node, str) and not PLAIN.match(node) else node


def spoil_parquet(path: Path, columns: tuple[str, ...], renamed: dict[str, str] | None = None) -> None:
    table = pq.read_table(path)
    for name in columns:
        values = [f"{value}{HOSTILE}" for value in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, [values])
    pq.write_table(table.rename_columns([(renamed or {}).get(name, name) for name in table.column_names]), path)


def test_names_from_outside_stay_text(hostile: Page) -> None:
    assert not hostile.all("script")
    assert not [name for element in hostile.elements for name in element.attributes if name.startswith("on")]
    assert {element.name for element in hostile.elements if "src" in element.attributes} == {"img"}
    assert hostile.text.count("<script>alert(1)</script>") > 50
    assert "{{7*7}}" in hostile.text


def test_attacks_change_no_structure(hostile: Page, page: Page) -> None:
    assert {element.name for element in hostile.elements} <= {element.name for element in page.elements} | {
        "p",
        "ul",
        "li",
    }


@pytest.mark.parametrize("which", ["page", "hostile"])
def test_the_page_loads_nothing(which: str, request: pytest.FixtureRequest) -> None:
    page: Page = request.getfixturevalue(which)
    loading = ("src", "href", "srcset", "data", "action", "poster", "background", "xlink:href", "formaction")
    loaded = [element.attributes[name] for element in page.elements for name in loading if name in element.attributes]
    assert loaded
    assert all(re.fullmatch(r"data:image/png;base64,[\w+/=]+", address) for address in loaded)
    styles = page.one("style").text + "".join(element.attributes.get("style", "") for element in page.elements)
    assert not re.search(r"url\(|@import|expression", styles)
    assert not page.all("link")
    assert page.all("meta")[1].attributes["content"].startswith("default-src 'none'")


def test_secrets_stay_out(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "canary-5b1f")
    page = edited(small, lambda facts: facts["config"].update(url="https://me:hunter2@host/canary-5b1f"))
    assert "canary-5b1f" not in page.source
    assert "hunter2" not in page.source


def test_halves_of_surrogate_pairs_and_control_characters_are_written(small: Path) -> None:
    edited(small, lambda facts: facts["stack"].update(name="\ud800 \x00\x1b[31m"))


# --- size -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_five_thousand_scenes_and_twenty_thousand_tasks_stay_small(tmp_path: Path) -> None:
    path = write_report(make_run_folder(tmp_path, LARGE))
    page = Page(path)
    assert path.stat().st_size < 5e6
    assert len(page.rows("table.inputs")) == LARGE.scenes + LARGE.left_out
    assert page.figures["tasks"] == [LARGE.tasks, 0]
    assert not page.all("g")  # shares of time instead of twenty thousand bars
