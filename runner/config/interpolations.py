"""Interpolations, `${...}`, in a config: each stands for a setting that exists, and there are not too many."""

import os
import re
from collections.abc import Iterator
from typing import Any, Final

from runner.base.suggest import did_you_mean
from runner.config.messages import pasted
from runner.config.vocabulary import known_keys
from runner.errors import ConfigError

_NAMED: Final = re.compile(r"(?<!\\)\$\{([A-Za-z_][\w.]*)\}")
_BUILT: Final = re.compile(
    r"\$\{\s*oc\.env\s*:[^,}]*\$\{|\$\{[^:{}]*\$\{[^{}]*\}[^:{}]*:"
)  # the name itself, piece by piece
_TYPED: Final = ("hydra.overrides.", "hydra.job.override_dirname")  # the command line once more
_MOST: Final = 10_000  # values that one may stand for
_ABSENT: Final = object()


def check_interpolations(tree: dict[str, Any]) -> None:
    """Refuse names that there are not, as `${USER}`, and interpolations of interpolations without measure.

    `tree` is a composed config as plain values, interpolations as they are. Raises ConfigError.
    """
    sizes: dict[str, float] = {}
    for key, value in _untyped(tree):
        if _BUILT.search(value):
            raise ConfigError(
                f"{key}={value}: the name of a variable, or of a resolver, is written out, not put together"
            )
        for name in _NAMED.findall(value):
            if _value(tree, name) is _ABSENT:
                raise _no_setting(key, value, name)
            if _size(tree, name, sizes) > _MOST:
                raise ConfigError(f"{key}: ${{{name}}} stands for itself, or for over {_MOST} values; write them out")


def interpolated_keys(tree: dict[str, Any]) -> Iterator[str]:
    """Dotted key of each value that is made of others."""
    yield from dict.fromkeys(key for key, _ in _untyped(tree))


def _untyped(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in _texts(tree) if not key.startswith(_TYPED))


def _no_setting(key: str, value: str, name: str) -> ConfigError:
    problem = f"{key}: ${{{name}}} is not a setting"
    if name not in os.environ and not name.isupper():
        return ConfigError(f"{problem}{did_you_mean(name, known_keys())}")
    meant = pasted(key, value.replace(f"${{{name}}}", f"${{oc.env:{name}}}"))
    return ConfigError(f"{problem}; for the variable of the environment write {meant}")


def _value(node: Any, name: str) -> Any:
    """The value of a dotted key; of one below an interpolation, that interpolation."""
    for part in name.split("."):
        if isinstance(node, str) and "${" in node:
            break
        if not isinstance(node, dict) or part not in node:
            return _ABSENT
        node = node[part]
    return node


def _size(tree: dict[str, Any], name: str, sizes: dict[str, float]) -> float:
    """The values that a key stands for, once all is written out; without end if it stands for itself."""
    if name not in sizes:
        sizes[name] = float("inf")
        texts = _texts(_value(tree, name), name)
        sizes[name] = 1 + sum(_size(tree, one, sizes) for _, text in texts for one in _NAMED.findall(text))
    return sizes[name]


def _texts(node: object, at: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key and text of each interpolation."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(value, f"{at}.{key}" if at else str(key))
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, at)
    elif isinstance(node, str) and "${" in node:
        yield at, node
