"""Tasks for workers of other processes, which import them by this name."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from waiting import wait_until


def times(factor: int, numbers: Iterator[int]) -> Iterator[int]:
    """Each number times the factor."""
    return (factor * number for number in numbers)


def together(meeting: tuple[Path, dict[int, int], float], numbers: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Each number with the process that has it, after so many seconds.

    From some numbers on, as {number: processes} says, none is done before so many processes have come to the folder.
    """
    folder, wanted, seconds = meeting
    (folder / str(os.getpid())).touch()
    for number in numbers:
        processes = max(count for first, count in wanted.items() if first <= number)
        wait_until(lambda processes=processes: len(list(folder.iterdir())) >= processes)
        time.sleep(seconds)
        yield number, os.getpid()
