"""What a block leaves: exact sums, counts and extremes, that add up in any order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from runner.reduce.exact import Integers, Total, Wide, combine_totals

TOTALS: Final = ("sums", "squares", "weights", "weights_seen", "weighted_sums", "weighted_squares")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a statistic is made from, besides the counts; named as in a `Partial`."""

    sums: bool = False
    squares: bool = False
    extremes: bool = False
    weights: bool = False
    weights_seen: bool = False
    weighted_sums: bool = False
    weighted_squares: bool = False

    def __or__(self, other: "Needs") -> "Needs":
        """What either needs."""
        return Needs(*(getattr(self, one.name) or getattr(other, one.name) for one in fields(self)))

    @property
    def weighted(self) -> bool:
        """Whether pixels count by their weights."""
        return self.weights or self.weights_seen or self.weighted_sums or self.weighted_squares


@dataclass(frozen=True, slots=True)
class Partial:
    """The accumulated pixels of some blocks, cell by cell: (rows, columns) over time, (scenes,) over space.

    `counts` are integers of that shape: the pixels that count; `seen`, int64 that broadcasts to it: the pixels read.
    `sums` and `squares` are exact; `extremes` are (2: lowest and highest, *cells) in the pixels' type, meaningless
    where counts is 0. Over space alone there are sums of the weights of the pixels that count, `weights`, and of those
    read, `weights_seen`, and of pixels and their squares times their weights. What was not asked for is None.
    """

    seen: Integers
    counts: npt.NDArray[Any]
    sums: Total | None = None
    squares: Total | None = None
    extremes: npt.NDArray[Any] | None = None
    weights: Total | None = None
    weights_seen: Total | None = None
    weighted_sums: Total | None = None
    weighted_squares: Total | None = None

    @property
    def pixels_seen(self) -> int:
        """All pixels read: a run is complete when these add up to scenes times pixels."""
        return int(np.broadcast_to(self.seen, self.counts.shape).sum())

    @property
    def totals(self) -> dict[str, Total]:
        """The exact sums there are, by name."""
        return {name: total for name in TOTALS if (total := getattr(self, name)) is not None}

    @property
    def held(self) -> frozenset[str]:
        """The names of what there is, besides the counts."""
        return frozenset({*self.totals, *(["extremes"] if self.extremes is not None else [])})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as plain arrays, for a file without pickles; `from_arrays` reads them back."""
        arrays: dict[str, npt.NDArray[Any]] = {"seen": self.seen, "counts": self.counts}
        if self.extremes is not None:
            arrays["extremes"] = self.extremes
        for name, total in self.totals.items():
            arrays |= _total_arrays(name, total)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The partial whose `arrays` these are. Raises KeyError if one is missing."""
        totals = {name: _total_from(name, arrays) for name in TOTALS}
        return cls(arrays["seen"], arrays["counts"], extremes=arrays.get("extremes"), **totals)


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
    if len({(part.counts.shape, part.held) for part in partials}) != 1:
        raise ValueError(f"combine: {len(partials)} partials, wanted at least one, all of the same cells and needs")
    extremes = [part.extremes for part in partials if part.extremes is not None]
    return Partial(
        reduce(np.add, [part.seen for part in partials]),
        reduce(np.add, [part.counts for part in partials], np.zeros((), np.int64)),
        extremes=_combine_extremes(extremes) if extremes else None,
        **{name: combine_totals([part.totals[name] for part in partials]) for name in partials[0].totals},
    )


def _combine_extremes(extremes: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    lowest = np.minimum.reduce([pair[0] for pair in extremes])
    return np.stack([lowest, np.maximum.reduce([pair[1] for pair in extremes])])
