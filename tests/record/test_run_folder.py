"""Run folders are read as they are: whether a run lives, what is missing in them, which of them is meant."""

import copy
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from log_folders import PASS, UNENDED, change, write_run

from runner.base.overrides import repeat_command
from runner.compare.records import compare
from runner.errors import ConfigError, RecordError
from runner.log.ls import describe, read_entry, rows
from runner.log.show import how_it_ended, what_it_was
from runner.record.run_folder import choose_run, find_runs, read_run, status


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def running(beat: float | None = None, started: float = 0, **facts: Any) -> dict[str, Any]:
    """What a run says of itself that lives here, began, and last beat, so many seconds ago."""
    said = {"status": "RUNNING", "host": platform.node(), "pid": os.getpid(), "started": ago(started)}
    return said | facts | ({} if beat is None else {"heartbeat": ago(beat)})


@pytest.mark.parametrize("said", ["COMPLETED", "FAILED", "INTERRUPTED"])
def test_a_run_that_said_how_it_ended_is_believed(said: str) -> None:
    assert status({"status": said, "heartbeat": ago(1000), "host": "elsewhere", "pid": 1}) == said


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({"beat": 2}, "RUNNING"),
        ({"beat": 20}, "RUNNING"),
        ({"beat": 20, "pid": None}, "KILLED"),
        ({"beat": 2, "host": "elsewhere", "pid": 0}, "RUNNING"),
        ({"beat": 20, "host": "elsewhere"}, "KILLED"),
        ({}, "RUNNING"),
        ({"host": "elsewhere"}, "RUNNING"),
        ({"started": -3600}, "RUNNING"),
    ],
    ids=["beating", "halted", "silent", "beating elsewhere", "silent elsewhere", "schema 1", "schema 1 elsewhere",
         "clock set"],
)  # fmt: skip
def test_a_run_that_says_running_is_killed_once_its_heart_is_still_unless_its_process_is_seen(
    facts: dict[str, Any], wanted: str
) -> None:
    assert status(running(**facts)) == wanted


def test_a_run_whose_process_is_gone_is_killed_at_once() -> None:
    assert [status(running(pid=pid, beat=1)) for pid in (dead_pid(), 2**22 + 1, 2**80, -1)] == ["KILLED"] * 4


def test_a_run_that_was_halted_lives() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert status(running(pid=process.pid, beat=1000)) == "RUNNING"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert status(running(pid=process.pid, beat=1000)) == "KILLED"


def test_a_process_that_has_ended_but_is_not_yet_buried_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie until it is waited for otherwise
        assert status(running(pid=process.pid)) == "KILLED"


def test_a_process_that_was_given_the_number_of_a_dead_one_is_another() -> None:
    assert status(running(started=10 * 365 * 86400)) == "KILLED"


@pytest.mark.parametrize("facts", [{"pid": None}, {"heartbeat": "soon"}, {"started": None}, {"started": "2026-11-23"}])
def test_what_is_not_known_of_a_run_kills_it_not(facts: dict[str, Any]) -> None:
    assert status({**running(beat=1), **facts}) == "RUNNING"


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty: the run ended in its first moment"),
        ('{"schema": 2, "sta', "cannot be read as JSON"),
        ("[1]", "holds a list, wanted an object"),
        ('{"schema": 3}', "schema 3, this version reads 1 and 2"),
        ('{"schema": 2, "status": 7}', "'status' is 7, wanted one of RUNNING"),
    ],
)
def test_a_record_that_is_none_is_named_with_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RecordError, match=problem) as caught:
        read_run(tmp_path)
    assert str(tmp_path / "run.json") in str(caught.value)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"status": "WAT"}, "'status' is 'WAT', wanted one of RUNNING, COMPLETED, FAILED, INTERRUPTED; it was altered"),
        ({"seconds": "abc"}, "'seconds' is 'abc', wanted a number"),
        ({"seconds": float("nan")}, "'seconds' is nan, wanted a number"),
        ({"heartbeat": "0001-01-01T00:00:00+00:00"}, "'heartbeat' is .*, wanted a time with its zone"),
        ({"versions": None}, "'versions' is None, wanted an object"),
        ({"versions": {"numpy": 2}}, r"'versions\.numpy' is 2, wanted text"),
        ({"overrides": ["chunks=row", 1]}, r"'overrides\[1\]' is 1, wanted text"),
        ({"passes": [1]}, r"'passes\[0\]' is 1, wanted an object"),
        ({"passes": [PASS, {**PASS, "cluster": None}]}, r"'passes\[1\]\.cluster' is None, wanted an object"),
        ({"passes": [{**PASS, "fetched": {"bytes": 1}}]}, r"'passes\[0\]\.fetched\.requests' is None, wanted a number"),
    ],
    ids=str,
)
def test_a_value_that_no_run_writes_is_named(tmp_path: Path, facts: dict[str, Any], problem: str) -> None:
    with pytest.raises(RecordError, match=problem):
        read_run(write_run(tmp_path / "run", **facts))


def test_whatever_is_written_over_a_value_the_run_is_told_or_refused(tmp_path: Path) -> None:
    whole = read_run(write_run(tmp_path / "whole", phases={"listing_seconds": 1.5}, outputs=["a.tif"], attempts=[{}]))
    for facts in altered(whole.facts, [None, "abc", -1, [1], {"a": 1}, 10**400]):
        (tmp_path / "run.json").write_text(json.dumps(facts))
        entry = read_entry(tmp_path, tmp_path.parent)
        assert rows([entry])
        assert describe([entry])
        if entry.run:
            assert how_it_ended(entry.run)
            assert what_it_was(entry.run)
            assert repeat_command(entry.run.config_flags, entry.run.facts["overrides"])
            assert compare(entry.run, whole, ["config", "code", "kernels", "packages"])


