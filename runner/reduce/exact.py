"""Exact sums: records, combination, and one correct rounding at the end. Plain numpy; kernels load when needed.

All arrays are flat over cells: the pixels of a task's window (over time) or scenes (over space).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from runner.reduce import superaccumulator
from runner.reduce.arrays import Bools, Floats, Integers

_LOW: Final = 0xFFFFFFFF
_ADDITIONS_BEFORE_CARRY: Final = 2**26  # each moves a limb by at most nine times 2**33
_CELLS_AT_ONCE: Final = 2**15


class Wide:
    """Fixed-point sums of any magnitude.

    `limbs` is int64 (cells, limbs), limb i weighing 2**(32 * (first + i)), and grows at both ends as values need it;
    `infinite` is int64 (cells, 2): the number of +inf and of -inf, which are not summed.
    """

    __slots__ = ("_fixed", "_uncarried", "first", "infinite", "limbs")

    def __init__(self, limbs: Integers, first: int, infinite: Integers, *, fixed: bool = False) -> None:
        self.limbs = limbs
        self.first = first
        self.infinite = infinite
        self._uncarried = 0
        self._fixed = fixed  # there is room for any value

    @classmethod
    def zeros(cls, cells: int) -> Self:
        """Empty sums, without limbs so far."""
        return cls(np.zeros((cells, 0), np.int64), 0, np.zeros((cells, 2), np.int64))

    @classmethod
    def for_sums(cls, cells: int) -> Self:
        """Room for any float64: bits from 2**-1074 (limb -34) to 2**1024 (limb 31), and for carries."""
        return cls(np.zeros((cells, 71), np.int64), -34, np.zeros((cells, 2), np.int64), fixed=True)

    @classmethod
    def for_squares(cls, cells: int) -> Self:
        """Room for the square of any float64: bits from 2**-2148 (limb -68) to 2**2048 (limb 63), and for carries."""
        return cls(np.zeros((cells, 139), np.int64), -68, np.zeros((cells, 2), np.int64), fixed=True)

    @classmethod
    def for_products(cls, cells: int) -> Self:
        """Room for the product of any two float64s, as for squares."""
        return cls.for_squares(cells)

    @classmethod
    def for_square_products(cls, cells: int) -> Self:
        """Room for any float64's square times another: bits from 2**-3222 (limb -101) to 2**3072 (limb 95), carries."""
        return cls(np.zeros((cells, 204), np.int64), -101, np.zeros((cells, 2), np.int64), fixed=True)

    def add_weighted(self, values: Floats, factors: Floats, cell: int, *, square: bool = False) -> None:
        """Add float64 values without NaN, or their squares, to one cell, each times its positive factor.

        There must be room for them, see `for_products` and `for_square_products`.
        """
        bits, scales = (np.ascontiguousarray(array, np.float64).view(np.int64) for array in (values, factors))
        if self._uncarried + bits.size > _ADDITIONS_BEFORE_CARRY:
            self.carry()
        self._uncarried += bits.size
        kernel = superaccumulator.add_square_products if square else superaccumulator.add_products
        kernel(bits, scales, np.array([cell]), superaccumulator.Sums(self.limbs, self.first, self.infinite))

    def add(self, values: Floats, cells: Integers, *, square: bool = False) -> None:
        """Add float64 values without NaN, or their squares; `cells` is as long as `values`, or one cell for all."""
        bits = np.ascontiguousarray(values).view(np.int64)
        if not self._fixed:
            self._reach(*superaccumulator.exponent_range(bits), 2 if square else 1)
        if self._uncarried + bits.size > _ADDITIONS_BEFORE_CARRY:
            self.carry()
        self._uncarried += bits.size
        kernel = superaccumulator.add_squares if square else superaccumulator.add_values
        kernel(bits, cells, superaccumulator.Sums(self.limbs, self.first, self.infinite))

    def add_products(self, values: Floats, factors: Floats, cells: Integers, *, square: bool = False) -> None:
        """Add float64 values without NaN, or their squares, each times its positive factor; cells as `add`."""
        bits, scales = (np.ascontiguousarray(array, np.float64).view(np.int64) for array in (values, factors))
        if not self._fixed:
            (lowest, highest), (least, most) = map(superaccumulator.exponent_range, (bits, scales))
            if lowest <= highest and least <= most:
                power = 2 if square else 1
                start, stop = (power * (e - 1075) + f - 1075 for e, f in ((lowest, least), (highest, most)))
                self._grow(start // 32, stop // 32 + (11 if square else 8))  # as products are cut, and carries
        if self._uncarried + bits.size > _ADDITIONS_BEFORE_CARRY:
            self.carry()
        self._uncarried += bits.size
        kernel = superaccumulator.add_square_products if square else superaccumulator.add_products
        kernel(bits, scales, cells, superaccumulator.Sums(self.limbs, self.first, self.infinite))

    def add_multiples(self, values: Floats, factor: float, cells: Integers) -> None:
        """Add float64 values without NaN, each times one finite factor; `cells` is as long as `values`."""
        if factor:
            signed = values if factor > 0 else -values
            self.add_products(signed, np.full(signed.size, abs(factor)), cells)

    def add_wide(self, other: Self) -> None:
        """Add another's cells to these."""
        stop = other.first + other.limbs.shape[1]
        self._grow(other.first, stop)
        if self._uncarried:
            self.carry()
        self.limbs[:, other.first - self.first : stop - self.first] += other.limbs
        self.infinite += other.infinite
        self.carry()

    def add_wide_at(self, other: Self, cells: Integers) -> None:
        """Add another's cells to some of these, each of which is named once."""
        if not other.limbs.shape[1]:
            self.infinite[cells] += other.infinite
            return
        stop = other.first + other.limbs.shape[1]
        self._grow(other.first, stop + 1)
        other.carry()
        self.limbs[cells, other.first - self.first : stop - self.first] += other.limbs
        self.infinite[cells] += other.infinite
        self._uncarried += 1

    def carry(self) -> None:
        """Bring every limb but the topmost to -2**31 <= limb < 2**31, the same limbs for the same value."""
        for i in range(self.limbs.shape[1] - 1):
            carried = (self.limbs[:, i] + 2**31) >> 32
            self.limbs[:, i] -= carried << 32
            self.limbs[:, i + 1] += carried
        self._uncarried = 0

    def select(self, cells: Integers | slice = np.s_[:]) -> Self:
        """A carried copy of some cells, without the limbs that none of them uses."""
        self.carry()
        limbs = self.limbs[cells]
        used = np.flatnonzero(limbs.any(axis=0))
        start, stop = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
        return type(self)(limbs[:, start:stop].copy(), self.first + start, self.infinite[cells].copy())

    def used(self) -> Bools:
        """True for the cells that are not empty."""
        return np.asarray(self.limbs.any(axis=1) | self.infinite.any(axis=1))

    def _reach(self, lowest: int, highest: int, power: int) -> None:
        """Make room for values with exponents of that range: 53 bits times a power of two lie in three limbs."""
        if lowest <= highest:
            self._grow(power * (lowest - 1075) // 32, power * (highest - 1075) // 32 + 3 * power + 2)

    def _grow(self, start: int, stop: int) -> None:
        if not self.limbs.shape[1]:
            self.first = start
        below = max(0, self.first - start)
        above = max(0, stop - (self.first + self.limbs.shape[1]))
        if below or above:
            self.limbs = np.pad(self.limbs, ((0, 0), (below, above)))
            self.first -= below


@dataclass(frozen=True, slots=True)
class Total:
    """Exact sums: layers[0] + layers[1], float64 (2, cells), plus `wide` if there is any."""

    layers: Floats
    wide: Wide | None = None


def combine_totals(totals: Sequence[Total]) -> Total:
    """Add cell by cell, exactly, so in any order."""
    layers = totals[0].layers.copy()
    wide = totals[0].wide and totals[0].wide.select()
    for total in totals[1:]:
        for layer in total.layers:
            wide = _add_layer(layers, wide, layer)
        if total.wide:
            wide = wide or Wide.zeros(layers.shape[1])
            wide.add_wide(total.wide)
    return Total(layers, wide)


def _add_layer(layers: Floats, wide: Wide | None, layer: Floats) -> Wide | None:
    """Add to `layers` where that is exact, to `wide` elsewhere; some cells at a time, which stay in the cache."""
    for start in range(0, layer.size, _CELLS_AT_ONCE):
        part = slice(start, start + _CELLS_AT_ONCE)
        if layer[part].any():
            remaining = start + _add_exact(layers[:, part], layer[part])
            if remaining.size:
                wide = wide or Wide.zeros(layer.size)
                wide.add(layer[remaining], remaining)
    return wide


def _add_exact(layers: Floats, layer: Floats) -> Integers:
    """Add to `layers` where that is exact; the indices of the other cells."""
    with np.errstate(over="ignore", invalid="ignore"):
        upper, error = two_sum(layers[0], layer)
        lower, lost = two_sum(layers[1], error)
    fits = lost == 0
    np.copyto(layers[0], upper, where=fits)
    np.copyto(layers[1], lower, where=fits)
    return np.flatnonzero(~fits)


def two_sum(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """The rounded sum and its exact error (Knuth, TAOCP 2, 4.2.2)."""
    total = left + right
    part = total - left
    return total, (left - (total - part)) + (right - part)


def rounded(total: Total) -> Floats:
    """Each sum as the nearest float64, ties to even: what `math.fsum` returns.

    Beyond the range of float64 it is infinite; infinite pixels make it so too, and NaN if both signs are among them.
    """
    with np.errstate(over="ignore"):
        result: Floats = total.layers[0] + total.layers[1]
    if total.wide:
        cells = np.flatnonzero(total.wide.used())
        for start in range(0, cells.size, _CELLS_AT_ONCE):
            part = cells[start : start + _CELLS_AT_ONCE]
            result[part] = _round_wide(widened(total, part))
    return result


def widened(total: Total, cells: Integers) -> Wide:
    """Some cells of a total as limbs alone, carried."""
    wide = total.wide.select(cells) if total.wide else Wide.zeros(cells.size)
    for layer in total.layers[:, cells]:
        filled = np.flatnonzero(layer)
        if filled.size:
            wide.add(layer[filled], filled)
    wide.carry()
    return wide


def _round_wide(wide: Wide) -> Floats:
    sums = round_limbs(wide.limbs, wide.first)
    positive, negative = wide.infinite[:, 0] > 0, wide.infinite[:, 1] > 0
    sums[positive] = np.inf
    sums[negative] = -np.inf
    sums[positive & negative] = np.nan
    return sums


def round_limbs(limbs: Integers, first: int) -> Floats:
    """Each row's value, rounded once to the nearest float64, ties to even; int64 (cells, limbs), carried."""
    negative, magnitude = _magnitude(limbs)
    cells = np.arange(len(magnitude))
    top = magnitude.shape[1] - 1 - np.argmax(magnitude[:, ::-1] != 0, axis=1)
    top[~magnitude.any(axis=1)] = 2
    high, middle, low = (magnitude[cells, top - i] for i in range(3))
    bits = np.frexp(high.astype(np.float64))[1].astype(np.uint64)  # bits in use, 1 to 32
    shift = 32 - bits
    window = (high << (32 + shift)) | (middle << shift) | (low >> bits)
    lost = (low & ((np.uint64(1) << bits) - 1) != 0) | (np.argmax(magnitude != 0, axis=1) < top - 2)
    # 64 bits are 11 more than a float64 holds: the last of them may stand for all that is lost below.
    window |= lost.astype(np.uint64)
    with np.errstate(over="ignore"):
        result: Floats = np.ldexp(window.astype(np.float64), 32 * (first + top - 3) - shift.astype(np.int64))
    return np.where(negative, -result, result)


def _magnitude(limbs: Integers) -> tuple[Bools, npt.NDArray[np.uint64]]:
    """The sign of each value (True: negative) and its magnitude, 0 <= limb < 2**32, with 2 more limbs below, 1 above"""
    limbs = np.pad(limbs, ((0, 0), (2, 1)))
    top = limbs.shape[1] - 1 - np.argmax(limbs[:, ::-1] != 0, axis=1)
    negative = limbs[np.arange(len(limbs)), top] < 0
    limbs[negative] *= -1
    for i in range(limbs.shape[1] - 1):
        limbs[:, i + 1] += limbs[:, i] >> 32
        limbs[:, i] &= _LOW
    return negative, limbs.astype(np.uint64)


def integers(wide: Wide) -> npt.NDArray[Any]:
    """Each cell's sum as a Python integer, in units of 2**(32 * first); infinities are left out."""
    result = np.zeros(len(wide.limbs), object)
    for i in reversed(range(wide.limbs.shape[1])):
        result = (result << 32) + wide.limbs[:, i].astype(object)
    return result
