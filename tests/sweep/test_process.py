"""The parts of a sweep alone: its order, its processes with their limits, its folder."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from jobs import ROOT
from waiting import LONG, lives, wait_until

from runner.config.overrides import as_hydra_reads
from runner.errors import ConfigError, OutputError, RecordError, SweepError
from runner.leaderboard.jobs import FEW, Attempt, Job, JobRecord, Status, fair_order, varied_words
from runner.leaderboard.sweep_folder import SweepFolder, again, earlier_sweep, new_sweep, read_record
from runner.settings import SweepSettings
from runner.sweep import process
from runner.sweep.compose import check_settings
from runner.sweep.process import Cause, Ended, JobProcess, Limits, StopSign

JOBS = [Job(number, (f"chunks.y={number}", "mask=none")) for number in range(12)]


# --- order and names ----------------------------------------------------------------------------------------------


def test_every_repeat_is_a_round_of_all_jobs_in_an_order_of_its_own() -> None:
    order = fair_order(JOBS, repeats=3, rung="all", seed=0)
    rounds = [[one.job.number for one in order[at : at + 12]] for at in (0, 12, 24)]
    assert [one.repeat for one in order] == [1] * 12 + [2] * 12 + [3] * 12
    assert all(sorted(one) == list(range(12)) for one in rounds)
    assert len({tuple(one) for one in rounds}) == 3


def test_the_seed_makes_the_order() -> None:
    orders = [[one.name for one in fair_order(JOBS, 2, "all", seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("attempt", "name"),
    [
        (Attempt(Job(7, ())), "007"),
        (Attempt(Job(1234, ()), 2), "1234-2"),
        (Attempt(Job(7, ()), 1, FEW), "007-few"),
        (Attempt(Job(7, ()), 3, FEW), "007-few-3"),
    ],
)
def test_an_attempt_is_named_by_its_job_rung_and_repeat(attempt: Attempt, name: str) -> None:
    assert attempt.name == name


def test_only_words_that_are_not_alike_in_all_jobs_vary() -> None:
    jobs = [
        Job(0, ("mask=none", "chunks=row")),
        Job(1, ("mask=none", "chunks=block", "+gdal.options.X=a=b")),
        Job(2, ("mask=none", "chunks=row", "~stage@stages.temporal_mean=null")),
    ]
    assert varied_words(jobs) == {
        0: {"chunks": "row"},
        1: {"chunks": "block", "gdal.options.X": "a=b"},
        2: {"chunks": "row", "stage@stages.temporal_mean": "dropped"},
    }


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("sweep.baseline=chunks=row", ["chunks=row"]),
        ("sweep.baseline=[chunks=row]", ["chunks=row"]),
        ("sweep.baseline=chunks=row,engine=xarray", ["chunks=row", "engine=xarray"]),
        ("sweep.baseline=['chunks=row', \"mask=none\"]", ["chunks=row", "mask=none"]),
        ("sweep.baseline=stages.a.statistics=[mean,q05],~stage@stages.b", ["stages.a.statistics=[mean,q05]",
                                                                            "~stage@stages.b"]),
        ("+sweep.baseline=source.url='a,b'", ["source.url='a,b'"]),
        (r"sweep.baseline=source.datetime_regex=(?P<date>\d{8})\\", [r"source.datetime_regex=(?P<date>\d{8})\\"]),
        ("sweep.baseline=[]", []),
        ("sweep.baseline=null", None),
        ("sweep.objective=peak", ["peak"]),
        ("sweep.objective=[wall,peak]", ["wall", "peak"]),
        ("sweep.objective=wall,peak", ["wall", "peak"]),
    ],
)  # fmt: skip
def test_a_list_of_the_sweep_needs_neither_brackets_nor_quotes(typed: str, values: list[str] | None) -> None:
    (read,) = as_hydra_reads([typed])
    assert OverridesParser.create().parse_override(read).value() == values
    assert as_hydra_reads([read]) == [read]


def test_other_words_stay_as_they_are() -> None:
    words = ["-m", "chunks=row,block", "sweep.timeout=3", "--config-dir", "sweep.baseline", "~sweep.baseline"]
    assert as_hydra_reads(words, multirun=True) == words


@pytest.mark.parametrize("key", ["timeout", "prune", "repeats", "n_jobs", "trials", "keep"])
def test_nothing_is_no_limit(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"sweep\.{key}=0: wanted .* (above 0|from 1)"):
        check_settings(SweepSettings(**{key: 0}))


# --- processes ----------------------------------------------------------------------------------------------------

# Holds 90 MB, says so, and waits.
HOLDS = "import time; held = bytearray(b'x') * 90_000_000; print('holds', flush=True); time.sleep(6000)"
# The same with a child that does so too.
HOLDS_TWICE = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {HOLDS!r}]); {HOLDS}"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(6000)"


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job on a busy machine may take its time to end by a signal."""
    for name in ("_GRACE_SECONDS", "_GRACE_OF_MEMORY_SECONDS", "_DYING_SECONDS", "_LAST_LINES_SECONDS"):
        monkeypatch.setattr(process, name, LONG)


