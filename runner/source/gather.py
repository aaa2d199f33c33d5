"""Many requests of obstore at a time, in order, without leaving any behind."""

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from runner.errors import RunnerError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_LONGEST_SECONDS = 1.0  # for a thread to leave Python


async def together(ask: Callable[[Item], Awaitable[Answer]], items: Iterable[Item], at_once: int) -> list[Answer]:
    """`ask` of each item, so many at once; answers in the items' order. Raises the first RunnerError of any.

    After a failure nothing more is begun; what has begun is waited for, not cancelled. obstore delivers its answers
    from threads of its own, and one that still does so when the interpreter ends aborts the process (CPython before
    3.14 ends such a thread by unwinding it, which Rust does not allow).
    """
    gate = asyncio.Semaphore(at_once)
    failures: list[RunnerError] = []

    async def one(item: Item) -> list[Answer]:
        async with gate:
            if failures:
                return []
            try:
                return [await ask(item)]
            except RunnerError as error:
                failures.append(error)
                return []

    answers = await asyncio.gather(*map(one, items))
    await _all_delivered()
    if failures:
        raise failures[0]
    return [answer for found in answers for answer in found]


def _unknown_threads() -> set[int]:
    """Those that are in Python now and were not started by its `threading`."""
    return sys._current_frames().keys() - {thread.ident for thread in threading.enumerate()}  # noqa: SLF001


_ALWAYS_THERE = _unknown_threads()  # before obstore has any: a debugger's, or a test runner's


async def _all_delivered() -> None:
    """Wait until no thread of obstore's is in Python: the last answer was seen before its thread had left."""
    stop = time.monotonic() + _LONGEST_SECONDS
    while _unknown_threads() - _ALWAYS_THERE:
        if time.monotonic() > stop:
            return
        await asyncio.sleep(0.001)
