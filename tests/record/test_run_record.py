"""`run.json` is true from the first second to the last."""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from jobs import ROOT
from log_folders import PASS, UNENDED, write_run
from msgspec.structs import replace
from run_records import facts_of
from waiting import LONG, wait_until

from runner.base.atomic import written_aside
from runner.engine.trace import TaskTrace
from runner.errors import Interrupted, OutputError, ReadError, RecordError, SourceError
from runner.host.heartbeat import HEARTBEAT_SECONDS
from runner.planning.records import Task
from runner.read.header import Window
from runner.record.code import DIFF_BYTES, git_state
from runner.record.config_hash import config_sha256
from runner.record.lock import held
from runner.record.recorded_run import recorded_run
from runner.record.run import Code
from runner.record.run_folder import read_run

CANARY = "canary-4711-secret"


def test_a_run_is_running_until_it_is_completed(tmp_path: Path) -> None:
    with recorded_run(tmp_path / "run", {"a": 1}, ["python"], ["a=1"]) as record:
        during = facts_of(tmp_path / "run")
        record.change(rerun_of="earlier")
    after = facts_of(tmp_path / "run")
    assert (during["status"], during["config"], during["overrides"]) == ("RUNNING", {"a": 1}, ["a=1"])
    assert (after["status"], after["exit_code"], after["rerun_of"]) == ("COMPLETED", 0, "earlier")
    assert {"numpy", "rasterio", "dask", "GDAL", "PROJ", "GEOS"} <= set(after["versions"])
    assert after["memory_bytes"] > 2**20
    assert datetime.fromisoformat(after["ended"]) >= datetime.fromisoformat(after["started"])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (SourceError("gone"), "FAILED", 1),
        (RuntimeError("odd"), "FAILED", 1),
        (SystemExit(1), "FAILED", 1),
        (Interrupted(2), "INTERRUPTED", 130),
        (Interrupted(15), "INTERRUPTED", 143),
        (Interrupted(1), "INTERRUPTED", 129),
        (KeyboardInterrupt(), "INTERRUPTED", 130),
    ],
)
def test_the_way_out_is_recorded(tmp_path: Path, error: BaseException, status: str, code: int) -> None:
    with pytest.raises(type(error)), recorded_run(tmp_path, {}, [], []):
        raise error
    assert (facts_of(tmp_path)["status"], facts_of(tmp_path)["exit_code"]) == (status, code)


def test_a_failure_is_in_the_record_and_its_traceback_in_both_logs(tmp_path: Path) -> None:
    with pytest.raises(SourceError), recorded_run(tmp_path, {}, [], []):
        raise SourceError("the bucket is gone")
    assert "Traceback" in (tmp_path / "run.log").read_text()
    (event,) = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert event["exception"].startswith("Traceback")
    nowhere = {"pass": None, "stages": [], "scene": None, "task": None}
    assert facts_of(tmp_path)["error"] == {"kind": "SourceError", "message": "the bucket is gone", **nowhere}


def test_a_failure_is_traced_to_its_pass_scene_and_task(tmp_path: Path) -> None:
    problem = ReadError("s3://b/k.tif", "gone")
    problem.task = TaskTrace(3, Task(Window(512, 0, 512, 700), 2, 5), None, None, None)
    with pytest.raises(ReadError), recorded_run(tmp_path, {}, [], []) as record, record.during("a+b", ["a", "b"]):
        raise ReadError(problem.href, "gone; leave it out") from problem
    error = facts_of(tmp_path)["error"]
    assert (error["pass"], error["stages"], error["scene"]) == ("a+b", ["a", "b"], "s3://b/k.tif")
    assert error["task"] == {"row": 512, "column": 0, "height": 512, "width": 700, "start": 2, "stop": 5}
    assert (tmp_path / "trace.parquet").exists()


def test_what_is_logged_is_an_event_with_its_fields(tmp_path: Path) -> None:
    with recorded_run(tmp_path, {}, [], []):
        logging.getLogger("x").warning("%d of %d", 3, 4, extra={"done": 3, "where": Path("a")})
    (event,) = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert {
        "level": "WARNING",
        "logger": "x",
        "event": "3 of 4",
        "done": 3,
        "where": "a",
        "exception": None,
    }.items() <= event.items()
    assert abs((datetime.now(UTC) - datetime.fromisoformat(event["time"])).total_seconds()) < 60
    assert event["time"] in (tmp_path / "run.log").read_text()


