"""Times of scenes as whole numbers, so that sums over them are exact and those of any two runs add up."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)  # the same for all stacks
YEAR: Final = 31_557_600_000  # milliseconds of a Julian year, 365.25 days
FURTHEST: Final = 2**43  # milliseconds from the epoch, 278 years
MOST_SCENES: Final = 2**20  # whose times, up to the furthest, add up in 63 bits; squares in halves too
_HALF: Final = 43  # bits of the lower half of a square
_LOW: Final = 21  # bits of the lower part of a time: each part times a float32 is a float64


def milliseconds(time: datetime) -> int:
    """Whole milliseconds since the epoch, in UTC; what is less is cut off."""
    return (time - EPOCH) // timedelta(milliseconds=1)


class SceneTime(NamedTuple):
    """The time of a scene, as kernels add it."""

    time: int
    square_low: int  # time**2 = square_low + square_high * 2**43
    square_high: int
    high: float  # time = high + low, both of its sign; 22 and 21 bits
    low: float

    @classmethod
    def of(cls, time: int) -> "SceneTime":
        """The parts of a time in milliseconds."""
        low = abs(time) % 2**_LOW * (1 if time > 0 else -1)
        return cls(time, time**2 & (2**_HALF - 1), time**2 >> _HALF, float(time - low), float(low))
