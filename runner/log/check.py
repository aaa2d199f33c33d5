"""One check of `verify`, and its verdict."""

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
