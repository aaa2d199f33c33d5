"""`python -m runner.log resume`, as typed: runs go on where real signals stopped the real processes that ran them."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from faulty_server import FaultyServer, faulty_server
from log_folders import ask, asked, facts_of, run, write_run
from run_records import fetched, hashes
from scenes_on_disk import speckle, write_scene
from typed import typed
from waiting import LONG, wait_until

from runner.checkpoint.array_file import read_arrays
from runner.checkpoint.pass_tasks import PassTasks, kept_tasks
from runner.checkpoint.remaining import Remaining
from runner.planning.records import Task
from runner.read.header import Window
from runner.record.lock import held

pytestmark = pytest.mark.slow  # each starts runs and stops them

SLOW = pytest.mark.slow
SCENES, ROWS, COLUMNS, BLOCK = 5, 1024, 256, 128
WINDOWS = ROWS // BLOCK
EACH = ["chunks=row", "chunks.time=all", "stages.spatial_mean.cluster.threads_per_worker=1",
        "stages.temporal_mean.cluster.threads_per_worker=1", "fetch.in_flight=1"]  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight rows of blocks in each scene, each of them a request."""
    root = tmp_path_factory.mktemp("archive")
    for at in range(SCENES):
        pixels = speckle((ROWS, COLUMNS), seed=at)
        write_scene(root / f"b/S1A_2020010{at + 1}.tif", pixels, blockxsize=BLOCK, blockysize=BLOCK, predictor=3)
    return root


@pytest.fixture
def server(archive: Path, tmp_path: Path) -> Iterator[FaultyServer]:
    """A server of a copy of the archive, which can make a run wait."""
    with faulty_server(shutil.copytree(archive, tmp_path / "buckets")) as server:
        yield server


@pytest.fixture(scope="module")
def clean(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The values' hashes of a run at one go, and what it fetched."""
    cwd = tmp_path_factory.mktemp("clean")
    with faulty_server(archive) as server:
        run(cwd, *words_of(server, *EACH))
    assert not (cwd / "run/partials").exists()
    return {"values": hashes(cwd / "run"), "bytes": fetched(cwd / "run")}


def words_of(server: FaultyServer, *words: str) -> list[str]:
    source = ["source=local", "source.url=s3://b/*.tif", f"source.s3.endpoint_url={server.endpoint}"]
    return [*source, "source.s3.anonymous=true", "output.dir=run", *words]


def command(server: FaultyServer, *words: str) -> list[str]:
    return [sys.executable, "-m", "runner", *words_of(server, *words)]


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("partials/[!.]*.task"))  # not one that is being written


@contextmanager
def held_up(server: FaultyServer, requests: int) -> Iterator[None]:
    """A run gets no further than this many requests for blocks."""
    server.begin(lambda asked: None)
    server.blocks = requests
    yield
    server.blocks = None


def stopped(cwd: Path, server: FaultyServer, number: int, *words: str, tasks: int = 4) -> tuple[int, str]:
    """A run that gets a signal once that many tasks are kept; its exit code and what it said."""
    requests = tasks * (2 if "chunks.time=2" in words else SCENES)
    with held_up(server, requests):
        running = subprocess.Popen(command(server, *(words or EACH)), cwd=cwd, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: len(kept(cwd / "run")) >= tasks or running.poll() is not None)
        os.kill(running.pid, number)
        _, said = running.communicate(timeout=LONG)
    assert len(kept(cwd / "run")) >= tasks, said
    return running.returncode, said


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [
        (signal.SIGINT, 130, "INTERRUPTED"),
        pytest.param(signal.SIGTERM, 143, "INTERRUPTED", marks=SLOW),
        (signal.SIGKILL, -signal.SIGKILL, "KILLED"),
    ],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits_and_reads_only_what_is_missing(
    server: FaultyServer, tmp_path: Path, clean: dict[str, Any], number: int, code: int, status: str
) -> None:
    got, said = stopped(tmp_path, server, number)
    assert got == code
    if number != signal.SIGKILL:
        assert said.splitlines()[-1].endswith("cog-stack-runner log resume run")
    done = len(kept(tmp_path / "run"))
    again = ask(tmp_path, "resume", "run")
    assert again.returncode == 0, again.stderr
    assert f"{kept_tasks(done)}, {WINDOWS - done} are to be read" in again.stderr
    assert hashes(tmp_path / "run") == clean["values"]
    assert fetched(tmp_path / "run") == pytest.approx(clean["bytes"] * (1 - done / WINDOWS), rel=0.05)
    facts = facts_of(tmp_path / "run")
    assert facts["status"] == "COMPLETED"
    assert facts["passes"][0]["reused"] == done
    assert [attempt["status"] for attempt in facts["attempts"]] == [status]
    trace = pd.read_parquet(tmp_path / "run/trace.parquet")
    assert dict(trace["status"].value_counts()) == {"reused": done, "done": WINDOWS - done}
    assert sorted(trace["row"]) == list(range(0, ROWS, BLOCK))
    assert not (tmp_path / "run/partials").exists()


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 finished tasks are kept"), (1, "1 finished task is kept"), (2, "2 finished tasks are kept")],
)
def test_one_task_is_one(count: int, said: str) -> None:
    assert kept_tasks(count) == said


