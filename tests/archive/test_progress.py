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


def row(name: str, status: str = "COMPLETED") -> StackRow:
    return StackRow(stack=name, values={}, status=status)


@pytest.mark.parametrize(
    ("sizes", "before", "ended", "seconds", "words"),
    [
        ([10**9] * 10, [], [], 5.0, "0 B of 10 GB"),
        ([10**9] * 10, [], ["COMPLETED", "FAILED"], 10.0, "1 GB of 9 GB, 100 MB/s, 80.0 s left, 1 failed of 1 GB"),
        ([10**9] * 10, [], ["FAILED"] * 9, 10.0, "0 B of 1 GB, 9 failed of 9 GB"),
        ([10**9] * 2, [], ["FAILED"] * 2, 10.0, "0 B of 0 B, 2 failed of 2 GB"),
        ([10**9] * 10, [], ["COMPLETED", *["OUTSIDE"] * 5], 10.0, "1 GB of 5 GB, 100 MB/s, 40.0 s left"),
        ([10**9] * 10, ["OUTSIDE"] * 5, ["COMPLETED"], 10.0, "1 GB of 5 GB, 100 MB/s, 40.0 s left"),
        ([None] * 10, [], ["COMPLETED", "FAILED"], 10.0, "80.0 s left, 1 failed"),
        ([10**9] * 10, ["COMPLETED"] * 5, ["COMPLETED"], 10.0, "6 GB of 10 GB, 100 MB/s, 40.0 s left"),
        ([None] * 10, ["COMPLETED"] * 5, ["COMPLETED"], 10.0, "40.0 s left"),
        ([10**9] * 2, [], ["COMPLETED"] * 2, 10.0, "2 GB of 2 GB, 200 MB/s"),
    ],
    ids=[
        "nothing yet",
        "some",
        "early failures",
        "all failed",
        "outside",
        "resumed outside",
        "unknown, one failed",
        "resumed",
        "unknown bytes",
        "all",
    ],
)
def test_bytes_rate_time_left_and_failures_are_said_as_far_as_they_are_known(
    sizes: list[int | None], before: list[str], ended: list[str], seconds: float, words: str
) -> None:
    names = [f"s{number}" for number in range(len(sizes))]
    statuses = [*before, *ended]
    progress = Progress(
        [part(*each) for each in zip(names, sizes, strict=True)], map(row, names[: len(before)], before)
    )
    for name, status in list(zip(names, statuses, strict=False))[len(before) :]:
        progress.add(row(name, status))
    assert (progress.done, progress.total) == (len(statuses), len(sizes))
    assert progress.in_words(seconds) == words


def test_the_bytes_of_files_are_counted_once_for_all_of_their_bands() -> None:
    bands = [replace(part("file", 10**9), name=name) for name in ("red", "nir")]
    progress = Progress(bands, [])
    progress.add(row("red"))
    assert progress.in_words(10.0) == "500 MB of 1 GB, 50 MB/s, 10.0 s left"
