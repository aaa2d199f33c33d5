"""A dask scheduler and its workers as others start them: each a process, on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from waiting import LONG, lives, wait_until

SAME_PATH = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # workers import the tasks of tests
_LOOPBACK = ("--host", "127.0.0.1", "--no-dashboard")
_OF_A_WORKER = (*_LOOPBACK, "--no-nanny", "--nthreads", "1", "--memory-limit", "1GiB", "--death-timeout", "60")


@dataclass
class DaskCluster:
    """Processes that a test starts, kills and adds to; what they say goes to files of the folder."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    address: str = ""

    def start_scheduler(self, *words: str) -> None:
        file = self.folder / "scheduler.json"
        self._start("scheduler", ["scheduler", *_LOOPBACK, "--port", "0", "--scheduler-file", str(file), *words])
        wait_until(lambda: self._alive("scheduler") and file.is_file() and file.read_text().strip().endswith("}"))
        self.address = json.loads(file.read_text())["address"]

    def start_worker(
        self, name: str, *words: str, env: Mapping[str, str] = SAME_PATH, python: str = sys.executable
    ) -> None:
        """Start a worker of one thread, without a nanny that would start it again; words may say otherwise."""
        self._start(name, ["worker", self.address, *_OF_A_WORKER, "--name", name, *words], env, python)

    def _start(
        self, name: str, words: list[str], env: Mapping[str, str] = SAME_PATH, python: str = sys.executable
    ) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [python, "-m", "dask", *words], cwd=self.folder, stdout=log, stderr=log, env=dict(env)
            )

    def _alive(self, name: str) -> bool:
        assert self.processes[name].poll() is None, self.log(name)
        return True

    def pid(self, name: str) -> int:
        return self.processes[name].pid

    def kill(self, name: str) -> None:
        """Kill a process as `kill -9` does."""
        self.processes[name].kill()
        self.processes[name].wait(LONG)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        """Kill all: asked to end, a worker would wait for its scheduler, and its scheduler for it."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(LONG)
        assert not any(lives(process.pid) for process in self.processes.values())


@contextmanager
def dask_cluster(folder: Path, workers: int = 2, *words: str) -> Iterator[DaskCluster]:
    """A scheduler with workers `w0`, `w1`, ...; the words, as those of TLS, are for all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = DaskCluster(folder)
    try:
        cluster.start_scheduler(*words)
        for number in range(workers):
            cluster.start_worker(f"w{number}", *words)
        yield cluster
    finally:
        cluster.stop()
