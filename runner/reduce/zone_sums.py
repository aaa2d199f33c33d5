"""Sums over zones of a whole stack, put together from partials of windows and of scenes, in any order."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from runner.reduce.arrays import Integers
from runner.reduce.exact import Total, Wide, combine_totals
from runner.reduce.partial import Partial, of_scenes
from runner.reduce.pixel_types import empty_extremes
from runner.reduce.zonal import ZonalPartial


@dataclass(slots=True)
class ZoneSums:
    """The partials of some scenes in some zones, added up cell by cell: (scenes, zones), flat."""

    scenes: int
    zones: int
    _whole: Partial | None = field(default=None)

    def add(self, partial: ZonalPartial, start: int) -> None:
        """Add a partial of scenes from `start` on, whose zones are numbers among these."""
        if self._whole is None:
            self._whole = self._empty_like(partial.cells)
        whole, part = self._whole, partial.cells
        whole.seen[start : start + partial.scenes] += part.seen
        cells = _cells(range(start, start + partial.scenes), self.zones, partial.zones)
        whole.counts[cells] += part.counts
        if part.extremes is not None:
            assert whole.extremes is not None  # all have the same needs
            whole.extremes[0, cells] = np.minimum(whole.extremes[0, cells], part.extremes[0])
            whole.extremes[1, cells] = np.maximum(whole.extremes[1, cells], part.extremes[1])
        totals: dict[str, Any] = {name: _added(total, part.totals[name], cells) for name, total in whole.totals.items()}
        self._whole = Partial(whole.seen, whole.counts, extremes=whole.extremes, **totals)

    @property
    def whole(self) -> Partial | None:
        """The sums of all cells, `seen` by scene; None before the first partial."""
        return self._whole

    def _empty_like(self, partial: Partial) -> Partial:
        cells = self.scenes * self.zones
        extremes = None
        if partial.extremes is not None:
            extremes = np.empty((2, cells), partial.extremes.dtype)
            extremes[0], extremes[1] = empty_extremes(partial.extremes.dtype)
        totals: dict[str, Any] = {name: Total(np.zeros((2, cells))) for name in partial.totals}
        counts = np.zeros(cells, np.int64)
        return Partial(np.zeros(self.scenes, np.int64), counts, extremes=extremes, **totals)


def _cells(scenes: Sequence[int] | Integers, zones: int, numbers: Integers) -> Integers:
    return (np.array(scenes, np.int64)[:, np.newaxis] * zones + numbers).ravel()


def _added(whole: Total, part: Total, cells: Integers) -> Total:
    """A total with another added to some of its cells, in place where it can be."""
    both = combine_totals([Total(whole.layers[:, cells]), Total(part.layers)])
    whole.layers[:, cells] = both.layers
    wide = whole.wide
    for more in (both.wide, part.wide):
        if more is not None:
            wide = wide or Wide.zeros(whole.layers.shape[1])
            wide.add_wide_at(more, cells)
    return Total(whole.layers, wide)


def zones_of_scenes(partial: ZonalPartial, places: Integers) -> ZonalPartial:
    """The scenes at some places of a partial, in the order of `places`."""
    part, zones = partial.cells, len(partial.zones)
    cells = _cells(places, zones, np.arange(zones))
    chosen = of_scenes(replace(part, seen=np.zeros(part.counts.size, np.int64)), cells)
    return partial._replace(cells=replace(chosen, seen=part.seen[places]))


def zones_joined(first: ZonalPartial, second: ZonalPartial) -> ZonalPartial:
    """The partials of scenes in the zones of one window as one, those of the second behind those of the first."""
    sums = ZoneSums(first.scenes + second.scenes, len(first.zones))
    numbers = np.arange(len(first.zones))
    sums.add(first._replace(zones=numbers), 0)
    sums.add(second._replace(zones=numbers), first.scenes)
    assert sums.whole is not None  # two were added
    return ZonalPartial(first.zones, sums.whole)
