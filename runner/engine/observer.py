"""Observer of a pass: hears of the cluster, of every task, and of progress."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from runner.cluster.monitor import Loss, Watch
from runner.cluster.workers import ClusterSize
from runner.engine.results import Stored
from runner.engine.trace import NumberedTask, Place, TaskTrace, trace_of
from runner.errors import ReadError
from runner.read.header import Window

log = logging.getLogger(__name__)


class Observer:
    """Hears what happens while a pass is computed. This one ignores it; subclasses override what they need."""

    def opened(self, size: ClusterSize, gdal_options: Mapping[str, Mapping[str, str | None]], seconds: float) -> None:
        """The cluster took `seconds` to start; its workers have these GDAL options."""

    def compiling(self) -> None:
        """Kernels for the pixels' type are not on disk, and are being compiled."""

    def reused(self, trace: TaskTrace) -> None:
        """A task is restored from an earlier attempt."""

    def done(self, trace: TaskTrace) -> None:
        """A task succeeded."""

    def failed(self, trace: TaskTrace) -> None:
        """A task failed, or was lost with its worker."""

    def finished(self, window: Window, rasters: Mapping[str, Stored]) -> None:
        """The rasters of a stage, by statistic, have their final values in a window."""

    def progress(self, done: int, total: int) -> None:
        """Tasks done so far, of all there are."""


@contextmanager
def failures_observed(watch: Watch, observer: Observer) -> Iterator[list[Loss]]:
    """Report the task whose error ends the context, and the tasks lost with their workers.

    At the end the list has the losses.
    """
    losses: list[Loss] = []
    try:
        yield losses
    except Exception as error:
        failure = trace_of(error)
        if failure is None and isinstance(error, ReadError):
            failure = TaskTrace(None, None, None, None, time.time(), error=f"{type(error).__name__}: {error}")
        if failure is not None:
            observer.failed(failure)
        _report_losses(watch, observer, losses)
        raise
    _report_losses(watch, observer, losses)


def _report_losses(watch: Watch, observer: Observer, losses: list[Loss]) -> None:
    losses += watch.losses()
    for loss in losses:
        log.warning("worker %s was lost with what it had under way", loss.worker, extra={"worker": loss.worker})
        for key in loss.keys:
            lost = TaskTrace(None, None, Place(loss.worker, key), None, loss.time, error="lost with its worker")
            known = [work for work in watch.handed_out.get(key, ()) if isinstance(work, NumberedTask)]
            for trace in [replace(lost, number=number, task=task) for number, task in known] or [lost]:
                observer.failed(trace)
