"""A run with zones by the command line: its table, verified, done again and resumed, here and by worker processes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import Typed
from scenes_on_disk import speckle, write_scene
from zone_files import feature, star, write_zones

pytestmark = pytest.mark.slow  # each starts several runs

ZONAL = ("source=local", "source.url=data/*.tif", "stage@stages.zones=zonal")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for day in (1, 2, 3):
        write_scene(tmp_path / f"data/2020010{day}.tif", speckle((300, 260), seed=day), blockxsize=64, blockysize=64)
    random = np.random.default_rng(4)
    middles = [(40, 50), (60, 60), (200, 250), (-900, 0), (258, 10)]
    features = [feature(star(random, middle, 40), name=f"z{number}") for number, middle in enumerate(middles)]
    write_zones(tmp_path / "zones.geojson", features)
    return tmp_path


def test_a_table_has_a_row_for_each_scene_and_zone_and_can_be_verified(typed: Typed, folder: Path) -> None:
    words = (*ZONAL, "zones.file=zones.geojson", "zones.id=name", "output.dir=out")
    done = typed(*words)
    assert done.returncode == 0, done.stderr
    assert "zones.file=zones.geojson: 5 zones of" in done.stderr
    assert "1 lies wholly beyond it and has no rows: z3" in done.stderr
    table = pd.read_parquet(folder / "out/zones.parquet")
    assert [*table.columns] == ["stack", "scene", "href", "datetime", "zone", "mean", "count", "coverage"]
    assert table["zone"].tolist() == ["z0", "z1", "z2", "z4"] * 3
    assert table["datetime"].is_monotonic_increasing
    page = (folder / "out/report.html").read_text()
    assert " by zone" in page
    assert "mean of all scenes by zone" in page
    done = typed("log", "verify", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "zones: coverage: 3 of 3 scenes computed again, 12 values as stored" in done.stdout
    by_processes = typed(*words[:-1], "cluster=processes", "cluster.n_workers=2", "chunks=block", "output.dir=others")
    assert by_processes.returncode == 0, by_processes.stderr
    assert (folder / "out/zones.parquet").read_bytes() == (folder / "others/zones.parquet").read_bytes()
    assert "values: the same bits in all 8 statistics" in typed("log", "diff", "out", "others").stdout


def move(zones: Path) -> None:
    """Give a zone of a file another outline."""
    content = json.loads(zones.read_text())
    content["features"][0]["geometry"]["coordinates"][0][1][0] += 60
    zones.write_text(json.dumps(content))


def test_zones_that_changed_are_refused_when_a_run_is_done_again_and_verified(typed: Typed, folder: Path) -> None:
    assert not typed(*ZONAL, "zones.file=zones.geojson", "output.dir=out").returncode
    assert len(json.loads((folder / "out/run.json").read_text())["stack"]["zones_sha256"]) == 64
    before = (folder / "zones.geojson").read_bytes()
    move(folder / "zones.geojson")
    changed = "zones.file=zones.geojson: its polygons have changed since they were recorded"
    others = "zones.file=zones.geojson: its polygons are not those of out"
    done = typed("log", "rerun", "out")
    assert done.returncode == 1
    assert changed in done.stderr
    assert others in typed("log", "verify", "out").stdout
    done = typed("log", "rerun", "out", "--unpinned")
    assert "zones.file  polygons of SHA-256" in done.stdout
    (folder / "before.geojson").write_bytes(before)
    done = typed("log", "verify", "out", "--", "zones.file=before.geojson")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_archive_is_not_resumed_with_other_zones_than_its_complete_stacks_have(typed: Typed, folder: Path) -> None:
    whole = (folder / "data/20200102.tif").read_bytes()
    for day in (1, 2):
        (folder / f"data/B_2020010{day}.tif").write_bytes(whole[: len(whole) // 2])
        (folder / f"data/A_2020010{day}.tif").write_bytes(whole)
    words = ("source=local", "source.url=data/?_*.tif", r"source.datetime_regex=(?P<tile>\w)_(?P<date>\d{8})")
    words += ("source.stack_by=[tile]", "archive.on_error=continue", ZONAL[2], "zones.file=zones.geojson")
    assert typed(*words, "output.dir=out").returncode == 1
    for day in (1, 2):
        (folder / f"data/B_2020010{day}.tif").write_bytes(whole)
    before = (folder / "zones.geojson").read_bytes()
    move(folder / "zones.geojson")
    for _ in range(2):  # a refused attempt leaves the digest
        done = typed("log", "resume", "out")
        assert "complete stacks, such as A, have other polygons" in done.stderr
    (folder / "zones.geojson").rename(folder / "moved.geojson")
    (folder / "zones.geojson").write_bytes(before)
    for file in ("moved.geojson", "nothing.geojson"):
        assert typed("log", "resume", "out", "--", f"zones.file={file}").returncode == 2
    done = typed("log", "resume", "out")  # a refused override is forgotten
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(folder / "out/zones.parquet")
    of_stacks = [table[table["tile"] == tile]["mean"].tolist() for tile in "AB"]
    assert of_stacks[0] == of_stacks[1]


def test_an_archive_says_once_that_its_zones_have_changed(typed: Typed, folder: Path) -> None:
    for name in "AB":
        for day in (1, 2):
            whole = (folder / f"data/2020010{day}.tif").read_bytes()
            (folder / f"data/{name}_2020010{day}.tif").write_bytes(whole)
    words = ("source=local", "source.url=data/?_*.tif", r"source.datetime_regex=(?P<tile>\w)_(?P<date>\d{8})")
    words += ("source.stack_by=[tile]", ZONAL[2], "zones.file=zones.geojson", "output.keep_partials=true")
    assert typed(*words, "output.dir=out").returncode == 0
    move(folder / "zones.geojson")
    done = typed("log", "verify", "out")
    assert done.returncode == 1
    assert done.stdout.count("zones.file=zones.geojson: its polygons are not those of out") == 1
    assert "no value is computed again, and files alone are checked" in done.stdout
    assert "ok       A: " in done.stdout
    anew = "its polygons are not those of out, so that stages over zones and those that read with them read all scenes"
    for update in (("log", "update", "out"), (*words, "reuse=out", "action=plan")):
        assert typed(*update).stderr.count(anew) == 1


@pytest.mark.parametrize("ending", ["gpkg", "parquet", "shp"])
def test_other_formats_in_another_crs_have_the_same_zones(typed: Typed, folder: Path, ending: str) -> None:
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.read_file(folder / "zones.geojson")
    moved = frame.set_geometry(frame.segmentize(20)).to_crs("EPSG:32611")
    path = folder / f"zones.{ending}"
    moved.to_parquet(path) if ending == "parquet" else moved.to_file(path, engine="pyogrio")
    only = ("~stage@stages.spatial_mean", "~stage@stages.temporal_mean", "zones.id=name")
    assert not typed(*ZONAL, *only, "zones.file=zones.geojson", "output.dir=out").returncode
    done = typed(*ZONAL, *only, f"zones.file={path.name}", "output.dir=moved")
    assert done.returncode == 0, done.stderr
    wanted, found = (pd.read_parquet(folder / name / "zones.parquet") for name in ("out", "moved"))
    pd.testing.assert_frame_equal(wanted, found, rtol=0.05)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("zones.file=none.geojson",), "zones.file=none.geojson: there is no such file"),
        ((), "zones.file has no value: give it one, such as zones.file=fields.geojson"),
        (("zones.file=zones.geojson", "zones.id=nam"), "it has no column 'nam'; it has name"),
        (("zones.file=zones.geojson", "engine=xarray"), "engine=xarray has no zones"),
        (
            ("zones.file=zones.geojson", "stages.zones.statistics=[median]", "chunks=block"),
            "chunks=block: median of stages.zones needs whole scenes; add stages.zones.chunks=scene",
        ),
    ],
)
def test_what_cannot_be_is_one_line(typed: Typed, folder: Path, words: tuple[str, ...], message: str) -> None:
    done = typed(*ZONAL, *words, "output.dir=out")
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_zones_that_nothing_uses_is_refused(typed: Typed, folder: Path) -> None:
    done = typed(*ZONAL[:2], "zones.file=zones.geojson")
    assert (
        "zones.file=zones.geojson: wanted null, or a stage over zones with it: stage@stages.zones=zonal" in done.stderr
    )
