"""A signal at every place of what a run does with locks and threads leaves none of them behind."""

import dis
import gc
import itertools
import logging
import queue
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from types import CodeType, FrameType
from typing import Any

import pytest

from runner.errors import Interrupted
from runner.host.stopping import stops_heeded
from runner.host.threads import map_on_threads
from runner.host.unwinding import Unwinding

pytestmark = pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger traces already")
CALLS = ("RESUME", "JUMP_BACKWARD", "CALL", "CALL_FUNCTION_EX")  # after which Python calls a handler
EVERY = 31  # places of those of many threads, of which one is tried


@cache
def places(code: CodeType) -> set[int]:
    """Where in a function a handler may run."""
    instructions = list(dis.get_instructions(code))
    return {following.offset for one, following in itertools.pairwise(instructions) if one.opname in CALLS}


@contextmanager
def unwinding() -> Iterator[Callable[[int, FrameType | None], None]]:
    hook, handler = sys.unraisablehook, signal.getsignal(signal.SIGALRM)
    try:
        with stops_heeded():
            yield Unwinding(signal.SIGINT).look
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        signal.signal(signal.SIGALRM, handler)


def interrupt_at(number: int, work: Callable[[], object]) -> bool:
    """Do some work that a signal meets at its place `number`; False if it has fewer. It ends by the interrupt."""
    met = 0
    with unwinding() as handler:

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal met
            frame.f_trace_opcodes = True
            if event == "opcode" and frame.f_lasti in places(frame.f_code):
                met += 1
                if met == number:
                    sys.settrace(None)
                    handler(signal.SIGINT, frame)
            return trace

        try:
            sys.settrace(trace)
            work()
            sys.settrace(None)
            time.sleep(0.1 if met >= number else 0)  # it may still be on its way
        except Interrupted:
            return True
        finally:
            sys.settrace(None)
    assert met < number, "the interrupt is lost"
    return False


def test_a_queue_is_free_wherever_its_reader_was_stopped() -> None:
    number, results = 1, queue.Queue[int]()

    def take() -> None:
        with pytest.raises(queue.Empty):
            results.get(timeout=0.001)

    while interrupt_at(number, take):
        assert results.mutex.acquire(timeout=5)
        results.mutex.release()
        number += 1
    assert number > 20


def test_threads_end_wherever_their_caller_was_stopped() -> None:
    def numbers(_: None, tasks: Iterator[int]) -> Iterator[int]:
        yield from tasks

    def map_some() -> None:
        results = map_on_threads(numbers, None, range(4), 2, lambda: None)
        for _ in results:
            break
        results.close()

    number, others = 1, threading.active_count()
    while interrupt_at(number, map_some):
        assert threading.active_count() < others + 20
        number += EVERY
    assert number > 100


def test_a_log_is_free_wherever_a_line_was_stopped() -> None:
    handler = logging.Handler()
    handler.emit = lambda record: None  # type: ignore[method-assign]
    line, number = logging.makeLogRecord({}), 1
    while interrupt_at(number, lambda: handler.handle(line)):
        with ThreadPoolExecutor(1) as pool:  # another thread, since this one may lock twice
            assert pool.submit(handler.lock.acquire, timeout=5).result()  # type: ignore[union-attr]
            pool.submit(handler.lock.release)  # type: ignore[union-attr]
        number += 1
    assert number > 5


def test_an_interrupt_raised_while_an_object_is_deleted_comes_again() -> None:
    class Fleeting:
        pass

    with unwinding() as handler:
        fleeting = Fleeting()
        weakref.finalize(fleeting, lambda: handler(signal.SIGINT, None))
        with pytest.raises(Interrupted):
            del fleeting
            gc.collect()
            time.sleep(5)


def test_a_wait_without_end_is_left() -> None:
    with unwinding() as handler, pytest.raises(Interrupted):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        threading.Event().wait(60)
