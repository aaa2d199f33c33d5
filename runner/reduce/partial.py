"""What a block leaves: exact sums, counts and extremes, that add up in any order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from runner.reduce.exact import Integers, Total, Wide, combine_totals


@dataclass(frozen=True, slots=True)
class Needs:
    """What a statistic is made from, besides the counts."""

    sums: bool = False
    squares: bool = False
    extremes: bool = False

    def __or__(self, other: "Needs") -> "Needs":
        """What either needs."""
        return Needs(self.sums or other.sums, self.squares or other.squares, self.extremes or other.extremes)


@dataclass(frozen=True, slots=True)
class Partial:
    """The accumulated pixels of some blocks, cell by cell: (rows, columns) over time, (scenes,) over space.

    `counts` are integers of that shape: the pixels that count; `seen`, int64 that broadcasts to it: the pixels read.
    `sums` and `squares` are exact; `extremes` are (2: lowest and highest, *cells) in the pixels' type, meaningless
    where counts is 0. What was not asked for is None.
    """

    seen: Integers
    counts: npt.NDArray[Any]
    sums: Total | None = None
    squares: Total | None = None
    extremes: npt.NDArray[Any] | None = None

    @property
    def pixels_seen(self) -> int:
        """All pixels read: a run is complete when these add up to scenes times pixels."""
        return int(np.broadcast_to(self.seen, self.counts.shape).sum())

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as plain arrays, for a file without pickles; `from_arrays` reads them back."""
        arrays: dict[str, npt.NDArray[Any]] = {"seen": self.seen, "counts": self.counts}
        if self.extremes is not None:
            arrays["extremes"] = self.extremes
        for name, total in (("sums", self.sums), ("squares", self.squares)):
            if total:
                arrays |= _total_arrays(name, total)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The partial whose `arrays` these are. Raises KeyError if one is missing."""
        return cls(
            arrays["seen"],
            arrays["counts"],
            _total_from("sums", arrays),
            _total_from("squares", arrays),
            arrays.get("extremes"),
        )


def _total_arrays(name: str, total: Total) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {name: total.layers}
    if total.wide:
        arrays[f"{name}_limbs"] = total.wide.limbs
        arrays[f"{name}_first"] = np.array(total.wide.first)
        arrays[f"{name}_infinite"] = total.wide.infinite
    return arrays


def _total_from(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Total | None:
    if name not in arrays:
        return None
    if f"{name}_limbs" not in arrays:
        return Total(arrays[name])
    wide = Wide(arrays[f"{name}_limbs"], int(arrays[f"{name}_first"]), arrays[f"{name}_infinite"])
    return Total(arrays[name], wide)


def combine(partials: Sequence[Partial]) -> Partial:
    """Add up partials of the same cells and needs: time chunks of one window, or windows of the same scenes.

    The statistics made from it are the same bits in whatever order and grouping. Raises ValueError for none, or for
    cells or needs that differ.
    """
    if (
        len({(part.counts.shape, part.sums is None, part.squares is None, part.extremes is None) for part in partials})
        != 1
    ):
        raise ValueError(f"combine: {len(partials)} partials, wanted at least one, all of the same cells and needs")
    extremes = [part.extremes for part in partials if part.extremes is not None]
    return Partial(
        reduce(np.add, [part.seen for part in partials]),
        reduce(np.add, [part.counts for part in partials], np.zeros((), np.int64)),
        _combine([part.sums for part in partials]),
        _combine([part.squares for part in partials]),
        _combine_extremes(extremes) if extremes else None,
    )


def _combine(totals: Sequence[Total | None]) -> Total | None:
    present = [total for total in totals if total]
    return combine_totals(present) if present else None


def _combine_extremes(extremes: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    lowest = np.minimum.reduce([pair[0] for pair in extremes])
    return np.stack([lowest, np.maximum.reduce([pair[1] for pair in extremes])])
