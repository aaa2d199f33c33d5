"""Archives run whole on the command line: each stack as if alone, failures as rows, resume by stack and inside."""

import json
import re
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from jobs import Typed
from numba.core import event
from stac_items import collection_of, make_item, write_json
from stack_archives import BY, DAYS, Tile, damage, rows, same_results, source_words, statuses, write_archive
from typed import typed as typed_in
from waiting import LONG, wait_until

from runner.engine.tasks import run_tasks_of_bands
from runner.record.run_folder import read_run


def table(folder: Path, name: str = "spatial_mean.parquet") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.ParquetFile(folder / name).read().to_pylist()
    return found


def mean_over_time(tile: Tile, band: str) -> np.ndarray:
    """Plain numpy: the mean of what is not 0."""
    pixels = np.stack([tile.pixels(band, day) for day in DAYS]).astype(np.float64)
    seen = (pixels != 0).sum(axis=0)
    return np.where(seen, pixels.sum(axis=0) / np.maximum(seen, 1), np.nan).astype(np.float32)


def assert_right(folder: Path, tile: Tile, band: str) -> None:
    with rasterio.open(folder / f"stacks/{tile.name}_{band}/temporal_mean.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), mean_over_time(tile, band))
    means = {row["scene"]: row["mean"] for row in table(folder) if row["stack"] == f"{tile.name}_{band}"}
    assert len(means) == len(DAYS)
    for day in DAYS:
        pixels = tile.pixels(band, day).astype(np.float64)
        name = next(scene for scene in means if day in scene)
        np.testing.assert_allclose(means[name], pixels[pixels != 0].mean(), rtol=1e-12)


@pytest.mark.slow
def test_an_archive_says_that_it_compiles(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compiling(*arguments: Any) -> Any:
        with event.trigger_event("numba:compile"):  # as for pixels of which no kernel is on disk
            return run_tasks_of_bands(*arguments)

    monkeypatch.setattr("runner.engine.traced_tasks.run_tasks_of_bands", compiling)
    done = typed(*source_words(write_archive(tmp_path / "data")), BY, "output.dir=out")
    assert done.stderr.count("compiling for the first stacks, which takes some seconds once") == 1


@pytest.mark.slow
def test_a_stack_that_fails_is_a_row_the_others_are_right_and_resume_does_what_is_missing(
    typed: Typed, tmp_path: Path
) -> None:
    root, out = write_archive(tmp_path / "data"), tmp_path / "out"
    bad = Tile(1).path(root, "VV", DAYS[1])
    whole = damage(bad)
    done = typed(*source_words(root), BY, "output.dir=out", "archive.on_error=continue")
    assert done.returncode == 1
    assert "error: 1 stack failed: 10T01_VV: " in done.stderr
    assert f"{bad}: " in done.stderr
    assert "5 of 6 stacks complete; to go on, once that is fixed: " in done.stderr
    assert done.stdout == ""
    by_stack = rows(out)
    assert {name: row.status for name, row in by_stack.items() if row.status != "COMPLETED"} == {"10T01_VV": "FAILED"}
    assert str(bad) in str(by_stack["10T01_VV"].error)
    assert [(row.dtype, row.crs, row.height) for name, row in by_stack.items() if name.startswith("10T02")] == [
        ("uint16", "EPSG:32611", 112),
        ("float32", "EPSG:32611", 112),
    ]
    record = read_run(out).record
    assert (record.status, record.exit_code) == ("FAILED", 1)
    assert record.archive is not None
    assert record.archive.statuses == {"COMPLETED": 5, "FAILED": 1}
    for tile in (Tile(0), Tile(2)):
        assert_right(out, tile, "VV")
        assert_right(out, tile, "VH")
    kept = {name: (out / f"stacks/{name}/run.json").read_bytes() for name in by_stack if name != "10T01_VV"}
    bad.write_bytes(whole)
    again = typed("log", "resume", "out")
    assert again.returncode == 0, again.stderr
    assert set(statuses(out).values()) == {"COMPLETED"}
    assert {name: (out / f"stacks/{name}/run.json").read_bytes() for name in kept} == kept
    assert_right(out, Tile(1), "VV")
    assert list(table(out)[0])[:4] == ["tile", "band", "stack", "scene"]
    assert len(table(out)) == 6 * len(DAYS)
    assert "there is nothing to resume" in typed("log", "resume", "out").stdout


@pytest.mark.slow
def test_stacks_outside_of_the_box_are_left_out_and_none_has_failed(typed: Typed, tmp_path: Path) -> None:
    root, out = write_archive(tmp_path / "data"), tmp_path / "out"
    west, south, east, north = -123.0, 47.84, -122.99, 47.85
    words = [*source_words(root), BY, "source.where.band=VV", f"source.bbox=[{west},{south},{east},{north}]"]
    done = typed(*words, "output.dir=out")
    assert done.returncode == 0, done.stderr
    assert "2 of 3 stacks lie outside of source.bbox: 10T01_VV, 10T02_VV" in done.stderr
    assert "rasters: out/stacks/*/temporal_mean.tif" in done.stdout
    assert statuses(out) == {"10T00_VV": "COMPLETED", "10T01_VV": "OUTSIDE", "10T02_VV": "OUTSIDE"}
    assert [path.name for path in (out / "stacks").iterdir()] == ["10T00_VV"]
    assert "1 completed, 2 outside" in typed("log", "show", "out").stdout
    verified = typed("log", "verify", "out", "--blocks", "0")
    assert verified.returncode == 0, verified.stdout
    assert "2 stacks outside of the box, with no results" in verified.stdout
    assert typed("log", "diff", "out", "out").returncode == 0
    assert "Stacks that did not end well" not in (out / "report.html").read_text()


@pytest.mark.slow
def test_stacks_outside_stay_so_when_resumed_unless_the_box_is_another(typed: Typed, tmp_path: Path) -> None:
    root, out = write_archive(tmp_path / "data"), tmp_path / "out"
    words = [*source_words(root), BY, "source.where.band=VV", "source.bbox=[0,0,1,1]", "output.dir=out"]
    for plan in (["action=plan"], []):
        done = typed(*words, *plan)
        assert done.returncode == 1
        assert "3 of 3 stacks lie outside of source.bbox: 10T00_VV, 10T01_VV, 10T02_VV; 10T00_VV: " in done.stderr
    again = typed("log", "resume", "out")
    assert again.returncode == 1
    assert "10T00_VV: OUTSIDE, left out" not in again.stderr
    assert set(statuses(out).values()) == {"OUTSIDE"}
    assert typed("log", "resume", "out", "--", "source.bbox=null").returncode == 0
    assert set(statuses(out).values()) == {"COMPLETED"}


@pytest.mark.slow
def test_a_stack_whose_folder_was_removed_or_damaged_is_named_and_computed_again(typed: Typed, tmp_path: Path) -> None:
    words = [*source_words(write_archive(tmp_path / "data", tiles=1)), BY]
    assert typed(*words, "output.dir=out").returncode == 0
    whole = (tmp_path / "out/spatial_mean.parquet").read_bytes()
    stack = tmp_path / "out/stacks/10T00_VH"
    (stack / "run.json").write_text((stack / "run.json").read_text()[:300])
    damaged = typed("log", "resume", "out")
    assert damaged.returncode == 1
    assert "run.json cannot be read" in damaged.stderr
    assert "remove out/stacks/10T00_VH, and resume the archive" in damaged.stderr
    shutil.rmtree(stack)
    assert typed("log", "resume", "out").returncode == 0
    assert (tmp_path / "out/spatial_mean.parquet").read_bytes() == whole
    (stack / "spatial_mean.parquet").unlink()
    (tmp_path / "out/stacks.parquet").unlink()
    missing = typed("log", "resume", "out")
    assert missing.returncode == 2
    assert "10T00_VH/spatial_mean.parquet cannot be read" in missing.stderr
    assert "remove out/stacks/10T00_VH, and resume the archive" in missing.stderr


@pytest.mark.slow
def test_a_stacks_table_that_was_written_with_other_types_is_told_and_no_fault(typed: Typed, half_done: Path) -> None:
    altered = half_done / "out/stacks/10T00_VH/spatial_mean.parquet"
    table = pq.read_table(altered)
    at = table.column_names.index("scene")
    pq.write_table(table.set_column(at, "scene", table["scene"].cast(pa.large_string())), altered)
    for verb in ("resume", "verify"):
        done = typed("log", verb, "out")
        assert done.returncode
        assert "stacks/*/spatial_mean.parquet: their columns do not fit together" in done.stdout + done.stderr
        assert "fault of the runner" not in done.stderr


@pytest.mark.slow
def test_a_stack_that_is_resumed_takes_the_area_of_the_others_or_none(typed: Typed, tmp_path: Path) -> None:
    root = write_archive(tmp_path / "data", tiles=1)
    area = {"type": "Polygon", "coordinates": [[[-180, -85], [180, -85], [180, 85], [-180, 85], [-180, -85]]]}
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    assert typed(*source_words(root), BY, "source.area=area.geojson", "output.dir=out").returncode == 0
    shutil.rmtree(tmp_path / "out/stacks/10T00_VH")
    (tmp_path / "area.geojson").write_text(json.dumps(area).replace("85", "84"))
    again = typed("log", "resume", "out")
    assert again.returncode == 2
    assert "source.area=area.geojson: complete stacks, such as 10T00_VV, have other polygons" in again.stderr
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    assert typed("log", "resume", "out").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "was"),
    [
        ("mask=none", "mask.own=nodata"),
        ("source.valid_range=[0,1]", "source.valid_range=null"),
        ("source.grid=union", "source.grid=same"),
        ("stages.temporal_mean.min_count=2", "stages.temporal_mean.min_count=1"),
        ("~stage@stages.temporal_mean", "stages.temporal_mean.over=time"),
        ("stages.spatial_mean.statistics=[mean]", "stages.spatial_mean.statistics=[mean,count,valid_fraction]"),
    ],
)
def test_complete_stacks_are_not_mixed_with_stacks_of_other_settings(
    typed: Typed, half_done: Path, word: str, was: str
) -> None:
    again = typed("log", "resume", "out", "--", word)
    assert again.returncode == 2
    assert f"complete stacks, such as 10T00_VH, were computed with {was}" in again.stderr
    assert typed("log", "resume", "out").returncode == 0
    assert set(statuses(half_done / "out").values()) == {"COMPLETED"}


