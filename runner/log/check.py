"""What `verify` checks, one thing at a time, and how each check ended."""

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a check ended."""

    ok = "ok"
    failed = "FAILED"
    unknown = "unknown"  # it could not be checked


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked, and what was found."""

    what: str
    verdict: Verdict
    text: str
