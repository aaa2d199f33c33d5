"""A request to stop reaches threads that wait, and never the main thread, which signals unwind."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from runner.errors import Interrupted, OtherStackFailed
from runner.host import threads
from runner.host.stopping import refuse_if_stopped, request_stop, stop_requested, stops_heeded
from runner.host.threads import SharedThreads, map_on_threads
from runner.source.gather import gather


def error_in_thread(work: Callable[[], object]) -> BaseException | None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is what the test asks for
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.05)
    request_stop(lambda: Interrupted(15))
    thread.join()
    return errors[0] if errors else None


def waiting_for_tasks() -> None:
    forever = threading.Event()

    def work(_: None, tasks: object) -> object:
        forever.wait()
        yield from tasks  # type: ignore[misc]

    list(map_on_threads(work, None, [1, 2, 3], 2, forever.set))  # type: ignore[arg-type, type-var]


def waiting_for_answers() -> None:
    async def ask(_: int) -> None:
        await asyncio.sleep(60)

    asyncio.run(gather(ask, range(3), 2))


@pytest.mark.parametrize("work", [waiting_for_tasks, waiting_for_answers])
def test_a_thread_that_waits_ends_by_the_requested_interrupt(work: Callable[[], object]) -> None:
    with stops_heeded():
        error = error_in_thread(work)
    assert isinstance(error, Interrupted)
    assert error.exit_code == 143
    assert not stop_requested()


def test_the_main_thread_is_left_to_signals_and_the_first_request_counts() -> None:
    with stops_heeded():
        request_stop(OtherStackFailed)
        request_stop(lambda: Interrupted(2))
        refuse_if_stopped()
        with ThreadPoolExecutor(1) as pool, pytest.raises(OtherStackFailed, match="since another stack failed"):
            pool.submit(refuse_if_stopped).result()


def test_threads_that_are_shared_go_on_to_the_tasks_of_the_next_caller() -> None:
    """The first caller has one task for two threads, so that the other thread is free for the second caller."""
    begun, both = queue.SimpleQueue[str](), threading.Barrier(2)

    def work(name: str, tasks: object) -> object:
        for _ in tasks:  # type: ignore[attr-defined]
            begun.put(name)
            both.wait(60)
            yield name

    with ThreadPoolExecutor(2) as pool, ThreadPoolExecutor(2) as callers:
        shared = SharedThreads(pool, 2)
        names = ("first", "second")
        jobs = [
            callers.submit(lambda name: list(map_on_threads(work, name, [0], shared, lambda: None)), name)  # type: ignore[arg-type, type-var]
            for name in names
        ]
        assert [job.result() for job in jobs] == [["first"], ["second"]]
    assert {begun.get(), begun.get()} == set(names)


def test_after_an_interrupt_a_thread_that_a_library_holds_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_PATIENCE_SECONDS", 0.1)
    answered, held = threading.Event(), threading.Event()

    def work(_: None, tasks: Iterator[int]) -> Iterator[int]:
        held.set()
        answered.wait()
        yield from tasks

    def wait_for_answers() -> None:
        with closing(map_on_threads(work, None, [1, 2, 3], 2, lambda: None)) as results:
            next(results)

    with stops_heeded():
        assert isinstance(error_in_thread(wait_for_answers), Interrupted)
    assert held.is_set()
    assert not answered.is_set()
    answered.set()