def start(code: str, folder: Path) -> JobProcess:
    return JobProcess([sys.executable, "-c", code], folder / "console.log", os.environ)


def stopped_once(condition: Callable[[], object], process: JobProcess, limits: Limits, number: int) -> Ended:
    """How a job ended that is to end by a signal, once it is as far as that."""
    sign = StopSign()

    def stop() -> None:
        try:
            wait_until(condition)
        finally:
            sign.raise_(number)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        return process.watch(limits, sign)
    finally:
        thread.join()


def says(folder: Path, text: str) -> bool:
    """Whether a job has said something."""
    log = folder / "console.log"
    return log.is_file() and text in log.read_text()


def test_a_job_that_ends_by_itself_says_what_it_took(tmp_path: Path) -> None:
    # It ends once its memory was seen, which a busy machine looks at late.
    code = f"""
import time, pathlib
while time.process_time() < 0.5: pass
while not pathlib.Path({str(tmp_path / "seen")!r}).exists(): time.sleep(0.01)
raise SystemExit(3)
"""
    began = time.monotonic()
    job = start(code, tmp_path)

    def end_it() -> None:
        wait_until(lambda: job._tree.usage.peak_bytes)
        (tmp_path / "seen").touch()

    threading.Thread(target=end_it).start()
    ended = job.watch(Limits(), StopSign())
    assert (ended.exit_code, ended.cause) == (3, None)
    assert 0.5 <= ended.cpu_seconds <= ended.wall_seconds <= time.monotonic() - began
    assert 5e6 < ended.peak_bytes < 1e9


def test_memory_is_that_of_all_processes_of_a_job(tmp_path: Path) -> None:
    ended = start(HOLDS_TWICE, tmp_path).watch(Limits(memory_bytes=150_000_000), StopSign())
    assert ended.cause is Cause.memory
    assert ended.exit_code == -signal.SIGTERM
    assert ended.peak_bytes > 150_000_000


def test_a_job_below_its_limit_of_memory_goes_on(tmp_path: Path) -> None:
    job = start(HOLDS, tmp_path)
    limits = Limits(memory_bytes=150_000_000)
    ended = stopped_once(lambda: job._tree.resident_bytes > 90_000_000, job, limits, signal.SIGTERM)
    assert ended.cause is Cause.stopped


def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    ended = start("import time; time.sleep(6000)", tmp_path).watch(Limits(seconds=0.3), StopSign())
    assert (ended.cause, ended.exit_code) == (Cause.timeout, -signal.SIGTERM)
    assert ended.wall_seconds >= 0.3


def test_a_job_deaf_to_signals_is_killed_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_GRACE_SECONDS", 0.5)
    ended = stopped_once(lambda: says(tmp_path, "deaf"), start(DEAF, tmp_path), Limits(), signal.SIGTERM)
    assert (ended.cause, ended.exit_code) == (Cause.stopped, -signal.SIGKILL)
    assert (tmp_path / "console.log").read_text() == "deaf\n"


