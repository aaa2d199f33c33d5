"""The progress of an archive in words: bytes fetched, the rate, the time that is left, and how many stacks failed."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from runner.base import humanize
from runner.record.stacks import StackRow
from runner.source.parts import Part


class Progress:
    """Counts the stacks that end, and the bytes that each has fetched.

    What the others will fetch follows from their stored bytes, as far as the complete ones fetched theirs: a box or an
    area takes a part of each file, and masks come on top. Stacks that failed are counted apart: they end early, and
    neither a rate nor the time that is left follows from them. Nor does it from stacks outside of the box or area.
    """

    def __init__(self, parts: Sequence[Part], ended: Iterable[StackRow]) -> None:
        bands = Counter(part.files for part in parts)  # stacks of the same files, which share their bytes
        sized = all(part.stored_bytes is not None for part in parts)
        self._weights = {part.name: ((part.stored_bytes or 0) if sized else 1) / bands[part.files] for part in parts}
        self.total, self.done, self.failed = len(parts), 0, 0
        self._complete, self._to_read = 0.0, sum(self._weights.values())  # weights
        self._fetched, self._all_counted = 0, True
        for row in ended:
            self.add(row)
        self._before, self._fetched_before = self._complete, self._fetched
        self._started = time.monotonic()

    def add(self, row: StackRow) -> None:
        """Count a stack that has ended."""
        weight = self._weights.get(row.stack, 0)
        self.done += 1
        if row.status == "COMPLETED":
            self._complete += weight
            self._fetched += row.bytes or 0
            self._all_counted &= row.bytes is not None
        else:
            self._to_read -= weight
        self.failed += row.status == "FAILED"

    def in_words(self, seconds: float | None = None) -> str:
        """`1.2 TB of about 9.1 TB, 210 MB/s, 3:05 h left, 2 failed`, as far as it is known, after these seconds."""
        passed = time.monotonic() - self._started if seconds is None else seconds
        words = []
        left = self._to_read - self._complete
        if self._complete > 0 and self._all_counted:
            total = self._fetched + left * ratio(self._fetched, self._complete)
            more = f" of about {humanize.size(total)}" if left > 0 else ""
            words.append(f"{humanize.size(self._fetched)}{more}")
            if passed and self._fetched > self._fetched_before:
                words.append(humanize.rate((self._fetched - self._fetched_before) / passed))
        share = ratio(self._complete - self._before, self._to_read - self._before)
        if 0 < share < 1:
            words.append(f"{humanize.seconds(passed * (1 - share) / share)} left")
        if self.failed:
            words.append(f"{self.failed} failed")
        return ", ".join(words)


def ratio(part: float, whole: float) -> float:
    """The share, 0 of nothing."""
    return part / whole if whole else 0.0
