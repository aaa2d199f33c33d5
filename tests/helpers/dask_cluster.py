"""A dask scheduler and its workers as processes of somebody else."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from waiting import LONG, lives, wait_until

_HOST = "127.0.0.1"


@dataclass
class DaskCluster:
    """Processes that a test starts, kills and adds to."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    address: str = ""

    def start_scheduler(self) -> None:
        file = self.folder / "scheduler.json"
        words = ["scheduler", "--host", _HOST, "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        self._start("scheduler", words)
        wait_until(lambda: file.is_file() and file.read_text().strip().endswith("}"))
        self.address = json.loads(file.read_text())["address"]

    def start_worker(self, name: str, *words: str, threads: int = 1) -> None:
        own = ["--host", _HOST, "--nthreads", str(threads), "--name", name, "--no-dashboard", "--death-timeout", "60"]
        self._start(name, ["worker", self.address, *own, *words])

    def _start(self, name: str, words: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dask", *words], cwd=self.folder, stdout=log, stderr=log, env=os.environ
            )

    def kill(self, name: str) -> None:
        """Kill a process as `kill -9` does; of a worker without a nanny it is the worker."""
        self.processes[name].kill()
        self.processes[name].wait(LONG)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(LONG)
        assert not any(lives(process.pid) for process in self.processes.values())


@contextmanager
def dask_cluster(folder: Path, workers: int = 2, threads: int = 1) -> Iterator[DaskCluster]:
    """A scheduler with workers `w0`, `w1`, ... without nannies, which would start killed ones again."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = DaskCluster(folder)
    try:
        cluster.start_scheduler()
        for number in range(workers):
            cluster.start_worker(f"w{number}", "--no-nanny", threads=threads)
        yield cluster
    finally:
        cluster.stop()