@pytest.mark.slow
def test_settings_that_change_no_value_are_taken_by_the_stacks_that_are_left(typed: Typed, half_done: Path) -> None:
    again = typed("log", "resume", "out", "--", "chunks=row", "output.level=2", "engine=xarray")
    assert again.returncode == 0, again.stderr
    assert set(statuses(half_done / "out").values()) == {"COMPLETED"}


@pytest.fixture
def half_done(typed: Typed, tmp_path: Path) -> Path:
    """A folder with an archive of two stacks in `out`, one of which is complete; nothing hinders the other now."""
    root = write_archive(tmp_path / "data", tiles=1)
    assert typed(*source_words(root), BY, "output.dir=out").returncode == 0
    shutil.rmtree(tmp_path / "out/stacks/10T00_VV")
    return tmp_path


@pytest.mark.slow
def test_stacks_that_lay_outside_are_tried_again_once_the_file_of_the_area_has_changed(
    typed: Typed, tmp_path: Path
) -> None:
    root = write_archive(tmp_path / "data", tiles=2)
    area = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    assert typed(*source_words(root), BY, "source.area=area.geojson", "output.dir=out").returncode == 1
    assert set(statuses(tmp_path / "out").values()) == {"OUTSIDE"}
    area["coordinates"] = [[[-180, -85], [180, -85], [180, 85], [-180, 85], [-180, -85]]]
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    again = typed("log", "resume", "out")
    assert again.returncode == 0, again.stderr
    assert set(statuses(tmp_path / "out").values()) == {"COMPLETED"}


