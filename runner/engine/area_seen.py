"""Pixels seen of a stack in an area: those inside, of which valid fractions are parts."""

from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from runner.area import Area
from runner.model import Grid, Stack
from runner.planning.weights import row_areas
from runner.reduce.exact import Total, Wide
from runner.reduce.partial import Partial

Integers = npt.NDArray[np.int64]

_KEPT: Final = 4  # stacks, of which counts are kept


def seen_inside(partial: Partial, stack: Stack) -> Partial:
    """A partial over space of whole scenes, as if only the pixels inside of the area had been seen."""
    if stack.area is None:
        return partial
    rows = _row_counts(stack.area, stack.grid)
    weights_seen = None if partial.weights_seen is None else _weights(rows, stack.grid, len(partial.seen))
    return replace(partial, seen=np.full_like(partial.seen, rows.sum()), weights_seen=weights_seen)


def share_inside(stack: Stack, *, by_area: bool) -> float:
    """The part of the grid that is inside, by pixels or by their areas, nearly."""
    if stack.area is None:
        return 1.0
    rows = _row_counts(stack.area, stack.grid)
    weights = row_areas(stack.grid) if by_area else np.ones(len(rows))
    return float((rows * weights).sum() / (stack.grid.width * weights.sum()))


@lru_cache(maxsize=_KEPT)
def _row_counts(area: Area, grid: Grid) -> Integers:
    return area.row_counts(grid.window)


def _weights(rows: Integers, grid: Grid, scenes: int) -> Total:
    """The exact weight of the pixels inside, the same for each scene."""
    one = Wide.for_products(1)
    one.add_weighted(rows.astype(np.float64), row_areas(grid), 0)
    one = one.select()
    whole = Wide(one.limbs.repeat(scenes, axis=0), one.first, one.infinite.repeat(scenes, axis=0))
    return Total(np.zeros((2, scenes)), whole)
