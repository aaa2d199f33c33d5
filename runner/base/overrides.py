"""Overrides as text: as a user types them, and taken apart."""

import json
from typing import Final

DROPPED: Final = "dropped"  # the value of a key that an override deletes


def as_text(value: object) -> str:
    """A setting's value as it is typed on the command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(as_text, value))}]"
    return json.dumps(value)  # null, true, numbers


def key_of(override: str) -> str:
    """The key or group that an override sets, adds or deletes."""
    return override.partition("=")[0].lstrip("+~")


def parted(override: str) -> tuple[str, str]:
    """The key of an override and its value as typed; the value of ~key is DROPPED."""
    return key_of(override), DROPPED if override.startswith("~") else override.partition("=")[2]
