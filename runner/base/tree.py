"""Nested mappings, such as a config, by dotted keys."""

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(node: object, path: str | None = None, *, of_lists: bool = False) -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every leaf; lists, and what is empty, are leaves too, or with `of_lists` their items."""
    if isinstance(node, Mapping) and (node or path is None):
        for key, value in node.items():
            yield from leaves(value, str(key) if path is None else f"{path}.{key}", of_lists=of_lists)
    elif of_lists and isinstance(node, list) and node:
        for item in node:
            yield from leaves(item, path, of_lists=True)
    else:
        yield path or "", node


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value of every leaf of a config."""
    return dict(leaves(config))
