"""`python -m runner.log diff`, as typed: what differs is named, with where and by how much."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from log_folders import altered_pixel, ask, asked, change, complete, facts_of, run, write_run
from rasterio.transform import from_origin
from scenes_on_disk import speckle, write_scene

from runner.compare.spread import Spread


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of four scenes below outputs/: plain, cut (otherwise), unmasked, and replaced (one scene of it)."""
    cwd = tmp_path_factory.mktemp("runs")
    scenes = [write_scene(cwd / f"data/S1A_2020010{at}.tif", speckle((300, 500), seed=at)) for at in range(1, 5)]
    source = ("source=local", f"source.url={cwd}/data/*.tif")
    for name, words in (("plain", []), ("cut", ["chunks=block"]), ("unmasked", ["mask=none"])):
        complete(cwd / run_into(cwd, f"outputs/{name}", *source, *words))
    write_scene(scenes[2], speckle((300, 500), seed=9))
    complete(cwd / run_into(cwd, "outputs/replaced", *source))
    return cwd


def run_into(cwd: Path, folder: str, *words: str) -> str:
    run(cwd, *words, f"output.dir={folder}")
    return folder


def copied(cwd: Path, name: str, to: Path) -> Path:
    shutil.copytree(cwd / "outputs" / name, to)
    return to


def test_a_run_is_the_same_as_itself(runs: Path) -> None:
    done = ask(runs, "diff", "plain", "plain")
    assert done.returncode == 0, done.stdout
    assert "values: the same bits in all 5 statistics" in done.stdout
    assert "inputs: the same 4 objects in the same order" in done.stdout


def test_runs_cut_otherwise_differ_in_config_alone(runs: Path) -> None:
    done = asked(runs, "diff", "plain", "cut")
    assert done.returncode == 1
    changed = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith("chunks.")}
    assert changed == {"chunks.time": ["auto", "1"], "chunks.y": ["auto", "block"], "chunks.x": ["auto", "block"]}
    assert "values: the same bits in all 5 statistics" in done.stdout


def test_some_sections_alone_can_be_asked_for(runs: Path) -> None:
    assert asked(runs, "diff", "plain", "cut", "--only", "values,inputs").returncode == 0


def test_values_are_compared_themselves_where_there_are_no_digests(runs: Path, tmp_path: Path) -> None:
    older = copied(runs, "cut", tmp_path / "older")
    (older / "outputs.json").unlink()
    done = asked(runs, "diff", "plain", older, "--only", "values")
    assert done.returncode == 0, done.stdout
    assert (
        "outputs.json is missing: run it again with this version, which writes it; the values themselves" in done.stdout
    )


def test_a_changed_mask_is_named_with_the_largest_difference_and_its_place(runs: Path) -> None:
    done = asked(runs, "diff", "plain", "unmasked")
    assert done.returncode == 1
    assert re.search(r"^mask\.own +nodata +none", done.stdout, re.MULTILINE)
    with rasterio.open(runs / "outputs/plain/temporal_mean.tif") as plain:
        a, place = plain.read(1).astype(float), plain.xy
    with rasterio.open(runs / "outputs/unmasked/temporal_mean.tif") as unmasked:
        b = unmasked.read(1).astype(float)
    apart = np.abs(a - b)
    row, column = np.unravel_index(np.nanargmax(apart), apart.shape)
    x, y = place(row, column)
    (line,) = (line for line in done.stdout.splitlines() if "temporal_mean: mean" in line)
    assert f"{np.count_nonzero(a != b):,} of 150,000 pixels differ" in line
    assert f"at most by {apart[row, column]:.6g}, at row {row}, column {column} (x {x:.10g}, y {y:.10g})" in line
    assert f"{a[row, column]:.9g} and {b[row, column]:.9g}" in line
    single = np.isnan(a) & ~np.isnan(b)
    first = np.argwhere(single)[0]
    assert f"{single.sum():,} are missing in one of both, the first at row {first[0]}, column {first[1]}" in line


def test_tables_are_compared_scene_by_scene(runs: Path) -> None:
    done = asked(runs, "diff", "plain", "unmasked", "--only", "values")
    a, b = (pd.read_parquet(runs / f"outputs/{name}/spatial_mean.parquet") for name in ("plain", "unmasked"))
    at = (a["mean"] - b["mean"]).abs().argmax()
    (line,) = (line for line in done.stdout.splitlines() if "spatial_mean: mean" in line)
    assert "4 of 4 scenes differ" in line
    assert f"at {a['href'][at]}: {a['mean'][at]:.9g} and {b['mean'][at]:.9g}" in line


