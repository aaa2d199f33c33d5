"""Answers that may never come: dask's client waits forever for a scheduler that hangs."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

Answer = TypeVar("Answer")

SILENCE_SECONDS: Final = 2.0  # that a user is not told what is waited for
_LOOK_SECONDS: Final = 1.0  # between two looks at what else may end a wait


def answer_of(call: Callable[[], Answer], still_expected: Callable[[], None]) -> Answer:
    """The answer of a call, made in a thread of its own, which is left behind if the answer is not expected any more.

    `still_expected` is called every second meanwhile, and raises what ends the wait. Raises the error of the call.
    """
    ends: SimpleQueue[tuple[list[Answer], BaseException | None]] = SimpleQueue()

    def make() -> None:
        try:
            ends.put(([call()], None))
        except BaseException as error:  # noqa: BLE001 - raised where the answer is awaited
            ends.put(([], error))

    threading.Thread(target=copy_context().run, args=(make,), name="answer", daemon=True).start()
    while True:
        try:
            answers, error = ends.get(timeout=_LOOK_SECONDS)
        except Empty:
            still_expected()
            continue
        if error is not None:
            raise error
        return answers[0]
