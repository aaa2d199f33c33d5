"""Partials of tasks: exact sums, counts and extremes, which add up in any order, and parts of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from runner.reduce.arrays import Integers
from runner.reduce.exact import Total, Wide, combine_totals
from runner.reduce.pixel_types import empty_extremes

TOTALS: Final = ("sums", "squares", "weights", "weights_seen", "weighted_sums", "weighted_squares", "time_sums")
ENDS: Final = ("first", "last")
PLAIN: Final = ("extremes", "times")  # arrays
NOT_SUMS: Final = frozenset({"extremes", *ENDS})  # of which parts cannot be subtracted


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
    times: bool = False
    time_sums: bool = False
    first: bool = False
    last: bool = False

    def __or__(self, other: "Needs") -> "Needs":
        """The needs of both."""
        return Needs(*(getattr(self, field.name) or getattr(other, field.name) for field in fields(self)))

    @property
    def weighted(self) -> bool:
        """True if pixels count by their weights."""
        return self.weights or self.weights_seen or self.weighted_sums or self.weighted_squares

    @property
    def timed(self) -> bool:
        """True if the times of scenes, or their order, matter."""
        return self.times or self.time_sums or self.first or self.last


class End(NamedTuple):
    """The pixel of one scene for each cell (rows, columns), and the number of that scene in the stack, int32."""

    values: npt.NDArray[Any]
    scenes: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Partial:
    """The accumulated pixels of some tasks, cell by cell: (rows, columns) over time, (scenes,) over space.

    `counts` are integers of that shape: the pixels that count; `seen`, int64 that broadcasts to it: the pixels read.
    `sums` and `squares` are exact; `extremes` are (2: lowest and highest, *cells) in the pixels' type, meaningless
    where counts is 0. Over space alone there are sums of the weights of the pixels that count, `weights`, and of those
    read, `weights_seen`, and of pixels and their squares times their weights.

    Over time alone there are the sums of the times of the scenes that count, `times`: int64 (3, rows, columns) of times
    and of the lower and higher half of their squares, see `scene_times`; `time_sums` of pixels times times; and the
    pixels of the `first` and the `last` of these scenes. None if no statistic needs it.
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
    times: Integers | None = None
    time_sums: Total | None = None
    first: End | None = None
    last: End | None = None

    @property
    def totals(self) -> dict[str, Total]:
        """Its exact sums, by name."""
        return {name: total for name in TOTALS if (total := getattr(self, name)) is not None}

    @property
    def held(self) -> frozenset[str]:
        """The names of its sums, extremes and ends."""
        return frozenset(name for name in (*TOTALS, *PLAIN, *ENDS) if getattr(self, name) is not None)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Plain arrays, for a file without pickles; `from_arrays` reads them back."""
        arrays: dict[str, npt.NDArray[Any]] = {"seen": self.seen, "counts": self.counts}
        arrays |= {name: array for name in PLAIN if (array := getattr(self, name)) is not None}
        for name, total in self.totals.items():
            arrays |= _total_arrays(name, total)
        for name in ENDS:
            if (end := getattr(self, name)) is not None:
                arrays |= {name: end.values, f"{name}_scenes": end.scenes}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The partial whose `arrays` these are. Raises KeyError if one is missing."""
        others: dict[str, Any] = {name: _total_from(name, arrays) for name in TOTALS}
        others |= {name: arrays.get(name) for name in PLAIN}
        others |= {name: End(arrays[name], arrays[f"{name}_scenes"]) for name in ENDS if name in arrays}
        return cls(arrays["seen"], arrays["counts"], **others)


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
    totals: dict[str, Any] = {
        name: combine_totals([part.totals[name] for part in partials]) for name in partials[0].totals
    }
    return Partial(
        reduce(np.add, [part.seen for part in partials]),
        reduce(np.add, [part.counts for part in partials], np.zeros((), np.int64)),
        extremes=_combine_extremes(extremes) if extremes else None,
        times=_times_added([part.times for part in partials if part.times is not None]),
        first=_combine_ends([part.first for part in partials if part.first], later=False),
        last=_combine_ends([part.last for part in partials if part.last], later=True),
        **totals,
    )


def _times_added(times: Sequence[Integers]) -> Integers | None:
    return reduce(np.add, times) if times else None


def _combine_ends(ends: Sequence[End], *, later: bool) -> End | None:
    """The end of the scene that is first in the stack, or last: of two scenes of one time too."""
    if not ends:
        return None
    nearest = ends[0]
    for end in ends[1:]:
        taken = (end.scenes > nearest.scenes) if later else (end.scenes < nearest.scenes)
        nearest = End(*(np.where(taken, own, known) for own, known in zip(end, nearest, strict=True)))
    return nearest