@pytest.mark.slow
def test_complete_stacks_stay_in_the_tables_though_their_objects_are_gone(typed: Typed, tmp_path: Path) -> None:
    root, out = write_archive(tmp_path / "data", tiles=2), tmp_path / "out"
    whole = damage(Tile(1).path(root, "VV", DAYS[1]))
    assert typed(*source_words(root), BY, "archive.on_error=continue", "output.dir=out").returncode == 1
    Tile(1).path(root, "VV", DAYS[1]).write_bytes(whole)
    shutil.rmtree(root / Tile(0).name)
    again = typed("log", "resume", "out")
    assert again.returncode == 0, again.stderr
    assert "goes on with 10T00_VH, 10T00_VV as recorded, of which no object is listed any more" in again.stderr
    assert statuses(out) == dict.fromkeys(["10T00_VH", "10T00_VV", "10T01_VH", "10T01_VV"], "COMPLETED")
    assert len(table(out)) == 4 * len(DAYS)
    assert_right(out, Tile(0), "VV")


@pytest.mark.slow
def test_scales_that_items_state_and_files_do_not_are_told_once(typed: Typed, tmp_path: Path) -> None:
    root, items = write_archive(tmp_path / "data", tiles=2), []
    for tile in (Tile(0), Tile(1)):
        path = tile.path(root, "VV", DAYS[0])
        item = make_item(tile.name, assets={"red": {"href": str(path), "raster:bands": [{"scale": 0.5}]}})
        item["properties"]["tile"] = tile.name
        items.append(item)
    write_json(tmp_path / "items.json", collection_of(items))
    words = ["source=stac", "source.url=items.json", "source.asset=red", "source.stack_by=[tile]", "output.dir=out"]
    done = typed(*words)
    assert done.returncode == 0, done.stderr
    assert re.search("10T0[01]: the items of 1 of 1 scenes state a scale, .*, set source.scale=0.5\n", done.stderr)
    assert re.search("such a note as that on 10T0[01] is on 1 more stack: 10T0[01]\n", done.stderr)
    assert "set source.scale=0.5" in (tmp_path / "out/stacks/10T01/run.log").read_text()


