"""The work that is left for a cluster, which the number of its workers follows.

A scheduler sees few of the tasks, since they are handed out a few at a time. By them alone, it would ask for no worker.
"""

import threading
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from runner.settings import AdaptSettings

_EACH: Final = 2  # tasks of a thread, and whole runs of a worker, so that none waits for its next one


@dataclass(slots=True)
class Demand:
    """Tasks, and whole runs, that have not ended. Several passes may add to it, from threads of their own."""

    tasks: int = 0
    runs: int = 0
    threads_per_worker: float = 1.0  # of the workers that are there
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *, tasks: int = 0, runs: int = 0) -> None:
        """Count tasks or runs that are to be done, or by a negative number those that have ended."""
        with self._lock:
            self.tasks += tasks
            self.runs += runs

    def workers(self, settings: AdaptSettings) -> int:
        """The number of workers that this work keeps busy, within the least and the largest number of the settings."""
        busy = ceil(self.tasks / (_EACH * self.threads_per_worker)) + ceil(self.runs / _EACH)
        return max(min(busy, settings.maximum or busy), settings.minimum)
