"""The folder of a sweep: claimed, resumed, its records written and read back."""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sweep_folders import alter

from runner.errors import OutputError, RecordError, SweepError
from runner.leaderboard.records import Status, SweepRecord, read_job_record
from runner.settings import Start, SweepSettings
from runner.sweep.folder import SweepFolder, earlier_sweep, new_sweep, resumed_sweep
from runner.sweep.jobs import Attempt, Job

JOB = Job(3, ("chunks.y=3", "mask=none"))
RECORD = SweepRecord(
    status="COMPLETED", started=datetime.fromisoformat("2026-03-02T14:05:09.250+00:00"), question=("chunks=row",)
)  # fmt: skip


def made(path: Path, **changes: Any) -> SweepFolder:
    sweep = new_sweep(path, replace(RECORD, **changes))
    sweep.update()
    return sweep


def test_a_folder_is_one_sweeps(tmp_path: Path) -> None:
    made(tmp_path / "a")
    with pytest.raises(OutputError, match="continue it with sweep.resume="):
        new_sweep(tmp_path / "a", RECORD)


@pytest.mark.parametrize(
    "name", ["sweep.html", "sweep.parquet", "experiment/best.yaml", "000/job.json", "012-few-2/x", ".earlier/x"]
)
def test_files_of_others_that_a_sweep_would_write_over_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("theirs")
    with pytest.raises(OutputError, match="which is not from a sweep and which the sweep would overwrite"):
        new_sweep(tmp_path, RECORD)
    assert (tmp_path / name).read_text() == "theirs"
    assert not (tmp_path / "sweep.json").exists()


@pytest.mark.parametrize("name", ["sweep.html", "experiment", "sweep.parquet"])
def test_a_link_in_place_of_its_file_is_refused_too(tmp_path: Path, name: str) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=f"holds {name}"):
        new_sweep(tmp_path / "new", RECORD)


def test_other_files_and_experiments_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").touch()
    (tmp_path / "notes.txt").touch()
    made(tmp_path)


def test_auto_is_the_newest_sweep_that_asks_the_same(tmp_path: Path) -> None:
    made(tmp_path / "2026-03-02/a")
    made(tmp_path / "2026-03-03/b", started=RECORD.started + timedelta(days=1))
    made(tmp_path / "2026-03-04/c", started=RECORD.started + timedelta(days=2), question=("chunks=block",))
    assert earlier_sweep("auto", ["chunks=row"], tmp_path).name == "b"
    with pytest.raises(SweepError, match="no sweep below .* has this command"):
        earlier_sweep("auto", ["chunks=scene"], tmp_path)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"question": ("chunks=row", "mask=none")}, "missing here: none; overrides here .*: mask=none"),
        ({"settings": SweepSettings(start=Start.cold)}, "sweep.start=cold: the sweep in .* started with warm"),
        ({"settings": SweepSettings(n_jobs=2)}, "sweep.n_jobs=2"),
        ({"settings": SweepSettings(baseline=["mask=none"])}, r"sweep.baseline=\[mask=none\]: .* started with null"),
    ],
)
def test_another_sweep_is_not_resumed(tmp_path: Path, now: dict[str, Any], message: str) -> None:
    made(tmp_path / "a")
    with pytest.raises(SweepError, match=message):
        resumed_sweep(tmp_path / "a", replace(RECORD, **now))


def test_a_sweep_that_lives_is_left_alone(tmp_path: Path) -> None:
    made(tmp_path / "a", status="RUNNING", pid=os.getpid())
    with pytest.raises(SweepError, match=f"this sweep is running, as process {os.getpid()}"):
        resumed_sweep(tmp_path / "a", RECORD)


def test_a_sweep_whose_process_has_ended_is_resumed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    host = os.uname().nodename
    made(tmp_path / "a", status="RUNNING", pid=process.pid, host=host)
    assert resumed_sweep(tmp_path / "a", RECORD).path == tmp_path / "a"


def test_room_is_made_for_another_try_as_often_as_it_takes(tmp_path: Path) -> None:
    sweep, attempt = made(tmp_path / "a"), Attempt(JOB)
    for at in (1, 2):
        sweep.keep(attempt, attempt.record({}, Status.FAILED, f"try {at}"))
        sweep.set_aside(attempt)
    assert [json.loads((tmp_path / f"a/.earlier/003.{at}/job.json").read_text())["reason"] for at in (1, 2)] == [
        "try 1",
        "try 2",
    ]
    assert not sweep.of(attempt).exists()


@pytest.mark.parametrize(
    ("altered", "problem"),
    [
        ({"schema": None}, "has schema None, this version reads 1"),
        ({"status": None}, r"\$\.status.*; it was altered"),
        ({"overrides": None}, r"\$\.overrides.*; it was altered"),
        ({"wall_seconds": "1.5 s"}, r"\$\.wall_seconds.*; it was altered"),
        ({"started": "2026-03-02T14:05:09"}, r"\$\.started"),  # no zone
    ],
)
def test_a_record_that_was_altered_is_refused_with_the_place(
    tmp_path: Path, altered: dict[str, Any], problem: str
) -> None:
    sweep, attempt = made(tmp_path / "a"), Attempt(JOB, 2)
    sweep.keep(attempt, attempt.record({}, Status.RUNNING))
    alter(sweep.of(attempt) / "job.json", **altered)
    with pytest.raises(RecordError, match=rf"a/003-2/job\.json.*{problem}"):
        read_job_record(sweep.of(attempt))
    assert sweep.record(attempt) is None
    assert len(list(sweep.damaged())) == 1


def test_a_record_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"schema"')
    with pytest.raises(RecordError, match="was cut off"):
        read_job_record(tmp_path)


def test_a_plain_multirun_below_outputs_is_no_sweep_to_resume(tmp_path: Path) -> None:
    (tmp_path / "multirun/0").mkdir(parents=True)
    (tmp_path / "multirun/0/run.json").write_text("{}")
    with pytest.raises(SweepError, match="no sweep below"):
        earlier_sweep("auto", ["chunks=row"], tmp_path)


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    sweep, attempt = made(tmp_path / "a"), Attempt(JOB, 2)
    record = attempt.record({"chunks.y": "3"}, Status.REFUSED, "too large")
    sweep.keep(attempt, record)
    assert sweep.record(attempt) == record
    assert read_job_record(tmp_path) is None
