"""botocore's HTTP client, for what is no range of an object: listings, and documents of the web."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, Final

from runner.errors import SourceError
from runner.read.fetch import FetchOptions
from runner.read.network import CONNECT_SECONDS, ca_bundle, proxies_for
from runner.read.store_errors import UNSENT, ConnectionFailedError

CONNECTIONS: Final = 32  # to one host


def http_session(endpoint: str, fetch: FetchOptions) -> Any:
    """A session for requests to one host; close it."""
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415 - a tenth of a second that local sources spare

    timeout = (CONNECT_SECONDS, fetch.timeout_seconds)
    return URLLib3Session(
        verify=ca_bundle() or True,
        proxies=proxies_for(endpoint),
        timeout=timeout,
        max_pool_connections=CONNECTIONS,
    )


def send(session: Any, request: Any, most_bytes: int, origin: str | None = None) -> tuple[Any, bytes]:
    """An answer and its body, cut behind `most_bytes` and one more. Raises ConnectionFailedError.

    `origin` is the URL that was redirected to this one.
    """
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as in http_session
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - as in http_session

    try:
        answer = session.send(request)
        body: bytes = answer.raw.read(most_bytes + 1, decode_content=True)
    except (BotoCoreError, HTTPError) as error:
        cause = getattr(error, "kwargs", {}).get("error") or error
        if isinstance(cause, ValueError) and not isinstance(cause, HTTPError):
            raise SourceError(UNSENT) from None
        raise ConnectionFailedError(request.url, cause, origin) from error
    return answer, body


def on_thread(work: Callable[[], bytes]) -> "asyncio.Future[bytes]":
    """The result of `work`, from a thread that nobody waits for: a server may send a byte now and then for ever."""
    result: Future[bytes] = Future()
    result.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            result.set_exception(error)

    Thread(target=run, name="http", daemon=True).start()
    return asyncio.wrap_future(result)
