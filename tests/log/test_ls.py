"""`python -m runner.log ls` and `show`, as typed: runs that were completed, failed, interrupted and killed."""

import ast
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jobs import ROOT
from log_folders import PASS, UNENDED, ask, asked, change, facts_of, run, write_run
from msgspec.structs import replace
from rich.console import Console
from typed import typed
from waiting import LONG, wait_until

from runner.base.console import table
from runner.base.overrides import for_shell

SLOW = ("chunks.time=1", "chunks.y=64", "chunks.x=32", "chunks.snap=false", "cluster@stages.spatial_mean.cluster=sync",
        "cluster@stages.temporal_mean.cluster=sync")  # fmt: skip


def listed(cwd: Path, *words: object) -> list[dict[str, Any]]:
    done = asked(cwd, "ls", "--json", *words)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def names(cwd: Path, *words: object) -> list[str]:
    return [one["name"] for one in listed(cwd, *words)]


# --- real runs, whatever their end --------------------------------------------------------------------------------


def stopped(cwd: Path, folder: Path, number: int) -> int:
    """Start a slow run, send it a signal once it computes, and give its exit code."""
    command = [sys.executable, "-m", "runner", *SLOW, f"output.dir={folder}"]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until((folder / "inputs.parquet").exists)
            assert [one["status"] for one in listed(cwd, folder)] == ["RUNNING"]
            process.send_signal(number)
            return process.wait(LONG)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with outputs/ that holds a run of each end, in a working folder of its own."""
    cwd = tmp_path_factory.mktemp("ends")
    run(cwd, "source.limit=2", "output.dir=outputs/completed", "chunks.y=512", "statistics=mean,count")
    assert typed(cwd, "source=local", "source.url=/nowhere/*.tif", "output.dir=outputs/failed").returncode == 1
    assert stopped(cwd, cwd / "outputs/interrupted", signal.SIGINT) == 130
    assert stopped(cwd, cwd / "outputs/killed", signal.SIGKILL) == -signal.SIGKILL
    return cwd


@pytest.mark.slow
def test_every_end_is_told_the_newest_first(ends: Path) -> None:
    found = {one["name"]: one["status"] for one in listed(ends)}
    assert list(found) == ["killed", "interrupted", "failed", "completed"]
    assert list(found.values()) == ["KILLED", "INTERRUPTED", "FAILED", "COMPLETED"]
    assert facts_of(ends / "outputs/killed")["status"] == "RUNNING"  # it could not say so itself


def test_a_table_has_stack_scenes_time_speed_retries_and_what_differs(ends: Path) -> None:
    done = asked(ends, "ls", "--status", "completed,failed")
    assert done.returncode == 0
    header, failed, completed = (line.split() for line in done.stdout.splitlines())
    assert header == [
        "run",
        "when",
        "status",
        "stack",
        "scenes",
        "wall",
        "MB/s",
        "retries",
        "overrides",
    ]
    assert (completed[0], completed[3], completed[4]) == ("completed", "COMPLETED", "demo")
    assert completed[5] == "2"
    assert float(completed[8]) > 0
    assert completed[9:] == ["0", "source.limit=2", "chunks.y=512", "statistics=mean,count"]
    assert failed[5:7] == ["-", str(round(facts_of(ends / "outputs/failed")["seconds"], 1))]
    assert "2 of 4 runs below outputs/" in done.stderr


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--status", "FAILED"], ["failed"]),
        (["--status", "killed,interrupted"], ["killed", "interrupted"]),
        (["--stack", "local"], ["failed"]),
        (["--stack", "d?m*"], ["killed", "interrupted", "completed"]),
        (["--where", "chunks.y=512"], ["completed"]),
        (["--where", "chunks.y=64", "--where", "chunks.snap=false", "--status", "killed"], ["killed"]),
        (["--where", "source.limit=null"], ["killed", "interrupted", "failed"]),
        (["--where", "source.url=/nowhere/*"], ["failed"]),
        (["--where", "stages.temporal_mean.statistics=[mean,count]", "--status", "failed"], ["failed"]),
        (["--since", "2031-01-01"], []),
        (["--until", "2020-01-01"], []),
    ],
)  # fmt: skip
def test_filters_choose(ends: Path, words: list[str], wanted: list[str]) -> None:
    assert names(ends, *words) == wanted


def test_show_says_how_a_run_ended_what_it_took_and_left(ends: Path) -> None:
    done = asked(ends, "show", "completed")
    assert done.returncode == 0
    for text in ("COMPLETED after", "demo: 2 scenes", "spatial_mean+temporal_mean", "temporal_count.tif",
                 "cog-stack-runner source.limit=2 chunks.y=512 statistics=mean,count\n",
                 "cog-stack-runner log rerun outputs/completed"):  # fmt: skip
        assert text in done.stdout


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("failed", ["FAILED after", "exit code 1", "error: SourceError: source.url=/nowhere/*.tif: nothing matches"]),
        ("interrupted", ["INTERRUPTED after", "exit code 130", "outputs: none"]),
        ("killed", ["KILLED", "it could not say so itself", "outputs: none"]),
    ],
)
def test_show_says_what_went_wrong(ends: Path, name: str, texts: list[str]) -> None:
    done = asked(ends, "show", name)
    assert done.returncode == 0
    assert not [text for text in texts if text not in done.stdout], done.stdout


@pytest.mark.slow
def test_a_killed_run_can_be_done_again_in_another_way(ends: Path, tmp_path: Path) -> None:
    threads = [f"cluster@stages.{stage}.cluster=threads" for stage in ("spatial_mean", "temporal_mean")]
    done = ask(ends, "rerun", "killed", "--", "chunks=auto", *threads, f"output.dir={tmp_path}/again")
    assert done.returncode == 0, done.stderr
    assert "outputs/killed is KILLED and left no values to compare with" in done.stdout
    assert facts_of(tmp_path / "again")["stack"]["scenes"] == 12


# --- folders written by hand ------------------------------------------------------------------------------------------


def test_two_hundred_runs_are_listed_and_nothing_heavy_is_loaded_for_it(tmp_path: Path) -> None:
    for at in range(200):
        write_run(tmp_path / f"outputs/2026-11-{at // 10 + 1:02}/run_{at}", {"chunks.y": 512 * (at % 3)})
    code = (
        "import sys; from runner.log.cli import main; main(['ls'])\n"
        "print({'numpy', 'pandas', 'pyarrow', 'rasterio', 'dask', 'hydra'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    *rows, loaded = done.stdout.splitlines()
    assert len(rows) == 1 + 200
    assert loaded == "set()"
    assert "200 of 200 runs" in done.stderr


def test_the_overrides_of_the_user_are_shown_and_all_settings_that_differ_are_in_json(tmp_path: Path) -> None:
    for at, (name, y) in enumerate([("lake", 512), ("lake", 1024), ("sea", 512)]):
        settings = {"source.name": name, "chunks.y": y, "output.dir": f"/{at}"}
        write_run(tmp_path / f"outputs/{name}_{y}", settings, overrides=[f"chunks.y={y}", f"output.dir=/{at}"])
    text = ask(tmp_path, "ls").stdout
    shown = sorted(line.split()[-1] for line in text.splitlines())
    assert shown == ["chunks.y=1024", "chunks.y=512", "chunks.y=512", "overrides"]
    assert "output.dir" not in text
    (sea,) = (one for one in listed(tmp_path) if one["stack"] == "sea")
    assert sea["settings"] == {"source.name": "sea", "chunks.y": 512}
    assert sea["overrides"] == ["chunks.y=512", "output.dir=/2"]


def test_without_a_terminal_a_line_is_as_long_as_its_own_overrides(tmp_path: Path) -> None:
    long = [f"stages.temporal_mean.statistics={'mean,' * 60}"]
    for name, overrides in (("long", long), ("short", ["chunks=row"])):
        write_run(tmp_path / f"outputs/{name}", overrides=overrides)
    lines = {line.split()[0]: line for line in asked(tmp_path, "ls").stdout.splitlines()}
    assert lines["long"].endswith(long[0])
    assert lines["short"].endswith("  chunks=row")
    assert len(lines["short"]) < 100


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("chunks=row", "chunks=row"),
        ("source.url=s3://b/*.tif", "'source.url=s3://b/*.tif'"),
        ("stages.x.statistics='median'", "\"stages.x.statistics='median'\""),
        ("source.url='$HOME'", "'source.url='\"'\"'$HOME'\"'\"''"),
    ],
)
def test_a_word_is_quoted_so_that_a_shell_gives_it_back(word: str, shown: str) -> None:
    assert for_shell(word) == shown
    assert shlex.split(shown) == [word]


@pytest.mark.parametrize("width", [60, 100, 200])
def test_a_run_takes_one_line_of_the_terminal(width: int) -> None:
    cells = [f"2026-11-23/14-05-0{at}_lake" for at in range(3)]
    overrides = "stages.temporal_mean.statistics=[mean,count,median] chunks=row " * 3
    rows = [[one, "COMPLETED", overrides, "12.5 s"] for one in cells]
    drawn = table("", ["run", "status", "overrides", "wall"], rows, 3, "overrides")
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    terminal.print(drawn)
    lines = terminal.file.getvalue().splitlines()
    assert len(lines) == 1 + len(cells)
    assert max(map(len, lines)) <= width
    assert all(cell in line and "12.5 s" in line for cell, line in zip(cells, lines[1:], strict=True))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda file: file.write_text('{"a":' * 100_000), "nested deeper than 64 levels"),
        (lambda file: file.write_text('{"a":' * 100 + "1" + "}" * 100), "nested deeper than 64 levels"),
        (lambda file: file.write_text("[" * 100_000), "nested deeper than 64 levels"),
        (lambda file: os.truncate(file, 2**36), "has 68719476736 bytes"),
        (lambda file: [file.unlink(), os.mkfifo(file)], "is not a regular file"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "cannot be read as JSON"),
    ],
    ids=["torn brackets", "deep objects", "deep lists", "huge", "a pipe", "no text"],
)
def test_one_bad_folder_is_one_line_at_once_and_the_others_are_listed(
    tmp_path: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    write_run(tmp_path / "outputs/whole")
    spoil(write_run(tmp_path / "outputs/bad") / "run.json")
    started = time.thread_time()  # what others take on a busy machine is not in it
    done = asked(tmp_path, "ls")
    assert time.thread_time() - started < 5
    assert done.returncode == 0
    assert re.findall("UNREADABLE|COMPLETED", done.stdout) == ["COMPLETED", "UNREADABLE"]
    assert [problem in line for line in done.stderr.splitlines()] == [False, True]


def test_dates_are_days_of_the_clock_on_the_wall(tmp_path: Path) -> None:
    for day in (1, 2, 3):
        write_run(tmp_path / f"outputs/{day}", started=f"2026-11-0{day}T23:30:00.000+00:00")
    for zone, wanted in (("UTC", ["2"]), ("UTC-1", ["1"])):  # POSIX: an hour east of Greenwich
        found = ask(
            tmp_path, "ls", "--json", "--since", "2026-11-02", "--until", "2026-11-02", env={**os.environ, "TZ": zone}
        )
        assert [one["name"] for one in json.loads(found.stdout)] == wanted


def test_jobs_of_a_multirun_are_listed_by_their_paths(tmp_path: Path) -> None:
    for at in (0, 1):
        write_run(tmp_path / f"outputs/2026-11-23/12-00-00_sweep/{at}", {"chunks.y": at})
    assert names(tmp_path, "outputs/2026-11-23") == ["12-00-00_sweep/1", "12-00-00_sweep/0"]


def test_a_folder_that_cannot_be_read_is_listed_with_the_reason(tmp_path: Path) -> None:
    write_run(tmp_path / "outputs/whole")
    (tmp_path / "outputs/half").mkdir()
    (tmp_path / "outputs/half/run.json").write_text('{"schema": 3, "sta')
    done = ask(tmp_path, "ls")
    assert done.returncode == 0
    assert "UNREADABLE" in done.stdout
    assert "outputs/half/run.json cannot be read as JSON" in done.stderr
    assert names(tmp_path, "--status", "unreadable") == ["half"]


def test_an_altered_record_spoils_its_own_row_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "outputs/whole")
    change(write_run(tmp_path / "outputs/altered"), seconds="abc")
    done = asked(tmp_path, "ls")
    assert done.returncode == 0
    assert re.findall("UNREADABLE|COMPLETED", done.stdout) == ["COMPLETED", "UNREADABLE"]
    for words in (["show", "altered"], ["diff", "altered", "whole"], ["resume", "altered"]):
        done = asked(tmp_path, *words)
        assert done.returncode == 2
        assert done.stderr == (
            "error: outputs/altered/run.json: $.seconds is 'abc', wanted a number or null; it was altered\n"
        )


def test_text_from_a_record_is_shown_as_it_is(tmp_path: Path) -> None:
    statistics = "[mean,count] [bold]x :star:"
    write_run(tmp_path / "outputs/a", {"source.name": statistics})
    write_run(tmp_path / "outputs/b")
    assert statistics in ask(tmp_path, "ls").stdout
    assert statistics in ask(tmp_path, "show", "a").stdout


def test_text_from_a_record_begins_no_line_of_its_own(tmp_path: Path) -> None:
    words = ["source.units=a\nfaked 2026-01-01 COMPLETED", "b\u2028c"]
    write_run(tmp_path / "outputs/one", {"source.name": "a\nb"}, overrides=words)
    listed = ask(tmp_path, "ls").stdout.splitlines()
    assert len(listed) == 2
    assert r"source.units=a\nfaked 2026-01-01 COMPLETED b\u2028c" in listed[1]
    shown = ask(tmp_path, "show", "one").stdout.splitlines()
    assert not [line for line in shown if line.startswith("faked")]


def test_show_tells_where_a_run_failed(tmp_path: Path) -> None:
    error = {
        "kind": "ReadError", "message": "s3://b/k: bytes 0 to 9 unread", "pass": "spatial_mean",
        "stages": ["spatial_mean"],
        "scene": "s3://b/k", "task": {"row": 512, "column": 0, "height": 512, "width": 512, "start": 0, "stop": 4},
    }  # fmt: skip
    write_run(tmp_path / "outputs/a", status="FAILED", exit_code=1, error=error, passes=[replace(PASS, fetched=None)])
    text = ask(tmp_path, "show", "a").stdout
    assert "error: ReadError: s3://b/k: bytes 0 to 9 unread" in text
    assert "in pass spatial_mean, scene s3://b/k, task row 512, column 0" in text
    assert "by GDAL" in text


def test_show_tells_what_a_run_was_at_that_did_not_end(tmp_path: Path) -> None:
    write_run(tmp_path / "outputs/a", status="INTERRUPTED", exit_code=130, passes=[UNENDED])
    (row,) = [line for line in asked(tmp_path, "show", "a").stdout.splitlines() if "unended" in line]
    assert "threads, 1 x 2 threads" in row
    assert "4 x 512 x 512" in row
    assert "by GDAL" not in row


def test_a_run_that_left_nothing_is_started_again_in_its_folder_or_resumed_with_another_source(tmp_path: Path) -> None:
    write_run(tmp_path / "my out", status="FAILED", overrides=["source=local", "output.dir=my out"])
    text = asked(tmp_path, "show", "my out").stdout
    assert "cog-stack-runner source=local 'output.dir=my out'\n" in text
    assert "log resume 'my out' -- source.url=...\n" in text
    assert "log rerun" not in text


def test_the_command_to_repeat_keeps_config_folders_and_leaves_out_the_runs_own(tmp_path: Path) -> None:
    command = ["/x/runner/__main__.py", "--config-dir", "my conf", "-m", "chunks=row,block", "output.dir=x"]
    overrides = ["chunks=row", "output.dir=x", "source.url='s3://b/*.tif'"]
    write_run(tmp_path / "outputs/a", command=command, overrides=overrides, config_flags=command[1:3])
    text = ask(tmp_path, "show", "a").stdout
    assert "cog-stack-runner --config-dir 'my conf' chunks=row \"source.url='s3://b/*.tif'\"\n" in text


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["ls", "nowhere"], "nowhere: there is no such folder"),
        (["ls", "--where", "chunks.yy=1"], "--where chunks.yy: no run has such a setting; did you mean 'chunks.y'"),
        (["ls", "--where", "chunks"], "wanted KEY=VALUE, such as chunks.y=512"),
        (["ls", "--since", "yesterday"], "yesterday: wanted a date such as 2026-11-23"),
        (["ls", "--status", "gone"], "wanted some of running, completed"),
        (["show", "sea"], "no run below outputs/ has that in its name"),
        (["show", "outputs"], "run.json is missing: that is not a run folder"),
        (["show", "a", "--", "chunks=row"], "show takes no overrides"),
        (["shwo"], "shwo: there is no such verb; did you mean 'show'"),
        ([], "the following arguments are required: VERB"),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly_is_one_line_and_exit_code_2(tmp_path: Path, words: list[str], problem: str) -> None:
    write_run(tmp_path / "outputs/a")
    done = ask(tmp_path, *words)
    assert done.returncode == 2
    assert problem in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["ls", "show", "diff", "verify", "rerun", "resume"])
def test_each_verb_has_a_help_with_examples(tmp_path: Path, verb: str) -> None:
    done = ask(tmp_path, verb, "--help")
    assert done.returncode == 0
    assert f"cog-stack-runner log {verb}" in done.stdout
    assert "examples" in done.stdout


def test_a_run_under_way_shows_the_time_since_it_began(tmp_path: Path) -> None:
    started = (datetime.now(UTC) - timedelta(seconds=40)).isoformat()
    write_run(tmp_path / "outputs/a", status="RUNNING", started=started, seconds=None, pid=os.getppid())
    (one,) = listed(tmp_path)
    assert one["status"] == "RUNNING"
    assert 40 <= one["seconds"] < 60


def test_no_module_of_the_log_reads_or_writes_pickles() -> None:
    for path in (ROOT / "runner/log").glob("*.py"):
        tree = ast.parse(path.read_text())
        loaded = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        loaded |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not loaded & {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