def altered(tree: Any, values: list[Any]) -> Iterator[Any]:
    """The tree with each of its values in turn replaced by each of these."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else []:
        for other in [*values, *altered(tree[key], values)]:
            new = copy.copy(tree)
            new[key] = other
            yield new


def test_a_time_without_its_zone_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", started="2026-11-23T06:00:00")
    with pytest.raises(RecordError, match="'started'.*wanted a time with its zone"):
        read_run(folder)


def test_what_an_older_folder_does_not_hold_is_said_when_asked_for(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", schema=1))
    with pytest.raises(RecordError, match=r"outputs\.json is missing: run it again with this version"):
        run.outputs()
    with pytest.raises(RecordError, match=r"inputs\.parquet is missing: it was removed, or the run ended before it"):
        run.inputs()


@pytest.mark.parametrize("name", ["../run.json", "/etc/passwd", ".hydra", "a/b.tif"])
def test_outputs_cannot_name_a_file_elsewhere(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run")
    one = {"name": name, "bytes": 1, "sha256": "", "stage": "s", "over": "time", "values": []}
    (folder / "outputs.json").write_text(json.dumps({"schema": 1, "files": [one]}))
    with pytest.raises(RecordError, match="is no file of its folder"):
        read_run(folder).outputs()


def test_inputs_that_are_no_table_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "inputs.parquet").write_bytes(b"no parquet")
    with pytest.raises(RecordError, match=r"inputs\.parquet cannot be read"):
        read_run(folder).inputs()


@pytest.mark.parametrize(
    ("schema", "error", "wanted"),
    [
        (1, "SourceError: nothing matches", "SourceError: nothing matches"),
        (2, {"kind": "SourceError", "message": "nothing matches", "pass": None}, "SourceError: nothing matches"),
        (2, None, None),
    ],
)
def test_the_error_of_either_schema_is_one_text(tmp_path: Path, schema: int, error: object, wanted: str) -> None:
    assert read_run(write_run(tmp_path / "run", schema=schema, error=error)).error == wanted


def test_speed_and_retries_are_those_of_all_passes_or_unknown(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    assert (run.megabytes_per_second, run.retries) == (40.0, 3)
    gdal = read_run(change(tmp_path / "run", passes=[{**run.facts["passes"][0], "fetched": None}]))
    assert (gdal.megabytes_per_second, gdal.retries) == (None, None)


def test_speed_and_retries_are_those_of_the_passes_that_ended(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", status="INTERRUPTED", passes=[PASS, UNENDED])
    assert (read_run(folder).megabytes_per_second, read_run(folder).retries) == (40.0, 3)
    run = read_run(change(folder, passes=[UNENDED]))
    assert (run.megabytes_per_second, run.retries) == (None, None)


def test_a_killed_runs_time_ends_with_its_last_heartbeat(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", status="RUNNING", started="2026-03-02T14:05:09.250+00:00",
        heartbeat="2026-03-02T14:05:49.250+00:00", seconds=None, pid=dead_pid()
    )  # fmt: skip
    run = read_run(folder)
    assert (run.status, run.seconds) == ("KILLED", 40)


# --- finding ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    for at, name in enumerate(["2026-11-22/10-00-00_lake", "2026-11-23/09-00-00_lake", "2026-11-23/11-00-00_sweep/0"]):
        write_run(tmp_path / "outputs" / name, started=ago(1000 - at))
    write_run(tmp_path / "outputs/2026-11-23/.hidden/run")
    return tmp_path / "outputs"


def test_runs_are_found_in_multiruns_too_but_not_in_hidden_folders(outputs: Path) -> None:
    found = [str(path.relative_to(outputs)) for path in find_runs(outputs)]
    assert found == ["2026-11-22/10-00-00_lake", "2026-11-23/09-00-00_lake", "2026-11-23/11-00-00_sweep/0"]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("last", "2026-11-23/11-00-00_sweep/0"),
        ("10-00", "2026-11-22/10-00-00_lake"),
        ("2026-11-22/10-00-00_lake", "2026-11-22/10-00-00_lake"),
        ("sweep", "2026-11-23/11-00-00_sweep/0"),
        ("0", "2026-11-23/11-00-00_sweep/0"),
    ],
    ids=["last", "part", "name", "multirun", "a whole name before a part"],
)
def test_a_run_is_meant_by_last_or_a_part_of_its_name(outputs: Path, word: str, name: str) -> None:
    assert choose_run(word, outputs).path == outputs / name


def test_a_run_is_meant_by_its_folder_or_its_record(outputs: Path) -> None:
    folder = outputs / "2026-11-22/10-00-00_lake"
    assert choose_run(str(folder), Path("nowhere")).path == folder
    assert choose_run(str(folder / "run.json"), Path("nowhere")).path == folder


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("lake", r"2 runs have that in their name \(2026-11-22/10-00-00_lake, 2026-11-23/09-00-00_lake\)"),
        ("~no_such_user/x", "the home folder it begins with is not known"),
        ("sea", "no run below .* has that in its name"),
    ],
)
def test_a_word_that_means_no_run_or_several_is_refused(outputs: Path, word: str, problem: str) -> None:
    with pytest.raises((RecordError, ConfigError), match=problem):
        choose_run(word, outputs)


def test_last_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no run below"):
        choose_run("last", tmp_path)
