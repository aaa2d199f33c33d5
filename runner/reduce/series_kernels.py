"""Compiled loops over all values of a cell with their times: the median of slopes, and counts of rises and falls.

Arguments in common: `values` are float64 (scenes, cells), C-contiguous, NaN where missing; `times` float64 (scenes).
"""

from typing import Final

import numpy as np

from runner.host.compiled import compiled
from runner.reduce.arrays import Floats, Integers

_STRIP: Final = 64  # cells together, so that one comparison of two scenes is vector code
_FEW: Final = 600  # slopes, of which the middle is found without a sample
_SAMPLE: Final = 128


@compiled
def theil_sen(values: Floats, times: Floats, result: Floats) -> None:
    """The median of (x2 - x1) / (t2 - t1) over all pairs of other times; NaN without one."""
    scenes, cells = values.shape
    valid, moments = np.empty(scenes), np.empty(scenes)
    slopes = np.empty(scenes * (scenes - 1) // 2)
    for cell in range(cells):
        count = 0
        for scene in range(scenes):
            value = values[scene, cell]
            valid[count] = value
            moments[count] = times[scene]
            count += not np.isnan(value)
        result[cell] = _middle(slopes[: _pairs(valid[:count], moments[:count], slopes)])


@compiled
def _pairs(values: Floats, times: Floats, slopes: Floats) -> int:
    """Fill `slopes`, and return how many there are."""
    pairs = 0
    for left in range(values.shape[0]):
        value, time = values[left], times[left]
        if times[-1] == time:
            break
        first = left + 1
        while times[first] == time:
            first += 1
        for right in range(first, values.shape[0]):
            slopes[pairs + right - first] = (values[right] - value) / (times[right] - time)
        pairs += values.shape[0] - first
    return pairs


@compiled
def _middle(slopes: Floats) -> float:
    """The median of finite values, which it moves about."""
    count = slopes.shape[0]
    if count == 0:
        return np.nan
    undefined = False
    for i in range(count):
        undefined |= np.isnan(slopes[i])
    if undefined:  # the slope between two infinite values
        return np.nan
    rank = (count - 1) // 2
    start, stop = _narrowed(slopes, rank, count // 2)
    below = _select(slopes, start, stop, rank)
    if count % 2:
        return below
    above = np.inf
    for i in range(rank + 1, stop):
        above = min(above, slopes[i])
    if below == above:
        return below
    middle = (below + above) / 2
    return middle if np.isfinite(middle) else below / 2 + above / 2


@compiled
def _narrowed(slopes: Floats, lowest: int, highest: int) -> tuple[int, int]:
    """A range of places that hold the values of these two ranks, and no others but such as lie between their places.

    Of many values a sample tells two bounds, between which the ranks most likely are; what is below the bounds goes
    to the left, and what is above them to the right.
    """
    count = slopes.shape[0]
    if count < _FEW:
        return 0, count
    sample = np.empty(_SAMPLE)
    for i in range(_SAMPLE):
        sample[i] = slopes[(2 * i + 1) * count // (2 * _SAMPLE)]
    sample.sort()
    low, high = sample[_SAMPLE // 2 - 16], sample[_SAMPLE // 2 + 16]
    start = 0
    for i in range(count):  # without branches, which would be guessed wrong half the time
        value, other = slopes[i], slopes[start]
        below = value < low
        slopes[i] = other if below else value
        slopes[start] = value if below else other
        start += below
    stop = start
    for i in range(start, count):
        value, other = slopes[i], slopes[stop]
        below = value <= high
        slopes[i] = other if below else value
        slopes[stop] = value if below else other
        stop += below
    if start > lowest:
        return 0, start if start > highest else count
    if stop <= highest:
        return (stop, count) if stop <= lowest else (start, count)
    return start, stop


@compiled
def _select(values: Floats, start: int, stop: int, rank: int) -> float:
    """The value of a rank, with lower ones to its left and higher ones to its right (Hoare's FIND)."""
    left, right = start, stop - 1
    while left < right:
        pivot = values[rank]
        i, j = left, right
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < rank:
            left = i
        if rank < i:
            right = j
    return float(values[rank])


@compiled
def mann_kendall(values: Floats, times: Floats, rises: Integers, ties: Integers) -> None:
    """Rises less falls over all pairs of other times, and what ties take from the variance: see `series`.

    `ties` is (3, cells): sums over groups of u equal values, of u (u - 1) (2 u + 5), u (u - 1) and u (u - 1) (u - 2).
    A value with c equal ones behind it adds what these grow by from c to c + 1.
    """
    scenes, cells = values.shape
    strip = np.empty((scenes, _STRIP))
    signs, equal = np.empty(_STRIP, np.int64), np.empty(_STRIP, np.int64)
    for start in range(0, cells, _STRIP):
        width = min(_STRIP, cells - start)
        strip[:, width:] = np.nan
        for scene in range(scenes):
            strip[scene][:width] = values[scene][start : start + width]
        signs[:] = 0
        for left in range(scenes):
            equal[:] = 0
            value = strip[left]
            for right in range(left + 1, scenes):
                other, counted = strip[right], np.int64(times[right] > times[left])
                for x in range(_STRIP):  # here, since a call for each pair would take longer than the loop
                    signs[x] += counted * (np.int64(other[x] > value[x]) - np.int64(other[x] < value[x]))
                    equal[x] += np.int64(other[x] == value[x])
            for x in range(width):
                behind = equal[x]
                ties[0, start + x] += 6 * behind * (behind + 2)
                ties[1, start + x] += 2 * behind
                ties[2, start + x] += 3 * behind * (behind - 1)
        rises[start : start + width] = signs[:width]
