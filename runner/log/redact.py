"""Secrets stay out of what is written and shown: by the value they have in the environment, and by where they stand."""

import logging
import os
import re
from typing import Any

SECRET_NAMES = re.compile(
    r"secret|token|passw|pwd|bearer|cookie|credential|access_key|api_?key|authorization|oauth|http_headers|sas$",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*(?=@)")
_SHORTEST = 6  # characters; what is shorter would blank out ordinary words
_BLANK = "[redacted]"


def redact(text: str) -> str:
    """`text` without the values of secret environment variables and without user:password in URLs."""
    secrets = {value for name, value in os.environ.items() if SECRET_NAMES.search(name) and len(value) >= _SHORTEST}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _BLANK)
    return _IN_URL.sub(_BLANK, text)


def redact_tree(node: Any) -> Any:
    """The same for every string in a tree of dicts and lists; values under a secret's name go whole."""
    if isinstance(node, dict):
        return {
            key: _BLANK if value and SECRET_NAMES.search(str(key)) else redact_tree(value)
            for key, value in node.items()
        }
    if isinstance(node, (list, tuple)):
        return [redact_tree(item) for item in node]
    return redact(node) if isinstance(node, str) else node


class RedactingFormatter(logging.Formatter):
    """A log line, tracebacks included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """The redacted line."""
        return redact(super().format(record))
