"""The processes below one: the memory they hold, the time they take, and their end."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil

from runner.host.memory import peak_bytes

_SEARCH_SECONDS: Final = 2.0  # between two searches for processes, where clusters come and go


@dataclass(slots=True, eq=False)
class Usage:
    """Resources that processes took: the most resident bytes at one time, and user and system time."""

    peak_bytes: int = 0
    cpu_seconds: float = 0.0


class ProcessTree:
    """A process and all below it, less the `strangers`; a page that they share counts in each.

    A search for new processes costs 10 ms. It is made every `search_seconds`; without these, only in the place of a
    process that has ended.
    """

    def __init__(
        self, pid: int | None = None, strangers: frozenset[int] = frozenset(), search_seconds: float | None = None
    ) -> None:
        self.usage = Usage()
        self.resident_bytes = 0
        self._root = psutil.Process(pid)
        self._strangers = strangers
        self._search_seconds = search_seconds
        self._members: dict[psutil.Process, float] = {self._root: 0.0}  # CPU seconds at the last look
        self._most = 0  # members at one time
        self._search()

    def look(self) -> None:
        """Add what was used since the last look; of a process that ended since then, that is not known."""
        if self._search_is_due():
            self._search()
        self.resident_bytes = 0
        for process, earlier in list(self._members.items()):
            try:
                self.resident_bytes += int(process.memory_info().rss)
                seconds = _cpu_seconds(process)
            except psutil.Error:
                del self._members[process]
                continue
            self.usage.cpu_seconds += seconds - earlier
            self._members[process] = seconds
        self.usage.peak_bytes = max(self.usage.peak_bytes, self.resident_bytes)

    def kill(self) -> None:
        """Kill them all; they end a little later."""
        self._search()
        for process in self._members:
            try:
                process.kill()
            except psutil.Error:
                continue

    @property
    def lives(self) -> bool:
        """True if any of them has not ended."""
        return any(map(lives, self._members))

    def _search_is_due(self) -> bool:
        if self._search_seconds is None:
            return len(self._members) < self._most
        return time.monotonic() - self._searched > self._search_seconds

    def _search(self) -> None:
        self._searched = time.monotonic()
        try:
            family = {self._root, *self._root.children(recursive=True)}
        except psutil.Error:
            family = set()
        members = [*self._members, *(process for process in family if process.pid not in self._strangers)]
        self._members = {process: self._members.get(process, 0.0) for process in members if process.is_running()}
        self._most = max(self._most, len(self._members))


def lives(process: psutil.Process) -> bool:
    """True if a process has not ended. A zombie has: it holds no memory, and may wait for its parent for good."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


@contextmanager
def measured_usage(strangers: frozenset[int], every_seconds: float = 0.25) -> Iterator[Usage]:
    """Watch this process and those it started, less the `strangers`, during the block.

    Resident bytes are read `every_seconds`; of a process that ends, the time since then is not counted.
    """
    tree, stop = ProcessTree(strangers=strangers), threading.Event()
    tree.look()
    tree.usage.cpu_seconds = 0.0  # used before the block

    def watch() -> None:
        while not stop.wait(every_seconds):
            tree.look()
        tree.look()

    thread = threading.Thread(target=watch, name="usage", daemon=True)
    thread.start()
    try:
        yield tree.usage
    finally:
        stop.set()
        thread.join()


class Meter:
    """One watch over this process and those it starts, shared by pieces of work that overlap in time."""

    def __init__(self) -> None:
        self._tree = ProcessTree(strangers=child_pids(), search_seconds=_SEARCH_SECONDS)
        self._lock = threading.Lock()
        self._measured: list[Usage] = []

    @contextmanager
    def watching(self, every_seconds: float = 0.25) -> Iterator[None]:
        """Read resident bytes `every_seconds` during the block."""
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(every_seconds):
                self._look()

        thread = threading.Thread(target=watch, name="usage", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @contextmanager
    def measured(self) -> Iterator[Usage]:
        """The usage of all processes during the block, whatever they worked on."""
        usage = Usage()
        before = self._look()
        self._measured.append(usage)
        try:
            yield usage
        finally:
            usage.cpu_seconds = self._look() - before
            self._measured.remove(usage)

    def _look(self) -> float:
        """The CPU seconds so far. Every piece of work under way notes the resident bytes."""
        with self._lock:
            self._tree.look()
            for usage in list(self._measured):
                usage.peak_bytes = max(usage.peak_bytes, self._tree.resident_bytes)
            return self._tree.usage.cpu_seconds


def child_pids() -> frozenset[int]:
    """The processes below this one. Slow: it looks at every process there is."""
    return frozenset(child.pid for child in psutil.Process().children(recursive=True))


def own_usage() -> Usage:
    """Resources that this process took since it started."""
    return Usage(peak_bytes(), _cpu_seconds(psutil.Process()))


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
