"""Sums over space of the scenes of a stack, put together from partials of some of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from runner.reduce.partial import Partial, among, combine

Span = tuple[int, int]  # of scenes, start to stop
_TOGETHER: Final = 512  # scenes of partials that are added up at once: one by one, few scenes take a while


@dataclass(slots=True)
class SceneSums:
    """Partials over space by the scenes that they have. Those of the same scenes are added up, several at a time.

    A partial that is added to all scenes of a long stack costs as much as the stack is long, for every task.
    """

    _spans: dict[Span, Partial] = field(default_factory=dict)
    _waiting: dict[Span, list[Partial]] = field(default_factory=dict)
    _scenes_waiting: int = 0

    def __bool__(self) -> bool:
        return bool(self._spans or self._waiting)

    def add(self, partial: Partial, start: int) -> None:
        """Add the partial of scenes from `start` on."""
        scenes = len(partial.counts)
        self._waiting.setdefault((start, start + scenes), []).append(partial)
        self._scenes_waiting += scenes
        if self._scenes_waiting >= _TOGETHER:
            self._add_up()

    def _add_up(self) -> None:
        for span, partials in self._waiting.items():
            if span in self._spans:
                partials.append(self._spans[span])
            self._spans[span] = combine(partials) if len(partials) > 1 else partials[0]
        self._waiting.clear()
        self._scenes_waiting = 0

    def whole(self, scenes: int) -> Partial:
        """The partial of so many scenes; those that no partial has are empty. Raises ValueError without any partial."""
        self._add_up()
        if not self._spans:
            raise ValueError("no partial has been added")
        joined = sorted(self._spans.items())
        while len(joined) > 1:  # pair by pair, so that few are long
            joined = list(_pairs_joined(joined))
        (start, _), partial = joined[0]
        return among(partial, start, scenes)


def _pairs_joined(parts: list[tuple[Span, Partial]]) -> Iterator[tuple[Span, Partial]]:
    for first in range(0, len(parts) - 1, 2):
        yield _joined(*parts[first : first + 2])
    if len(parts) % 2:
        yield parts[-1]


def _joined(first: tuple[Span, Partial], second: tuple[Span, Partial]) -> tuple[Span, Partial]:
    start, stop = min(first[0][0], second[0][0]), max(first[0][1], second[0][1])
    parts = [among(partial, span[0] - start, stop - start) for span, partial in (first, second)]
    return (start, stop), combine(parts)
