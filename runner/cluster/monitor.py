"""Workers watched while they work: losses with their tasks, and the usage of workers on other machines."""

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from runner.cluster.answers import SILENCE_SECONDS
from runner.host.process_tree import Usage, own_usage

_PATIENCE_SECONDS: Final = 10.0  # for the scheduler to report losses

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """A lost worker: its address, the time (seconds since 1970), the keys of its tasks."""

    worker: str
    time: float
    keys: tuple[str, ...]


class Watch:
    """Watch of this process's threads, which do not get lost and are measured with it."""

    def __init__(self) -> None:
        self.handed_out: dict[str, tuple[object, ...]] = {}  # tasks that are not done, by the keys of a scheduler

    def losses(self) -> list[Loss]:
        """The workers lost since the watch started; none if their scheduler no longer answers."""
        return []

    def elsewhere(self) -> Usage:
        """Usage of workers that this process did not start: CPU time since the watch started, and the sum of peaks."""
        return Usage()


class DaskWatch(Watch):
    """Watch of a dask scheduler's workers; `elsewhere` if somebody else has started them."""

    def __init__(self, client: Any, *, elsewhere: bool) -> None:
        super().__init__()
        self._client = client
        self._started = time.time()
        self._elsewhere = elsewhere
        self._before = self._usage()

    def losses(self) -> list[Loss]:
        """Losses in the scheduler's log of events."""

        def unasked(dask_scheduler: Any) -> list[tuple[str, float, tuple[str, ...]]]:
            """Sent by value, since a scheduler need not have this package."""
            return [
                (event["worker"], stamp, tuple(str(key) for key in event["processing-tasks"]))
                for stamp, event in dask_scheduler.get_events("all")
                if isinstance(event, dict) and event.get("action") == "remove-worker" and not event["expected"]
            ]

        try:
            losses = self._client.run_on_scheduler(unasked, callback_timeout=_PATIENCE_SECONDS)
        except Exception as error:  # noqa: BLE001 - a closed client raises several kinds
            log.warning("the scheduler does not report lost workers: %s", error)
            return []
        return [loss for loss in (Loss(*facts) for facts in losses) if loss.time >= self._started]

    def elsewhere(self) -> Usage:
        """Usage as every living worker reports it."""
        now = self._usage()
        before = {worker: usage.cpu_seconds for worker, usage in self._before.items()}
        spent = sum(usage.cpu_seconds - before.get(worker, 0.0) for worker, usage in now.items())
        return Usage(sum(usage.peak_bytes for usage in now.values()), spent)

    def _usage(self) -> dict[str, Usage]:
        if not self._elsewhere:
            return {}
        try:
            usage: dict[str, Usage] = self._client.run(own_usage, on_error="ignore", callback_timeout=_PATIENCE_SECONDS)
        except (OSError, TimeoutError) as error:  # of a scheduler that hangs, which `Liveness` finds
            log.warning("the workers do not report what they took: %s", error)
            return {}
        return usage


def await_answer(address: str, seconds: float, on_wait: Callable[[], None]) -> None:
    """Wait until a scheduler answers at its address; `on_wait` is called once if that takes more than two seconds.

    Raises OSError if none answers in time, ValueError for a wrong port.

    A scheduler greets whoever connects. Other servers wait for a request, and a dask client waits for them forever. A
    dask client could wait for the scheduler too, but after an interrupt it goes on for twice its timeout.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls") or parts.port is None:
        return
    started = time.monotonic()
    with suppress(OSError):
        _await_greeting(parts, started + min(seconds, SILENCE_SECONDS))
        return
    if seconds > SILENCE_SECONDS:
        on_wait()
    _await_greeting(parts, started + seconds)


def _await_greeting(address: SplitResult, stop: float) -> None:
    """Try until a server greets, or until the time is over. Raises OSError then."""
    while True:
        try:
            patience = max(stop - time.monotonic(), 0.1)
            with socket.create_connection((address.hostname, address.port), timeout=patience) as connection:
                if address.scheme == "tcp" and not connection.recv(1):
                    raise ConnectionError("it closes the connection and sends nothing")
        except OSError:
            if time.monotonic() > stop:
                raise
            time.sleep(0.1)
        else:
            return
