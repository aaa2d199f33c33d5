"""What an observer hears of workers that were lost."""

from contextlib import suppress

import pytest

from runner.cluster.monitor import Loss, Watch
from runner.engine.observer import Observer, failures_observed
from runner.engine.trace import NumberedTask, TaskTrace
from runner.planning.records import Task
from runner.read.header import Window

TASKS = tuple(NumberedTask(number, Task(Window(0, 64 * number, 64, 64), 0, 2)) for number in (4, 5))


class _Lost(Watch):
    """A worker was lost with a bundle, and with something of another client."""

    def losses(self) -> list[Loss]:
        self.handed_out["bundle-1"] = TASKS
        return [Loss("tcp://w:1", 2.5, ("bundle-1", "other-1"))]


@pytest.mark.parametrize("ends_well", [True, False])
def test_each_task_of_a_lost_worker_failed_whether_or_not_the_pass_ends_well(ends_well: bool) -> None:
    heard: list[TaskTrace] = []
    observer = Observer()
    observer.failed = heard.append  # type: ignore[method-assign]
    error = None if ends_well else ValueError("no worker is left")
    with suppress(ValueError), failures_observed(_Lost(), observer) as losses:
        if error:
            raise error
    assert len(losses) == 1
    assert [(trace.number, trace.task) for trace in heard] == [*TASKS, (None, None)]
    assert {(trace.error, trace.stopped) for trace in heard} == {("lost with its worker", 2.5)}
