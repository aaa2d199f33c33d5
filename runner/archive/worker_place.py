"""An archive's work as a worker sees it: the same folders or not, the threads and the memory of this worker."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from runner.archive.stack_jobs import ArchiveJob
from runner.base.sizes import parse_bytes
from runner.errors import ClusterError, RecordError, RunnerError
from runner.host.memory import memory_limit_bytes
from runner.record.run import Run
from runner.record.run_folder import RunFolder, read_run
from runner.settings import ClusterKind, JobSettings
from runner.source.mask_files import with_mask
from runner.source.outlines import Outlines
from runner.source.parts import Part
from runner.source.scenes import Archive
from runner.source.stores import Stores

_SHARE: Final = 0.7  # of a worker's memory: dask spills and pauses a worker that takes more


@dataclass(frozen=True, slots=True)
class ArchiveWork:
    """What all stacks of an archive need; sent once to each worker."""

    token: str  # of this run of the archive
    archive: ArchiveJob
    run: Run
    stores: Stores
    listed: Archive  # without its scenes, of which each task has its own
    outlined: tuple[RunFolder, ...]
    outlines: Outlines
    memory_limit: str | None  # None is that of the worker
    patience_seconds: float  # for another worker to let go of a stack


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """What a worker of dask finds where it runs."""

    work: ArchiveWork
    worker: Any

    def refuse_other_folder(self) -> None:
        """Raise ClusterError unless this worker sees the archive's folder as the run that sent it does."""
        folder, run = self.work.archive.folder, self.work.run
        with suppress(RecordError):
            there = read_run(folder).record
            if (there.started, there.host, there.pid) == (run.started, run.host, run.pid):
                return
        raise ClusterError(
            f"worker {self.worker.address} does not see {folder}, where the archive's run writes; set output.dir to a "
            "folder that all workers share under the same path"
        )

    def refuse_unseen(self, part: Part) -> None:
        """Raise ClusterError if this worker does not see the folder of a stack's local scenes, or of their masks."""
        for item in (candidate.item for candidate in part.candidates[:1]):
            masks = []
            with suppress(RunnerError):  # the stack itself fails by it
                masks = [with_mask(self.work.archive.job.mask, item).mask]
            for href in (found.href for found in (item, *masks) if found):
                location = self.work.stores.locate(href)
                if location.root is not None or Path(location.key).parent.exists():
                    continue
                raise ClusterError(
                    f"worker {self.worker.address} does not see {href}, which the archive's run has listed; give all "
                    "workers the same folders under the same paths, or put the scenes into a bucket"
                )

    def job(self) -> JobSettings:
        """The job, whose stages run on as many threads and in as much memory as this worker has."""
        return job_of_worker(self.work.archive.job, self.worker.state.nthreads, self.memory_bytes())

    def memory_bytes(self) -> int:
        """The bytes that all stacks here may take, with the process."""
        own = self.work.memory_limit
        limit = parse_bytes(own) if own else self.worker.memory_manager.memory_limit
        return bytes_of_stacks(min(limit or memory_limit_bytes(), memory_limit_bytes()))


def bytes_of_stacks(worker_bytes: int) -> int:
    """The bytes that all stacks of a worker may take, with the process, of those that the worker may have."""
    return int(_SHARE * worker_bytes)


def job_of_worker(job: JobSettings, threads: int, limit_bytes: int | None) -> JobSettings:
    """The job of an archive, whose stages run on so many threads of a worker, in so much memory if it is known."""
    stages = {}
    for name, stage in job.stages.items():
        several = threads if stage.cluster.kind is ClusterKind.threads else None
        own = stage.cluster.memory_limit
        cluster = replace(
            stage.cluster,
            threads_per_worker=stage.cluster.threads_per_worker or several,
            memory_limit=f"{limit_bytes}" if limit_bytes and own in (None, "auto") else own,
        )
        stages[name] = replace(stage, cluster=cluster)
    return replace(job, stages=stages)