def test_a_replaced_object_is_named_with_both_etags(runs: Path) -> None:
    done = asked(runs, "diff", "plain", "replaced", "--only", "inputs")
    assert done.returncode == 1
    etags = [pd.read_parquet(runs / f"outputs/{name}/inputs.parquet")["etag"][2] for name in ("plain", "replaced")]
    (line,) = (line for line in done.stdout.splitlines() if "S1A_20200103.tif" in line)
    assert line.split()[1:] == ["ETag", etags[0], "ETag", etags[1]]


def test_one_altered_pixel_is_found_at_its_place(runs: Path, tmp_path: Path) -> None:
    other = copied(runs, "plain", tmp_path / "other")
    altered_pixel(other / "temporal_mean.tif", 123, 45)
    (other / "outputs.json").unlink()
    done = asked(runs, "diff", "plain", other)
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("values: temporal"))
    assert line.startswith(
        "values: temporal_mean: mean: 1 of 150,000 pixels differ; at most by 1, at row 123, column 45 "
    )


@pytest.mark.parametrize(
    ("altered", "text"),
    [
        (
            lambda folder: altered_pixel(folder / "temporal_mean.tif", 123, 45),
            "temporal_mean.tif has changed since it was written; as written, the values were the same bits; "
            "1 of 150,000 pixels differ; at most by 1, at row 123, column 45 ",
        ),
        (
            lambda folder: (folder / "temporal_mean.tif").unlink(),
            "temporal_mean.tif is gone; as written, the values were the same bits; so they cannot be compared",
        ),
        (
            lambda folder: other_mean(folder / "spatial_mean.parquet"),
            "spatial_mean.parquet has changed since it was written; as written, the values were the same bits; "
            "1 of 4 scenes differ; at most by ",
        ),
        (
            lambda folder: (folder / "spatial_mean.parquet").write_bytes(b""),
            "spatial_mean.parquet has changed since it was written; as written, the values were the same bits; "
            "so they cannot be compared",
        ),
    ],
    ids=["a pixel", "a raster that is gone", "a row", "a table cut off"],
)
def test_a_result_that_is_no_longer_what_was_written_is_named_whatever_its_digest(
    runs: Path, tmp_path: Path, altered: Callable[[Path], object], text: str
) -> None:
    other = copied(runs, "plain", tmp_path / "other")
    altered(other)
    for words in (("plain", other), (other, "plain")):
        done = asked(runs, "diff", *words, "--only", "values")
        assert done.returncode == 1
        assert f": mean: {other}/{text}" in done.stdout
        assert "the same bits in all" not in done.stdout


def other_mean(path: Path) -> None:
    table = pd.read_parquet(path)
    table.loc[1, "mean"] += 1e-6
    table.to_parquet(path)


