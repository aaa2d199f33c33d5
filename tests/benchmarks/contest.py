"""One contestant on one task, measured from outside; and the same with few scenes, unmeasured, to warm up."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contestants import TOLERANCE, Contestant
from measure import Usage, run_measured
from task import Task
from workload import Archive, Server, Truth

WARM_UP_SCENES = 2


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one contestant took for one task, and how far its means are off (None: it computes none)."""

    contestant: str
    usage: Usage
    compute_seconds: float
    requests: int
    received_bytes: int
    server_cpu_seconds: float
    largest_error: float | None

    @property
    def is_right(self) -> bool:
        """Whether its means are the true ones, as far as float32 goes."""
        return self.largest_error is None or self.largest_error <= TOLERANCE

    def __str__(self) -> str:
        """A line of news."""
        usage = self.usage
        return (
            f"{self.contestant}: {usage.wall_seconds:.1f} s, of which {self.compute_seconds:.1f} s computing, "
            f"{usage.cpu_seconds:.1f} s CPU, {usage.peak_pss_bytes / 1e6:.0f} MB, {self.requests} requests"
        )


def run_contestant(
    contestant: Contestant, archive: Archive, server: Server, limit: int, truth: Truth | None = None
) -> Measurement:
    """Run it on the first `limit` scenes, and hold its means against the truth. Raises ContestantError if it fails."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        task = Task(server.endpoint, archive.url, folder, limit, archive.spec.height)
        server.take_stats()
        server_cpu = server.cpu_seconds()
        usage = run_measured(contestant.command(task), folder)
        server_cpu = server.cpu_seconds() - server_cpu
        requests, received = server.take_stats()
        compute = contestant.compute_seconds(folder)
        error = contestant.check(folder, truth) if truth else None
    return Measurement(contestant.name, usage, compute, requests, received, server_cpu, error)


def warm_up(chosen: Sequence[Contestant], archive: Archive, server: Server) -> None:
    """Compile and cache what is compiled and cached on first use, and let them prove what they read.

    Raises ContestantError.
    """
    for contestant in chosen:
        proving = replace(contestant, words=(*contestant.words, *contestant.proof))
        run_contestant(proving, archive, server, min(WARM_UP_SCENES, archive.spec.scenes))
