"""`source.min_valid_fraction` from the settings to the files: what is left out, what is read again, what is said."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from faulty_server import faulty_server
from log_folders import asked, facts_of
from run_records import hashes
from scenes_on_disk import speckle, write_boxes, write_scene
from waiting import LONG, wait_until

import runner
from runner.checkpoint.split import not_subtracted
from runner.errors import ConfigError, SourceError
from runner.settings import Over

SHAPE, BLOCK = (96, 64), 32
HOLES = [0.1, 0.8, 0.1, 0.2, 0.9, 0.1]  # the share of each scene's pixels that is missing
GOOD = [day for day, share in enumerate(HOLES, start=1) if share <= 0.5]
BAD = [day for day in range(1, 7) if day not in GOOD]
FILTER = "source.min_valid_fraction=0.5"


def write_day(folder: Path, day: int, share: float) -> Path:
    pixels = speckle(SHAPE, day, share)
    return write_scene(folder / f"S_202001{day:02}.tif", pixels, blockxsize=BLOCK, blockysize=BLOCK)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for day, share in enumerate(HOLES, start=1):
        write_day(tmp_path / "data", day, share)
    return tmp_path / "data"


def source(folder: Path, *words: str) -> list[str]:
    return ["source=local", f"source.url={folder}/**/*.tif", *words]


def run(folder: Path, *words: str) -> Path:
    runner.run([*words, f"output.dir={folder}"])
    return folder


def read_bytes(folder: Path, part: str = "fetched") -> int:
    return sum((one[part] or {}).get("bytes", 0) for one in facts_of(folder)["passes"])


def good_alone(data: Path, folder: Path, *words: str) -> Path:
    bad = ",".join(f"*202001{day:02}*" for day in BAD)
    return run(folder, *source(data, f"source.exclude=[{bad}]", *words))


def test_scenes_with_few_valid_pixels_are_left_out_and_they_alone_are_read_again(data: Path, tmp_path: Path) -> None:
    folder = run(tmp_path / "run", *source(data, FILTER))
    alone = good_alone(data, tmp_path / "good")
    assert hashes(folder) == hashes(alone)
    inputs = pd.read_parquet(folder / "inputs.parquet").set_index("scene")
    assert list(inputs.index[~inputs["used"]]) == [f"S_202001{day:02}" for day in BAD]
    assert inputs.loc["S_20200105", "reason"].startswith("source.min_valid_fraction=0.5: 0.1")
    whole = read_bytes(run(tmp_path / "all", *source(data)))
    assert read_bytes(folder, "again") == whole - read_bytes(alone)
    assert read_bytes(folder) == whole + read_bytes(folder, "again")


def test_a_share_that_no_scene_has_is_an_error_that_names_the_best(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none of 6 scenes has so many valid pixels; S_2020010\d has the most, 0\.9"):
        run(tmp_path / "run", *source(data, "source.min_valid_fraction=0.99"))


def test_the_reference_engine_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wanted null, or engine=block"):
        run(tmp_path / "run", *source(data, FILTER, "engine=xarray"))


def test_only_statistics_over_time_that_are_no_sums_have_tasks_read_once_more() -> None:
    over_time: Any = SimpleNamespace(
        over=Over.time, statistics=["mean", "std", "min", "count", "median", "last", "slope"]
    )
    over_space: Any = SimpleNamespace(over=Over.space, statistics=["max", "q95"])
    assert not_subtracted([over_time, over_space]) == ["min", "median", "last"]
    assert not_subtracted([over_space]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["stages.temporal_mean.statistics=[mean,min]"],
            ["min cannot be subtracted as sums can: tasks are read once more", "4 tasks are read without the scenes"],
        ),
        (["stages.temporal_mean.statistics=[mean]"], []),
        (["stages.temporal_mean.statistics=[min]", "fuse=false"], []),
        (["~stage@stages.temporal_mean"], []),
    ],
)
def test_a_fresh_run_speaks_of_no_kept_tasks(data: Path, tmp_path: Path, words: list[str], said: list[str]) -> None:
    logged = log_of(run(tmp_path / "run", *source(data, FILTER, "chunks.y=64", *words)))
    assert [line in logged for line in said] == [True] * len(said)
    assert not re.search("kept|left out now" if said else "kept|left out now|once more|tasks are read", logged)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["stages.temporal_mean.statistics=[mean,min,max]"],
        ["stages.temporal_mean.statistics=[median]"],
        ["stages.spatial_mean.statistics=[median,mean]", "fuse=false"],
        ["~stage@stages.spatial_mean"],
        ["~stage@stages.temporal_mean"],
        ["chunks.time=1", "chunks.y=32"],
        ["cluster=processes"],
        ["source.bbox=[499980,5299000,500500,5300040]", "source.bbox_crs=null"],
        ["stages.temporal_mean.group_by=date"],
        ["stages.temporal_mean.group_by=week", "chunks.time=2"],
        ["stages.temporal_mean.group_by=date", "stages.temporal_mean.statistics=[median,max]"],
        ["stages.temporal_mean.statistics=[mean,slope,slope_stderr]"],
        ["stages.temporal_mean.statistics=[first,last,mean]"],
        ["stages.temporal_mean.statistics=[theil_sen,mann_kendall]"],
        ["stages.temporal_mean.statistics=[cv,std]", "output.scale=db"],
        ["stage@stages.zones=zonal", "zones.file=../zones.geojson", "~stage@stages.temporal_mean"],
        [
            "stage@stages.zones=zonal",
            "zones.file=../zones.geojson",
            "stages.zones.statistics=[mean,min,var]",
            "chunks.time=2",
        ],
        ["output.layout=bands"],
    ],
    ids=" ".join,
)
def test_the_rest_is_the_same_bits_whatever_is_computed(data: Path, tmp_path: Path, words: list[str]) -> None:
    write_boxes(data.parent / "zones.geojson", [(0, 10, 48, 30), (5, 5, 70, 60)])
    words = [word.replace("../", f"{data.parent}/") for word in words]
    folder = run(tmp_path / "run", *source(data, FILTER, *words))
    assert hashes(folder) == hashes(good_alone(data, tmp_path / "good", *words))


@pytest.mark.slow
def test_a_rerun_decides_again_and_verify_takes_what_is_left(data: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", *source(data, FILTER))
    again = asked(tmp_path, "rerun", "run", "--", f"output.dir={tmp_path}/again")
    assert again.returncode == 0, again.stderr
    assert "2 of 6 scenes left out, of whose pixels fewer than 0.5 are valid" in again.stderr
    verified = asked(tmp_path, "verify", "run")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.slow
def test_an_update_reads_scenes_that_were_left_out_no_more(data: Path, tmp_path: Path) -> None:
    run(tmp_path / "run0", *source(data, FILTER, "output.keep_partials=true"))
    for number, (day, share) in enumerate([(7, 0.1), (8, 0.9), (9, 0.2)], start=1):
        new = write_day(data, day, share)
        done = asked(tmp_path, "update", f"run{number - 1}", "--", f"output.dir={tmp_path}/run{number}")
        assert done.returncode == 0, done.stderr
        twice = 2 if share > 0.5 else 1
        assert read_bytes(tmp_path / f"run{number}") <= twice * new.stat().st_size, done.stderr
    assert hashes(tmp_path / "run3") == hashes(run(tmp_path / "fresh", *source(data, FILTER)))


@pytest.mark.slow
def test_each_stack_of_an_archive_decides(tmp_path: Path) -> None:
    words = ["source.stack_by=[tile]", r'source.datetime_regex="(?P<tile>T\d+)/S_(?P<date>\d{8})"', FILTER]
    for day, share in enumerate(HOLES, start=1):
        write_day(tmp_path / "data/T1", day, share)
        write_day(tmp_path / "data/T2", day, 1 - share)
    folder = run(tmp_path / "run", *source(tmp_path / "data", *words))
    table = pd.read_parquet(folder / "spatial_mean.parquet")
    days = {tile: sorted(part["datetime"].dt.day) for tile, part in table.groupby("tile")}
    assert days == {"T1": GOOD, "T2": BAD}


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_reads_again_goes_on(data: Path, tmp_path: Path) -> None:
    bucket = tmp_path / "buckets/b"
    bucket.parent.mkdir()
    data.rename(bucket)
    with faulty_server(tmp_path / "buckets") as server:
        words = ["source=local", "source.url=s3://b/*.tif", f"source.s3.endpoint_url={server.endpoint}",
                 "source.s3.anonymous=true", "fetch.in_flight=1", "chunks.y=32", FILTER,
                 "stages.spatial_mean.cluster.threads_per_worker=1",
                 "stages.temporal_mean.cluster.threads_per_worker=1"]  # fmt: skip
        expected = hashes(run(tmp_path / "expected", *words))
        server.begin(lambda asked: None)
        server.blocks = 3 * len(HOLES) + 2
        command = [sys.executable, "-m", "runner", *words, "output.dir=run"]
        running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: "of whose pixels" in log_of(tmp_path / "run") or running.poll() is not None)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate(timeout=LONG)
        server.blocks = None
        again = asked(tmp_path, "resume", "run")
    assert again.returncode == 0, again.stderr
    assert hashes(tmp_path / "run") == expected
    assert read_bytes(tmp_path / "run") <= read_bytes(tmp_path / "expected", "again")


def log_of(folder: Path) -> str:
    return (folder / "run.log").read_text() if (folder / "run.log").exists() else ""
