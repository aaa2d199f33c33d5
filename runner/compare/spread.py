"""The distance of two arrays, window by window: unequal bits, missing values, the largest differences."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.output.digest import unequal_bits

Values = npt.NDArray[Any]


class Largest(NamedTuple):
    """The largest difference so far, by some measure, and where: its place, and both values."""

    size: float
    place: tuple[int, ...]
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The distance between two results; `place` is an index into them."""

    floor: float = 0.0  # values smaller than that count as that much where differences are relative
    cells: int = 0
    unequal: int = 0  # in their bits
    single: int = 0  # of these, missing in one of both
    first_single: tuple[int, ...] | None = None
    absolute: Largest | None = None
    relative: Largest | None = None  # to the larger of both, by magnitude
    whole: bool = True  # whether both are integers

    def with_part(self, a: Values, b: Values, start: int) -> "Spread":
        """Also of these values, whose first axis begins at `start` of the whole."""
        unequal = unequal_bits(a, b) if a.dtype == b.dtype else ~np.equal(a, b)
        ours, theirs = a.astype(np.float64), b.astype(np.float64)
        unequal &= ~(np.isnan(ours) & np.isnan(theirs))
        single = np.isnan(ours) != np.isnan(theirs)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            distance = np.abs(ours - theirs)
            size = np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), self.floor)
            relative = np.where(np.isinf(distance), distance, distance / size)
        place = _place(int(np.argmax(single)), single.shape, start) if single.any() else None
        comparable = unequal & ~single
        return Spread(
            self.floor,
            self.cells + a.size,
            self.unequal + int(unequal.sum()),
            self.single + int(single.sum()),
            self.first_single or place,
            _larger(self.absolute, _largest(distance, comparable, ours, theirs, start)),
            _larger(self.relative, _largest(relative, comparable, ours, theirs, start)),
            self.whole and a.dtype.kind in "iu" and b.dtype.kind in "iu",
        )


def _largest(sizes: Values, chosen: Values, ours: Values, theirs: Values, start: int) -> Largest | None:
    if not chosen.any():
        return None
    ranked = np.where(chosen, np.nan_to_num(sizes, nan=0.0, posinf=np.inf), -1.0)
    index = int(np.argmax(ranked))
    place = _place(index, sizes.shape, start)
    return Largest(float(ranked.flat[index]), place, float(ours.flat[index]), float(theirs.flat[index]))


def _place(index: int, shape: tuple[int, ...], start: int) -> tuple[int, ...]:
    first, *others = map(int, np.unravel_index(index, shape))
    return first + start, *others


def _larger(a: Largest | None, b: Largest | None) -> Largest | None:
    return max((candidate for candidate in (a, b) if candidate), key=lambda candidate: candidate.size, default=None)