def renumbered(partial: Partial, numbers: Integers) -> Partial:
    """A partial over time for a stack in which scene k is number `numbers[k]`, in the same order."""

    def of(end: End | None) -> End | None:
        if end is None:
            return None
        known = np.clip(end.scenes, 0, len(numbers) - 1)  # any, where there is none
        return End(end.values, np.where(partial.counts > 0, numbers[known].astype(np.int32), end.scenes))

    return replace(partial, first=of(partial.first), last=of(partial.last))


def subtract(partial: Partial, part: Partial) -> Partial:
    """A partial without the pixels of another, exactly. Raises ValueError for extremes and ends."""
    if not part.held.isdisjoint(NOT_SUMS):
        raise ValueError("subtract: extremes and ends do not tell what is left without some pixels")
    totals: dict[str, Any] = {name: _negated(total) for name, total in part.totals.items()}
    times = None if part.times is None else -part.times
    return combine([partial, Partial(-part.seen, -part.counts.astype(np.int64), times=times, **totals)])


def _negated(total: Total) -> Total:
    wide = total.wide and total.wide.select()
    return Total(0.0 - total.layers, wide and Wide(-wide.limbs, wide.first, -wide.infinite))


def _combine_extremes(extremes: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    lowest = np.minimum.reduce([pair[0] for pair in extremes])
    return np.stack([lowest, np.maximum.reduce([pair[1] for pair in extremes])])


def rows(partial: Partial, start: int, stop: int) -> Partial:
    """Rows `start` to `stop` of a partial over time."""
    width = partial.counts.shape[1]
    seen = partial.seen if partial.seen.shape[0] == 1 else partial.seen[start:stop]
    return _part(partial, seen, np.s_[start:stop], slice(start * width, stop * width))


def rectangle(partial: Partial, place: tuple[slice, slice]) -> Partial:
    """Some rows and columns of a partial over time."""
    width = partial.counts.shape[1]
    across = rows(partial, place[0].start, place[0].stop)
    if place[1] == slice(0, width):
        return across
    cells = np.arange(across.counts.size).reshape(across.counts.shape)[:, place[1]].ravel()
    seen = across.seen if across.seen.shape[1] == 1 else across.seen[:, place[1]]
    return _part(across, seen, np.s_[:, place[1]], cells)


def _part(partial: Partial, seen: Integers, place: Any, cells: slice | Integers) -> Partial:
    """Some cells over time, by their place in (rows, columns) and by their flat indices."""
    others: dict[str, Any] = {name: _select(total, cells) for name, total in partial.totals.items()}
    for name in PLAIN:
        if (array := getattr(partial, name)) is not None:
            others[name] = array[(slice(None), *place)] if isinstance(place, tuple) else array[:, place]
    for name in ENDS:
        if (end := getattr(partial, name)) is not None:
            others[name] = End(end.values[place], end.scenes[place])
    return Partial(seen, partial.counts[place], **others)


def _select(total: Total, cells: slice | Integers) -> Total:
    return Total(total.layers[:, cells], total.wide and total.wide.select(cells))


def among(partial: Partial, start: int, scenes: int) -> Partial:
    """A partial over space among `scenes` scenes: its own are from `start` on, the others are empty."""
    return scattered(partial, slice(start, start + len(partial.counts)), scenes)


def scattered(partial: Partial, places: slice | npt.NDArray[np.int64], scenes: int) -> Partial:
    """A partial over space among `scenes` scenes: its own are at `places`, one for each, the others are empty."""

    def placed(values: npt.NDArray[Any], fill: object = 0) -> npt.NDArray[Any]:
        whole = np.full((scenes, *values.shape[1:]), fill, values.dtype)
        whole[places] = values
        return whole

    def total(of: Total) -> Total:
        wide = of.wide and Wide(placed(of.wide.limbs), of.wide.first, placed(of.wide.infinite))
        return Total(np.stack([placed(layer) for layer in of.layers]), wide)

    extremes = None
    if partial.extremes is not None:
        fills = empty_extremes(partial.extremes.dtype)
        extremes = np.stack([placed(extreme, fill) for extreme, fill in zip(partial.extremes, fills, strict=True)])
    totals: dict[str, Any] = {name: total(of) for name, of in partial.totals.items()}
    return Partial(placed(partial.seen), placed(partial.counts), extremes=extremes, **totals)


def of_scenes(partial: Partial, places: npt.NDArray[np.int64]) -> Partial:
    """The scenes at some places of a partial over space, in the order of `places`."""
    extremes = None if partial.extremes is None else partial.extremes[:, places]
    totals: dict[str, Any] = {name: _select(total, places) for name, total in partial.totals.items()}
    return Partial(partial.seen[places], partial.counts[places], extremes=extremes, **totals)
