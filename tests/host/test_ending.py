"""The end of a process: all that is registered is done, and the exit code is the one that was stated."""

import signal
import subprocess
import sys

import pytest
from waiting import LONG

from runner.host.ending import quiet_interrupts

PROGRAM = """
import atexit, sys, threading, time
from runner.host.ending import ending_at_once
end_with = ending_at_once()

class Loud:
    def __del__(self):
        print("freed one by one")

kept = Loud()
atexit.register(print, "registered", end="")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread", end=" ")), daemon=False).start()
"""


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("end_with(3); sys.exit(3)", (3, "thread registered")),
        ("sys.exit(4)", (4, "thread registeredfreed one by one\n")),
        ("end_with(0); sys.stdout = open('/dev/full', 'w'); print('lost')", (120, "freed one by one\n")),
    ],
)
def test_threads_and_what_is_registered_come_first(rest: str, expected: tuple[int, str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM + rest], capture_output=True, text=True, timeout=LONG)
    assert (done.returncode, done.stdout) == expected


def test_ctrl_c_ends_what_is_only_imported_without_a_traceback() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with quiet_interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with quiet_interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
