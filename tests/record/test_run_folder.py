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
from log_folders import PASS, UNENDED, change, facts_of, write_run
from msgspec import to_builtins
from msgspec.structs import replace

from runner.base.overrides import repeat_command
from runner.compare.records import compare
from runner.errors import ConfigError, RecordError
from runner.log.ls import describe, read_entry, rows
from runner.log.show import how_it_ended, what_it_was
from runner.record.run import Failure, PassRecord, TaskExtent
from runner.record.run_folder import choose_run, current_status, find_runs, read_run
from runner.record.run_record import write_run as write_record

AS_JSON = to_builtins(PASS)


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def ago(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.now(UTC) - timedelta(seconds=seconds)


def running(beat: float | None = None, started: float | None = 0, **facts: Any) -> str:
    """The status of a run that is recorded as running here, and that started, and last beat, so many seconds ago."""
    life = {"recorded": "RUNNING", "host": platform.node(), "pid": os.getpid(), "started": ago(started)}
    return current_status(**{**life, "heartbeat": ago(beat), **facts})


@pytest.mark.parametrize("said", ["COMPLETED", "FAILED", "INTERRUPTED"])
def test_a_run_that_said_how_it_ended_is_believed(said: str) -> None:
    assert running(recorded=said, beat=1000, host="elsewhere", pid=1) == said


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
    ids=["beating", "suspended", "silent", "beating elsewhere", "silent elsewhere", "just started",
         "just started elsewhere", "clock set"],
)  # fmt: skip
def test_a_run_that_says_running_is_killed_once_its_heart_is_still_unless_its_process_is_seen(
    facts: dict[str, Any], wanted: str
) -> None:
    assert running(**facts) == wanted


def test_a_run_whose_process_is_gone_is_killed_at_once() -> None:
    assert [running(pid=pid, beat=1) for pid in (dead_pid(), 2**22 + 1, 2**80, -1)] == ["KILLED"] * 4


def test_a_run_that_was_halted_lives() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert running(pid=process.pid, beat=1000) == "RUNNING"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert running(pid=process.pid, beat=1000) == "KILLED"


def test_a_process_that_has_ended_but_is_not_yet_buried_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie until it is waited for otherwise
        assert running(pid=process.pid) == "KILLED"


def test_a_process_that_was_given_the_number_of_a_dead_one_is_another() -> None:
    assert running(started=10 * 365 * 86400) == "KILLED"


@pytest.mark.parametrize("facts", [{"pid": None}, {"heartbeat": None}, {"started": None}])
def test_a_run_is_not_killed_by_what_is_unknown_of_it(facts: dict[str, Any]) -> None:
    assert running(**{"beat": 1, **facts}) == "RUNNING"


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty: the run ended in its first moment"),
        ('{"schema": 3, "sta', "cannot be read as JSON"),
        ("[1]", "holds a list, wanted an object"),
        ('{"schema": 2}', "schema 2, this version reads 3; use the version that wrote"),
        ('{"schema": 3}', "Object missing required field status; it was altered"),
        ('{"schema": 3, "status": 7}', r"\$\.status is 7, wanted .*; it was altered"),
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
        ({"status": "WAT"}, r"\$\.status is 'WAT', wanted one of RUNNING, COMPLETED, .*; it was altered"),
        ({"seconds": "abc"}, r"\$\.seconds is 'abc', wanted a number or null"),
        ({"seconds": float("nan")}, r"\$\.seconds is nan, wanted a number >= 0"),
        ({"started": "2026-11-23T06:00:00"}, r"\$\.started is .*, wanted a time with its zone"),
        ({"started": "soon"}, r"\$\.started is 'soon', wanted a time with its zone"),
        ({"heartbeat": "0001-01-01T00:00:00+00:00"}, "heartbeat is .*, wanted a year from 1970 on"),
        ({"versions": None}, r"\$\.versions is None, wanted an object"),
        ({"versions": {"numpy": 2}}, r"\$\.versions\[\.\.\.\]: Expected str, got int"),
        ({"overrides": ["chunks=row", 1]}, r"\$\.overrides\[1\] is 1, wanted text"),
        ({"passes": [1]}, r"\$\.passes\[0\] is 1, wanted an object"),
        ({"passes": [AS_JSON, {**AS_JSON, "cluster": None}]}, r"\$\.passes\[1\]\.cluster is None, wanted an object"),
        ({"passes": [{**AS_JSON, "tasks": "six"}]}, r"\$\.passes\[0\]\.tasks is 'six', wanted a whole number"),
        ({"passes": [{**AS_JSON, "fetched": {"bytes": 1}}]}, r"\$\.passes\[0\]\.fetched: .* field requests"),
        ({"config": {"source": 3}}, r"config\.source is 3, wanted an object"),
    ],
    ids=str,
)
def test_a_value_that_no_run_writes_is_named(tmp_path: Path, facts: dict[str, Any], problem: str) -> None:
    with pytest.raises(RecordError, match=problem) as caught:
        read_run(change(write_run(tmp_path / "run"), **facts))
    assert str(tmp_path / "run/run.json") in str(caught.value)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run")).record
    write_record(tmp_path / "run.json", run)
    assert read_run(tmp_path).record == run