def test_a_resumption_that_kept_nothing_says_what_it_reads_if_asked(tmp_path: Path) -> None:
    tasks = (Task(Window(0, 0, 64, 64), 0, 2), Task(Window(64, 0, 64, 64), 0, 2))
    nothing: Any = None
    found = PassTasks(nothing, nothing, Remaining(tasks, {}), [], [], nothing)
    assert list(found.describe()) == []
    said = ["0 finished tasks are kept, 2 are to be read"]
    assert list(found.describe(explain=True))[:1] == said
    assert list(found.describe_again()) == ["2 tasks are read without the scenes that are left out"]


OTHERS = {
    "processes": ["cluster@stages.spatial_mean.cluster=processes", "cluster@stages.temporal_mean.cluster=processes"],
    "other rows": ["chunks.y=384"],
    "blocks and scenes": ["chunks=block", "chunks.time=2"],
    "apart": ["fuse=false"],
    "GDAL, all at once": ["reader=gdal", "chunks.time=all", "chunks.y=all"],
}


@pytest.mark.parametrize(
    "words",
    [words if name == "processes" else pytest.param(words, marks=SLOW) for name, words in OTHERS.items()],
    ids=OTHERS.keys(),
)
def test_cluster_chunks_and_fusing_may_be_others(
    server: FaultyServer, tmp_path: Path, clean: dict[str, Any], words: list[str]
) -> None:
    stopped(tmp_path, server, signal.SIGKILL, *EACH, "chunks.time=2", tasks=7)  # three of them to a window
    again = asked(tmp_path, "resume", "run", "--", *words)
    assert again.returncode == 0, again.stderr
    assert re.search(r"\d finished tasks? (is|are) kept", again.stderr)
    assert hashes(tmp_path / "run") == clean["values"]
    if "reader=gdal" not in words and "fuse=false" not in words:
        assert fetched(tmp_path / "run") < 0.85 * clean["bytes"]


def test_groups_of_a_run_that_was_killed_are_the_same_bits_with_other_chunks(
    server: FaultyServer, tmp_path: Path
) -> None:
    groups = ["+stage@stages.days=temporal_mean", "stages.days.group_by=date", "fuse=false", *EACH]
    groups += ["stages.days.cluster.threads_per_worker=1"]
    run(tmp_path, *words_of(server, *groups, "output.dir=clean"))
    _, said = stopped(tmp_path, server, signal.SIGKILL, *groups, tasks=2 * WINDOWS + 3)
    again = asked(tmp_path, "resume", "run", "--", "chunks.y=384")
    assert again.returncode == 0, again.stderr
    assert "days: 3 finished tasks are kept" in again.stderr, said
    assert hashes(tmp_path / "run") == hashes(tmp_path / "clean")
    assert sum(name.startswith("days_mean_2020-01-0") for name in hashes(tmp_path / "run")) == SCENES


def test_a_run_may_be_stopped_again_and_again(server: FaultyServer, tmp_path: Path, clean: dict[str, Any]) -> None:
    stopped(tmp_path, server, signal.SIGKILL, tasks=2)
    resume = [sys.executable, "-m", "runner.log", "resume", "run", "--", "chunks.time=2"]
    with held_up(server, 4 * 2):
        running = subprocess.Popen(resume, cwd=tmp_path, stderr=subprocess.DEVNULL)
        wait_until(lambda: len(kept(tmp_path / "run")) >= 6)
        running.kill()
        running.wait()
    again = asked(tmp_path, "resume", "run")
    assert again.returncode == 0, again.stderr
    assert hashes(tmp_path / "run") == clean["values"]
    assert fetched(tmp_path / "run") < 0.75 * clean["bytes"]
    assert len(facts_of(tmp_path / "run")["attempts"]) == 2


