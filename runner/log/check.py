"""One check of `verify`, and its verdict."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """The verdict of a check."""

    ok = "ok"
    failed = "FAILED"
    unknown = "unknown"  # it could not be checked


@dataclass(frozen=True, slots=True)
class Check:
    """A check: its subject, its verdict, and the finding in words."""

    what: str
    verdict: Verdict
    text: str


def summed_up(checks: Iterable[Check]) -> Iterator[Check]:
    """The checks that are not ok, and the first of the others with their number."""
    ok = []
    for check in checks:
        if check.verdict is Verdict.ok:
            ok.append(check)
        else:
            yield check
    if ok:
        more = f"; so are {len(ok) - 1} more" if len(ok) > 1 else ""
        yield Check(ok[0].what, Verdict.ok, f"{ok[0].text}{more}")
