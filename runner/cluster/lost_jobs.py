"""Jobs whose workers have come and are gone, told by the names of their workers: cancelled, and forgotten by dask.

dask forgets a job of one worker, whose name is the job's. Workers of a job of several have names of their own.
"""

import time
from typing import Any


class LostJobs:
    """The jobs of a cluster of dask-jobqueue. One is lost once none of its workers has been there for some seconds."""

    def __init__(self, cluster: Any, seconds: float) -> None:
        self._cluster, self._seconds = cluster, seconds
        self._seen: dict[str, float] = {}  # jobs by their names: when a worker of theirs was there

    def forget(self) -> None:
        """Look who is there, and cancel the jobs that are lost. Another is submitted when the cluster is scaled."""
        workers = {str(worker.name) for worker in list(self._cluster.scheduler.workers.values())}
        now = time.monotonic()
        for name in list(self._cluster.workers):
            if any(worker == name or worker.startswith(f"{name}-") for worker in workers):
                self._seen[name] = now
            elif now - self._seen.get(name, now) > self._seconds:
                del self._seen[name]
                self._cluster.loop.add_callback(self._cancel, name)

    async def _cancel(self, name: str) -> None:
        job = self._cluster.workers.pop(name, None)
        if job is not None:
            await job.close()