def test_what_a_job_leaves_behind_is_gone_before_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL takes effect a while after it was sent."""
    code = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(6000)']).pid)"
    )
    kill = os.killpg
    monkeypatch.setattr("psutil.Process.kill", lambda process: None)
    monkeypatch.setattr("os.killpg", lambda group, number: threading.Timer(0.3, kill, (group, number)).start())
    assert start(code, tmp_path).watch(Limits(), StopSign()).exit_code == 0
    assert not lives(int((tmp_path / "console.log").read_text()))


TWICE = """
import sys
from functools import partial
from pathlib import Path
from runner.host.signals import stop_on_signals
from runner.settings import Start
from runner.sweep import process
from runner.sweep.launch import Launchpad
from runner.sweep.process import Limits
process._GRACE_SECONDS = 6000.0
stop_on_signals()
pad = Launchpad(Limits(), Start.warm)
list(pad.each([partial(pad.run, [sys.executable, "-c", sys.argv[1]], Path.cwd())], 1))
"""


HEARS = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
print(os.getpid(), flush=True)
time.sleep(6000)
"""


def test_a_second_signal_kills_jobs_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWICE, HEARS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as sweep:
        wait_until(lambda: says(tmp_path, "\n"))
        sweep.terminate()
        wait_until(lambda: says(tmp_path, "heard"))
        assert sweep.poll() is None
        sweep.terminate()
        assert sweep.wait(LONG) == 128 + signal.SIGTERM
    job = int((tmp_path / "console.log").read_text().split()[0])
    wait_until(lambda: not lives(job))


def test_a_raised_sign_ends_a_job_by_its_signal(tmp_path: Path) -> None:
    listens = "import time\ntry:\n print('ready', flush=True)\n time.sleep(6000)\n"
    job = start(f"{listens}except KeyboardInterrupt: raise SystemExit(130)", tmp_path)
    ended = stopped_once(lambda: says(tmp_path, "ready"), job, Limits(), signal.SIGINT)
    assert (ended.cause, ended.exit_code) == (Cause.stopped, 130)


def test_the_console_of_a_job_is_kept_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-4711")
    assert start("import os; print(os.environ['AWS_SECRET_ACCESS_KEY'])", tmp_path).watch(Limits(), StopSign())
    assert (tmp_path / "console.log").read_text() == "[redacted]\n"


# --- the folder ---------------------------------------------------------------------------------------------------

SETTINGS = {"start": "warm", "n_jobs": 1, "prune": None, "keep": 0.34, "search": None, "baseline": None}
FACTS = {"schema": 1, "status": "COMPLETED", "started": "2026-03-02T14:05:09.250+00:00", "question": ["chunks=row"],
         "settings": SETTINGS}  # fmt: skip


def made(path: Path, **changes: object) -> SweepFolder:
    sweep = new_sweep(path, {**FACTS, **changes})
    sweep.update()
    return sweep


def test_a_folder_is_one_sweeps(tmp_path: Path) -> None:
    made(tmp_path / "a")
    with pytest.raises(OutputError, match="go on with it by sweep.resume="):
        new_sweep(tmp_path / "a", FACTS)


@pytest.mark.parametrize(
    "name", ["sweep.html", "sweep.parquet", "experiment/best.yaml", "000/job.json", "012-few-2/x", ".earlier/x"]
)
def test_files_of_others_that_a_sweep_would_write_over_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("theirs")
    with pytest.raises(OutputError, match="which the sweep would write over and which no sweep has left there"):
        new_sweep(tmp_path, FACTS)
    assert (tmp_path / name).read_text() == "theirs"
    assert not (tmp_path / "sweep.json").exists()


@pytest.mark.parametrize("name", ["sweep.html", "experiment", "sweep.parquet"])
def test_a_link_in_place_of_its_file_is_refused_too(tmp_path: Path, name: str) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=f"holds {name}"):
        new_sweep(tmp_path / "new", FACTS)


def test_other_files_and_experiments_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").touch()
    (tmp_path / "notes.txt").touch()
    made(tmp_path)


