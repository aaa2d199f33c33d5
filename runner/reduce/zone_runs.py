"""Zones as runs of pixels, row by row: a sparse record, however many zones there are and wherever they overlap."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from runner.reduce.arrays import Floats, Integers

Numbers = npt.NDArray[np.int32]


class ZoneRuns(NamedTuple):
    """Runs of pixels in the rows of a window, each of one zone; those of row y are number `rows[y]` to `rows[y + 1]`.

    Kernels take it as it is.
    """

    rows: Integers  # (rows + 1)
    zone: Numbers
    start: Numbers  # the first column, and the one behind the last
    stop: Numbers
    fraction: Floats  # of each pixel of a run that belongs to the zone: above 0, up to 1
    weight: Floats  # by which a pixel of a run counts: its fraction, times the area of its row if pixels have one

    @property
    def pixels(self) -> int:
        """Pixels in all runs; one that lies in two zones counts twice."""
        return int((self.stop - self.start).sum(dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(array.nbytes for array in self)

    def row_numbers(self) -> Integers:
        """The row of each run."""
        return np.repeat(np.arange(len(self.rows) - 1), np.diff(self.rows))

    def part(self, row: int, column: int, height: int, width: int) -> "ZoneRuns":
        """The runs in a part of the window, cut to it; rows and columns count from its first pixel."""
        rows = self.rows[row : row + height + 1]
        here = slice(int(rows[0]), int(rows[-1]))
        kept = np.flatnonzero((self.stop[here] > column) & (self.start[here] < column + width))
        runs = kept + here.start
        return ZoneRuns(
            np.searchsorted(runs, rows).astype(np.int64),
            self.zone[runs],
            np.maximum(self.start[runs] - np.int32(column), np.int32(0)),
            np.minimum(self.stop[runs] - np.int32(column), np.int32(width)),
            self.fraction[runs],
            self.weight[runs],
        )

    def by_area(self, areas: Floats) -> "ZoneRuns":
        """The runs with weights by area, of which each row of the window has one."""
        return self._replace(weight=self.fraction * areas[self.row_numbers()])

    def renumbered(self) -> tuple[Integers, "ZoneRuns"]:
        """The zones that have a run here, in their order, and the runs with numbers among these."""
        zones = np.flatnonzero(np.bincount(self.zone))
        numbers = np.zeros(zones.max(initial=-1) + 1, np.int32)
        numbers[zones] = np.arange(len(zones))
        return zones, self._replace(zone=numbers[self.zone])

    @classmethod
    def of(cls, height: int, row: Integers, zone: Integers, columns: tuple[Integers, Integers], fraction: Floats | None
           ) -> "ZoneRuns":  # fmt: skip
        """Runs by their rows, zones, first columns and those behind the last; whole pixels by default.

        They come in any order; those that begin at one pixel stay in theirs.
        """
        order = np.argsort(row * (columns[0].max(initial=0) + 1) + columns[0], kind="stable")
        rows = np.searchsorted(row[order], np.arange(height + 1))
        numbers, start, stop = (array[order].astype(np.int32) for array in (zone, *columns))
        whole = np.ones(len(order)) if fraction is None else fraction[order].astype(np.float64)
        return cls(rows.astype(np.int64), numbers, start, stop, whole, whole)
