"""What becomes of workers while they work: which are lost, with which tasks, and what those elsewhere take."""

import logging
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runner.host.process_tree import Usage, own_usage

_PATIENCE_SECONDS = 10.0  # with a scheduler that is to tell how it went

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """A worker that went away unasked: its address, when that was (seconds since 1970), the keys of its tasks."""

    worker: str
    time: float
    keys: tuple[str, ...]


class Watch:
    """Of the threads of this process, which do not get lost and are measured with it."""

    def losses(self) -> list[Loss]:
        """The workers that were lost since the watch began; none if their scheduler no longer tells."""
        return []

    def elsewhere(self) -> Usage:
        """What workers took that are no children of this process: time since the watch began, peaks added up."""
        return Usage()


class DaskWatch(Watch):
    """Of the workers behind a dask scheduler; `elsewhere` if somebody else has started them."""

    def __init__(self, client: Any, *, elsewhere: bool) -> None:
        self._client = client
        self._began = time.time()
        self._elsewhere = elsewhere
        self._before = self._usage()

    def losses(self) -> list[Loss]:
        """By the scheduler's own log of events."""

        def unasked(dask_scheduler: Any) -> list[tuple[str, float, tuple[str, ...]]]:
            """Sent by value, since a scheduler need not have this package."""
            return [
                (event["worker"], at, tuple(str(key) for key in event["processing-tasks"]))
                for at, event in dask_scheduler.get_events("all")
                if isinstance(event, dict) and event.get("action") == "remove-worker" and not event["expected"]
            ]

        try:
            found = self._client.run_on_scheduler(unasked, callback_timeout=_PATIENCE_SECONDS)
        except Exception as error:  # noqa: BLE001 - a client that is closed raises this and that
            log.warning("the scheduler does not tell of lost workers: %s", error)
            return []
        return [loss for loss in (Loss(*one) for one in found) if loss.time >= self._began]

    def elsewhere(self) -> Usage:
        """By asking every worker that lives."""
        now = self._usage()
        before = {worker: one.cpu_seconds for worker, one in self._before.items()}
        spent = sum(one.cpu_seconds - before.get(worker, 0.0) for worker, one in now.items())
        return Usage(sum(one.peak_bytes for one in now.values()), spent)

    def _usage(self) -> dict[str, Usage]:
        return self._client.run(own_usage, on_error="ignore") if self._elsewhere else {}


def await_answer(address: str, seconds: float) -> None:
    """Wait until a scheduler speaks at its address. Raises OSError if none does, ValueError for a wrong port.

    A scheduler greets whoever connects. Other servers wait to be asked, and a client of dask waits for them for good.

    A dask client waits too, but one that is interrupted in it is waited for in its turn, twice its timeout.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls") or parts.port is None:
        return
    stop = time.monotonic() + seconds
    while True:
        try:
            patience = max(stop - time.monotonic(), 0.1)
            with socket.create_connection((parts.hostname, parts.port), timeout=patience) as connection:
                if parts.scheme == "tcp" and not connection.recv(1):
                    raise ConnectionError("it ends the connection without a word")
        except OSError:
            if time.monotonic() > stop:
                raise
            time.sleep(0.1)
        else:
            return
