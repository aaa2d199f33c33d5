"""Parts of partials: some rows or some rectangle of a window, or scenes put in their place among more."""

from typing import Any

import numpy as np
import numpy.typing as npt

from runner.reduce.exact import Total, Wide
from runner.reduce.partial import Partial
from runner.reduce.pixel_types import empty_extremes


def rows(partial: Partial, start: int, stop: int) -> Partial:
    """Rows `start` to `stop` of a partial over time."""
    width = partial.counts.shape[1]
    cells = slice(start * width, stop * width)
    return Partial(
        partial.seen if partial.seen.shape[0] == 1 else partial.seen[start:stop],
        partial.counts[start:stop],
        _some(partial.sums, cells),
        _some(partial.squares, cells),
        None if partial.extremes is None else partial.extremes[:, start:stop],
    )


def rectangle(partial: Partial, place: tuple[slice, slice]) -> Partial:
    """Some rows and columns of a partial over time."""
    width = partial.counts.shape[1]
    found = rows(partial, place[0].start, place[0].stop)
    if place[1] == slice(0, width):
        return found
    cells = np.arange(found.counts.size).reshape(found.counts.shape)[:, place[1]].ravel()
    return Partial(
        found.seen if found.seen.shape[1] == 1 else found.seen[:, place[1]],
        found.counts[:, place[1]],
        _some(found.sums, cells),
        _some(found.squares, cells),
        None if found.extremes is None else found.extremes[:, :, place[1]],
    )


def _some(total: Total | None, cells: slice | npt.NDArray[np.int64]) -> Total | None:
    if total is None:
        return None
    return Total(total.layers[:, cells], total.wide and total.wide.select(cells))


def among(partial: Partial, start: int, scenes: int) -> Partial:
    """A partial over space, as if it were of `scenes` scenes, with its own from `start` on; the others are empty."""

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
        extremes = np.stack([placed(one, fill) for one, fill in zip(partial.extremes, fills, strict=True)])
    totals = {name: total(of) for name, of in partial.totals.items()}
    return Partial(placed(partial.seen), placed(partial.counts), extremes=extremes, **totals)
