"""The test by which pixels of a mask in a file of its own hide those of a scene."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.host.compiled import compiled

Bools = npt.NDArray[np.bool_]
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
    """A test of unsigned codes: if `by_bits`, a code with one of `bits` or equal to `nodata` hides, else by `table`."""

    by_bits: bool
    bits: Any  # of the type of the codes, as is
    nodata: Any
    table: Bools  # (codes)


_NO_TABLE: Final = np.zeros(0, np.bool_)
ANY_SET: Final = CodeTest(True, np.uint8(255), np.uint8(255), _NO_TABLE)


@lru_cache(maxsize=64)
def _code_test(test: MaskTest, dtype: np.dtype[Any], nodata: float | int | None) -> CodeTest:
    unsigned = np.dtype(f"u{dtype.itemsize}").type
    every = np.arange(2 ** (8 * dtype.itemsize)).astype(unsigned).view(dtype)
    table = test.hides(every, nodata)
    bits = unsigned(sum(1 << bit for bit in set(test.bits)))
    if not test.bits:
        return CodeTest(False, bits, bits, table)
    others = np.flatnonzero(table & ((every.view(unsigned) & bits) == 0))  # of nodata, at most one
    return CodeTest(True, bits, unsigned(others[0]) if others.size else bits, _NO_TABLE)


def _unsigned(codes: Codes) -> Codes:
    """The same bits."""
    return codes.view(f"u{codes.dtype.itemsize}")


class Spread(NamedTuple):
    """The place of codes in a window: the first covers `factor` x `factor` pixels, from row `top`, column `left` on."""

    factor: int
    top: int
    left: int


@compiled
def spread(codes: Codes, test: CodeTest, place: Spread, hidden: Bools) -> None:
    """Set the pixels of a window, (rows, columns), that codes cover to whether they are hidden.

    Codes may reach beyond the window.
    """
    factor, top, left = place
    first, last = max(left, 0), min(left + codes.shape[1] * factor, hidden.shape[1])
    above, below = max(top, 0), min(top + codes.shape[0] * factor, hidden.shape[0])
    if first >= last or above >= below:
        return
    columns = slice((first - left) // factor, (last - 1 - left) // factor + 1)
    coarse = np.empty(columns.stop - columns.start, np.bool_)
    for y in range(above, below):
        out = hidden[y][first:last]
        if y > above and (y - top) % factor:
            _copy(hidden[y - 1][first:last], out)
            continue
        source = codes[(y - top) // factor][columns]
        if factor == 1:
            _hides(source, test, out)
        else:
            _hides(source, test, coarse)
            _repeat(coarse, factor, (first - left) % factor, out)


@compiled
def _hides(codes: Codes, test: CodeTest, out: Bools) -> None:
    if test.by_bits:
        bits, nodata = test.bits, test.nodata
        for x in range(out.shape[0]):
            out[x] = ((codes[x] & bits) != 0) | (codes[x] == nodata)
    else:
        table = test.table
        for x in range(out.shape[0]):
            out[x] = table[codes[x]]


@compiled
def _copy(pixels: Bools, out: Bools) -> None:
    for x in range(out.shape[0]):
        out[x] = pixels[x]


@compiled
def _repeat(coarse: Bools, factor: int, cut: int, out: Bools) -> None:
    """Repeat each of a row `factor` times, without the first `cut` and those beyond the end."""
    for phase in range(factor):
        begin = 1 if phase < cut else 0
        part, every = coarse[begin:], out[begin * factor + phase - cut :: factor]
        for column in range(every.shape[0]):
            every[column] = part[column]
