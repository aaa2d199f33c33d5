"""`trace.parquet` has a row for every attempt at a task, and they add up to the run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
from jobs import Typed
from run_records import facts_of
from waiting import LONG, wait_until

from runner.cluster.open import open_cluster
from runner.engine.observer import Observer, failures_observed
from runner.engine.trace import Place, TaskTrace, Work, here
from runner.planning.records import Task
from runner.read.header import Window
from runner.record.trace_table import SCHEMA, TraceLog
from runner.settings import ClusterKind, ClusterSettings

pytestmark = pytest.mark.slow  # each starts runs

TASK = Task(Window(0, 512, 256, 100), 3, 7)
PIXELS = 4 * 300 * 500
SMALL = ("chunks.time=2", "chunks.y=256", "chunks.x=256")
PROCESSES = ("cluster=processes", "cluster.n_workers=1")


def local(folder: Path) -> list[str]:
    return ["source=local", f"source.url={folder}/*.tif", "output.dir=result"]


def trace_of(folder: Path) -> pd.DataFrame:
    table = pq.read_table(folder / "trace.parquet")
    assert table.schema.equals(SCHEMA)
    return table.to_pandas()


def spoil(path: Path) -> None:
    """Make the first block of the second block row unreadable."""
    with rasterio.open(path) as raster:
        place = int(raster.get_tag_item("BLOCK_OFFSET_0_1", "TIFF", 1))
    content = bytearray(path.read_bytes())
    content[place : place + 100] = b"\xff" * 100
    path.write_bytes(content)


@pytest.mark.parametrize(
    "words",
    [
        (),
        pytest.param(("fuse=false",), marks=pytest.mark.slow),
        ("cluster=processes", "cluster.n_workers=2"),
    ],
)
def test_the_tasks_of_a_run_add_up_to_it(
    typed: Typed, tmp_path: Path, folder_of_scenes: Path, words: tuple[str, ...]
) -> None:
    done = typed(*local(folder_of_scenes), *SMALL, *words)
    assert done.returncode == 0, done.stderr
    trace, passes = trace_of(tmp_path / "result"), facts_of(tmp_path / "result")["passes"]
    table = pd.read_parquet(tmp_path / "result/spatial_mean.parquet")
    for one in passes:
        rows = trace[trace["pass"] == one["name"]]
        assert sorted(rows["task"]) == list(range(one["tasks"]))
        assert (rows["stages"] == ",".join(one["stages"])).all()
        assert set(zip(rows["attempt"], rows["status"], strict=True)) == {(1, "done")}
        assert rows["pixels"].sum() == PIXELS
        assert rows["valid"].sum() == table["count"].sum()
        for name in ("bytes", "requests", "retries"):
            assert rows[name].sum() == one["fetched"][name]
        took = rows[["fetch_seconds", "decode_seconds", "reduce_seconds"]].sum(axis=1)
        assert (took <= (rows["stop"] - rows["start"]).dt.total_seconds() + 0.01).all()
        assert set(rows["worker"]) <= set(one["gdal_options"])
    assert set(trace["host"]) == {facts_of(tmp_path / "result")["host"]}


def test_a_row_says_where_and_when(typed: Typed, tmp_path: Path, folder_of_scenes: Path) -> None:
    assert typed(*local(folder_of_scenes), *SMALL).returncode == 0
    trace, record = trace_of(tmp_path / "result"), facts_of(tmp_path / "result")
    assert (trace["pid"] == record["pid"]).all()
    assert trace["start"].min() >= pd.Timestamp(record["started"])
    assert trace["stop"].max() <= pd.Timestamp(record["ended"])
    windows = set(
        trace[["row", "column", "height", "width", "first_scene", "stop_scene"]].itertuples(index=False, name=None)
    )
    places = [(row, column) for row in (0, 256) for column in (0, 256)]
    assert windows == {
        (row, column, min(256, 300 - row), min(256, 500 - column), scene, scene + 2)
        for row, column in places
        for scene in (0, 2)
    }
    assert trace["peak_bytes"].between(2**25, record["passes"][0]["peak_bytes"]).all()


def test_the_xarray_engine_traces_the_pieces_of_its_results(
    typed: Typed, tmp_path: Path, folder_of_scenes: Path
) -> None:
    done = typed(*local(folder_of_scenes), *SMALL, "engine=xarray")
    assert done.returncode == 0, done.stderr
    trace = trace_of(tmp_path / "result")
    over_time = trace[trace["pass"] == "temporal_mean"]
    statistics = facts_of(tmp_path / "result")["config"]["stages"]["temporal_mean"]["statistics"]
    assert over_time["pixels"].sum() == PIXELS * len(statistics)
    assert trace["stop"].notna().all()
    assert trace["start"].isna().all()
    for one in facts_of(tmp_path / "result")["passes"]:
        assert (one["fetched"], one["read_seconds"], one["reduce_seconds"]) == (None, None, None)


@pytest.mark.parametrize("words", [(), PROCESSES, ("engine=xarray",)])
def test_a_task_that_fails_is_traced(
    typed: Typed, tmp_path: Path, folder_of_scenes: Path, words: tuple[str, ...]
) -> None:
    spoil(folder_of_scenes / "S1A_20200118_ASC.tif")
    done = typed(*local(folder_of_scenes), *SMALL, *words)
    assert done.returncode == 1
    trace, error = trace_of(tmp_path / "result"), facts_of(tmp_path / "result")["error"]
    (failed,) = trace[trace["status"] == "failed"].to_dict("records")
    assert failed["pass"] == error["pass"]
    assert "S1A_20200118_ASC.tif" in failed["error"]
    assert error["scene"].endswith("S1A_20200118_ASC.tif")
    assert error["message"] in done.stderr.replace("\n", "")
    (one,) = facts_of(tmp_path / "result")["passes"]
    assert (one["name"], one["compute_seconds"], one["peak_bytes"]) == (error["pass"], None, None)
    assert one["cluster"]["kind"] == ("processes" if words == PROCESSES else "threads")
    assert one["planned"]["stored_bytes"] > 0
    assert one["gdal_options"]
    if "engine=xarray" not in words:
        assert error["task"] == {"row": 256, "column": 0, "height": 44, "width": 256, "start": 2, "stop": 4}
        assert (failed["row"], failed["column"], failed["first_scene"]) == (256, 0, 2)


def test_a_pass_that_is_run_again_without_a_scene_goes_on_counting(
    typed: Typed, tmp_path: Path, folder_of_scenes: Path
) -> None:
    spoil(folder_of_scenes / "S1A_20200124_ASC.tif")
    done = typed(*local(folder_of_scenes), *SMALL, "on_error=skip")
    assert done.returncode == 0, done.stderr
    trace, one = trace_of(tmp_path / "result"), facts_of(tmp_path / "result")["passes"][0]
    assert (trace["status"] == "failed").sum() == 1
    assert len(trace) > one["tasks"]
    assert (trace["attempt"] == 1).all()
    assert trace["task"].is_unique  # what is left is cut into further tasks
    assert facts_of(tmp_path / "result")["stack"]["scenes"] == 3


def test_what_was_done_before_an_interrupt_is_traced(tmp_path: Path) -> None:
    small = [f"chunks.{axis}={size}" for axis, size in (("time", 1), ("y", 64), ("x", 64), ("snap", "false"))]
    command = [sys.executable, "-m", "runner", "chunks=block", *small, "output.dir=result"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: len(list(tmp_path.glob("result/partials/[!.]*.task"))) > 2)  # tasks that are done
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=LONG)
    assert process.returncode == 130
    trace, record = trace_of(tmp_path / "result"), facts_of(tmp_path / "result")
    assert 0 < len(trace) < 12 * 24 * 25
    assert set(trace["status"]) == {"done"}
    assert (record["status"], record["error"]["pass"]) == ("INTERRUPTED", "spatial_mean+temporal_mean")


def die_once(mark: str, numbers: Iterator[int]) -> Iterator[tuple[int, TaskTrace]]:
    """The first worker that comes to task 7 is killed at it."""
    for number in numbers:
        if number == 7 and not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield number, TaskTrace(number, TASK, here(), time.time(), time.time())


def test_a_worker_that_is_killed_is_counted_with_what_it_was_at(tmp_path: Path) -> None:
    log = TraceLog(tmp_path / "trace.parquet")
    observer = Observer()
    observer.failed = partial(log.add, "a", ["a"])  # type: ignore[method-assign]
    settings = ClusterSettings(ClusterKind.processes, n_workers=2)
    with open_cluster(settings, {}) as cluster, failures_observed(cluster.watch, observer) as losses:
        for _, trace in cluster.map(die_once, str(tmp_path / "mark"), list(range(40)), lambda: None):
            log.add("a", ["a"], trace)
    log.write()
    rows = trace_of(tmp_path)
    (loss,) = losses
    assert sorted(rows[rows["status"] == "done"]["task"]) == list(range(40))
    lost = rows[rows["status"] == "failed"]
    assert 7 in set(lost["task"])
    assert set(zip(lost["worker"], lost["error"], lost["attempt"], strict=True)) == {
        (loss.worker, "lost with its worker", 1)
    }
    assert rows[(rows["task"] == 7) & (rows["status"] == "done")]["attempt"].tolist() == [2]


# --- the table itself ---------------------------------------------------------------------------------------------

DONE = TaskTrace(5, TASK, Place("tcp://w:1", "k-1", "h", 7, 8), 1.0, 2.5, 1000, Work(0.5, 0.25, 0.125, 10, 2, 1, 99))


def test_an_attempt_becomes_a_row(tmp_path: Path) -> None:
    log = TraceLog(tmp_path / "trace.parquet")
    log.add("a+b", ["a", "b"], DONE)
    log.write()
    (row,) = pq.read_table(tmp_path / "trace.parquet").to_pylist()
    assert {**row, "start": row["start"].timestamp(), "stop": row["stop"].timestamp()} == {
        "pass": "a+b", "stages": "a,b", "task": 5, "attempt": 1, "status": "done", "error": None,
        "worker": "tcp://w:1", "host": "h", "pid": 7, "thread": 8, "start": 1.0, "stop": 2.5,
        "row": 0, "column": 512, "height": 256, "width": 100, "first_scene": 3, "stop_scene": 7,
        "fetch_seconds": 0.5, "decode_seconds": 0.25, "reduce_seconds": 0.125, "compile_seconds": 0.0,
        "bytes": 10, "requests": 2, "retries": 1, "peak_bytes": 1000, "pixels": 4 * 256 * 100, "valid": 99,
    }  # fmt: skip


def test_tasks_that_were_lost_are_those_of_their_key_that_were_done_again(tmp_path: Path) -> None:
    log = TraceLog(tmp_path / "trace.parquet")
    for key in ("k-1", "k-2"):
        log.add("a", ["a"], TaskTrace(None, None, Place("tcp://w:0", key), None, 0.5, error="lost with its worker"))
    log.add("a", ["a"], DONE)
    log.add("a", ["a"], replace(DONE, number=6, stopped=3.0))
    log.write()
    rows = pq.read_table(tmp_path / "trace.parquet").to_pylist()
    assert [(row["task"], row["attempt"], row["status"]) for row in rows] == [
        (5, 1, "failed"),
        (6, 1, "failed"),
        (None, 1, "failed"),
        (5, 2, "done"),
        (6, 2, "done"),
    ]
    assert rows[0]["first_scene"] == 3


def test_an_error_is_kept_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-4711-secret")
    log = TraceLog(tmp_path / "trace.parquet")
    log.add("a", ["a"], replace(DONE, error="no access with canary-4711-secret"))
    log.add("a", ["a"], DONE, reused=True)
    log.write()
    rows = pq.read_table(tmp_path / "trace.parquet").to_pylist()
    assert [(row["status"], row["error"]) for row in rows] == [
        ("failed", "no access with [redacted]"),
        ("reused", None),
    ]
