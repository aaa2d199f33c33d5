"""Many requests of obstore at a time: answers in order, and no thread left behind."""

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence, Sized
from functools import cache
from typing import TypeVar

from runner.errors import RunnerError
from runner.host.stopping import LOOK_SECONDS, refuse_if_stopped

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_LONGEST_SECONDS = 1.0  # for a thread to leave Python


async def gather(ask: Callable[[Item], Awaitable[Answer]], items: Iterable[Item], at_once: int) -> list[Answer]:
    """Ask for each item, `at_once` at a time; answers in the items' order. Raises the first RunnerError of any.

    After a failure no further request starts; those under way are waited for, not cancelled. obstore delivers its
    answers from threads of its own, and one that still does so when the interpreter ends aborts the process (CPython
    before 3.14 ends such a thread by unwinding it, which Rust does not allow).
    """
    _threads_of_others()
    remaining = enumerate(items)
    answers: dict[int, Answer] = {}
    failures: list[RunnerError] = []

    async def ask_for_some() -> None:
        for number, item in remaining:
            if failures:
                return
            try:
                answers[number] = await ask(item)
            except RunnerError as error:
                failures.append(error)

    askers = min(at_once, len(items)) if isinstance(items, Sized) else at_once
    await _all_asked([asyncio.ensure_future(ask_for_some()) for _ in range(askers)])
    if threading.current_thread() is threading.main_thread():  # else others ask at the same time
        await all_delivered()
    if failures:
        raise failures[0]
    return [answers[number] for number in sorted(answers)]


async def _all_asked(workers: Sequence[asyncio.Task[None]]) -> None:
    """Wait for all. Raises the first error of any, or an interrupt that was requested of this thread."""
    under_way: set[asyncio.Task[None]] = set(workers)
    while under_way:
        done, under_way = await asyncio.wait(under_way, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
        for worker in done:
            worker.result()
        refuse_if_stopped()


def _unknown_threads() -> set[int]:
    """Threads that are in Python now and were not started by its `threading`."""
    return sys._current_frames().keys() - {thread.ident for thread in threading.enumerate()}  # noqa: SLF001


@cache
def _threads_of_others() -> set[int]:
    """Such threads before the first request, when obstore has none: of a debugger, or of a test runner."""
    return _unknown_threads()


async def all_delivered() -> None:
    """Wait until no thread of obstore's is in Python: the last answer was seen before its thread had left."""
    stop = time.monotonic() + _LONGEST_SECONDS
    while _unknown_threads() - _threads_of_others():
        if time.monotonic() > stop:
            return
        await asyncio.sleep(0.001)
