"""Requests go out many at a time; answers keep their order, and none is left behind."""

import _thread
import asyncio
import subprocess
import sys
import threading

import pytest
from waiting import LONG

from runner.errors import SourceError
from runner.source.gather import gather


def test_answers_come_in_the_order_of_the_items_with_so_many_under_way() -> None:
    under_way: list[int] = []
    most = 0

    async def ask(item: int) -> int:
        nonlocal most
        under_way.append(item)
        most = max(most, len(under_way))
        await asyncio.sleep(0.01 * (3 - item % 3))
        under_way.remove(item)
        return item * 10

    assert asyncio.run(gather(ask, range(10), 4)) == [item * 10 for item in range(10)]
    assert most == 4


def test_after_a_failure_nothing_more_begins_and_what_has_begun_ends() -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def ask(item: int) -> None:
        begun.append(item)
        await asyncio.sleep(0.02 * item)
        if item == 0:
            raise SourceError("gone")
        ended.append(item)

    with pytest.raises(SourceError, match="gone"):
        asyncio.run(gather(ask, range(10), 3))
    assert (begun, ended) == ([0, 1, 2], [1, 2])


def test_threads_that_still_deliver_an_answer_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.source.gather._LONGEST_SECONDS", LONG)
    delivering, waited_for, left = threading.Event(), threading.Event(), threading.Event()

    def deliver() -> None:  # by a thread that Python's threading does not know, as obstore's are
        delivering.set()
        waited_for.wait(LONG)
        left.set()

    async def ask(item: int) -> int:
        _thread.start_new_thread(deliver, ())
        delivering.wait()
        asyncio.get_running_loop().call_later(0.05, waited_for.set)  # comes only if the loop goes on
        return item

    assert asyncio.run(gather(ask, [1], 1)) == [1]
    assert left.is_set()


WITH_A_DEBUGGER = """
import _thread, asyncio, time
_thread.start_new_thread(time.sleep, (6000,))
from runner.source import gather
gather._LONGEST_SECONDS = 6000.0
async def ask(item):
    return item
print(asyncio.run(gather.gather(ask, [1], 1)), flush=True)
import os
os._exit(0)
"""


def test_threads_that_were_there_before_are_not_waited_for() -> None:
    command = [sys.executable, "-c", WITH_A_DEBUGGER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert done.stdout == "[1]\n", done.stderr
