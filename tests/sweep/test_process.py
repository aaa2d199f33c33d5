"""The process of a job: its limits, its end, and the end of all that it started."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from jobs import ROOT
from waiting import LONG, lives, wait_until

from runner.sweep import process
from runner.sweep.process import Cause, Ended, JobProcess, Limits, StopSign

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
    """The end of a job that gets a signal once the condition holds."""
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
    """True if a job has printed this text."""
    log = folder / "console.log"
    return log.is_file() and text in log.read_text()


def test_the_resources_of_a_job_are_measured(tmp_path: Path) -> None:
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


def test_the_memory_of_all_processes_of_a_job_counts(tmp_path: Path) -> None:
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


def test_processes_that_a_job_leaves_have_ended_before_the_next_job_starts(
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
