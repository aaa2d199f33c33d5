"""Overrides as Python writes them, turned into the words of a command line."""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from runner.base.overrides import quoted
from runner.errors import ConfigError

Overrides: TypeAlias = Sequence[str] | Mapping[str, object]


def words_of(overrides: Overrides, settings: Mapping[str, object]) -> list[str]:
    """The words of overrides, then of keyword settings. Raises ConfigError for a single text and a value of no kind.

    A text is taken as it is typed behind the `=` on the command line, without the quotes of a shell.
    """
    if isinstance(overrides, str):
        raise ConfigError(f"{overrides}: wanted a list of overrides, such as [{overrides!r}], got a text")
    table = overrides if isinstance(overrides, Mapping) else {}
    typed = [] if isinstance(overrides, Mapping) else list(map(str, overrides))
    return [*typed, *(f"{key}={_value(key, value)}" for key, value in {**table, **settings}.items())]


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
