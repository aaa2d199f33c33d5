"""Which job is best, and which differences are none: noise, ties, ranks, the Pareto front, drift.

The rule of ties is Fisher's least significant difference. The noise is the standard deviation of one measurement,
relative to the mean of its job, pooled over all jobs that were repeated: `s`, with so many degrees of freedom as there
are repeats beyond the first. Medians of `n` and `m` repeats differ if they are further apart, relative to the smaller,
than t s sqrt(1/n + 1/m), where t is Student's, so that equal jobs are told apart once in twenty times; a median of
three or more is less certain than a mean by sqrt(pi/2). Less than 1 % is never told apart. Without any repeat nothing
is known of the noise; then 10 % is assumed, and said to be an assumption.

Ties are no chain: rank 1 is shared by all that tie with the very best; the best of the others leads the next rank.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, NamedTuple

ASSUMED: Final = 0.10  # the least difference without repeats, relative
LEAST: Final = 0.01
_DRIFT: Final = 0.03  # of the wall time, from first to last; less is not worth a plot
# Student's t, two-sided 95 %, by degrees of freedom; the last holds from there on to within 2 %.
_STUDENT: Final = {
    1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23, 12: 2.18, 15: 2.13,
    20: 2.09, 30: 2.04, 60: 2.00,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Noise:
    """How far measurements of one job are apart: their relative standard deviation; `freedom` 0 if none is known."""

    relative: float
    freedom: int

    @property
    def assumed(self) -> bool:
        """Whether nothing was repeated."""
        return self.freedom == 0

    def least_difference(self, one: int, other: int) -> float:
        """The least relative difference between medians of so many repeats that counts as one."""
        if self.assumed:
            return ASSUMED
        student = next(t for least, t in reversed(_STUDENT.items()) if self.freedom >= least)
        error = math.sqrt(sum((math.pi / 2 if n > 2 else 1.0) / n for n in (one, other)))
        return max(LEAST, student * self.relative * error)


def noise_of(samples: Sequence[Sequence[float]]) -> Noise:
    """Pooled over jobs, each with its measurements, all above 0."""
    repeated = [one for one in samples if len(one) > 1]
    freedom = sum(len(one) - 1 for one in repeated)
    squares = sum((value / fmean(one) - 1) ** 2 for one in repeated for value in one)
    return Noise(math.sqrt(squares / freedom) if freedom else 0.0, freedom)


def tie(a: float, n: int, b: float, m: int, noise: Noise) -> bool:
    """Whether medians a of n and b of m repeats are the same but for the noise."""
    return abs(a - b) <= noise.least_difference(n, m) * min(a, b)


def ranks(medians: Sequence[float], repeats: Sequence[int], noise: Noise) -> list[int]:
    """The rank of each, from 1, with equal ranks for ties; `medians` ascend."""
    found: list[int] = []
    leader = 0
    for at, (median, many) in enumerate(zip(medians, repeats, strict=True)):
        if not tie(medians[leader], repeats[leader], median, many, noise):
            leader = at
        found.append(leader + 1)
    return found


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which points no other beats in one measure without losing in the other; less is better in both."""
    return [
        not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points)
        for x, y in points
    ]  # fmt: skip


class Drift(NamedTuple):
    """A line through wall times in the order of their runs, relative to each job's own: at the first and the last."""

    first: float
    last: float


def drift(orders: Sequence[int], relative: Sequence[float], freedom: int) -> Drift | None:
    """The line through (place in the order, wall relative to its job's mean), if it clearly rises or falls.

    Clearly: by more than two standard errors, and more than 3 % from the first to the last. `freedom` is that of the
    repeats, since each job's own mean was taken off.
    """
    if freedom < 3 or len(set(orders)) < 3:
        return None
    middle, level = fmean(orders), fmean(relative)
    spread = sum((at - middle) ** 2 for at in orders)
    slope = sum((at - middle) * (value - level) for at, value in zip(orders, relative, strict=True)) / spread
    rest = sum((value - level - slope * (at - middle)) ** 2 for at, value in zip(orders, relative, strict=True))
    error = math.sqrt(rest / (freedom - 1) / spread)
    ends = Drift(level + slope * (min(orders) - middle), level + slope * (max(orders) - middle))
    return ends if abs(slope) > 2 * error and abs(ends.last - ends.first) > _DRIFT else None
