"""Overrides as Python writes them, turned into the words of a command line."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from runner.base.overrides import quoted
from runner.base.suggest import nearest
from runner.errors import ConfigError

_OF_PROGRESS: Final = ("progress", "progress_bar", "verbose", "quiet", "silent")
Overrides: TypeAlias = Sequence[str] | Mapping[str, object]


def words_of(overrides: Overrides, settings: Mapping[str, object]) -> list[str]:
    """The words of overrides, then of keyword settings.

    A text is taken as it is typed behind the `=` on the command line, without the quotes of a shell. Raises ConfigError
    for overrides that are neither a list of texts nor a dict, a keyword that was meant for Python, a value of no kind.
    """
    _refuse_misspelt(settings)
    if isinstance(overrides, Mapping):
        return _assigned({**overrides, **settings})
    if isinstance(overrides, str) or not isinstance(overrides, Iterable):
        got = "a text" if isinstance(overrides, str) else type(overrides).__name__
        example = overrides if isinstance(overrides, str) else "source=local"
        raise ConfigError(f"{overrides}: wanted a list of overrides, such as [{example!r}], got {got}")
    typed: list[Any] = list(overrides)
    for other in (word for word in typed if not isinstance(word, str)):
        way = ", or the dict in place of the list" if isinstance(other, Mapping) else ""
        raise ConfigError(f"{other}: wanted texts in the list of overrides, such as 'source=local'{way}")
    return [*typed, *_assigned(settings)]


def _assigned(settings: Mapping[str, object]) -> list[str]:
    """Words that set keys to values. Raises ConfigError for a key that is not a text."""
    for key in settings:
        if not isinstance(key, str):
            raise ConfigError(f"{key!r}: wanted the key of a setting, such as 'source.url'")
    return [f"{key}={_value(key, value)}" for key, value in settings.items()]


def _refuse_misspelt(settings: Mapping[str, object]) -> None:
    """Raise ConfigError for a keyword that was probably meant to be `progress`, which no setting is like."""
    for key in settings:
        if nearest(key.lower(), _OF_PROGRESS):
            raise ConfigError(f"{key}: there is no such setting; did you mean the keyword progress=True, or False")


def _value(key: str, value: object) -> str:
    return value if isinstance(value, str) else _nested(key, value)


def _nested(key: str, value: object) -> str:
    """A value in Hydra's grammar."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_nested(key, item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_nested(key, item) for item in value) + "]"
    if isinstance(value, str) or hasattr(value, "__fspath__") or hasattr(value, "isoformat"):
        return quoted(str(value))
    raise ConfigError(f"{key}: wanted a text, a number, true or false, None, a list or a dict, got {value!r}")
