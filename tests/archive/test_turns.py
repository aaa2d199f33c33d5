"""Room and turns of stacks that overlap."""

import threading
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import wait_until

from runner.archive.turns import Turns
from runner.errors import Interrupted
from runner.host.stopping import request_stop, stops_heeded
from runner.planning.memory import PROCESS_BYTES
from runner.planning.records import Workers
from runner.settings import ClusterSettings


def plan(own: int, limit: int | None = None) -> Any:
    """A plan with one pass on threads, of which only the memory matters."""
    cluster, workers = ClusterSettings(), Workers(1, 2, limit)
    return SimpleNamespace(passes=[SimpleNamespace(worker_bytes=PROCESS_BYTES + own, cluster=cluster, workers=workers)])


class Held:
    """A thread that enters a context and holds it until it is told to leave."""

    def __init__(self, context: AbstractContextManager[object]) -> None:
        self.inside, self.leave, self.error = threading.Event(), threading.Event(), None
        self.thread = threading.Thread(target=self._hold, args=(context,))
        self.thread.start()

    def _hold(self, context: AbstractContextManager[object]) -> None:
        try:
            with context:
                self.inside.set()
                self.leave.wait()
        except BaseException as error:  # noqa: BLE001 - the test asks for it
            self.error = error

    def end(self) -> None:
        self.leave.set()
        self.thread.join()


def test_stacks_wait_until_there_is_room_for_what_they_hold_together() -> None:
    turns = Turns(PROCESS_BYTES + 100, computing=2)
    first, second = Held(turns.room(plan(60))), Held(turns.room(plan(40)))
    wait_until(lambda: first.inside.is_set() and second.inside.is_set())
    third = Held(turns.room(plan(30)))
    assert not third.inside.wait(0.3)
    first.end()
    wait_until(third.inside.is_set)
    second.end()
    third.end()


def test_the_memory_limit_of_a_stage_holds_for_all_stacks_together() -> None:
    turns = Turns(PROCESS_BYTES + 1000, computing=2)
    limit = PROCESS_BYTES + 100
    first = Held(turns.room(plan(60, limit)))
    wait_until(first.inside.is_set)
    second = Held(turns.room(plan(60, limit)))
    assert not second.inside.wait(0.3)
    first.end()
    wait_until(second.inside.is_set)
    second.end()


def test_a_stack_larger_than_all_room_waits_until_it_is_alone() -> None:
    turns = Turns(PROCESS_BYTES + 100, computing=2)
    small = Held(turns.room(plan(10)))
    wait_until(small.inside.is_set)
    large = Held(turns.room(plan(1000)))
    assert not large.inside.wait(0.3)
    small.end()
    wait_until(large.inside.is_set)
    large.end()


@pytest.mark.parametrize(("computing", "taking_turns"), [(1, 1), (2, 3)])  # where several compute, one more is ready
def test_so_many_stacks_compute_at_a_time(computing: int, taking_turns: int) -> None:
    turns = Turns(PROCESS_BYTES, computing)
    first = [Held(turns.computing()) for _ in range(taking_turns)]
    wait_until(lambda: all(stack.inside.is_set() for stack in first))
    next_ = Held(turns.computing())
    assert not next_.inside.wait(0.3)
    first[0].end()
    wait_until(next_.inside.is_set)
    for stack in (*first[1:], next_):
        stack.end()


def test_a_stack_that_waits_hears_of_a_stop() -> None:
    turns = Turns(PROCESS_BYTES, computing=1)
    with stops_heeded():
        first = Held(turns.computing())
        wait_until(first.inside.is_set)
        second = Held(turns.computing())
        request_stop(lambda: Interrupted(15))
        second.thread.join()
        assert isinstance(second.error, Interrupted)
        assert second.error.exit_code == 143
        first.end()


@pytest.mark.parametrize("own", [0, 5])
def test_room_is_given_back_whatever_happens_inside(own: int) -> None:
    turns = Turns(PROCESS_BYTES + 5, computing=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.room(plan(own)), turns.computing():
            raise ZeroDivisionError
