"""Secrets kept out of what is written and shown, known by their values in the environment and by where they stand.

`runner.base.atomic` and `runner.base.console` call this for every text, and so do the formatters of the log.
"""

import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote

_NAMES = (
    "secret|token|passw|passphrase|pwd|bearer|cookie|credential|(?:access|account|api)_?key|authorization|oauth"
    r"|http_headers|signature|connection_?string"
    r"|(?:(?:key|user|ssh|_)pass|[._]key|sas)(?![\w.-])"  # at the end only: MAX_KEYS and passes are no secrets
)
SECRET_NAMES = re.compile(_NAMES, re.IGNORECASE)
Secrets = tuple[str, ...]
_SHORT: Final = 1000  # characters of a text that is kept for the next time
_SHORTEST = 6  # characters; what is shorter would blank out ordinary words
BLANK: Final = "[redacted]"  # what takes a secret's place

_USER = re.compile(r"://([^/\s@'\"]+)(?=@)")  # user:password, or a token alone, before a host
_QUERY = re.compile(
    r"([?&;][\w.%-]*?(?:signature|credential|token|secret|passw|key|sig)[\w.%-]*=)[^&#\s'\"<>]+", re.IGNORECASE
)
_DENGISSA = re.compile(r"=([\w.-]+)")  # NAME= read backwards
_VALUE = re.compile(r"(?!\$\{|\[redacted])[^\s&,;)\]}'\"]+")
_HEADER = re.compile(
    r"((?:authorization|cookie|x-api-key|x-amz-security-token)['\"]?\s*:\s*(?:b?['\"])?)[^\s'\"][^\r\n'\"]*",
    re.IGNORECASE,
)
_HEADERS: Final = ("authorization", "cookie", "x-api-key", "x-amz-security-token")  # in each header of the pattern
_PICTURE = "data:image/png;base64,"
_PICTURES = re.compile(rf"({_PICTURE}[A-Za-z0-9+/=]{{1000,}})")


def redact(text: str) -> str:
    """Give a text without secrets, pictures in it as they are.

    Secrets are the values of secret environment variables, and what stands in a secret's place: a user and password in
    a URL, a signature in its query, a credential in a header, the value of NAME=value.
    """
    secrets = _secrets(tuple(os.environ.items()))
    if _PICTURE not in text:
        return _blank(text, secrets)
    return "".join(part if part.startswith(_PICTURE) else _blank(part, secrets) for part in _PICTURES.split(text))


def redact_tree(node: Any) -> Any:
    """Redact every string in a tree of dicts and lists, as JSON holds it; values under a secret's name go whole.

    Numbers stay, except those that JSON cannot hold; everything else becomes text.
    """
    return _blank_tree(node, _secrets(tuple(os.environ.items())))


def names_a_secret(text: str) -> bool:
    """Tell if a setting's name is a secret's, or if its value holds or asks for one.

    Such are NAME=x, {NAME: x}, ${oc.env:NAME}, and a password or a signature in a URL.
    """
    named = rf"(?:{_NAMES})[\w.-]*['\"]?\s*[:=]\s*[^\s}}\]]|oc\.env:[^}}]*(?:{_NAMES})"
    user = r"//[^/\s]*:[^/\s]*@|proxy['\"]?\s*[:=]\s*[^\s/]*@"  # a proxy may be named without its scheme
    match = re.search(named, text, re.IGNORECASE) or _QUERY.search(text) or re.search(user, text, re.IGNORECASE)
    return match is not None