def test_tasks_of_a_replaced_object_are_computed_again_and_it_is_named(server: FaultyServer, tmp_path: Path) -> None:
    stopped(tmp_path, server, signal.SIGKILL, *EACH, "chunks.time=2", tasks=7)
    pixels = speckle((ROWS, COLUMNS), seed=77)
    write_scene(tmp_path / "buckets/b/S1A_20200101.tif", pixels, blockxsize=BLOCK, blockysize=BLOCK, predictor=3)
    again = asked(tmp_path, "resume", "run", "--explain")
    assert again.returncode == 0, again.stderr
    assert "kept tasks are computed again: s3://b/S1A_20200101.tif has changed: it was ETag " in again.stderr
    explained = [line for line in again.stderr.splitlines() if " tasks, rows 0 to " in line]
    assert re.search(r"now ETag .* \(\d+ tasks, rows 0 to \d+, columns 0 to 256, scenes 0 to 2\)$", explained[0])
    assert re.search(r"kept: \d+ tasks, rows 0 to \d+, columns 0 to 256, scenes 2 to \d+$", explained[1])
    assert [line.split(": ")[1] for line in explained[1:]] == ["kept", "to be read"]
    table = pd.read_parquet(tmp_path / "run/spatial_mean.parquet")
    assert table["mean"][0] == pytest.approx(pixels[pixels != 0].mean(dtype=np.float64), rel=1e-12)


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("mask=none", "nodata was 0"),
        pytest.param(
            "stages.spatial_mean.statistics=[mean,median]", "statistics over space now need all values", marks=SLOW
        ),
        pytest.param("source.valid_range=[0,0.1]", "source.valid_range was None and is (0.0, 0.1)", marks=SLOW),
        ("stages.temporal_mean.statistics=[mean,max]", "statistics over time now need extremes"),
    ],
)
def test_an_override_that_values_follow_from_computes_all_again_and_says_why(
    server: FaultyServer, tmp_path: Path, word: str, why: str
) -> None:
    stopped(tmp_path, server, signal.SIGKILL, tasks=2)
    again = asked(tmp_path, "resume", "run", "--", word, "chunks.y=auto", "chunks.x=auto", "chunks.time=auto")
    assert again.returncode == 0, again.stderr
    assert "0 finished tasks are kept" in again.stderr
    assert f"kept tasks are computed again: {why}" in again.stderr


def test_ordered_statistics_are_kept_too(server: FaultyServer, tmp_path: Path) -> None:
    statistics = ["~stage@stages.spatial_mean", "stages.temporal_mean.statistics=[mean,median,min]"]
    words = [*(word for word in EACH if "spatial" not in word), *statistics]
    stopped(tmp_path, server, signal.SIGINT, *words)
    again = asked(tmp_path, "resume", "run")
    assert again.returncode == 0, again.stderr
    run(tmp_path, *words_of(server, *words, "output.dir=whole"))
    assert hashes(tmp_path / "run") == hashes(tmp_path / "whole")


def test_a_torn_file_is_ignored(server: FaultyServer, tmp_path: Path, clean: dict[str, Any]) -> None:
    stopped(tmp_path, server, signal.SIGKILL)
    short, flipped, *_ = files = kept(tmp_path / "run")
    short.write_bytes(short.read_bytes()[:-1000])
    damaged = bytearray(flipped.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    flipped.write_bytes(damaged)
    again = asked(tmp_path, "resume", "run")
    assert again.returncode == 0, again.stderr
    assert "2 files in run/partials are ignored: torn, or of another version" in again.stderr
    assert kept_tasks(len(files) - 2) in again.stderr
    assert hashes(tmp_path / "run") == clean["values"]


def test_kept_files_are_plain_arrays(server: FaultyServer, tmp_path: Path) -> None:
    stopped(tmp_path, server, signal.SIGINT)
    for path in kept(tmp_path / "run"):
        arrays = read_arrays(path)
        assert arrays
        assert {array.dtype.kind for array in arrays.values()} <= set("iuf")


def test_a_failed_run_goes_on_once_its_scene_is_mended(
    server: FaultyServer, tmp_path: Path, clean: dict[str, Any]
) -> None:
    path = tmp_path / "buckets/b/S1A_20200105.tif"
    good, damaged = path.read_bytes(), bytearray(path.read_bytes())
    damaged[-20_000:] = bytes(20_000)
    path.write_bytes(damaged)
    words = [*EACH, "chunks.time=1"]
    failed = typed(tmp_path, *words_of(server, *words))
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].endswith("cog-stack-runner log resume run")
    path.write_bytes(good)
    again = asked(tmp_path, "resume", "run")
    assert again.returncode == 0, again.stderr
    assert "S1A_20200105.tif has changed" in again.stderr
    assert hashes(tmp_path / "run") == clean["values"]
    assert fetched(tmp_path / "run") < 0.5 * clean["bytes"]