def test_the_heart_beats_while_the_run_works_and_not_after(tmp_path: Path) -> None:
    def beat() -> datetime:
        return datetime.fromisoformat(facts_of(tmp_path)["heartbeat"])

    with recorded_run(tmp_path, {}, [], []):
        first = beat()
        wait_until(lambda: (beat() - first).total_seconds() >= HEARTBEAT_SECONDS / 2)
        assert "heartbeat" in {thread.name for thread in threading.enumerate()}
    wait_until(lambda: "heartbeat" not in {thread.name for thread in threading.enumerate()})


@pytest.mark.parametrize(("stopped", "known"), [(False, True), (True, False)], ids=["completed", "interrupted"])
def test_only_a_run_that_was_interrupted_ends_before_its_code_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool, known: bool
) -> None:
    """Git is slow on a busy machine: it answers once nobody waits any more, or half a second later."""
    gone = threading.Event()
    monkeypatch.setattr("runner.host.heartbeat._PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(
        "runner.record.run_record.git_state", lambda _: Code("late", gone.wait(LONG if stopped else 0.5))
    )
    at_the_end: list[Any] = []
    with suppress(Interrupted), recorded_run(tmp_path, {}, [], []) as record:
        record.last_act = lambda folder, _: at_the_end.append(facts_of(folder)["code"])
        if stopped:
            raise Interrupted(signal.SIGINT)
    assert (at_the_end[0] is not None) is known
    gone.set()
    wait_until(lambda: "description" not in {thread.name for thread in threading.enumerate()})


def test_readers_never_see_half_a_record(tmp_path: Path) -> None:
    writer = """
import sys
from itertools import count
from pathlib import Path
from runner.record.recorded_run import recorded_run
with recorded_run(Path(sys.argv[1]), {}, [], []) as record:
    for number in count():
        record.change(rerun_of=str(number), outputs=("x" * 50,) * 50)
        if Path(sys.argv[2]).exists():
            break
"""
    path, seen = tmp_path / "run/run.json", set()
    command = [sys.executable, "-c", writer, str(tmp_path / "run"), str(tmp_path / "enough")]
    with subprocess.Popen(command, cwd=ROOT) as process:
        while len(seen) < 100 and process.poll() is None:
            text = path.read_text() if path.exists() else ""
            if text:  # it is claimed before it is written
                seen.add(json.loads(text)["rerun_of"])
        (tmp_path / "enough").touch()
    assert process.returncode == 0
    assert len(seen) == 100


def test_a_killed_run_stays_running_with_its_last_heartbeat(tmp_path: Path) -> None:
    writer = """
import os, sys, time
from pathlib import Path
from runner.record.recorded_run import recorded_run
with recorded_run(Path(sys.argv[1]), {}, [], []):
    print(flush=True)
    time.sleep(600)
"""
    command = [sys.executable, "-c", writer, str(tmp_path / "run")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.kill()
    facts = facts_of(tmp_path / "run")
    assert (facts["status"], facts["exit_code"], facts["pid"]) == ("RUNNING", None, process.pid)
    assert facts["heartbeat"]


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    with recorded_run(tmp_path, {}, [], []):
        pass
    before = (tmp_path / "run.json").read_text()
    with pytest.raises(OutputError, match="holds a run already"), recorded_run(tmp_path, {}, [], []):
        pytest.fail("the second run started")
    assert (tmp_path / "run.json").read_text() == before


def fail_in(folder: Path, *files: str) -> None:
    """A run that fails, and leaves such files."""
    with pytest.raises(OSError, match="no source"), recorded_run(folder, {}, [], []):
        for name in files:
            (folder / name).touch()
        raise OSError("no source")


def test_the_folder_of_a_run_that_found_no_scenes_is_used_again(tmp_path: Path) -> None:
    fail_in(tmp_path / "run", "report.html")
    with recorded_run(tmp_path / "run", {}, [], []):
        assert not (tmp_path / "run/report.html").exists()
    assert facts_of(tmp_path / "run")["status"] == "COMPLETED"
    assert facts_of(tmp_path / "run")["attempts"] == []


@pytest.mark.parametrize("file", ["inputs.parquet", "outputs.json", "partials"])
def test_the_folder_of_a_run_that_failed_later_is_not_used_again(tmp_path: Path, file: str) -> None:
    fail_in(tmp_path / "run", file)
    with pytest.raises(OutputError, match=r"drop output\.dir, or go on with that run: .* log resume .*/run$"):
        fail_in(tmp_path / "run")
    assert facts_of(tmp_path / "run")["status"] == "FAILED"


def test_the_folder_of_a_failed_run_is_not_cleared_where_it_holds_a_link(tmp_path: Path) -> None:
    fail_in(tmp_path / "run")
    (tmp_path / "run/inputs.parquet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="holds a run already"):
        fail_in(tmp_path / "run")


def test_a_run_holds_its_folder_until_it_has_ended(tmp_path: Path) -> None:
    with (
        recorded_run(tmp_path, {}, [], []),
        pytest.raises(RecordError, match="is written to by another process"),
        held(tmp_path),
    ):
        pytest.fail("another held it too")
    with held(tmp_path):
        pass


def test_a_file_system_without_locks_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlocked(_handle: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unlocked)
    with recorded_run(tmp_path, {}, [], []):
        pass
    assert facts_of(tmp_path)["status"] == "COMPLETED"


@pytest.mark.parametrize(("resumed", "way"), [(False, "set output.dir"), (True, "make it writable")])
def test_a_disk_that_is_full_is_told_with_what_can_be_done(tmp_path: Path, resumed: bool, way: str) -> None:
    full = f"No space left on device; free some space or {way}$"
    earlier = read_run(write_run(tmp_path / "run")).record if resumed else None
    with pytest.raises(OutputError, match=full), recorded_run(tmp_path / "run", {}, [], [], earlier) as record:
        (tmp_path / f"run/.run.{os.getpid()}.part.json").symlink_to("/dev/full")
        record.change(rerun_of="earlier")
    assert facts_of(tmp_path / "run")["status"] == "FAILED"


def test_a_file_is_no_folder_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="file is a file; set output.dir"),
        recorded_run(tmp_path / "file", {}, [], []),
    ):
        pytest.fail("the run started")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/run.*set output.dir"), recorded_run(tmp_path / "file/run", {}, [], []):
        pytest.fail("the run started")


