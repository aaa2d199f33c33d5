"""The progress of an archive in words."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from runner.archive.progress import Progress
from runner.model import StoredObject
from runner.record.stacks import StackRow
from runner.source.names import Candidate
from runner.source.parts import Part


def part(name: str, size: int | None) -> Part:
    item = StoredObject(name, size)
    return Part(name, {}, (Candidate(item, name, datetime(2020, 1, 6, tzinfo=UTC), {}),))


def row(name: str, status: str = "COMPLETED", fetched: int | None = 10**9) -> StackRow:
    return StackRow(stack=name, values={}, status=status, bytes=fetched)


CASES = {
    "nothing yet": ([10**9] * 10, 10**9, [], [], ""),
    "some": ([10**9] * 10, 10**9, [], "CF", "1 GB of about 9 GB, 100 MB/s, 80.0 s left, 1 failed"),
    "a box": ([10**9] * 10, 10**8, [], "CF", "100 MB of about 900 MB, 10 MB/s, 80.0 s left, 1 failed"),
    "masks on top": ([10**9] * 10, 15 * 10**8, [], "C", "1.5 GB of about 15 GB, 150 MB/s, 90.0 s left"),
    "by size": ([10**9, 8 * 10**9], 5 * 10**8, [], "C", "500 MB of about 4.5 GB, 50 MB/s, 80.0 s left"),
    "early failures": ([10**9] * 10, 10**9, [], "F" * 9, "9 failed"),
    "outside": ([10**9] * 10, 10**9, [], "COOOOO", "1 GB of about 5 GB, 100 MB/s, 40.0 s left"),
    "resumed outside": ([10**9] * 10, 10**9, "OOOOO", "C", "1 GB of about 5 GB, 100 MB/s, 40.0 s left"),
    "unknown sizes": (
        [None] * 10,
        10**9,
        [],
        "CF",
        "1 GB of about 9 GB, 100 MB/s, 80.0 s left, 1 failed",
    ),
    "fetched by GDAL": ([10**9] * 10, None, [], "CF", "80.0 s left, 1 failed"),
    "resumed": ([10**9] * 10, 10**9, "CCCCC", "C", "6 GB of about 10 GB, 100 MB/s, 40.0 s left"),
    "all": ([10**9] * 2, 10**9, [], "CC", "2 GB, 200 MB/s"),
}
STATUSES = {"C": "COMPLETED", "F": "FAILED", "O": "OUTSIDE"}


@pytest.mark.parametrize(("sizes", "fetched", "before", "ended", "words"), CASES.values(), ids=CASES)
def test_bytes_fetched_rate_time_left_and_failures_are_said_as_far_as_they_are_known(
    sizes: list[int | None], fetched: int | None, before: str, ended: str, words: str
) -> None:
    names = [f"s{number}" for number in range(len(sizes))]
    rows = [row(name, STATUSES[of], fetched) for name, of in zip(names, [*before, *ended], strict=False)]
    progress = Progress([part(*each) for each in zip(names, sizes, strict=True)], rows[: len(before)])
    for each in rows[len(before) :]:
        progress.add(each)
    assert (progress.done, progress.total) == (len(rows), len(sizes))
    assert progress.in_words(10.0) == words


def test_the_bytes_of_files_are_counted_once_for_all_of_their_bands() -> None:
    bands = [replace(part("file", 10**9), name=name) for name in ("red", "nir")]
    progress = Progress(bands, [])
    progress.add(row("red", fetched=500 * 10**6))
    assert progress.in_words(10.0) == "500 MB of about 1 GB, 50 MB/s, 10.0 s left"
