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
_HIDES: Final = np.array([False, True])


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

    def table(self, codes: Codes, nodata: float | int | None) -> tuple[Codes, Bools]:
        """Unsigned codes and the table, (values,), that tells which of them hide."""
        if codes.dtype.itemsize in _IN_TABLES:
            return np.ascontiguousarray(_unsigned(codes)), _table(self, codes.dtype, nodata)
        return self.hides(codes, nodata).view(np.uint8), _HIDES


@lru_cache(maxsize=64)
def _table(test: MaskTest, dtype: np.dtype[Any], nodata: float | int | None) -> Bools:
    size = dtype.itemsize
    every = np.arange(2 ** (8 * size)).astype(f"u{size}").view(dtype)
    return test.hides(every, nodata)


def _unsigned(codes: Codes) -> Codes:
    """The same bits."""
    return codes.view(f"u{codes.dtype.itemsize}")


class Spread(NamedTuple):
    """The place of codes in a window: the first covers `factor` x `factor` pixels, from row `top`, column `left` on."""

    factor: int
    top: int
    left: int


@compiled
def spread(codes: Codes, table: Bools, place: Spread, hidden: Bools) -> None:
    """Set the pixels of a window, (rows, columns), that codes cover to whether they are hidden.

    Codes may reach beyond the window.
    """
    factor, top, left = place
    first, last = max(left, 0), min(left + codes.shape[1] * factor, hidden.shape[1])
    above, below = max(top, 0), min(top + codes.shape[0] * factor, hidden.shape[0])
    if first >= last or above >= below:
        return
    columns = slice((first - left) // factor, (last - 1 - left) // factor + 1)
    for y in range(above, below):
        out = hidden[y][first:last]
        if y > above and (y - top) % factor:
            before = hidden[y - 1][first:last]
            for x in range(out.shape[0]):
                out[x] = before[x]
            continue
        source = codes[(y - top) // factor][columns]
        if factor == 1:
            for x in range(out.shape[0]):
                out[x] = table[source[x]]
        else:
            _repeat(source, table, factor, (first - left) % factor, out)


@compiled
def _repeat(source: Codes, table: Bools, factor: int, cut: int, out: Bools) -> None:
    """Set `factor` pixels for each code of a row, without the `cut` first ones and those beyond the end."""
    for phase in range(factor):
        begin = 1 if phase < cut else 0
        part, every = source[begin:], out[begin * factor + phase - cut :: factor]
        for column in range(every.shape[0]):
            every[column] = table[part[column]]
