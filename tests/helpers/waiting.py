"""Waiting for what a test is to see: for as long as a busy machine takes, and not without end."""

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

LONG = 300.0  # seconds; a bound that only a hanging test meets, so that it fails
_LOOK_SECONDS = 0.02

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found]) -> Found:
    """What the condition gives, once that is true."""
    stop = time.monotonic() + LONG
    while not (found := condition()):
        assert time.monotonic() < stop, f"waited {LONG:g} s in vain"
        time.sleep(_LOOK_SECONDS)
    return found


def lives(process: psutil.Process | int) -> bool:
    """Whether it has not ended. One that nobody has waited for is a zombie, and has."""
    try:
        seen = psutil.Process(process) if isinstance(process, int) else process
        return seen.is_running() and seen.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
