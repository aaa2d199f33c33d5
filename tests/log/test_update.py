"""`log update` and `reuse=RUN`, as typed: new scenes are read, the sums of the others are taken over."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_server import faulty_server
from log_folders import asked, facts_of, write_run
from run_records import fetched, hashes
from scenes_on_disk import speckle, write_scene
from waiting import LONG, wait_until

import runner

SHAPE, BLOCK = (96, 64), 32
KEPT = "output.keep_partials=true"


def write_day(folder: Path, day: int, seed: int = 0) -> Path:
    name = f"S_2020{1 + day // 28:02}{1 + day % 28:02}.tif"
    return write_scene(folder / name, speckle(SHAPE, seed or day + 1), blockxsize=BLOCK, blockysize=BLOCK)


def source(folder: Path, *words: str) -> list[str]:
    return ["source=local", f"source.url={folder}/**/*.tif", *words]


def planned(folder: Path) -> int:
    return sum(one["planned"]["stored_bytes"] for one in facts_of(folder)["passes"])


def fresh(folder: Path, cwd: Path, *words: str) -> dict[str, str]:
    """The values of a run that reuses nothing."""
    runner.run([*source(folder, *words), f"output.dir={cwd}/fresh"])
    return hashes(cwd / "fresh")


@pytest.mark.slow
def test_five_new_scenes_of_105_are_all_that_is_read(tmp_path: Path) -> None:
    for day in range(100):
        write_day(tmp_path / "data", day)
    runner.run([*source(tmp_path / "data", KEPT), f"output.dir={tmp_path}/first"])
    for day in (100, 101, 102, 103, 104):
        write_day(tmp_path / "data", day)
    plan = runner.plan([*source(tmp_path / "data"), f"reuse={tmp_path}/first"])
    done = asked(tmp_path, "update", "first", "--", f"output.dir={tmp_path}/second")
    assert done.returncode == 0, done.stderr
    assert ": 5 of 105 scenes; " in done.stderr
    assert hashes(tmp_path / "second") == fresh(tmp_path / "data", tmp_path)
    assert fetched(tmp_path / "second") <= 0.08 * fetched(tmp_path / "fresh")
    assert fetched(tmp_path / "second") == planned(tmp_path / "second") == plan.stored_bytes


def drop(folder: Path) -> None:
    (folder / "S_20200103.tif").unlink()


def change(folder: Path) -> None:
    write_day(folder, 2, seed=99)


def add_within(folder: Path) -> None:
    write_scene(folder / "S_20200102T120000.tif", speckle(SHAPE, 77), blockxsize=BLOCK, blockysize=BLOCK)


CHANGES: list[tuple[Callable[[Path], Any], list[str], str]] = [
    (drop, [], "S_20200103.tif is left out now"),
    (change, [], "S_20200103.tif has changed: it was "),
    (add_within, [], ": 1 of 13 scenes; "),
    (lambda _: None, ["mask=none"], "3 kept tasks are computed again: "),
    (lambda _: None, ["source.valid_range=[0,0.1]"], "source.valid_range was None and is "),
    (lambda _: None, ["stages.temporal_mean.statistics=[mean,std]"], "statistics over time now need squares"),
    (lambda _: None, ["stages.temporal_mean.statistics=[median]"], "statistics over time now need all values"),
    (lambda _: None, ["chunks.y=32", "chunks.time=5"], ": 0 of 12 scenes; "),
]


@pytest.mark.slow
@pytest.mark.parametrize(("act", "words", "said"), CHANGES)
def test_an_update_is_the_same_bits_and_says_what_it_reads_again(
    tmp_path: Path, act: Callable[[Path], Any], words: list[str], said: str
) -> None:
    for day in range(12):
        write_day(tmp_path / "data", day)
    runner.run([*source(tmp_path / "data", KEPT, "output.kept_scenes=4"), f"output.dir={tmp_path}/first"])
    act(tmp_path / "data")
    done = asked(tmp_path, "update", "first", "--", f"output.dir={tmp_path}/second", *words)
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert hashes(tmp_path / "second") == fresh(tmp_path / "data", tmp_path, *words)


@pytest.mark.slow
def test_a_chain_of_updates_needs_the_last_run_alone(tmp_path: Path) -> None:
    for day in range(6):
        write_day(tmp_path / "data", day)
    runner.run([*source(tmp_path / "data", KEPT), f"output.dir={tmp_path}/run0"])
    for number, day in enumerate((6, 7, 8), start=1):
        write_day(tmp_path / "data", day)
        done = asked(tmp_path, "update", f"run{number - 1}", "--", f"output.dir={tmp_path}/run{number}")
        assert done.returncode == 0, done.stderr
        assert f": 1 of {day + 1} scenes; " in done.stderr
        for file in (tmp_path / f"run{number - 1}/partials").iterdir():
            file.unlink()
    assert hashes(tmp_path / "run3") == fresh(tmp_path / "data", tmp_path)


# --- archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_stack_of_an_archive_reuses_the_one_of_its_name(tmp_path: Path) -> None:
    words = ["source.stack_by=[tile]", r'source.datetime_regex="(?P<tile>T\d+)/S_(?P<date>\d{8})"']
    for tile in ("T1", "T2"):
        for day in range(6):
            write_day(tmp_path / "data" / tile, day, seed=10 * day + int(tile[1]))
    runner.run([*source(tmp_path / "data", *words, KEPT), f"output.dir={tmp_path}/first"])
    write_day(tmp_path / "data/T1", 6)
    write_day(tmp_path / "data/T3", 6)
    plan = runner.plan([*source(tmp_path / "data", *words), f"reuse={tmp_path}/first"])
    done = asked(tmp_path, "update", "first", "--", f"output.dir={tmp_path}/second")
    assert done.returncode == 0, done.stderr
    assert "2 of 3 stacks reuse first; all is read of T3" in done.stderr
    runner.run([*source(tmp_path / "data", *words), f"output.dir={tmp_path}/fresh"])
    bytes_of = {tile: fetched(tmp_path / f"second/stacks/{tile}") for tile in ("T1", "T2", "T3")}
    for tile in bytes_of:
        folders = [tmp_path / run / "stacks" / tile for run in ("second", "fresh")]
        assert hashes(folders[0]) == hashes(folders[1])
    assert bytes_of["T2"] == 0
    assert bytes_of["T1"] < 0.2 * fetched(tmp_path / "fresh/stacks/T1")
    assert sum(bytes_of.values()) == plan.stored_bytes
    assert facts_of(tmp_path / "second/stacks/T1")["config"]["reuse"] == f"{tmp_path}/first/stacks/T1"


@pytest.mark.slow
def test_an_archive_of_which_nothing_is_new_is_put_together_by_the_driver_of_processes(tmp_path: Path) -> None:
    words = ["source.stack_by=[tile]", r'source.datetime_regex="(?P<tile>T\d+)/S_(?P<date>\d{8})"', KEPT]
    for tile in ("T1", "T2"):
        for day in range(3):
            write_day(tmp_path / "data" / tile, day, seed=10 * day + int(tile[1]))
    runner.run([*source(tmp_path / "data", *words), f"output.dir={tmp_path}/first"])
    done = asked(tmp_path, "update", "first", "--", f"output.dir={tmp_path}/second", "cluster=processes")
    assert done.returncode == 0, done.stderr
    for tile in ("T1", "T2"):
        assert fetched(tmp_path / "second/stacks" / tile) == 0
        assert hashes(tmp_path / "second/stacks" / tile) == hashes(tmp_path / "first/stacks" / tile)


# --- a break ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_update_that_was_stopped_goes_on_with_what_it_reuses(tmp_path: Path, number: int) -> None:
    bucket = tmp_path / "buckets/b"
    for day in range(8):
        write_day(bucket, day)
    with faulty_server(tmp_path / "buckets") as server:
        words = ["source=local", "source.url=s3://b/*.tif", f"source.s3.endpoint_url={server.endpoint}",
                 "source.s3.anonymous=true", "fetch.in_flight=1", "chunks.y=32", "chunks.time=1", "decode.inflate=auto",
                 "stages.spatial_mean.cluster.threads_per_worker=1",
                 "stages.temporal_mean.cluster.threads_per_worker=1"]  # fmt: skip
        runner.run([*words, KEPT, f"output.dir={tmp_path}/first"])
        for day in (8, 9, 10):
            write_day(bucket, day)
        server.begin(lambda asked: None)
        server.blocks = 6
        update = [sys.executable, "-m", "runner.log", "update", "first", "--", "output.dir=second"]
        running = subprocess.Popen(update, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: list((tmp_path / "second").glob("partials/[!.]*.task")) or running.poll() is not None)
        os.kill(running.pid, number)
        _, said = running.communicate(timeout=LONG)
        server.blocks = None
        assert list((tmp_path / "second/partials").glob("[!.]*.task")), said
        again = asked(tmp_path, "resume", "second")
        assert again.returncode == 0, again.stderr
        runner.run([*words, f"output.dir={tmp_path}/fresh"])
        assert hashes(tmp_path / "second") == hashes(tmp_path / "fresh")
        assert fetched(tmp_path / "second") < 0.25 * fetched(tmp_path / "fresh")
        write_day(bucket, 11)
        last = asked(tmp_path, "update", "second", "--", "output.dir=third")
    assert ": 1 of 12 scenes; " in last.stderr


# --- what cannot be reused --------------------------------------------------------------------------------------------


def test_a_run_that_kept_nothing_is_refused_with_the_way_to_one_that_does(tmp_path: Path) -> None:
    write_run(tmp_path / "outputs/first")
    done = asked(tmp_path, "update", "first")
    assert done.returncode == 2
    assert "that run kept no finished tasks; do it again so that it keeps them: " in done.stderr
    assert done.stderr.rstrip().endswith("log rerun outputs/first -- output.keep_partials=true")


@pytest.mark.parametrize(
    ("status", "said"), [("RUNNING", "that run is running, as process "), ("FAILED", "that run is FAILED and kept no")]
)
def test_a_run_that_is_not_complete_is_refused_if_it_kept_nothing(tmp_path: Path, status: str, said: str) -> None:
    write_run(tmp_path / "outputs/first", status=status, pid=os.getpid())
    done = asked(tmp_path, "update", "first")
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_an_engine_that_keeps_no_sums_is_refused(tmp_path: Path) -> None:
    day = {"source.datetime_regex": r"(?P<date>\d{8})"}
    kept = write_run(tmp_path / "outputs/first", day) / "partials/0.task"
    kept.parent.mkdir()
    kept.touch()
    done = asked(tmp_path, "update", "first", "--", "engine=xarray")
    assert "engine=xarray keeps no sums; set engine=block, or reuse=null" in done.stderr


def test_update_takes_no_other_run(tmp_path: Path) -> None:
    write_run(tmp_path / "outputs/first")
    done = asked(tmp_path, "update", "first", "--", "reuse=last")
    assert "reuse=last: update reuses outputs/first; name the run to be reused in its place" in done.stderr