@pytest.mark.slow
def test_the_first_failure_ends_an_archive_unless_it_shall_go_on(typed: Typed, tmp_path: Path) -> None:
    root = write_archive(tmp_path / "data", tiles=6)
    damage(Tile(0).path(root, "VV", DAYS[0]))
    done = typed(*source_words(root), BY, "output.dir=out")
    assert done.returncode == 1
    assert "archive.on_error=continue goes on with the others" in done.stderr
    ended = statuses(tmp_path / "out")
    assert ended["10T00_VV"] == "FAILED"
    assert "WAITING" in ended.values()
    again = typed("log", "resume", "out", "--", "archive.on_error=continue")
    assert again.returncode == 1
    assert sorted(statuses(tmp_path / "out").values()) == ["COMPLETED"] * 11 + ["FAILED"]


@pytest.mark.slow
def test_a_stack_leaves_what_a_run_of_it_alone_leaves(typed: Typed, tmp_path: Path) -> None:
    root = write_archive(tmp_path / "data", tiles=2)
    typed(*source_words(root), BY, "output.dir=out", "source.where.orbit=ASC", check=True)
    for tile, band in (("10T00", "VV"), ("10T01", "VH")):
        words = [f"source.where.tile={tile}", f"source.where.band={band}", "source.where.orbit=ASC"]
        typed(*source_words(root), *words, "output.dir=alone", check=True)
        stack, alone = tmp_path / f"out/stacks/{tile}_{band}", tmp_path / "alone"
        assert same_results(stack, alone, ("spatial_mean.parquet", "temporal_mean.tif", "temporal_count.tif"))
        assert {path.name for path in stack.iterdir()} == {path.name for path in alone.iterdir()}
        mine, others = (json.loads((folder / "run.json").read_text()) for folder in (stack, alone))
        assert set(mine) == set(others)
        differ = {key for key in mine["config"] if mine["config"][key] != others["config"][key]}
        assert differ == {"output"}
        assert mine["config_sha256"] == others["config_sha256"]
        assert mine["versions"] == others["versions"]
        for verb in ("verify", "rerun"):
            done = typed("log", verb, str(stack))
            assert done.returncode == 0, done.stdout + done.stderr
        shutil.rmtree(alone)


