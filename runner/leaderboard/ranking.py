"""Noise, ties, ranks, the Pareto front, drift.

The rule of ties is Fisher's least significant difference. The noise is the standard deviation of one measurement,
relative to the mean of its job, pooled over all jobs that were repeated: `s`. Its degrees of freedom are the repeats
beyond the first of each job. Medians of `n` and `m` repeats differ if their distance, relative to the smaller, exceeds
t s sqrt(1/n + 1/m), where t is Student's, so that equal jobs get different ranks once in twenty times. A median of
three or more is less certain than a mean by sqrt(pi/2). Differences under 1 % are always ties. Without any repeat the
noise is unknown; then 10 % is assumed, and called an assumption.

Ties do not form chains: rank 1 is shared by all that tie with the very best; the best of the others leads the next
rank.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, NamedTuple

ASSUMED: Final = 0.10  # the least difference without repeats, relative
LEAST: Final = 0.01
_DRIFT: Final = 0.03  # of the wall time, from first to last; a smaller drift is not worth a plot
# Student's t, two-sided 95 %, by degrees of freedom; the last holds from there on to within 2 %.
_STUDENT: Final = {
    1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23, 12: 2.18, 15: 2.13,
    20: 2.09, 30: 2.04, 60: 2.00,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Noise:
    """The relative standard deviation of measurements of one job; `freedom` is 0 if it is unknown."""

    relative: float
    freedom: int

    @property
    def assumed(self) -> bool:
        """True if nothing was repeated."""
        return self.freedom == 0

    def least_difference(self, n: int, m: int) -> float:
        """The least relative difference between medians of n and m repeats that is not noise."""
        if self.assumed:
            return ASSUMED
        student = next(t for least, t in reversed(_STUDENT.items()) if self.freedom >= least)
        error = math.sqrt(sum((math.pi / 2 if repeats > 2 else 1.0) / repeats for repeats in (n, m)))
        return max(LEAST, student * self.relative * error)


def noise_of(samples: Sequence[Sequence[float]]) -> Noise:
    """The noise pooled over jobs, each with its measurements, all above 0."""
    repeated = [sample for sample in samples if len(sample) > 1]
    freedom = sum(len(sample) - 1 for sample in repeated)
    squares = sum((value / fmean(sample) - 1) ** 2 for sample in repeated for value in sample)
    return Noise(math.sqrt(squares / freedom) if freedom else 0.0, freedom)


def tie(a: float, n: int, b: float, m: int, noise: Noise) -> bool:
    """True if medians a of n and b of m repeats differ by noise alone."""
    return abs(a - b) <= noise.least_difference(n, m) * min(a, b)


def ranks(medians: Sequence[float], repeats: Sequence[int], noise: Noise) -> list[int]:
    """The rank of each, from 1, with equal ranks for ties; `medians` ascend."""
    numbers: list[int] = []
    leader = 0
    for position, (median, count) in enumerate(zip(medians, repeats, strict=True)):
        if not tie(medians[leader], repeats[leader], median, count, noise):
            leader = position
        numbers.append(leader + 1)
    return numbers


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """True for each point on the front: no other is better in one measure and at least equal in the other.

    Less is better in both.
    """
    return [
        not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points)
        for x, y in points
    ]  # fmt: skip


class Drift(NamedTuple):
    """A line through wall times in the order of their runs, relative to each job's own: at the first and the last."""

    first: float
    last: float


def drift(orders: Sequence[int], relative: Sequence[float], freedom: int) -> Drift | None:
    """The line through (position in the order, wall relative to its job's mean), if it clearly rises or falls.

    Clearly means by more than two standard errors, and more than 3 % from the first to the last. `freedom` is that of
    the repeats, since each job's own mean was divided out.
    """
    if freedom < 3 or len(set(orders)) < 3:
        return None
    middle, level = fmean(orders), fmean(relative)
    points = [(order - middle, value - level) for order, value in zip(orders, relative, strict=True)]
    spread = sum(x**2 for x, _ in points)
    slope = sum(x * y for x, y in points) / spread
    residuals = sum((y - slope * x) ** 2 for x, y in points)
    error = math.sqrt(residuals / (freedom - 1) / spread)
    ends = Drift(level + slope * (min(orders) - middle), level + slope * (max(orders) - middle))
    return ends if abs(slope) > 2 * error and abs(ends.last - ends.first) > _DRIFT else None
