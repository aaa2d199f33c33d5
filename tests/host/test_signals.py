"""Processes that are started while signals are held never see those of a terminal."""

import subprocess
import sys
from pathlib import Path

import pytest
from waiting import LONG

# It prints its own mask before and after, and in between that of the tracker, and of a process that it starts.
PROGRAM = """
import subprocess
from multiprocessing import resource_tracker
from pathlib import Path
import distributed
from runner.host.signals import signals_held

def mask(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("SigBlk")))

mask("self")
with signals_held():
    with subprocess.Popen(["sleep", "60"]) as process:
        mask(resource_tracker._resource_tracker._pid)
        mask(process.pid)
        process.kill()
mask("self")
"""
SIGHUP, SIGINT = 1 << 0, 1 << 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="masks are read from /proc")
def test_what_is_started_meanwhile_and_the_tracker_outlive_a_terminal_that_closes() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=LONG)
    assert not done.stderr
    before, tracker, started, after = (int(line, 16) for line in done.stdout.split())
    assert tracker & SIGHUP
    assert started & SIGHUP
    assert started & SIGINT
    assert before == after
    assert not before & (SIGHUP | SIGINT)


STUCK = """
import os, signal, time
from runner.host.signals import signals_held

with signals_held():
    os.kill(os.getpid(), signal.SIGTERM)
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""


def test_the_second_signal_ends_a_process_that_holds_the_first() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr, done.returncode) == ("held\n", "", 143)


LINGERING = """
import os, signal, threading, time
from runner.host.signals import end_on_signals, stop_on_signals

def interrupt():
    while threading.main_thread().is_alive():  # until the interpreter waits for this thread
        time.sleep(0.01)
    print("over", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

stop_on_signals()
threading.Thread(target=interrupt).start()
end_on_signals()
"""


def test_a_signal_after_the_end_ends_a_process_that_waits_for_a_thread() -> None:
    done = subprocess.run([sys.executable, "-c", LINGERING], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr, done.returncode) == ("over\n", "", 130)


HELD = """
import ctypes, os, signal, threading, time
from runner.host.signals import stop_on_signals

def interrupt():
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.4)
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGINT)

stop_on_signals()
threading.Thread(target=interrupt, daemon=True).start()
mutex, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
libc.pthread_mutex_lock(mutex)
libc.pthread_mutex_lock(mutex)
"""


def test_the_second_signal_ends_a_process_that_a_library_holds_in_a_call() -> None:
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr, done.returncode) == ("held\n", "", 130)
