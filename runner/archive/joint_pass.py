"""One pass for several stacks, whose bands lie in the same tiles: each tile is read once for all of them."""

import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from runner.cluster.workers import Cluster
from runner.engine.shared import Shared
from runner.engine.trace import NumberedTask, TaskTrace
from runner.engine.traced_tasks import Traced, run_bands_traced
from runner.errors import RunnerError
from runner.host.once import copied
from runner.host.stopping import LOOK_SECONDS, refuse_if_stopped
from runner.planning.records import Task
from runner.read.stop_flag import StopFlag

_MOST_WAITING: Final = 2  # results of a stack, before others wait for it

Error = TypeVar("Error", bound=BaseException)
Delivery = list[tuple[int, Traced | RunnerError]]  # by the number of the stack


@dataclass(frozen=True, slots=True)
class Entry:
    """The pass of stack number `number`. Its tasks are those that it still needs."""

    number: int
    cluster: Cluster
    shared: Shared
    tasks: Sequence[NumberedTask]

    @property
    def reading(self) -> object:
        """What must be equal for passes to be joined."""
        places = tuple((scene.href, scene.etag, scene.row, scene.column) for scene in self.shared.scenes)
        return id(self.cluster), places, self.shared.by_gdal, self.shared.masks_by_gdal, self.shared.lots.numbers


@dataclass(slots=True)
class _Reader:
    """A stack that takes results: those that wait, and the numbers that its tasks have in its own pass."""

    numbers: dict[Task, int]
    waiting: "deque[Traced | RunnerError]" = field(default_factory=deque)


class JointPass:
    """The results of passes over the same tiles. Whichever stack lacks a result runs the pass until the next."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._readers = {
            entry.number: _Reader({numbered.task: numbered.number for numbered in entry.tasks}) for entry in entries
        }
        self._deliveries = _run(entries)
        self._changed = threading.Condition()
        self._running = False
        self._error: BaseException | None = None

    def results(self, number: int) -> Generator[Traced, None, None]:
        """The results of a stack, once. Raises its error, or that of all."""
        reader = self._readers[number]
        try:
            for _ in reader.numbers:
                yield self._next(reader)
        finally:
            self._leave(number)

    def _next(self, reader: _Reader) -> Traced:
        with self._changed:
            while not reader.waiting:
                refuse_if_stopped()
                if self._error is not None:
                    raise _numbered(copied(self._error), reader)
                if self._running or any(len(other.waiting) >= _MOST_WAITING for other in self._readers.values()):
                    self._changed.wait(LOOK_SECONDS)
                else:
                    self._deliver()
            result = reader.waiting.popleft()
            self._changed.notify_all()
        if isinstance(result, RunnerError):
            raise _numbered(result, reader)
        partials, trace = result
        return partials, replace(trace, number=reader.numbers[partials.task])

    def _deliver(self) -> None:
        """Run the pass until the next task is done, and give everybody a share. Others may take theirs meanwhile."""
        self._running = True
        self._changed.release()
        delivery: Delivery = []
        error: BaseException | None = None
        try:
            delivery = next(self._deliveries)
        except BaseException as failure:  # noqa: BLE001 - each stack raises it
            error = failure
        self._changed.acquire()
        self._running, self._error = False, error
        for number, result in delivery:
            if number in self._readers:
                self._readers[number].waiting.append(result)
        self._changed.notify_all()

    def _leave(self, number: int) -> None:
        with self._changed:
            del self._readers[number]
            self._changed.notify_all()
            last = not self._readers
        if last:
            self._deliveries.close()


def _run(entries: Sequence[Entry]) -> Generator[Delivery, None, None]:
    """Run the tasks, each once for all stacks that need it: those of all stacks first."""
    needed: dict[NumberedTask, list[Entry]] = {}
    first: dict[Task, NumberedTask] = {}
    for entry in entries:
        for numbered in entry.tasks:
            needed.setdefault(first.setdefault(numbered.task, numbered), []).append(entry)
    together: dict[tuple[int, ...], list[NumberedTask]] = {}
    for numbered, by in needed.items():
        together.setdefault(tuple(entry.number for entry in by), []).append(numbered)
    for numbers, tasks in sorted(together.items(), key=lambda item: -len(item[0])):
        yield from _mapped([entry for entry in entries if entry.number in numbers], tasks)


def _mapped(entries: Sequence[Entry], tasks: Sequence[NumberedTask]) -> Iterator[Delivery]:
    stop = StopFlag()
    bands = tuple(replace(entry.shared, stop=stop) for entry in entries)
    with closing(entries[0].cluster.map(run_bands_traced, bands, tasks, stop.set)) as results:
        for of_bands in results:
            yield list(zip((entry.number for entry in entries), of_bands, strict=True))


def _numbered(error: Error, reader: _Reader) -> Error:
    """An error whose trace has the number that the task has in the stack's own pass."""
    trace = error.task if isinstance(error, RunnerError) else None
    if isinstance(error, RunnerError) and isinstance(trace, TaskTrace) and trace.task in reader.numbers:
        error.task = replace(trace, number=reader.numbers[trace.task])
    return error
