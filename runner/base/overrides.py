"""Overrides as text: a setting's value as a user types it."""

import json


def as_text(value: object) -> str:
    """A setting's value as it is typed on the command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(as_text, value))}]"
    return json.dumps(value)  # null, true, numbers
