"""Work in somebody else's process: any thread, one at a time, stopped in order, and nothing left changed."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from runner.api.driver import driven
from runner.base.console import say, tell
from runner.errors import ConfigError, Interrupted
from runner.host.stopping import refuse_if_stopped, stop_requested
from runner.source.gather import gather

quietly = partial(driven, progress=False)


@pytest.fixture(autouse=True)
def heeding_interrupts() -> Iterator[None]:
    """Let this process heed SIGINT as Python does; pytest-xdist's do not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_answer_comes_back() -> None:
    assert quietly(lambda: 7) == 7


async def one() -> int:
    async def answer(number: int) -> int:
        return number

    return sum(await gather(answer, [1], 1))


def test_work_may_run_an_event_loop_while_one_runs_here() -> None:
    async def cell() -> int:
        return quietly(lambda: asyncio.run(one()))

    assert asyncio.run(cell()) == 1


def test_several_threads_take_turns() -> None:
    under_way, most = 0, 0
    met = threading.Barrier(3)

    def work() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        threading.Event().wait(0.01)
        under_way -= 1

    def call() -> None:
        met.wait()
        quietly(work)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def interrupted(work: Callable[[], object]) -> None:
    """Do work that is interrupted once it waits, as by Ctrl-C."""
    waiting = threading.Event()

    def begin() -> object:
        waiting.set()
        return work()

    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        waiting.wait()
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        quietly(begin)
    finally:
        thread.join()


def wait_for_a_stop(unwound: list[str]) -> None:
    try:
        while True:
            refuse_if_stopped()
            threading.Event().wait(0.01)
    finally:
        unwound.append("closed")


def test_an_interrupt_is_raised_once_the_work_has_unwound() -> None:
    unwound: list[str] = []
    with pytest.raises(KeyboardInterrupt) as stop:
        interrupted(lambda: wait_for_a_stop(unwound))
    assert isinstance(stop.value, Interrupted)
    assert stop.value.exit_code == 130
    assert unwound == ["closed"]
    assert not stop_requested()
    assert quietly(lambda: 1) == 1


def test_an_interrupt_stops_requests_that_are_under_way() -> None:
    async def never(_: int) -> None:
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        interrupted(lambda: asyncio.run(gather(never, [1], 1)))


def test_an_interrupt_that_comes_too_late_is_raised_all_the_same() -> None:
    def finish() -> None:
        while not stop_requested():
            threading.Event().wait(0.01)

    with pytest.raises(KeyboardInterrupt):
        interrupted(finish)


def refuse() -> None:
    try:
        raise ValueError("inside")
    except ValueError as error:
        raise ConfigError("chunks=7: wanted ...") from error


def test_an_error_shows_no_frame_of_the_runner_and_keeps_its_cause() -> None:
    with pytest.raises(ConfigError, match="chunks=7") as refused:
        quietly(refuse)
    names = [entry.name for entry in refused.traceback]
    assert "refuse" not in names
    assert isinstance(refused.value.__context__, ValueError)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_fault_keeps_its_frames() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as fault:
        quietly(fail)
    assert "fail" in [entry.name for entry in fault.traceback]


@pytest.mark.parametrize("progress", [True, False])
def test_news_is_shown_if_wanted_and_results_never(progress: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        tell("news")
        say("a result")

    driven(work, progress=progress)
    assert capsys.readouterr() == ("", "news\n" if progress else "")
    say("after")
    assert capsys.readouterr().out == "after\n"


def test_handlers_of_the_caller_see_what_they_saw_before(caplog: pytest.LogCaptureFixture) -> None:
    ours, level = logging.getLogger("runner.job"), logging.getLogger("runner").level
    caplog.set_level(logging.WARNING)
    kept: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record.message if hasattr(record, "message") else record.getMessage())

    def work() -> None:
        handler = Kept()
        logging.getLogger().addHandler(handler)  # as run.log is opened
        try:
            ours.info("a fact")
            ours.warning("a warning")
        finally:
            logging.getLogger().removeHandler(handler)

    quietly(work)
    assert kept == ["a fact", "a warning"]
    assert [record.getMessage() for record in caplog.records] == ["a warning"]
    assert logging.getLogger("runner").level == level
    ours.warning("later")
    assert "later" in caplog.text
