"""A job planned before it starts, and the local files that it will read."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from runner.base.console import progress_bar
from runner.demo.archive import default_cache_dir, ensure_archive
from runner.errors import ConfigError, PlanError, RunnerError
from runner.model import Inputs, locate
from runner.planning.planner import make_plan
from runner.planning.reading import fetch_options
from runner.settings import ClusterKind, JobSettings, SourceKind
from runner.source.reachable import opened_source
from runner.source.scenes import find_inputs
from runner.source.stores import Stores


class Planner:
    """Plans jobs; the inputs of equal sources are listed once."""

    def __init__(self) -> None:
        self._found_by_source: dict[str, _Found | None] = {}

    def refusal(self, job: JobSettings) -> str | None:
        """The reason why the job cannot run as configured; None if it can, or if its inputs cannot be found.

        Then the run itself reports the error. Nor is a running scheduler waited for, as its job does.
        """
        found = self._found(job)
        if found is None or any(stage.cluster.kind is ClusterKind.address for stage in job.stages.values()):
            return None
        try:
            make_plan(job, found.inputs.stack, found.inputs.skipped, found.stores)
        except (PlanError, ConfigError) as error:
            return str(error)
        except RunnerError:  # a store failed, which the run itself reports
            return None
        return None

    def local_files(self, job: JobSettings) -> list[Path]:
        """The files on this machine with the job's pixels."""
        if job.source.kind is SourceKind.demo:
            return list(ensure_archive(default_cache_dir()).rglob("*.tif"))
        found = self._found(job)
        places = [locate(scene.href) for scene in found.inputs.stack.scenes] if found else []
        return [Path(place.key) for place in places if place.root is None]

    def _found(self, job: JobSettings) -> "_Found | None":
        masks = job.mask.href, job.mask.asset, job.mask.on_missing
        source = repr((job.source, job.on_error, masks))
        if source not in self._found_by_source:
            self._found_by_source[source] = _find(job)
        return self._found_by_source[source]


class _Found(NamedTuple):
    """The inputs of a source, and its stores, which also hold the files of polygons."""

    inputs: Inputs
    stores: Stores


def _find(job: JobSettings) -> _Found | None:
    try:
        with opened_source(job) as reachable, progress_bar("headers") as progress:
            stores = Stores.of_source(reachable.source, fetch_options(job.fetch))
            return _Found(find_inputs(reachable.source, stores, job.on_error, progress, job.mask), stores)
    except RunnerError:
        return None


def forget_files(paths: Iterable[Path]) -> None:
    """Ask the system to drop these files from its cache; it keeps what it may not drop."""
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    for path in paths:
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
