"""A run's events, twice: `run.log` for people, `events.jsonl` for programs; both without secrets."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.base.redact import RedactingFormatter, redact_tree

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# At level DEBUG, clients log whole answers, which may hold a temporary key; numba logs all that it compiles.
_TALKATIVE = frozenset(
    {"aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "fsspec", "httpcore", "httpx", "numba", "requests",
     "s3fs", "s3transfer", "urllib3"}
)  # fmt: skip


def timestamp(seconds: float | None = None) -> str:
    """Now, or a time in seconds since 1970, as ISO 8601 in UTC with milliseconds."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds")


_RUN: ContextVar[Path | None] = ContextVar("run", default=None)  # the folder of the run that a thread works for


@contextmanager
def events_kept(folder: Path, *, one_of_many: bool = False) -> Iterator[None]:
    """Write what is logged during the block into the folder's `run.log` and `events.jsonl`.

    What threads log that work for no run counts too, unless the run is one of many in this process: then it belongs to
    all of them together.
    """
    handlers = [_handler(folder / "run.log", _Line()), _handler(folder / "events.jsonl", _JsonLine())]
    accepted = (folder,) if one_of_many else (folder, None)
    token = _RUN.set(folder)
    for handler in handlers:
        handler.addFilter(lambda _: _RUN.get() in accepted)
        logging.getLogger().addHandler(handler)
    try:
        with nullcontext() if one_of_many else libraries_hushed():
            yield
    finally:
        _RUN.reset(token)
        for handler in handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()


@contextmanager
def libraries_hushed() -> Iterator[None]:
    """Keep the debug lines of libraries, which may hold secrets that are known to nobody, from every log."""
    known = {name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _TALKATIVE}
    levels = {name: logging.getLogger(name).level for name in _TALKATIVE | known}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(max(level, logging.INFO))
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


class _File(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A full disk ends the run where results are written; here it would print the event, secrets and all."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def _handler(path: Path, formatter: logging.Formatter) -> logging.Handler:
    handler = _File(path, encoding="utf-8")
    handler.setFormatter(formatter)
    return handler


class _Line(RedactingFormatter):
    """Time, level, logger, message, and the traceback below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - its name
        return timestamp(record.created)


class _JsonLine(logging.Formatter):
    """One JSON object: time, level, logger, event, the fields given as `extra`, and the traceback or null."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, redacted, on one line."""
        fields: dict[str, Any] = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
        event = fields | {
            "time": timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        order = ("time", "level", "logger", "event", *fields, "exception")
        return json.dumps(redact_tree({name: event[name] for name in order}), ensure_ascii=False)
