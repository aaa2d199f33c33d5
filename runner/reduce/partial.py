"""Partials of tasks: exact sums, counts and extremes, which add up in any order, and parts of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from runner.reduce.arrays import Integers
from runner.reduce.exact import Total, Wide, combine_totals
from runner.reduce.pixel_types import empty_extremes

TOTALS: Final = ("sums", "squares", "weights", "weights_seen", "weighted_sums", "weighted_squares")


@dataclass(frozen=True, slots=True)
class Needs:
    """The sums and extremes that a statistic is made from, besides the counts; named as in a `Partial`."""

    sums: bool = False
    squares: bool = False
    extremes: bool = False
    weights: bool = False
    weights_seen: bool = False
    weighted_sums: bool = False
    weighted_squares: bool = False

    def __or__(self, other: "Needs") -> "Needs":
        """The needs of both."""
        return Needs(*(getattr(self, field.name) or getattr(other, field.name) for field in fields(self)))

    @property
    def weighted(self) -> bool:
        """True if pixels count by their weights."""
        return self.weights or self.weights_seen or self.weighted_sums or self.weighted_squares


@dataclass(frozen=True, slots=True)
class Partial:
    """The accumulated pixels of some tasks, cell by cell: (rows, columns) over time, (scenes,) over space.

    `counts` are integers of that shape: the pixels that count; `seen`, int64 that broadcasts to it: the pixels read.
    `sums` and `squares` are exact; `extremes` are (2: lowest and highest, *cells) in the pixels' type, meaningless
    where counts is 0. Over space alone there are sums of the weights of the pixels that count, `weights`, and of those
    read, `weights_seen`, and of pixels and their squares times their weights. None if no statistic needs it.
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
    def totals(self) -> dict[str, Total]:
        """Its exact sums, by name."""
        return {name: total for name in TOTALS if (total := getattr(self, name)) is not None}

    @property
    def held(self) -> frozenset[str]:
        """The names of its sums and extremes."""
        return frozenset({*self.totals, *(["extremes"] if self.extremes is not None else [])})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Plain arrays, for a file without pickles; `from_arrays` reads them back."""
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


def rows(partial: Partial, start: int, stop: int) -> Partial:
    """Rows `start` to `stop` of a partial over time."""
    width = partial.counts.shape[1]
    cells = slice(start * width, stop * width)
    return Partial(
        partial.seen if partial.seen.shape[0] == 1 else partial.seen[start:stop],
        partial.counts[start:stop],
        _select(partial.sums, cells),
        _select(partial.squares, cells),
        None if partial.extremes is None else partial.extremes[:, start:stop],
    )


def rectangle(partial: Partial, place: tuple[slice, slice]) -> Partial:
    """Some rows and columns of a partial over time."""
    width = partial.counts.shape[1]
    across = rows(partial, place[0].start, place[0].stop)
    if place[1] == slice(0, width):
        return across
    cells = np.arange(across.counts.size).reshape(across.counts.shape)[:, place[1]].ravel()
    return Partial(
        across.seen if across.seen.shape[1] == 1 else across.seen[:, place[1]],
        across.counts[:, place[1]],
        _select(across.sums, cells),
        _select(across.squares, cells),
        None if across.extremes is None else across.extremes[:, :, place[1]],
    )


def _select(total: Total | None, cells: slice | npt.NDArray[np.int64]) -> Total | None:
    if total is None:
        return None
    return Total(total.layers[:, cells], total.wide and total.wide.select(cells))


def among(partial: Partial, start: int, scenes: int) -> Partial:
    """A partial over space among `scenes` scenes: its own are from `start` on, the others are empty."""

    def placed(values: npt.NDArray[Any], fill: object = 0) -> npt.NDArray[Any]:
        whole = np.full((scenes, *values.shape[1:]), fill, values.dtype)
        whole[start : start + len(values)] = values
        return whole

    def total(of: Total) -> Total:
        wide = of.wide and Wide(placed(of.wide.limbs), of.wide.first, placed(of.wide.infinite))
        return Total(np.stack([placed(layer) for layer in of.layers]), wide)

    extremes = None
    if partial.extremes is not None:
        fills = empty_extremes(partial.extremes.dtype)
        extremes = np.stack([placed(extreme, fill) for extreme, fill in zip(partial.extremes, fills, strict=True)])
    totals = {name: total(of) for name, of in partial.totals.items()}
    return Partial(placed(partial.seen), placed(partial.counts), extremes=extremes, **totals)
