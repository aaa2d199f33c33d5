"""A job as a process of its own: started, watched with all it starts, ended if it must end."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO

import psutil

from runner.base.redact import redact
from runner.host.process_tree import ProcessTree, lives

_LOOK_SECONDS = 0.1  # between two looks at the memory of the known processes
_SEARCH_SECONDS = 0.5  # between two searches for new processes
_GRACE_SECONDS = 15.0  # from a signal to SIGKILL: a run ends its workers and writes its report within 10 s
_GRACE_OF_MEMORY_SECONDS = 3.0  # a job that takes too much memory takes more meanwhile
_LAST_LINES_SECONDS = 2.0
_DYING_SECONDS = 60.0  # after SIGKILL: a process whose disk hangs does not end
_DYING_LOOK_SECONDS = 0.005


class Cause(Enum):
    """The reason for which the sweep ended a job."""

    timeout = "timeout"
    memory = "memory"
    stopped = "stopped"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a job: seconds from its start, bytes resident in all its processes."""

    seconds: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a process, and the resources it took. A negative exit code is a signal's number."""

    exit_code: int
    cause: Cause | None
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(slots=True)
class StopSign:
    """A flag for all jobs, with the number of the signal that ends them."""

    number: int = signal.SIGTERM
    _event: threading.Event = field(default_factory=threading.Event)

    def raise_(self, number: int) -> None:
        """Ask every job to end."""
        self.number = number
        self._event.set()

    @property
    def raised(self) -> bool:
        """True if jobs must end."""
        return self._event.is_set()


class JobProcess:
    """A command in a process group of its own, whose output goes to `log` without secrets."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._began = time.monotonic()
        self._popen = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(environment),
            start_new_session=True,  # also: Ctrl-C in the terminal is ours to pass on
        )  # fmt: skip
        self._done = threading.Event()
        self._ended, self._cpu = 0.0, 0.0
        self._tree = ProcessTree(self._popen.pid, search_seconds=_SEARCH_SECONDS)
        assert self._popen.stdout is not None
        self._threads = (
            threading.Thread(target=self._wait, name="job's end", daemon=True),
            threading.Thread(target=_keep_lines, args=(self._popen.stdout, log), name="job's output", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def watch(self, limits: Limits, stop: StopSign) -> Ended:
        """Wait for its end; end it if a limit is exceeded or `stop` is raised."""
        cause = None
        while not self._done.wait(_LOOK_SECONDS):
            self._tree.look()
            cause = self._cause(limits, stop)
            if cause:
                self._end(cause, stop)
                break
        self._done.wait()
        self._end_what_it_left()
        self._threads[1].join(_LAST_LINES_SECONDS)
        assert self._popen.returncode is not None
        return Ended(self._popen.returncode, cause, self._ended - self._began, self._cpu, self._tree.usage.peak_bytes)

    def kill(self) -> None:
        """Kill it and all it started; they end a little later."""
        self._tree.kill()
        self._kill_group()

    def _end_what_it_left(self) -> None:
        """Kill it and wait for the end of its processes, so that the next job has their memory."""
        self.kill()
        stop = time.monotonic() + _DYING_SECONDS
        while (self._tree.lives or _group_lives(self._popen.pid)) and time.monotonic() < stop:
            time.sleep(_DYING_LOOK_SECONDS)

    def _cause(self, limits: Limits, stop: StopSign) -> Cause | None:
        if stop.raised:
            return Cause.stopped
        if limits.memory_bytes is not None and self._tree.resident_bytes > limits.memory_bytes:
            return Cause.memory
        late = limits.seconds is not None and time.monotonic() - self._began > limits.seconds
        return Cause.timeout if late else None

    def _end(self, cause: Cause, stop: StopSign) -> None:
        """Send the signal to the job's first process, which ends the others; kill those that remain after a while."""
        number = stop.number if cause is Cause.stopped else signal.SIGTERM
        if not self._done.is_set():
            os.kill(self._popen.pid, number)
        if not self._done.wait(_GRACE_OF_MEMORY_SECONDS if cause is Cause.memory else _GRACE_SECONDS):
            self.kill()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # none is left; macOS raises the second for zombies
            os.killpg(self._popen.pid, signal.SIGKILL)

    def _wait(self) -> None:
        """Wait by `wait4`, which gives the CPU time of the job with all the processes it waited for."""
        _, status, usage = os.wait4(self._popen.pid, 0)
        self._ended = time.monotonic()
        self._cpu = usage.ru_utime + usage.ru_stime
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        self._done.set()


def _group_lives(leader: int) -> bool:
    """True if a process of its group has not ended, be it below the leader or not."""
    for pid in psutil.pids():
        with suppress(OSError, psutil.Error):  # it has ended meanwhile
            if os.getpgid(pid) == leader and lives(psutil.Process(pid)):
                return True
    return False


def _keep_lines(output: IO[bytes], log: Path) -> None:
    """Write every line without its secrets; on a full disk lines are lost, and the job goes on."""
    with output, log.open("w", encoding="utf-8") as kept:
        for line in output:
            try:
                kept.write(redact(line.decode("utf-8", "replace")))
                kept.flush()
            except OSError:
                continue