def test_a_key_that_this_version_does_not_know_is_ignored(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run")).record
    newer = {"weather": "fair", "passes": [{**AS_JSON, "energy_joules": 7}]}
    assert read_run(change(tmp_path / "run", **newer)).record == run


def test_whatever_is_written_over_a_value_the_run_is_told_or_refused(tmp_path: Path) -> None:
    phases, earlier = {"listing_seconds": 1.5}, read_run(write_run(tmp_path / "earlier")).record.attempt
    failure = Failure("ReadError", "gone", task=TaskExtent(0, 0, 1, 1, 0, 1))
    write_run(
        tmp_path / "whole", phases=phases, outputs=["a.tif"], attempts=[replace(earlier, passes=())], error=failure
    )
    whole = read_run(tmp_path / "whole")
    for facts in altered(facts_of(whole.path), [None, "abc", -1, [1], {"a": 1}, 10**400]):
        (tmp_path / "run.json").write_text(json.dumps(facts))
        entry = read_entry(tmp_path, tmp_path.parent)
        assert rows([entry])
        assert describe([entry])
        if entry.run:
            assert how_it_ended(entry.run)
            assert what_it_was(entry.run)
            assert repeat_command(entry.run.record.config_flags, entry.run.record.overrides)
            assert compare(entry.run, whole, ["config", "code", "kernels", "packages"])


def altered(tree: Any, values: list[Any]) -> Iterator[Any]:
    """The tree with each of its values in turn replaced by each of these."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else []:
        for other in [*values, *altered(tree[key], values)]:
            new = copy.copy(tree)
            new[key] = other
            yield new


def test_a_file_that_is_missing_is_reported_when_it_is_asked_for(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    with pytest.raises(RecordError, match=r"outputs\.json is missing: run it again with this version"):
        run.outputs()
    with pytest.raises(RecordError, match=r"inputs\.parquet is missing: it was removed, or the run ended before it"):
        run.inputs()


@pytest.mark.parametrize("name", ["../run.json", "/etc/passwd", ".hydra", "a/b.tif"])
def test_outputs_cannot_name_a_file_elsewhere(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run")
    one = {"name": name, "bytes": 1, "sha256": "", "stage": "s", "over": "time", "values": []}
    (folder / "outputs.json").write_text(json.dumps({"schema": 1, "files": [one]}))
    with pytest.raises(RecordError, match="does not lie in its folder"):
        read_run(folder).outputs()


def test_inputs_that_are_no_table_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "inputs.parquet").write_bytes(b"no parquet")
    with pytest.raises(RecordError, match=r"inputs\.parquet cannot be read"):
        read_run(folder).inputs()


@pytest.mark.parametrize(
    ("error", "text"), [(Failure("SourceError", "nothing matches"), "SourceError: nothing matches"), (None, None)]
)
def test_the_error_is_one_text(tmp_path: Path, error: Failure | None, text: str | None) -> None:
    assert read_run(write_run(tmp_path / "run", error=error)).error == text


@pytest.mark.parametrize(
    ("passes", "speed"),
    [
        ([PASS], (40.0, 3)),
        ([PASS, UNENDED], (40.0, 3)),
        ([PASS, PASS], (40.0, 6)),
        ([replace(PASS, fetched=None)], (None, None)),
        ([UNENDED], (None, None)),
        ([], (None, None)),
    ],
    ids=["one", "one of two ended", "two", "by GDAL", "none ended", "none"],
)
def test_speed_and_retries_are_those_of_all_passes_that_ended_or_unknown(
    tmp_path: Path, passes: list[PassRecord], speed: tuple[float | None, int | None]
) -> None:
    run = read_run(write_run(tmp_path / "run", passes=passes)).record
    assert (run.megabytes_per_second, run.retries) == speed


def test_a_killed_runs_time_ends_with_its_last_heartbeat(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", status="RUNNING", started="2026-03-02T14:05:09.250+00:00",
        heartbeat="2026-03-02T14:05:49.250+00:00", seconds=None, pid=dead_pid(), ended=None
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
