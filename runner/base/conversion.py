"""Plain trees as typed records, by msgspec, in any thread.

While msgspec looks at a type for the first time, it leaves what it knows so far on the class and evaluates annotations,
during which another thread may run. If that one converts to the same type, the process ends by a segmentation fault
(seen with msgspec 0.22). So types are looked at by one thread at a time; those that are known can be used by all.
"""

import threading
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

Kind = TypeVar("Kind")

_LOOKING: Final = threading.Lock()
_known: Final = set[object]()


def converted(tree: Any, kind: type[Kind]) -> Kind:
    """A tree of plain objects as a record of this type. Raises msgspec.ValidationError."""
    _know(kind)
    return msgspec.convert(tree, kind)


def decoded(text: bytes, kind: type[Kind]) -> Kind:
    """JSON as a record of this type. Raises msgspec.DecodeError."""
    _know(kind)
    return msgspec.json.decode(text, type=kind)


def _know(kind: object) -> None:
    if kind in _known:
        return
    with _LOOKING, suppress(msgspec.ValidationError):
        msgspec.convert(object(), kind)  # which fits no type
    _known.add(kind)
