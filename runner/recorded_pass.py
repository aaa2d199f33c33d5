"""A pass written into the record of its run, and shown on the console, while it is computed."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from runner import summary
from runner.base.console import tell
from runner.cluster.workers import ClusterSize
from runner.engine.observer import Observer
from runner.engine.results import PassResult, PassUsage, Stored
from runner.engine.trace import TaskTrace
from runner.output.ahead import Ahead
from runner.planning.records import Pass
from runner.read.header import Window
from runner.record.run import PassRecord
from runner.record.run_record import RunRecord
from runner.record.sections import cluster_record, computed_pass, opened_pass, read_again

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RecordedPass(Observer):
    """Writes what happens in a pass into the run's record, and encodes its rasters ahead.

    A pass that is in the record already, and was computed, is read again in part; its rasters and tasks are recorded if
    there is something `ahead`.
    """

    pass_: Pass
    record: RunRecord
    reused_tasks: int
    bar: Callable[[int, int], None]
    ahead: Ahead | None
    state: PassRecord | None = None
    earlier: PassRecord | None = None
    first_number: int = 0  # of its tasks in the trace
    most_of_one: int = 0  # resident bytes that a worker process held during a task

    def __post_init__(self) -> None:
        """Find what the pass has read already."""
        passes = (computed for computed in self.record.run.ended_passes if computed.name == self.pass_.name)
        self.earlier = next(passes, None)
        self.first_number = self.record.trace.next_number(self.pass_.name)

    def opened(self, size: ClusterSize, gdal_options: Mapping[str, Mapping[str, str | None]], seconds: float) -> None:
        """Record the pass on the cluster that has started for it."""
        options = {worker: dict(values) for worker, values in gdal_options.items()}
        self.state = opened_pass(self.pass_, size, options, seconds)
        if self.earlier is None:
            self.record.put_pass(self.state, reused=self.reused_tasks)

    def compiling(self) -> None:
        """Say that kernels are being compiled."""
        tell(summary.describe_compiling(f"{self.pass_.reading.rule.pixels.dtype.name} pixels"))

    def reused(self, trace: TaskTrace) -> None:
        """Record a task of an earlier attempt."""
        self._add(trace, reused=True)

    def done(self, trace: TaskTrace) -> None:
        """Record a task that succeeded."""
        self._add_new(trace)

    def failed(self, trace: TaskTrace) -> None:
        """Record a task that failed, or was lost."""
        self._add_new(trace)

    def finished(self, window: Window, rasters: Mapping[str, Stored]) -> None:
        """Encode the blocks of which this window is the last part."""
        if self.ahead is not None:
            self.ahead.finished_stage([*rasters.values()], window)

    def progress(self, done: int, total: int) -> None:
        """Show the tasks done so far."""
        self.bar(done, total)

    def computed(self, result: PassResult, usage: PassUsage) -> None:
        """Record the pass once it is complete."""
        assert self.state is not None  # a pass is opened before it is computed
        self.state = msgspec.structs.replace(
            computed_pass(self.state, result, usage.compute_seconds),
            peak_bytes=max(usage.peak_bytes, self.most_of_one),  # the meter looks now and then
            cpu_seconds=round(usage.cpu_seconds, 3),
            workers_lost=usage.workers_lost,
            cluster=cluster_record(usage.size),
        )
        counts = msgspec.to_builtins(self.state.fetched) or {}
        facts = {"pass": self.pass_.name, "seconds": self.state.compute_seconds, **counts}
        log.info("%s computed in %.2f s", self.pass_.name, usage.compute_seconds, extra=facts)
        if self.earlier is None:
            self.record.put_pass(self.state, reused=self.reused_tasks)
        else:
            self.record.put_pass(read_again(self.earlier, self.state), reused=self.earlier.reused)
        tell(summary.describe_pass(self.state))

    def _add_new(self, trace: TaskTrace) -> None:
        self.most_of_one = max(self.most_of_one, trace.peak_bytes or 0)
        self._add(trace if trace.number is None else replace(trace, number=self.first_number + trace.number))

    def _add(self, trace: TaskTrace, *, reused: bool = False) -> None:
        if self.ahead is None:  # of some of the scenes, which have other numbers
            return
        self.record.trace.add(self.pass_.name, [stage.name for stage in self.pass_.stages], trace, reused=reused)
