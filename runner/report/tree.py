"""JSON read without trust: what is absent, or of another type than wanted, is None or empty."""

from datetime import MAXYEAR, datetime
from typing import Any, Final

_HUGE: Final = 1e300  # beyond it whole numbers are no floats
_EPOCH: Final = 1970


class Tree:
    """A node of a JSON document."""

    __slots__ = ("node",)

    def __init__(self, node: object) -> None:
        self.node = node

    def at(self, *path: str) -> "Tree":
        """The node below, None where there is none."""
        node = self.node
        for name in path:
            node = node.get(name) if isinstance(node, dict) else None
        return Tree(node)

    def text(self, *path: str) -> str | None:
        """A string; numbers and truth values as JSON has them."""
        node = self.at(*path).node
        if isinstance(node, bool):
            return str(node).lower()
        return str(node) if isinstance(node, (str, int, float)) else None

    def number(self, *path: str) -> float | None:
        """A finite number."""
        node = self.at(*path).node
        if isinstance(node, bool) or not isinstance(node, (int, float)):
            return None
        return node if abs(node) < _HUGE else None  # nor infinite, nor NaN

    def time(self, *path: str) -> float | None:
        """An ISO 8601 time with its offset, as seconds since 1970; None of one before that."""
        try:
            time = datetime.fromisoformat(self.text(*path) or "")
        except ValueError:
            return None
        return time.timestamp() if time.tzinfo and _EPOCH < time.year < MAXYEAR else None

    def mapping(self, *path: str) -> dict[str, Any]:
        """An object."""
        node = self.at(*path).node
        return node if isinstance(node, dict) else {}

    def items(self, *path: str) -> "list[Tree]":
        """The elements of an array."""
        node = self.at(*path).node
        return [Tree(item) for item in node] if isinstance(node, list) else []

    def texts(self, *path: str) -> tuple[str, ...]:
        """The strings of an array; nothing of what is none."""
        return tuple(text for item in self.items(*path) if (text := item.text()) is not None)

    def pairs(self, *path: str) -> tuple[tuple[str, str], ...]:
        """An object of strings and numbers, in its order."""
        return tuple((name, Tree(node).text() or "null") for name, node in self.mapping(*path).items())
