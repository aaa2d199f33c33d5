"""Notes on the stacks of an archive: the first of each kind is told at once, and on how many more stacks it is."""

import re
from collections.abc import Sequence

from runner.base.console import tell
from runner.base.humanize import listed, plural

_MOST_NAMED = 5


class StackNotes:
    """Notes as they come. Those that begin alike, up to the first number, are of one kind."""

    def __init__(self) -> None:
        self._stacks: dict[str, list[str]] = {}

    def take(self, stack: str, notes: Sequence[str]) -> None:
        """Tell the notes on a stack that are the first of their kinds."""
        for note in notes:
            stacks = self._stacks.setdefault(re.split(r"\d", note, maxsplit=1)[0], [])
            stacks.append(stack)
            if len(stacks) == 1:
                tell(f"{stack}: {note}")

    def tell_others(self) -> None:
        """Tell of each kind on how many more stacks it is."""
        for first, *others in self._stacks.values():
            if others:
                more = plural(len(others), "more stack", "more stacks")
                tell(f"such a note as that on {first} is on {more}: {listed(others, _MOST_NAMED)}")
