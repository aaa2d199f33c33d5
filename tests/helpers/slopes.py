"""Slopes and ends of a stack pixel by pixel, by fractions; it needs no test framework."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.reduce.scene_times import YEAR

Stack = npt.NDArray[Any]
Times = list[int]

NAMES = ["slope", "slope_stderr", "first", "last", "range", "count"]


def exact(pixels: Stack, times: Times) -> tuple[float, float]:
    """The slope per year and its standard error, by fractions."""
    x, t, n = [Fraction(float(pixel)) for pixel in pixels], [Fraction(time) for time in times], len(times)
    spread = n * sum(a * a for a in t) - sum(t) ** 2
    if not spread:
        return math.nan, math.nan
    both = n * sum(a * b for a, b in zip(x, t, strict=True)) - sum(x) * sum(t)
    rest = (n * sum(a * a for a in x) - sum(x) ** 2) * spread - both**2
    square = rest * YEAR**2 / (spread**2 * (n - 2)) if n > 2 else None
    return nearest(both * YEAR / spread), math.nan if square is None else math.sqrt(nearest(square))


def nearest(number: Fraction) -> float:
    """The nearest float64; infinite beyond."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def expected(stack: Stack, times: Times, nodata: float | None = 0) -> dict[str, npt.NDArray[np.float64]]:
    """Pixel by pixel."""
    found = {name: np.full(stack.shape[1:], np.nan) for name in NAMES}
    for place in np.ndindex(stack.shape[1:]):
        column = stack[:, *place]
        valid = np.flatnonzero((column != nodata) & ~np.isnan(column.astype(np.float64)))
        found["count"][place] = valid.size
        if valid.size:
            values = column[valid]
            found["first"][place], found["last"][place] = values[0], values[-1]
            found["range"][place] = float(values.max()) - float(values.min())
            found["slope"][place], found["slope_stderr"][place] = exact(values, [times[scene] for scene in valid])
    return found
