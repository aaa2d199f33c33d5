"""A flag that ends reading from outside."""

import threading


class StopFlag:
    """A flag that ends the readers of a stack. A copy in another process is never set."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __reduce__(self) -> tuple[type["StopFlag"], tuple[()]]:
        """Pickle it without its event; a worker process is ended from outside."""
        return type(self), ()

    def set(self) -> None:
        """End the reading."""
        self._event.set()

    def check(self) -> None:
        """Raise StoppedError if the flag is set."""
        if self._event.is_set():
            raise StoppedError


class StoppedError(Exception):
    """Reading was stopped by the flag."""
