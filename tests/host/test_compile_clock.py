"""Waiting for machine code is counted, thread by thread, and told once."""

import threading
from collections.abc import Callable

import pytest
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock
from waiting import LONG

import runner.host.dispatcher  # noqa: F401 - numba reports to it
from runner.host.compile_clock import compile_seconds, compiling_told, working_seconds


def compile_something() -> None:
    """What numba tells while it compiles a function that calls another."""
    compiling = event.trigger_event("numba:compile"), event.trigger_event("numba:compile")
    with global_compiler_lock, compiling[0], global_compiler_lock, compiling[1]:
        pass


def load_something() -> None:
    """What it tells while it loads a function from disk."""
    with global_compiler_lock:
        pass


@pytest.mark.parametrize(("work", "counts"), [(compile_something, True), (load_something, False)])
def test_compiling_counts_and_loading_does_not(work: Callable[[], None], counts: bool) -> None:
    before, working = compile_seconds(), working_seconds()
    work()
    assert (compile_seconds() > before) == counts
    assert working_seconds() >= working


def test_a_thread_that_waits_for_another_to_compile_counts_its_waiting() -> None:
    waited: list[float] = []
    before = compile_seconds()  # the clock listens before the test does

    def load_meanwhile() -> None:
        load_something()
        waited.append(compile_seconds())

    other = threading.Thread(target=load_meanwhile)
    with global_compiler_lock, event.install_listener("numba:compiler_lock", asked := _Asked(other)):
        other.start()
        assert asked.seen.wait(LONG)
        with event.trigger_event("numba:compile"):
            pass
    other.join()
    assert waited[0] > 0
    assert compile_seconds() > before


class _Asked(event.Listener):
    """Sees a thread ask for the compiler."""

    def __init__(self, thread: threading.Thread) -> None:
        self.thread, self.seen = thread, threading.Event()

    def on_start(self, _event: event.Event) -> None:
        if threading.current_thread() is self.thread:
            self.seen.set()

    def on_end(self, _event: event.Event) -> None:
        pass


def test_compiling_is_told_once_and_only_during_the_block() -> None:
    told: list[str] = []
    with compiling_told(lambda: told.append("compiling")):
        load_something()
        assert told == []
        compile_something()
        compile_something()
    compile_something()
    assert told == ["compiling"]


def test_contexts_within_each_other_are_all_told() -> None:
    told: list[str] = []
    with compiling_told(lambda: told.append("archive")):
        with compiling_told(lambda: told.append("a pass, with nothing to compile")):
            pass
        with compiling_told(lambda: told.append("a pass")):
            compile_something()
            compile_something()
    assert told == ["archive", "a pass"]