def test_a_scene_that_is_gone_may_be_left_out_by_the_policy(server: FaultyServer, tmp_path: Path) -> None:
    code, _ = stopped(tmp_path, server, signal.SIGINT, *EACH, "on_error=stop")
    assert code == 130
    (tmp_path / "buckets/b/S1A_20200103.tif").unlink()
    refused = asked(tmp_path, "resume", "run")
    assert "S1A_20200103.tif is gone" in refused.stderr
    assert "on_error=skip" in refused.stderr
    again = asked(tmp_path, "resume", "run", "--", "on_error=skip")
    assert again.returncode == 0, again.stderr
    assert [word for word in facts_of(tmp_path / "run")["overrides"] if "on_error" in word] == ["on_error=skip"]
    assert len(pd.read_parquet(tmp_path / "run/spatial_mean.parquet")) == SCENES - 1
    inputs = pd.read_parquet(tmp_path / "run/inputs.parquet")
    assert inputs.loc[inputs["skipped"], "scene"].tolist() == ["S1A_20200103"]


def test_a_scene_that_was_left_out_is_taken_in_once_it_is_mended(
    server: FaultyServer, tmp_path: Path, clean: dict[str, Any]
) -> None:
    path = tmp_path / "buckets/b/S1A_20200102.tif"
    good = path.read_bytes()
    path.write_bytes(good[:100])
    code, said = stopped(tmp_path, server, signal.SIGINT, *EACH, "on_error=skip")
    assert (code, "left out: s3://b/S1A_20200102.tif" in said) == (130, True)
    path.write_bytes(good)
    again = asked(tmp_path, "resume", "run")
    assert again.returncode == 0, again.stderr
    assert hashes(tmp_path / "run") == clean["values"]


# --- what is not resumed ----------------------------------------------------------------------------------------------


def test_a_complete_run_has_nothing_to_resume_and_keeps_its_tasks_if_asked(
    server: FaultyServer, tmp_path: Path
) -> None:
    words = ["output.keep_partials=true", *EACH]
    run(tmp_path, *words_of(server, *words))
    assert len(kept(tmp_path / "run")) == WINDOWS
    before = facts_of(tmp_path / "run")
    done = asked(tmp_path, "resume", "run")
    assert done.returncode == 0
    assert "run is complete: there is nothing to resume" in done.stdout
    assert facts_of(tmp_path / "run") == before


def test_the_help_says_that_explain_resumes(tmp_path: Path) -> None:
    assert "it is not a dry run" in " ".join(asked(tmp_path, "resume", "--help").stdout.split())


def test_a_running_one_is_refused(server: FaultyServer, tmp_path: Path) -> None:
    with held_up(server, SCENES), subprocess.Popen(command(server, *EACH), cwd=tmp_path) as running:
        try:
            wait_until(lambda: kept(tmp_path / "run"))
            done = asked(tmp_path, "resume", "run")
        finally:
            running.kill()
    assert done.returncode == 2
    assert f"run is running, as process {running.pid}" in done.stderr


def test_a_run_whose_folder_is_held_is_refused_whatever_its_record_says(tmp_path: Path) -> None:
    with held(write_run(tmp_path / "run", status="RUNNING", host="elsewhere", heartbeat="2026-01-01T00:00:00+00:00")):
        done = asked(tmp_path, "resume", "run")
    assert done.returncode == 2
    assert "run is written to by another process, a run or a resume; stop it, or wait" in done.stderr


def test_the_xarray_engine_keeps_nothing_and_says_so(
    server: FaultyServer, tmp_path: Path, clean: dict[str, Any]
) -> None:
    stopped(tmp_path, server, signal.SIGKILL)
    done = asked(tmp_path, "resume", "run", "--", "engine=xarray")
    assert done.returncode == 0, done.stderr
    assert "engine=xarray keeps no tasks: everything is computed again" in done.stderr


@pytest.mark.parametrize("word", ["source.limit=2", pytest.param("output.dir=elsewhere", marks=SLOW)])
def test_other_scenes_or_another_folder_are_another_run(server: FaultyServer, tmp_path: Path, word: str) -> None:
    stopped(tmp_path, server, signal.SIGKILL, tasks=1)
    assert asked(tmp_path, "resume", "run", "--", word).returncode == 2
