"""The test by which pixels of a mask in a file of its own hide those of a scene."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[Any]  # pixels of a mask, integers

_IN_TABLES: Final = (1, 2)  # bytes of a pixel for which there is a table of all values


@dataclass(frozen=True, slots=True)
class MaskTest:
    """Which pixels of band `band` hide: by one of three rules, and those of the mask's own nodata value.

    They hide if any of `bits` is set, if they are one of `values`, or if they are none of `keep`. A value that `keep`
    has does not hide, even if it is nodata.
    """

    band: int
    bits: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    keep: tuple[int, ...] = ()

    def hides(self, codes: Codes, nodata: float | int | None) -> Bools:
        """True where a pixel of a mask hides."""
        if self.keep:
            return ~np.isin(codes, np.array(self.keep))
        if self.bits:
            bits = sum(1 << bit for bit in set(self.bits))
            hidden: Bools = (_unsigned(codes) & _unsigned(codes).dtype.type(bits)) != 0
        else:
            hidden = np.isin(codes, np.array(self.values))
        return hidden if nodata is None else hidden | (codes == nodata)

    def of_codes(self, codes: Codes, nodata: float | int | None) -> tuple[Codes, "CodeTest"]:
        """Unsigned codes, and the test for `spread` that tells which of them hide."""
        if codes.dtype.itemsize in _IN_TABLES:
            return np.ascontiguousarray(_unsigned(codes)), _code_test(self, codes.dtype, nodata)
        return self.hides(codes, nodata).view(np.uint8), ANY_SET


class CodeTest(NamedTuple):
    """A test of unsigned codes.

    If `by_bits`, a code hides that has one of `bits` or equals `nodata`. Else it is looked up: in `table`, or, where
    that is empty, among a few `values`, of which `hides` tells whether they hide or all others do.
    """

    by_bits: bool
    bits: Any  # of the type of the codes, as is
    nodata: Any
    values: Codes
    hides: bool
    table: Bools  # (codes)


_FEW: Final = 16  # values with which vectors of codes are compared sooner than codes are looked up one by one
_NO_TABLE: Final = np.zeros(0, np.bool_)
ANY_SET: Final = CodeTest(True, np.uint8(255), np.uint8(255), np.zeros(0, np.uint8), True, _NO_TABLE)


@lru_cache(maxsize=64)
def _code_test(test: MaskTest, dtype: np.dtype[Any], nodata: float | int | None) -> CodeTest:
    unsigned = np.dtype(f"u{dtype.itemsize}").type
    every = np.arange(2 ** (8 * dtype.itemsize)).astype(unsigned).view(dtype)
    table = test.hides(every, nodata)
    bits = unsigned(sum(1 << bit for bit in set(test.bits)))
    if test.bits:
        others = np.flatnonzero(table & ((every.view(unsigned) & bits) == 0))  # of nodata, at most one
        return CodeTest(
            True, bits, unsigned(others[0]) if others.size else bits, np.zeros(0, unsigned), True, _NO_TABLE
        )
    hides = bool(np.count_nonzero(table) <= _FEW)
    values = np.flatnonzero(table == hides)
    few = values.size <= _FEW
    return CodeTest(False, bits, bits, values[:_FEW].astype(unsigned), hides, _NO_TABLE if few else table)


def _unsigned(codes: Codes) -> Codes:
    """The same bits."""
    return codes.view(f"u{codes.dtype.itemsize}")


class Spread(NamedTuple):
    """The place of codes in a window: the first covers `factor` x `factor` pixels, from row `top`, column `left` on."""

    factor: int
    top: int
    left: int


@compiled
def spread(codes: Codes, test: CodeTest, place: Spread, bit: int, hidden: Bytes) -> None:
    """Set `bit` of the pixels of a window, (rows, columns), that codes cover if they are hidden, else clear it.

    Codes may reach beyond the window.
    """
    factor, top, left = place
    first, last = max(left, 0), min(left + codes.shape[1] * factor, hidden.shape[1])
    above, below = max(top, 0), min(top + codes.shape[0] * factor, hidden.shape[0])
    if first >= last or above >= below:
        return
    columns = slice((first - left) // factor, (last - 1 - left) // factor + 1)
    coarse = np.empty(columns.stop - columns.start, np.uint8)
    repeated = coarse if factor == 1 else np.empty(coarse.shape[0] * factor, np.uint8)
    cut = (first - left) % factor
    for y in range(above, below):
        if y == above or (y - top) % factor == 0:
            _hides(codes[(y - top) // factor][columns], test, bit, coarse)
            _repeat(coarse, factor, repeated)
        _replace(repeated[cut : cut + last - first], bit, hidden[y][first:last])


@compiled
def _hides(codes: Codes, test: CodeTest, bit: int, out: Bytes) -> None:
    """Set `out` to `bit` where codes hide, else to 0."""
    one, none = np.uint8(bit), np.uint8(0)
    if test.by_bits:
        bits, nodata = test.bits, test.nodata
        for x in range(out.shape[0]):
            out[x] = one if ((codes[x] & bits) != 0) | (codes[x] == nodata) else none
    elif test.table.shape[0]:
        table = test.table
        for x in range(out.shape[0]):
            out[x] = one if table[codes[x]] else none
    else:
        _compare(codes, test.values, one if test.hides else none, none if test.hides else one, out)


@compiled
def _compare(codes: Codes, values: Codes, equal: np.uint8, unequal: np.uint8, out: Bytes) -> None:
    """Set `out` to `equal` where codes are among the values, else to `unequal`."""
    for x in range(out.shape[0]):
        out[x] = unequal
    for index in range(values.shape[0]):
        value = values[index]
        for x in range(out.shape[0]):
            out[x] = equal if codes[x] == value else out[x]


@compiled
def _replace(line: Bytes, bit: int, out: Bytes) -> None:
    others = np.uint8(255 - bit)
    for x in range(out.shape[0]):
        out[x] = (out[x] & others) | line[x]


@compiled
def _repeat(coarse: Bytes, factor: int, out: Bytes) -> None:
    """Repeat each of a row `factor` times; once is no work, since `out` is the row itself then."""
    if factor == 2:  # a loop of its own, which becomes vector code
        for column in range(coarse.shape[0]):
            out[2 * column] = coarse[column]
            out[2 * column + 1] = coarse[column]
    elif factor > 2:
        for phase in range(factor):
            every = out[phase::factor]
            for column in range(coarse.shape[0]):
                every[column] = coarse[column]
