"""The progress of an archive in words: its bytes, the rate, the time that is left, and how many stacks have failed."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from runner.base import humanize
from runner.record.stacks import StackRow
from runner.source.parts import Part


class Progress:
    """Counts the stacks that end, and the stored bytes of each."""

    def __init__(self, parts: Sequence[Part], ended: Iterable[StackRow]) -> None:
        bands = Counter(part.files for part in parts)  # stacks of the same files, which share their bytes
        self._bytes = {part.name: (part.stored_bytes or 0) / bands[part.files] for part in parts}
        self._sized = all(part.stored_bytes is not None for part in parts)
        self.total, self.done, self.failed = len(parts), 0, 0
        self._all_bytes, self._done_bytes = sum(self._bytes.values()), 0.0
        for row in ended:
            self.add(row)
        self._before, self._bytes_before = self.done, self._done_bytes
        self._started = time.monotonic()

    def add(self, row: StackRow) -> None:
        """Count a stack that has ended."""
        self.done += 1
        self.failed += row.status == "FAILED"
        self._done_bytes += self._bytes.get(row.stack, 0)

    def in_words(self, seconds: float | None = None) -> str:
        """`1.2 of 9.1 TB, 210 MB/s, 3:05 h left, 2 failed`, as far as it is known, after these seconds."""
        passed = time.monotonic() - self._started if seconds is None else seconds
        words = []
        share = ratio(self.done - self._before, self.total - self._before)
        if self._sized and self._all_bytes:
            words.append(f"{humanize.size(self._done_bytes)} of {humanize.size(self._all_bytes)}")
            if passed and self._done_bytes > self._bytes_before:
                words.append(humanize.rate((self._done_bytes - self._bytes_before) / passed))
            share = ratio(self._done_bytes - self._bytes_before, self._all_bytes - self._bytes_before)
        if 0 < share < 1:
            words.append(f"{humanize.seconds(passed * (1 - share) / share)} left")
        if self.failed:
            words.append(f"{self.failed} failed")
        return ", ".join(words)


def ratio(part: float, whole: float) -> float:
    """The share, 0 of nothing."""
    return part / whole if whole else 0.0