def test_a_file_that_was_altered_around_its_values_is_named(runs: Path, tmp_path: Path) -> None:
    other = copied(runs, "plain", tmp_path / "other")
    with rasterio.open(other / "temporal_mean.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        raster.update_tags(units="dB")
    done = asked(runs, "diff", "plain", other, "--only", "values")
    assert done.returncode == 1
    assert done.stdout.count("has changed since it was written") == 1
    assert "what they hold now is the same bits" in done.stdout


@pytest.mark.parametrize("moved", [{"transform": from_origin(500000, 5300040, 20, 20)}, {"crs": "EPSG:32611"}])
def test_equal_pixels_in_another_place_are_no_same_values(runs: Path, tmp_path: Path, moved: dict[str, Any]) -> None:
    other = copied(runs, "plain", tmp_path / "other")
    with rasterio.open(other / "temporal_mean.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        for name, value in moved.items():
            setattr(raster, name, value)
    written_so(other, "temporal_mean.tif")
    done = asked(runs, "diff", "plain", other, "--only", "values")
    assert done.returncode == 1
    assert done.stdout.splitlines()[2:] == ["values: temporal_mean: mean: they lie on other grids"]


def test_equal_columns_of_other_scenes_are_no_same_values(runs: Path, tmp_path: Path) -> None:
    other = copied(runs, "plain", tmp_path / "other")
    table = pd.read_parquet(other / "spatial_mean.parquet")
    table.assign(href="s3://elsewhere/" + table["scene"]).to_parquet(other / "spatial_mean.parquet")
    written_so(other, "spatial_mean.parquet")
    done = asked(runs, "diff", "plain", other, "--only", "values")
    assert done.returncode == 1
    assert "values: spatial_mean: mean: scenes in one table only: 8" in done.stdout
    assert "temporal_mean" not in done.stdout


def written_so(folder: Path, name: str) -> None:
    """Let outputs.json say that the file was written as it is now; its values are what they were."""
    outputs = json.loads((folder / "outputs.json").read_text())
    (file,) = (file for file in outputs["files"] if file["name"] == name)
    file["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "outputs.json").write_text(json.dumps(outputs))


def test_a_changed_package_version_is_named(runs: Path, tmp_path: Path) -> None:
    other = copied(runs, "plain", tmp_path / "other")
    change(other, versions={**facts_of(other)["versions"], "numpy": "1.0.0"})
    done = asked(runs, "diff", "plain", other)
    assert done.returncode == 1
    assert re.search(rf"^numpy +{np.__version__} +1\.0\.0", done.stdout, re.MULTILINE)


def test_a_run_without_results_differs_from_one_that_has_them(runs: Path, tmp_path: Path) -> None:
    failed = change(copied(runs, "plain", tmp_path / "failed"), status="FAILED")
    done = asked(runs, "diff", "plain", failed, "--only", "values")
    assert done.returncode == 1
    assert re.search(r"^results +COMPLETED +FAILED", done.stdout, re.MULTILINE)


def test_what_cannot_be_compared_is_trouble_and_no_difference(runs: Path, tmp_path: Path) -> None:
    broken = copied(runs, "plain", tmp_path / "broken")
    (broken / "outputs.json").unlink()
    (broken / "temporal_mean.tif").write_bytes(b"no raster")
    for words, problem in (
        (("plain", "nowhere"), "nowhere: no folder, and no run below outputs/"),
        (("plain", broken), "temporal_mean.tif cannot be read"),
        (("plain", "plain", "--only", "value"), "wanted some of config, code, kernels"),
        (("plain",), "the following arguments are required: B"),
    ):
        done = ask(runs, "diff", *words)
        assert done.returncode == 2
        assert problem in done.stderr
        assert "Traceback" not in done.stderr


# --- folders written by hand ------------------------------------------------------------------------------------------


def differing(tmp_path: Path, section: str, a: dict[str, Any], b: dict[str, Any]) -> tuple[int, str]:
    for name, facts in (("a", a), ("b", b)):
        write_run(tmp_path / f"outputs/{name}", **facts)
    done = ask(tmp_path, "diff", "a", "b", "--only", section)
    return done.returncode, done.stdout


DIRTY = {"commit": "c0ffee", "dirty": True, "diff": "+ one line\n", "diff_cut": False}


@pytest.mark.parametrize(
    ("a", "b", "code", "text"),
    [
        ({"commit": "c0ffee", "dirty": False}, {"commit": "decade", "dirty": False}, 1, r"commit +c0ffee +decade"),
        ({"commit": "c0ffee", "dirty": False}, None, 1, r"commit +c0ffee +installed"),
        ({"commit": "c0ffee", "dirty": False}, DIRTY, 1, r"uncommitted changes +none +1 lines, sha256 \w{12}"),
        (DIRTY, DIRTY, 0, "code: commit c0ffee"),
        (DIRTY, {**DIRTY, "diff": "+ another\n"}, 1, r"uncommitted changes +1 lines"),
        ({**DIRTY, "diff_cut": True}, {**DIRTY, "diff_cut": True}, 0, "were not recorded whole"),
        ({"commit": "c0ffee", "dirty": True}, {"commit": "c0ffee", "dirty": True}, 0, "were not recorded whole"),
        (None, None, 0, "code: installed"),
    ],
)
def test_code_is_compared_by_commit_and_uncommitted_changes(
    tmp_path: Path, a: dict[str, Any], b: dict[str, Any], code: int, text: str
) -> None:
    returncode, stdout = differing(tmp_path, "code", {"code": a}, {"code": b})
    assert returncode == code
    assert re.search(text, stdout)


@pytest.mark.slow
@pytest.mark.parametrize(("b", "code", "text"), [("2", 1, r"kernels +1 +2"), (None, 0, "not recorded by both")])
def test_versions_of_the_arithmetic_are_compared_where_known(tmp_path: Path, b: str, code: int, text: str) -> None:
    returncode, stdout = differing(tmp_path, "kernels", {}, {"kernels": b})
    assert returncode == code
    assert re.search(text, stdout)


def write_inputs(folder: Path, rows: list[tuple[str, bool, str]]) -> None:
    """inputs.parquet of (href, used, etag)."""
    day = datetime(2020, 1, 6, tzinfo=UTC)
    table = [
        {"href": href, "scene": href[-1], "datetime": day, "used": used, "reason": None if used else "beyond",
         "size": 10, "etag": etag, "modified": day}
        for href, used, etag in rows
    ]  # fmt: skip
    pd.DataFrame(table).to_parquet(folder / "inputs.parquet")


A, B = ("s3://b/a", True, "1"), ("s3://b/b", True, "2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [
        ([A], [A, B], r"s3://b/b +not there +used, ETag 2"),
        ([A, B], [B], r"s3://b/a +used, ETag 1 +not there"),
        ([A, B], [A, ("s3://b/b", False, "2")], r"s3://b/b +used, ETag 2 +left out: beyond"),
        ([A, B], [A, ("s3://b/b", True, "3")], r"s3://b/b +ETag 2 +ETag 3"),
        ([A, B], [B, A], r"order, from scene 1 on +s3://b/a +s3://b/b"),
        ([A, B], [A, B], "inputs: the same 2 objects in the same order"),
        ([A, ("s3://b/b", False, "2")], [A, ("s3://b/b", False, "3")], "inputs: the same 1 object "),
        ([("s3://b/a", True, None)], [("s3://b/a", True, None)], "inputs: the same 1 object "),
    ],
    ids=["added", "removed", "left out", "changed", "order", "same", "unused", "no ETags"],
)
def test_inputs_are_compared_object_by_object(tmp_path: Path, ours: list[Any], theirs: list[Any], text: str) -> None:
    for name, rows in (("a", ours), ("b", theirs)):
        write_inputs(write_run(tmp_path / f"outputs/{name}"), rows)
    done = asked(tmp_path, "diff", "a", "b", "--only", "inputs")
    assert re.search(text, done.stdout), done.stdout
    assert done.returncode == int("same" not in text)


@pytest.mark.slow
def test_many_differences_are_shown_in_part_unless_all_are_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_inputs(
            write_run(tmp_path / f"outputs/{name}"), [(f"s3://b/{at}", True, f"{name}{at}") for at in range(30)]
        )
    done = asked(tmp_path, "diff", "a", "b", "--only", "inputs")
    assert done.stdout.count("s3://b/") == 20
    assert "inputs: and 10 more; diff --all shows them" in done.stdout
    assert asked(tmp_path, "diff", "a", "b", "--only", "inputs", "--all").stdout.count("s3://b/") == 30


# --- how far apart ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_parts_taken_in_turn_give_what_the_whole_gives() -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=(50, 7)).astype(np.float32)
    b = np.where(random.random(a.shape) < 0.1, a + random.normal(size=a.shape), a).astype(np.float32)
    a[random.random(a.shape) < 0.05] = np.nan
    whole, parts = Spread().with_part(a, b, 0), Spread()
    for top in range(0, 50, 8):
        parts = parts.with_part(a[top : top + 8], b[top : top + 8], top)
    assert parts == whole
    assert whole.unequal == np.count_nonzero((a != b) & ~(np.isnan(a) & np.isnan(b)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("a", "b", "absolute", "relative"),
    [
        ([0.0], [-0.0], 0, 0),
        ([0.0], [1e-300], 1e-300, 1),
        ([np.inf], [1.0], np.inf, np.inf),
        ([1.0, 100.0], [2.0, 103.0], 3, 0.5),
    ],
)
def test_the_largest_differences_by_either_measure(
    a: list[float], b: list[float], absolute: float, relative: float
) -> None:
    spread = Spread().with_part(np.array(a), np.array(b), 0)
    assert spread.absolute is not None
    assert spread.relative is not None
    assert (spread.absolute.size, spread.relative.size) == (absolute, relative)