def test_the_hash_of_a_config_does_not_hang_on_the_folder_or_the_order_of_keys() -> None:
    one = {"a": 1, "output": {"dir": "here", "level": 1}}
    assert config_sha256(one) == config_sha256({"output": {"level": 1, "dir": "there"}, "a": 1})
    assert config_sha256(one) != config_sha256({**one, "a": 2})
    assert config_sha256(one) == hashlib.sha256(b'{"a":1,"output":{"level":1}}').hexdigest()


def test_a_pass_is_told_once_however_often_it_is_said(tmp_path: Path) -> None:
    with recorded_run(tmp_path, {}, [], []) as record:
        record.put_pass(replace(PASS, name="a"))
        with dask.config.set(one=1):
            record.put_pass(replace(UNENDED, name="b"), reused=3)
        during = facts_of(tmp_path)["passes"][-1]
        with dask.config.set(two=2):
            record.put_pass(replace(PASS, name="b", compute_seconds=1.0), reused=3)
    assert (during["name"], during["compute_seconds"], during["reused"]) == ("b", None, 3)
    assert [(one["name"], one["compute_seconds"]) for one in facts_of(tmp_path)["passes"]] == [("a", 2.0), ("b", 1.0)]
    assert {"one": 1, "two": 2}.items() <= facts_of(tmp_path)["dask"].items()


def test_values_that_json_cannot_hold_are_recorded_as_numbers_and_texts(tmp_path: Path) -> None:
    with recorded_run(tmp_path, {}, [], []) as record, dask.config.set({"odd": {"path": Path("/x"), "kind": int}}):
        record.put_pass(replace(PASS, cpu_seconds=np.float64(2.5), peak_bytes=np.int64(7)))
    (one,) = facts_of(tmp_path)["passes"]
    assert (one["cpu_seconds"], one["peak_bytes"]) == (2.5, 7)
    assert {"odd.path": "/x", "odd.kind": "<class 'int'>"}.items() <= facts_of(tmp_path)["dask"].items()


# --- the state of the code ----------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a package `runner`, as clean as its first commit."""
    package = tmp_path / "checkout/runner"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("one = 1\n")
    git(package.parent, "init", "-q")
    git(package.parent, "add", ".")
    git(package.parent, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "first")
    return package


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert git_state(checkout) == Code(commit, dirty=False, diff="", diff_cut=False)


