"""Stacks of an archive run in threads of this process, several at a time, until all have ended or one ends the run."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from runner.archive.batches import MOST_TOGETHER, of_same_files
from runner.archive.on_workers import Take
from runner.archive.stack_runs import StackRuns
from runner.archive.turns import most_under_way
from runner.errors import Interrupted
from runner.host.heartbeat import beside
from runner.host.stopping import refuse_if_stopped, request_stop
from runner.record.stacks import StackRow
from runner.report.page import prepare
from runner.source.parts import Part


class _UnderWay(NamedTuple):
    """A stack that runs, and a number that it has in common with those of other bands of its files."""

    part: Part
    files: int


@dataclass(slots=True)
class StacksHere:
    """Runs stacks, and takes their rows. None is started once one has `failed` that shall end the run."""

    runs: StackRuns
    failed: Callable[[], bool]
    _under_way: dict[Future[StackRow], _UnderWay] = field(default_factory=dict)

    def run_all(self, parts: Sequence[Part], take: Take) -> None:
        """Run these stacks, and `take` the row of each, until all have ended or a stop is requested."""
        waiting = enumerate(of_same_files(parts))
        drivers = most_under_way(self.runs.archive.job)
        pool = ThreadPoolExecutor(drivers * MOST_TOGETHER, "stack")
        try:
            self._start_first(pool, waiting)
            with beside(partial(prepare, archive=True), "page"):
                while self._submit(pool, waiting, drivers):
                    for future in wait(self._under_way, return_when=FIRST_COMPLETED).done:
                        take(self._under_way.pop(future).part, future.result())
                    if not self.failed():  # whose own request ends the others alone
                        refuse_if_stopped()
        except KeyboardInterrupt as stop:
            request_stop(partial(Interrupted, getattr(stop, "exit_code", 130) - 128))
            raise
        finally:
            pool.shutdown()
            for future, stack in self._under_way.items():
                take(stack.part, future.result())

    def _start_first(self, pool: ThreadPoolExecutor, waiting: Iterator[tuple[int, list[Part]]]) -> None:
        """Let the first stack compute, or end, before others are prepared: they would hold it up, and threads idle."""
        begun = self.runs.turns.begun
        if self._submit(pool, waiting, 1):
            for future in self._under_way:
                future.add_done_callback(lambda _: begun.set())
            begun.wait()

    def _submit(self, pool: ThreadPoolExecutor, waiting: Iterator[tuple[int, list[Part]]], most: int) -> bool:
        """Start stacks, unless one has failed that shall end the run; False if none is under way."""
        while len({stack.files for stack in self._under_way.values()}) < most and not self.failed():
            files, parts = next(waiting, (0, []))
            if not parts:
                break
            for part, run in zip(parts, self.runs.together(parts), strict=True):
                self._under_way[pool.submit(run)] = _UnderWay(part, files)
        return bool(self._under_way)