def test_auto_is_the_newest_sweep_that_asks_the_same(tmp_path: Path) -> None:
    made(tmp_path / "2026-03-02/a")
    made(tmp_path / "2026-03-03/b", started="2026-03-03T14:05:09.250+00:00")
    made(tmp_path / "2026-03-04/c", started="2026-03-04T14:05:09.250+00:00", question=["chunks=block"])
    assert earlier_sweep("auto", ["chunks=row"], tmp_path).name == "b"
    with pytest.raises(SweepError, match="no sweep below .* has this command"):
        earlier_sweep("auto", ["chunks=scene"], tmp_path)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"question": ["chunks=row", "mask=none"]}, "words of its command that are not here: none; .*there: mask=none"),
        ({"settings": {**SETTINGS, "start": "cold"}}, "sweep.start=cold: the sweep in .* was begun with warm"),
        ({"settings": {**SETTINGS, "n_jobs": 2}}, "sweep.n_jobs=2"),
        ({"settings": {**SETTINGS, "baseline": ["mask=none"]}}, "sweep.baseline=.* was begun with None"),
    ],
)
def test_another_sweep_is_not_gone_on_with(tmp_path: Path, now: dict[str, object], message: str) -> None:
    made(tmp_path / "a")
    with pytest.raises(SweepError, match=message):
        again(tmp_path / "a", {**FACTS, **now})


def test_a_sweep_that_lives_is_left_alone(tmp_path: Path) -> None:
    made(tmp_path / "a", status="RUNNING", pid=os.getpid())
    with pytest.raises(SweepError, match=f"this sweep runs, as process {os.getpid()}"):
        again(tmp_path / "a", FACTS)


def test_a_sweep_whose_process_is_gone_is_gone_on_with(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    host = os.uname().nodename
    made(tmp_path / "a", status="RUNNING", pid=gone.pid, host=host)
    assert again(tmp_path / "a", FACTS).path == tmp_path / "a"


def test_room_is_made_for_another_try_as_often_as_it_takes(tmp_path: Path) -> None:
    sweep, attempt = made(tmp_path / "a"), Attempt(JOBS[3])
    for at in (1, 2):
        sweep.keep(attempt, JobRecord.of(attempt, {}, Status.FAILED, f"try {at}"))
        sweep.set_aside(attempt)
    assert [json.loads((tmp_path / f"a/.earlier/003.{at}/job.json").read_text())["reason"] for at in (1, 2)] == [
        "try 1",
        "try 2",
    ]
    assert not sweep.of(attempt).exists()


RECORD = (
    '{"schema": 1, "job": 3, "repeat": 1, "rung": "all", "baseline": false, "overrides": [], "varied": {}, '
    '"status": "COMPLETED", "wall_seconds": 1.5}'
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"job": 3}', "has schema None"),
        ('{"schema": 1, "job": 3}', "was altered"),
        ('{"schema"', "was cut off"),
        (RECORD.replace("[]", "null"), "was altered"),
        (RECORD.replace("1.5", '"1.5 s"'), "wall_seconds is '1.5 s'"),
    ],
)
def test_a_record_that_was_altered_is_refused(tmp_path: Path, text: str, words: str) -> None:
    sweep, attempt = made(tmp_path / "a"), Attempt(JOBS[3], 2)
    sweep.keep(attempt, JobRecord.of(attempt, {}, Status.RUNNING))
    (sweep.of(attempt) / "job.json").write_text(text)
    with pytest.raises(RecordError, match=words):
        read_record(sweep.of(attempt))
    assert sweep.record(attempt) is None
    assert len(list(sweep.damaged())) == 1


def test_a_plain_multirun_below_outputs_is_no_sweep_to_resume(tmp_path: Path) -> None:
    (tmp_path / "multirun/0").mkdir(parents=True)
    (tmp_path / "multirun/0/run.json").write_text("{}")
    with pytest.raises(SweepError, match="no sweep below"):
        earlier_sweep("auto", ["chunks=row"], tmp_path)


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    sweep, attempt = made(tmp_path / "a"), Attempt(JOBS[3], 2)
    record = JobRecord.of(attempt, {"chunks.y": "3"}, Status.REFUSED, "too large")
    sweep.keep(attempt, record)
    assert sweep.record(attempt) == record
    assert read_record(tmp_path) is None
