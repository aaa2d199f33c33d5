"""Compiled fixed-point sums, for what two float64 layers cannot hold.

A cell's sum is a row of int64 limbs, limb i weighing 2**(32 * (first + i)). A float64 is an integer of 53 bits times a
power of two, which is added to three neighbouring limbs; a carry moves on only when `exact.carry` is called. Integer
addition has no rounding and no order. Source of the idea: Kulisch, Computer Arithmetic and Validity (2008), and the
"small superaccumulator" of Neal, arXiv:1505.05571.

Arguments in common: `bits` are float64s seen as int64, none of them NaN; `cells` tells the row of each, or has one
element for all; `factors` are positive finite float64s seen as int64, one for each value.
"""

from typing import Final, NamedTuple

from runner.host.compiled import compiled
from runner.reduce.arrays import Integers

_MANTISSA: Final = (1 << 52) - 1
_INFINITE: Final = 0x7FF
_LOW: Final = 0xFFFFFFFF
_HALF: Final = (1 << 27) - 1


class Sums(NamedTuple):
    """Sums of cells. There must be limbs enough for the values: see `exact.Wide`."""

    limbs: Integers  # (cells, limbs)
    first: int
    infinite: Integers  # (cells, 2): the number of +inf and of -inf, which are not summed


@compiled
def add_values(bits: Integers, cells: Integers, sums: Sums) -> None:
    """Add each value to its cell."""
    limbs, first, infinite = sums
    for i in range(bits.shape[0]):
        cell = cells[i] if cells.shape[0] > 1 else cells[0]
        sign, exponent, mantissa = _split(bits[i])
        if exponent == _INFINITE:
            infinite[cell, 0 if sign > 0 else 1] += 1
        elif mantissa:  # a zero has no place among the limbs
            _add(limbs[cell], exponent - 1075 - 32 * first, mantissa, sign)


@compiled
def add_squares(bits: Integers, cells: Integers, sums: Sums) -> None:
    """Add each value's square to its cell."""
    limbs, first, infinite = sums
    for i in range(bits.shape[0]):
        cell = cells[i] if cells.shape[0] > 1 else cells[0]
        _, exponent, mantissa = _split(bits[i])
        if exponent == _INFINITE:
            infinite[cell, 0] += 1
        elif mantissa:
            # In halves of 27 and 26 bits, whose products fit in int64.
            position = 2 * (exponent - 1075) - 32 * first
            low, high = mantissa & _HALF, mantissa >> 27
            _add(limbs[cell], position, low * low, 1)
            _add(limbs[cell], position + 27, 2 * low * high, 1)
            _add(limbs[cell], position + 54, high * high, 1)


@compiled
def add_products(bits: Integers, factors: Integers, cells: Integers, sums: Sums) -> None:
    """Add each value times its factor to its cell."""
    limbs, first, infinite = sums
    for i in range(bits.shape[0]):
        cell = cells[i] if cells.shape[0] > 1 else cells[0]
        sign, exponent, mantissa = _split(bits[i])
        if exponent == _INFINITE:
            infinite[cell, 0 if sign > 0 else 1] += 1
        elif mantissa:
            _, scale, factor = _split(factors[i])
            _add_product(limbs[cell], exponent + scale - 2150 - 32 * first, mantissa, factor, sign)


@compiled
def add_square_products(bits: Integers, factors: Integers, cells: Integers, sums: Sums) -> None:
    """Add each value's square times its factor to its cell."""
    limbs, first, infinite = sums
    for i in range(bits.shape[0]):
        cell = cells[i] if cells.shape[0] > 1 else cells[0]
        _, exponent, mantissa = _split(bits[i])
        if exponent == _INFINITE:
            infinite[cell, 0] += 1
        elif mantissa:
            _, scale, factor = _split(factors[i])
            position = 2 * exponent + scale - 3225 - 32 * first
            low, high = mantissa & _HALF, mantissa >> 27
            _add_product(limbs[cell], position, low * low, factor, 1)
            _add_product(limbs[cell], position + 27, 2 * low * high, factor, 1)
            _add_product(limbs[cell], position + 54, high * high, factor, 1)


@compiled
def exponent_range(bits: Integers) -> tuple[int, int]:
    """The lowest and highest biased exponent of the values that are neither 0 nor infinite; (1, 0) for none."""
    lowest, highest = _INFINITE, 0
    for i in range(bits.shape[0]):
        _, exponent, mantissa = _split(bits[i])
        if mantissa and exponent < _INFINITE:
            lowest, highest = min(lowest, exponent), max(highest, exponent)
    return (lowest, highest) if highest else (1, 0)


@compiled
def _split(bits: int) -> tuple[int, int, int]:
    """Sign, biased exponent and integer mantissa of a float64 (IEEE 754): sign * mantissa * 2**(exponent - 1075)."""
    exponent = (bits >> 52) & 0x7FF
    mantissa = bits & _MANTISSA
    if exponent == 0:
        exponent = 1  # subnormal: no hidden bit
    else:
        mantissa |= _MANTISSA + 1
    return (-1 if bits < 0 else 1), exponent, mantissa


@compiled
def _add_product(limbs: Integers, position: int, number: int, factor: int, sign: int) -> None:
    """Add sign * number * factor * 2**position; both have at most 54 bits, so the products of halves fit in int64."""
    low, high = number & _HALF, number >> 27
    factor_low, factor_high = factor & _HALF, factor >> 27
    _add(limbs, position, low * factor_low, sign)
    _add(limbs, position + 27, low * factor_high + high * factor_low, sign)
    _add(limbs, position + 54, high * factor_high, sign)


@compiled
def _add(limbs: Integers, position: int, number: int, sign: int) -> None:
    """Add sign * number * 2**position; 0 <= number < 2**63."""
    limb, shift = position >> 5, position & 31
    low, high = (number & _LOW) << shift, (number >> 32) << shift
    limbs[limb] += sign * (low & _LOW)
    limbs[limb + 1] += sign * ((low >> 32) + (high & _LOW))
    limbs[limb + 2] += sign * (high >> 32)
