"""The progress of an archive in words: its bytes, the rate, the time that is left, and how many stacks have failed."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from runner.base import humanize
from runner.record.stacks import StackRow
from runner.source.parts import Part


class Progress:
    """Counts the stacks that end, and the stored bytes of each.

    Stacks that failed are counted apart: they end early, and neither a rate nor the time that is left follows from
    them. Nor does it from stacks outside of the box or area, whose bytes are not read.
    """

    def __init__(self, parts: Sequence[Part], ended: Iterable[StackRow]) -> None:
        bands = Counter(part.files for part in parts)  # stacks of the same files, which share their bytes
        self._bytes = {part.name: (part.stored_bytes or 0) / bands[part.files] for part in parts}
        self._sized = all(part.stored_bytes is not None for part in parts)
        self.total, self.done, self.failed = len(parts), 0, 0
        self._complete, self._complete_bytes = 0, 0.0
        self._to_read, self._bytes_to_read = len(parts), sum(self._bytes.values())
        self._failed_bytes = 0.0
        for row in ended:
            self.add(row)
        self._before, self._bytes_before = self._complete, self._complete_bytes
        self._started = time.monotonic()

    def add(self, row: StackRow) -> None:
        """Count a stack that has ended."""
        stored = self._bytes.get(row.stack, 0)
        self.done += 1
        if row.status == "COMPLETED":
            self._complete += 1
            self._complete_bytes += stored
        else:
            self._to_read -= 1
            self._bytes_to_read -= stored
        if row.status == "FAILED":
            self.failed += 1
            self._failed_bytes += stored

    def in_words(self, seconds: float | None = None) -> str:
        """`1.2 TB of 9.1 TB, 210 MB/s, 3:05 h left, 2 failed of 30 GB`, as far as it is known, after these seconds."""
        passed = time.monotonic() - self._started if seconds is None else seconds
        words = []
        share = ratio(self._complete - self._before, self._to_read - self._before)
        sized = self._sized and self._bytes_to_read + self._failed_bytes > 0
        if sized:
            words.append(f"{humanize.size(self._complete_bytes)} of {humanize.size(self._bytes_to_read)}")
            if passed and self._complete_bytes > self._bytes_before:
                words.append(humanize.rate((self._complete_bytes - self._bytes_before) / passed))
            share = ratio(self._complete_bytes - self._bytes_before, self._bytes_to_read - self._bytes_before)
        if 0 < share < 1:
            words.append(f"{humanize.seconds(passed * (1 - share) / share)} left")
        if self.failed:
            words.append(f"{self.failed} failed{f' of {humanize.size(self._failed_bytes)}' if sized else ''}")
        return ", ".join(words)


def ratio(part: float, whole: float) -> float:
    """The share, 0 of nothing."""
    return part / whole if whole else 0.0