def test_a_change_is_kept_with_its_commit_and_without_secrets(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    (checkout / "__init__.py").write_text(f"two = 2  # {CANARY}\n")
    (checkout / "new.py").touch()
    state = git_state(checkout)
    assert state is not None
    assert state.dirty
    assert "-one = 1" in state.diff
    assert "+two = 2  # [redacted]" in state.diff
    assert "untracked: runner/new.py" in state.diff


def test_a_large_change_is_cut(checkout: Path) -> None:
    (checkout / "__init__.py").write_text("é = 1\n" * DIFF_BYTES)
    state = git_state(checkout)
    assert state is not None
    assert state.diff_cut
    assert DIFF_BYTES - 4 < len(state.diff.encode()) <= DIFF_BYTES


def test_code_that_lies_in_somebody_elses_repository_has_no_state(checkout: Path) -> None:
    installed = checkout.parent / "venv/runner"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    assert git_state(installed) is None


def test_code_without_git_has_no_state(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert git_state(checkout) is None


# --- files of others --------------------------------------------------------------------------------------------------

CONFIG = {"stages": {"spatial_mean": {"over": "space", "statistics": ["mean"]},
                     "temporal_mean": {"over": "time", "statistics": ["mean", "count"]}}}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["spatial_mean.parquet", "temporal_mean.tif", "temporal_count.tif", "report.html", "run.log", "partials"]
)
@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
def test_files_of_others_are_neither_written_over_nor_written_through(tmp_path: Path, name: str, link: bool) -> None:
    folder, theirs = tmp_path / "run", tmp_path / "theirs"
    folder.mkdir()
    theirs.write_text("of others")
    (folder / name).symlink_to(theirs) if link else theirs.rename(folder / name)
    with (
        pytest.raises(OutputError, match=rf"run holds {re.escape(name)}, which the run would write over.*output\.dir"),
        recorded_run(folder, CONFIG, [], []),
    ):
        pytest.fail("the run has started")
    assert (folder / name).read_text() == "of others"
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_link_to_nothing_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"holds events\.jsonl"), recorded_run(tmp_path, CONFIG, [], []):
        pytest.fail("the run has started")


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with recorded_run(tmp_path, CONFIG, [], []):
        pass
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["run.log", "spatial_mean.parquet", "partials", ".hydra/config.yaml"])
def test_a_run_is_not_resumed_through_a_link(tmp_path: Path, name: str) -> None:
    with recorded_run(tmp_path, CONFIG, [], []):
        pass
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).symlink_to("/dev/null")
    with (
        pytest.raises(OutputError, match=rf"{re.escape(name)} is a link.*remove the link"),
        recorded_run(tmp_path, CONFIG, [], [], earlier=read_run(tmp_path).record),
    ):
        pytest.fail("the run goes on")


def test_what_a_killed_attempt_left_unfinished_is_gone_once_the_run_goes_on(tmp_path: Path) -> None:
    with recorded_run(tmp_path, CONFIG, [], []):
        pass
    for name in (".temporal_mean.4711.part.tif", ".run.4711.part.json"):
        (tmp_path / name).write_bytes(b"half")
    with recorded_run(tmp_path, CONFIG, [], [], earlier=read_run(tmp_path).record):
        assert not list(tmp_path.glob("*.part*")) + list(tmp_path.glob(".*.part*"))


# --- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 kB."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", tmp_path], capture_output=True)
    if done.returncode:
        pytest.skip("only root may mount a small disk")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as handle:
        while True:
            handle.write(bytes(4096))


def test_a_run_that_fills_the_disk_says_that_it_failed_and_goes_on_once_there_is_room(small_disk: Path) -> None:
    folder = small_disk / "run"
    with pytest.raises(OutputError, match="No space left.*free some space"), recorded_run(folder, CONFIG, [], []):
        with pytest.raises(OutputError), written_aside(folder / "temporal_mean.tif") as aside:
            fill(aside)
        fill(small_disk / "of others")
    assert (facts_of(folder)["status"], facts_of(folder)["exit_code"]) == ("FAILED", 1)
    assert not [path for path in folder.iterdir() if ".part" in path.name or path.name == ".reserve"]
    (small_disk / "of others").unlink()
    with recorded_run(folder, CONFIG, [], [], earlier=read_run(folder).record):
        pass
    assert facts_of(folder)["status"] == "COMPLETED"


def test_a_full_disk_refuses_a_run_before_it_starts(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        fill(small_disk / "of others")
    with pytest.raises(OutputError, match="No space left"), recorded_run(small_disk / "run", CONFIG, [], []):
        pytest.fail("the run has started")
    assert list((small_disk / "run").iterdir()) == []


def test_a_folder_that_is_removed_during_the_run_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with (
        pytest.raises(OutputError, match=f"{folder} was removed during the run; run it again"),
        recorded_run(folder, {}, [], []),
    ):
        shutil.rmtree(folder)


def test_a_secret_that_is_a_part_of_a_time_or_a_status_leaves_the_record_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASSWORD", "COMPLETED")
    monkeypatch.setenv("MY_TOKEN", f"{datetime.now(UTC).year}-1")
    with recorded_run(tmp_path, {}, ["run", "COMPLETED"], []):
        pass
    run = read_run(tmp_path).record
    assert (run.status, run.command) == ("COMPLETED", ("run", "[redacted]"))
