"""A value that several threads need, made by the first of them."""

import copy
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Once(Generic[Value]):
    """Makes a value once, or fails once: whoever asks later gets the same value, or a copy of the error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: Value | None = None
        self._error: Exception | None = None

    def get(self, make: Callable[[], Value]) -> Value:
        """The value. Raises what `make` raised."""
        with self._lock:
            if self._error is not None:
                raise copied(self._error)
            if self._made is None:
                try:
                    self._made = make()
                except Exception as error:
                    self._error = copied(error)
                    raise
            return self._made


Error = TypeVar("Error", bound=BaseException)


def copied(error: Error) -> Error:
    """A copy of an error, to which another thread may add notes; the same one if it cannot be copied."""
    try:
        own = copy.copy(error)
    except TypeError:
        return error
    own.__cause__ = error.__cause__
    return own.with_traceback(error.__traceback__)
