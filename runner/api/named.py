"""Results by name, where a wrong name is answered with those that there are."""

from typing import Final, Never, TypeVar

from runner.base.humanize import listed
from runner.base.suggest import nearest
from runner.errors import RecordError

Named = TypeVar("Named")

_MOST_NAMED: Final = 5


class ByName(dict[str, Named]):
    """A dict of a run's results. A name that it does not have raises RecordError; `in` and `get` are a dict's."""

    def __init__(self, results: dict[str, Named], kind: str, of: object, without: frozenset[str] = frozenset()) -> None:
        """Results of one kind, of a run in the folder `of`. Names `without` results are known, and have none yet."""
        super().__init__(results)
        self._kind, self._of, self._without = kind, of, without

    def __missing__(self, name: object) -> Never:
        """Raise RecordError with the nearest name, or some of those that there are."""
        if name in self._without:
            raise RecordError(
                f"{self._of}: the {self._kind} '{name}' has left no run: it has not begun, or was left out"
            )
        got = f"'{name}'" if isinstance(name, str) else f"{name!r}, which is not a name"
        folded = {own.casefold(): own for own in self}
        near = folded.get(nearest(name.casefold(), folded) or "") if isinstance(name, str) else None
        there = f"there are {listed([*self], _MOST_NAMED)}" if self else "there are none"
        answer = f"did you mean '{near}'" if near else there
        raise RecordError(f"{self._of}: there is no {self._kind} {got}; {answer}")
