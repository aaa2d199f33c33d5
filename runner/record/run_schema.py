"""What run.json must hold, so that those who read it need not ask: kinds of values, by their keys."""

import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import starmap
from typing import TypeAlias

STATUSES = ("RUNNING", "COMPLETED", "FAILED", "INTERRUPTED")  # as runs write them
_YEARS = range(1970, 9999)  # others cannot be told in every zone


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of values: what it is called, and what is of it."""

    words: str
    fits: Callable[[object], bool]


Wanted: TypeAlias = "Kind | list[Wanted] | Mapping[str, Wanted]"
Part: TypeAlias = tuple[object, Wanted, str]


def time_of(text: object) -> datetime | None:
    """A recorded time; None for what is none, or has no zone."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo and found.year in _YEARS else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18  # which NaN is not


_TEXT = Kind("text", lambda value: isinstance(value, str))
_NUMBER = Kind("a number", _is_number)
_TIME = Kind("a time with its zone", lambda value: time_of(value) is not None)
_STATUS = Kind(f"one of {', '.join(STATUSES)}", lambda value: value in STATUSES)
_ERROR = Kind("text or an object", lambda value: isinstance(value, (str, dict)))  # in schema 1, and in 2

# A key that ends in ? may be null or not there; * is every key that is.
_PASS: Wanted = {
    "name": _TEXT,
    "cluster": {"kind": _TEXT, "n_workers": _NUMBER, "threads": _NUMBER},
    "chunks": {"time": _NUMBER, "y": _NUMBER, "x": _NUMBER},
    "tasks": _NUMBER,
    "fetched?": {"bytes": _NUMBER, "requests": _NUMBER, "retries": _NUMBER},
    **dict.fromkeys(
        ("start_seconds?", "compute_seconds?", "compile_seconds?", "cpu_seconds?", "peak_bytes?", "workers_lost?"),
        _NUMBER,
    ),
}
RUN: Wanted = {
    "status": _STATUS,
    "started": _TIME,
    "config": {"source?": {}, "output?": {}},
    "command": [_TEXT],
    "overrides": [_TEXT],
    "passes": [_PASS],
    "versions": {"*": _TEXT},
    "code?": {"commit": _TEXT, "diff?": _TEXT},
    "stack?": {"scenes?": _NUMBER},
    "phases?": {"*?": _NUMBER},
    "outputs?": [_TEXT],
    "attempts?": [{}],
    "error?": _ERROR,
    **dict.fromkeys(("heartbeat?", "ended?"), _TIME),
    **dict.fromkeys(("seconds?", "scenes?", "memory_bytes?"), _NUMBER),
}


def misfit(value: object, wanted: Wanted, at: str = "") -> str | None:
    """Where a value is not as wanted first, what is there, and what should be; None if all of it is as wanted."""
    if isinstance(wanted, Kind):
        return None if wanted.fits(value) else _words(at, value, wanted.words)
    if isinstance(wanted, list):
        parts = _items(value, wanted[0], at) if isinstance(value, list) else None
    else:
        parts = _entries(value, wanted, at) if isinstance(value, dict) else None
    if parts is None:
        return _words(at, value, "a list" if isinstance(wanted, list) else "an object")
    return next(filter(None, starmap(misfit, parts)), None)


def _words(at: str, value: object, wanted: str) -> str:
    return f"'{at}' is {reprlib.repr(value)}, wanted {wanted}"


def _items(values: list[object], wanted: Wanted, at: str) -> Iterator[Part]:
    return ((value, wanted, f"{at}[{number}]") for number, value in enumerate(values))


def _entries(values: Mapping[str, object], wanted: Mapping[str, Wanted], at: str) -> Iterator[Part]:
    for name, of in wanted.items():
        key = name.removesuffix("?")
        for one in values if key == "*" else [key]:
            if values.get(one) is not None or key == name:
                yield values.get(one), of, f"{at}.{one}".lstrip(".")