@pytest.mark.slow
def test_each_line_of_a_log_is_of_its_own_stack(typed: Typed, tmp_path: Path) -> None:
    root = write_archive(tmp_path / "data", tiles=4)
    done = typed(*source_words(root), BY, "output.dir=out", check=True)
    for stack in (tmp_path / "out/stacks").iterdir():
        events = [json.loads(line) for line in (stack / "events.jsonl").read_text().splitlines()]
        assert [event["logger"] for event in events if event["logger"] == "runner.recorded_pass"]
        assert sum("headers:" in event["event"] for event in events) == 1
    own = (tmp_path / "out/run.log").read_text()
    assert "runner.recorded_pass" not in own
    assert len(re.findall(r"^10T\d\d_V\w: 3 scenes, ", done.stderr, re.MULTILINE)) == 8
    assert "spatial_mean+temporal_mean" not in done.stderr
    assert done.stdout.splitlines() == [
        "wrote out/stacks.parquet",
        "wrote out/spatial_mean.parquet",
        "wrote out/collection.json",
        "rasters: out/stacks/*/temporal_mean.tif, out/stacks/*/temporal_count.tif",
    ]


@pytest.mark.slow
def test_the_first_stack_computes_before_others_are_prepared(typed: Typed, tmp_path: Path) -> None:
    typed(*source_words(write_archive(tmp_path / "data", tiles=4)), BY, "output.dir=out", check=True)
    runs = sorted(
        (read_run(stack).record for stack in (tmp_path / "out/stacks").iterdir()), key=lambda run: run.started
    )
    prepared = runs[0].started + timedelta(seconds=runs[0].phases["listing_seconds"] or 0)
    assert all(run.started > prepared for run in runs[1:])


class Many(NamedTuple):
    """The words of a job of many stacks, of which one fails, and its run without a break."""

    words: list[str]
    whole: Path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Many:
    folder = tmp_path_factory.mktemp("many")
    root = write_archive(folder / "data", tiles=12)
    damage(Tile(11).path(root, "VH", DAYS[0]))
    words = [*source_words(root), BY, "archive.on_error=continue"]
    assert typed_in(folder, *words, f"output.dir={folder / 'whole'}").returncode == 1
    return Many(words, folder / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "status"),
    [(signal.SIGINT, 130, "INTERRUPTED"), (signal.SIGTERM, 143, "INTERRUPTED"), (signal.SIGKILL, -9, "KILLED")],
)
def test_many_stacks_stopped_in_the_middle_and_resumed_are_those_of_a_run_without_a_break(
    typed: Typed, tmp_path: Path, many: Many, number: signal.Signals, code: int, status: str
) -> None:
    command = [sys.executable, "-m", "runner", *many.words, "output.dir=out"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: len(list((tmp_path / "out").glob("stacks/*/outputs.json"))) >= 5)
        process.send_signal(number)
        assert process.wait(LONG) == code
    stopped = read_run(tmp_path / "out")
    assert stopped.status == status
    assert stopped.record.archive is not None
    assert {"FAILED", "RUNNING"}.isdisjoint(statuses(tmp_path / "out").values())
    assert not list((tmp_path / "out").glob("stacks/*/.temporal*")) or status == "KILLED"
    assert typed("log", "resume", "out").returncode == 1
    assert sorted(statuses(tmp_path / "out").values()) == ["COMPLETED"] * 23 + ["FAILED"]
    assert (tmp_path / "out/spatial_mean.parquet").read_bytes() == (many.whole / "spatial_mean.parquet").read_bytes()
    complete = [name for name, of_stack in statuses(tmp_path / "out").items() if of_stack == "COMPLETED"]
    for name in complete:
        assert same_results(tmp_path / f"out/stacks/{name}", many.whole / "stacks" / name)
    for tile in (Tile(0), Tile(7), Tile(10)):
        assert_right(tmp_path / "out", tile, "VV")


@pytest.mark.slow
def test_worker_processes_are_shared_by_all_stacks(typed: Typed, tmp_path: Path) -> None:
    root = write_archive(tmp_path / "data")
    typed(*source_words(root), BY, "output.dir=threads", check=True)
    cluster = ["cluster@stages.temporal_mean.cluster=processes", "stages.temporal_mean.cluster.n_workers=1"]
    done = typed(*source_words(root), BY, "output.dir=processes", *cluster)
    assert done.returncode == 0, done.stderr
    for stack in (tmp_path / "threads/stacks").iterdir():
        assert same_results(stack, tmp_path / "processes/stacks" / stack.name)
    passes = [read_run(folder).record.passes for folder in (tmp_path / "processes/stacks").iterdir()]
    assert len({of_time.cluster.address for _, of_time in passes}) == 1
