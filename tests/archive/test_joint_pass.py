"""One pass for several stacks: each gets its results, numbered as in its own pass, whatever the others do."""

import threading
from collections.abc import Generator, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from runner.archive import joint_pass
from runner.archive.joint_pass import Entry, JointPass
from runner.cluster.workers import this_process
from runner.engine.shared import Shared
from runner.engine.trace import NumberedTask, TaskTrace, trace_of
from runner.errors import ReadError, RunnerError
from runner.planning.groups import Lots
from runner.planning.records import Task
from runner.read.header import Window
from runner.settings import ClusterKind, ClusterSettings

ONE_LOT = Lots((), (3,), {})
TASKS = [Task(Window(row, 0, 10, 10), 0, 3) for row in range(12)]
CLUSTERS = [ClusterSettings(ClusterKind.sync), ClusterSettings(ClusterKind.threads, threads_per_worker=3)]


class Reader:
    """Stands for the reading of tiles: counts how often a task is read, and for how many bands."""

    def __init__(self) -> None:
        self.read: list[tuple[Task, int]] = []
        self.lock = threading.Lock()
        self.bad: dict[Task, Exception] = {}
        self.bad_band: tuple[int, Task] | None = None

    def run(self, bands: Sequence[Any], tasks: Iterator[NumberedTask]) -> Generator[list[Any], None, None]:
        for numbered in tasks:
            with self.lock:
                self.read.append((numbered.task, len(bands)))
            trace = TaskTrace(*numbered, None, None, None)
            if numbered.task in self.bad:
                error: Any = self.bad[numbered.task]
                error.task = trace
                raise error
            yield [self._of_band(band.area, numbered.task, trace) for band in bands]

    def _of_band(self, band: int, task: Task, trace: TaskTrace) -> Any:
        if self.bad_band == (band, task):
            error = RunnerError("its pixels do not fit")
            error.task = trace
            return error
        return SimpleNamespace(task=task, band=band), trace


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    reader = Reader()
    monkeypatch.setattr(joint_pass, "run_bands_traced", reader.run)
    return reader


def shared(band: int) -> Shared:
    """What tasks of a band share, of which only the band matters here."""
    nothing: Any = None
    return Shared((), (), nothing, (), (), None, nothing, {}, fused=frozenset(), split=None, lots=ONE_LOT, area=band)  # type: ignore[arg-type]


def entries(settings: ClusterSettings, *tasks: Sequence[Task]) -> list[Entry]:
    cluster = this_process(settings)
    return [
        Entry(band, cluster, shared(band), [NumberedTask(number, task) for number, task in enumerate(own)])
        for band, own in enumerate(tasks)
    ]


def taken(joint: JointPass, of: Sequence[Entry], most: dict[int, int] | None = None) -> dict[int, Any]:
    """What each stack gets in a thread of its own: its results, or the error that ended it; of some only the first."""
    got: dict[int, Any] = {}

    def take(number: int) -> None:
        results = joint.results(number)
        own = got[number] = []
        try:
            for result in results:
                own.append(result)
                if most and len(own) == most.get(number):
                    break
        except RunnerError as error:
            got[number] = error
        results.close()

    threads = [threading.Thread(target=take, args=(entry.number,)) for entry in of]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    return got


@pytest.mark.parametrize("settings", CLUSTERS)
def test_a_task_is_read_once_for_all_stacks_that_need_it(reader: Reader, settings: ClusterSettings) -> None:
    own = [TASKS, TASKS[4:], [], list(reversed(TASKS[:6]))]
    of = entries(settings, *own)
    got = taken(JointPass(of), of)
    assert sorted(task for task, _ in reader.read) == TASKS
    assert sum(bands for _, bands in reader.read) == sum(map(len, own))
    for band, tasks in enumerate(own):
        assert sorted(partials.task for partials, _ in got[band]) == sorted(tasks)
        assert {partials.band for partials, _ in got[band]} <= {band}
        assert all(tasks[trace.number] == partials.task for partials, trace in got[band])


@pytest.mark.parametrize("settings", CLUSTERS)
def test_an_error_in_reading_ends_all_stacks_each_with_an_error_of_its_own(
    reader: Reader, settings: ClusterSettings
) -> None:
    reader.bad[TASKS[7]] = ReadError("s3://b/k.tif", "it is damaged")
    of = entries(settings, TASKS, TASKS[5:])
    got = taken(JointPass(of), of)
    assert [str(error) for error in got.values()] == ["s3://b/k.tif: it is damaged"] * 2
    assert got[0] is not got[1]
    assert {number: trace_of(error).number for number, error in got.items()} == {0: 7, 1: 2}  # type: ignore[union-attr]


@pytest.mark.parametrize("settings", CLUSTERS)
def test_an_error_of_one_band_leaves_the_others_alone(reader: Reader, settings: ClusterSettings) -> None:
    reader.bad_band = 1, TASKS[3]
    of = entries(settings, TASKS, TASKS, TASKS)
    got = taken(JointPass(of), of)
    assert isinstance(got[1], RunnerError)
    assert [len(got[0]), len(got[2])] == [12, 12]


@pytest.mark.parametrize("settings", CLUSTERS)
def test_a_stack_that_leaves_early_holds_nobody_up(reader: Reader, settings: ClusterSettings) -> None:
    of = entries(settings, TASKS, TASKS)
    assert len(taken(JointPass(of), of, {0: 2})[1]) == 12


def test_tasks_end_when_the_last_stack_has_left(reader: Reader) -> None:
    of = entries(CLUSTERS[0], TASKS, TASKS)
    taken(JointPass(of), of, {0: 2, 1: 1})
    assert len(reader.read) < 6
