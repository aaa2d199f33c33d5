"""The result of a comparison: sections of differences."""

from dataclasses import dataclass, field
from typing import Final

ABSENT: Final = "-"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same in run A and in run B; `text` says more where two words do not do."""

    what: str
    a: str = ABSENT
    b: str = ABSENT
    text: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of facts, compared: what differs, what is the same (in words), and what could not be compared."""

    name: str
    differences: list[Difference]
    same: str = "the same"
    notes: list[str] = field(default_factory=list)