class RedactingFormatter(logging.Formatter):
    """A log line, tracebacks included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """The redacted line."""
        return redact(super().format(record))


def _blank_tree(node: Any, secrets: Secrets) -> Any:
    kind = type(node)
    if kind is str:  # the plain types first: most nodes are of them, and a Mapping takes long to tell
        return _blank(node, secrets)
    if kind is int or kind is bool or node is None:
        return node
    if kind is dict or isinstance(node, Mapping):
        keys = [_blanked_key(str(key), secrets) for key in node]
        return {
            key: BLANK if value and secret else _blank_tree(value, secrets)
            for (key, secret), value in zip(keys, node.values(), strict=True)
        }
    if isinstance(node, (list, tuple, set, frozenset)):
        return [_blank_tree(item, secrets) for item in node]
    if isinstance(node, int) or (isinstance(node, float) and math.isfinite(node)):
        return node
    return _blank(str(node), secrets)


@lru_cache(maxsize=2048)
def _blanked_key(key: str, secrets: Secrets) -> tuple[str, bool]:
    """A key without secrets, and whether it is the name of one."""
    return _blank(key, secrets), _is_secret(key)


@lru_cache(maxsize=2048)
def _is_secret(name: str) -> bool:
    return SECRET_NAMES.search(name) is not None


def _blank(text: str, secrets: Secrets) -> str:
    """The text without secrets. A record is written a dozen times, and most of its texts stay as they are."""
    return (_blanked_short if len(text) <= _SHORT else _blanked_long)(text, secrets)


def _blanked(text: str, secrets: Secrets) -> str:
    for secret in secrets:
        text = text.replace(secret, BLANK)
    if ":" in text:
        text = _USER.sub(f"://{BLANK}", text) if "://" in text else text
        folded = text.casefold()
        if any(header in folded for header in _HEADERS):  # a pattern of all is tried at each letter of a text
            text = _HEADER.sub(rf"\1{BLANK}", text)
    if "=" in text:
        text = _blanked_values(_QUERY.sub(rf"\1{BLANK}", text))
    return text


def _blanked_values(text: str) -> str:
    """The text without the values of NAME=value, where the name is a secret's."""
    values = list(_secret_values(text))
    starts, stops = [0, *(value.end() for value in values)], [*(value.start() for value in values), len(text)]
    return BLANK.join(text[start:stop] for start, stop in zip(starts, stops, strict=True))


def _secret_values(text: str) -> Iterator[re.Match[str]]:
    """The values of NAME=value. Names are looked at one by one: a pattern of all is tried at each letter of a text.

    They are found from the end on, since `=` is rarer than letters by which names begin.
    """
    stop = 0
    for name in reversed(list(_DENGISSA.finditer(text[::-1]))):
        end = len(text) - name.start()
        if len(text) - name.end() >= stop and _is_secret(name[1][::-1]) and (value := _VALUE.match(text, end)):
            stop = value.end()
            yield value


_blanked_short = lru_cache(maxsize=2048)(_blanked)
_blanked_long = lru_cache(maxsize=2)(_blanked)  # such as the difference from a commit


# --- secrets of the environment ---------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _secrets(environment: Iterable[tuple[str, str]]) -> Secrets:
    """List what must not be seen, the longest first, so that a part of one does not spoil the whole."""
    forms = {
        form
        for name, value in environment
        for part in _secret_parts(name, value)
        if len(part) >= _SHORTEST
        for form in _written(part)
    }
    return tuple(sorted(forms, key=len, reverse=True))


def _secret_parts(name: str, value: str) -> Iterator[str]:
    """Yield a secret variable's value and its telling parts; of any other variable, the secrets in URLs and NAME=x."""
    if SECRET_NAMES.search(name) and not _is_path(value):
        yield value
        for line in re.split(r"[,\r\n]+", value):  # headers: NAME: SCHEME VALUE
            _, colon, rest = line.partition(":")
            if colon:
                yield rest.strip()
                yield rest.rpartition(" ")[2]
    for user in _USER.findall(value):
        yield user
        yield user.partition(":")[2]
    if name.lower().endswith("proxy") and "://" not in value:
        user = value.rpartition("@")[0]
        yield user
        yield user.partition(":")[2]
    for match in _QUERY.finditer(value):
        yield match[0].partition("=")[2]
    for match in _secret_values(value):
        yield match[0]


def _is_path(value: str) -> bool:
    """Tell if a value is a path, as of PWD and AWS_WEB_IDENTITY_TOKEN_FILE; a path is not a secret."""
    return value.startswith("/") and os.path.exists(value)  # noqa: PTH110 - Path raises where it may not look


def _written(secret: str) -> Iterator[str]:
    """A secret as it stands in URLs and in quoted strings."""
    yield secret
    yield unquote(secret)
    yield quote(secret)
    yield quote(secret, safe="")
    yield repr(secret)[1:-1]
