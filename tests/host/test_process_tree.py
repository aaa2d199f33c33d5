"""The meter of a process tree: whose memory and time count."""

import subprocess
import sys

import psutil

from runner.host.process_tree import measured_usage


def cpu_seconds(pid: int | None = None) -> float:
    return sum(psutil.Process(pid).cpu_times()[:2])


def test_the_time_and_memory_of_this_process_are_measured() -> None:
    before = cpu_seconds()
    with measured_usage(frozenset()) as usage:
        started = cpu_seconds()
        kept = bytearray(64 * 2**20)
        while cpu_seconds() - started < 0.3:
            pass
    assert 0.3 <= usage.cpu_seconds <= cpu_seconds() - before
    assert usage.peak_bytes > len(kept)


# Waits until it is told, works for a second, says so, and waits again.
WORKS = "import sys, time; sys.stdin.readline(); a = time.process_time()\nwhile time.process_time() < a + 1: pass\n"
WORKS += "print(flush=True); sys.stdin.read()"


def test_a_worker_counts_and_a_stranger_does_not() -> None:
    command, pipes = [sys.executable, "-c", WORKS], {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as worker, subprocess.Popen(command, **pipes) as stranger:
        before, own = cpu_seconds(worker.pid), cpu_seconds()
        with measured_usage(frozenset([stranger.pid])) as usage:
            for one in (worker, stranger):
                one.stdin.write(b"\n")
                one.stdin.flush()
            for one in (worker, stranger):
                one.stdout.readline()
        used, own = cpu_seconds(worker.pid) - before, cpu_seconds() - own
        for one in (worker, stranger):
            one.stdin.close()
    assert own < 1
    assert 0.98 <= usage.cpu_seconds <= used + own  # Linux counts in hundredths of a second
