"""Compiled loops along the runs of zones in strips of inflated tiles, for `fused_kernels` and `scaled_kernels`.

Sums and counts of runs come first; `zonal_kernels` adds them to zones when a tile is done. Arrays are taken out of
tuples once: numba counts a reference each time, which costs as much as ten pixels.
"""

from typing import Any, NamedTuple

import numpy as np

from runner.host.compiled import compiled, reordered
from runner.reduce.arrays import Bools, Floats, Integers, Tile
from runner.reduce.hidden_pixels import HiddenPixels, Hides
from runner.reduce.pixel_types import NO_LIMITS, Limits, Place
from runner.reduce.row_kernels import is_valid
from runner.reduce.zonal_kernels import PIXEL, Product, ZoneTotals, count_pixels, spare_pixels, sum_pixels
from runner.reduce.zone_runs import ZoneRuns


class OverZones(NamedTuple):
    """The sums of runs of some tiles at one place, which `zonal_kernels.settle_counts` and `settle_runs` add to zones.

    Pixels whose sum no two floats hold go to the spare rooms of `sums` by fractions, and of `weighted` by weights; an
    empty tuple stands for sums that nobody asks for.
    """

    runs: ZoneRuns  # at the place
    row: int  # of the window, that is the first of the runs
    scenes: Integers  # (tiles) the scene of each
    counts: Integers  # (tiles, runs)
    high: Floats  # (tiles, runs)
    low: Floats  # as above
    sums: ZoneTotals | tuple[()]
    weighted: ZoneTotals | tuple[()]


class Runs(NamedTuple):
    """Those of a row, number `first` up to `stop`."""

    first: int
    stop: int
    starts: Tile
    stops: Tile


@compiled
def count_strips(
    pixels: Tile, place: Place, limits: Limits, hidden: HiddenPixels, zones: OverZones | tuple[()]
) -> None:
    """Count the valid pixels of runs in strips of some scenes (scenes, rows, columns), which are not masked yet.

    `place` has the columns of the strips and the place in the window of their first pixel.
    """
    if len(zones) > 0:  # a constant of the compiled code
        runs, top, _, counts, _, _, _, _ = zones
        rows, _, starts, stops, _, _ = runs
        for tile in range(pixels.shape[0]):
            of_tile = counts[tile]
            for y in range(place.height):
                row, line = pixels[tile, y][place.left : place.left + place.width], place.row - top + y
                those = Runs(rows[line], rows[line + 1], starts, stops)
                if hidden.some:
                    hides = Hides(hidden.planes[hidden.plane[tile], place.row + y], hidden.bits[tile])
                    _count_shown(row, limits, (hides.row[place.column :], hides.bit), those, of_tile)
                elif those.first < those.stop:
                    _count_row(row, limits, those, of_tile)


@compiled
def _count_row(row: Tile, limits: Limits, runs: Runs, counts: Integers) -> None:
    first, stop, starts, stops = runs
    valid = count_pixels(row, limits)
    if valid == 0 or valid == row.shape[0]:
        _count_alike(valid, runs, counts)
        return
    for run in range(first, stop):
        counts[run] = count_pixels(row[starts[run] : stops[run]], limits)


@compiled
def _count_alike(valid: int, runs: Runs, counts: Integers) -> None:
    """The pixels of runs in a row all of which are valid, or none: so most rows are."""
    first, stop, starts, stops = runs
    for run in range(first, stop):
        counts[run] = stops[run] - starts[run] if valid else 0


@compiled
def _count_shown(row: Tile, limits: Limits, hides: Any, runs: Runs, counts: Integers) -> None:
    (hidden, bit), (first, stop, starts, stops) = hides, runs
    for run in range(first, stop):
        total = np.int32(0)
        for x in range(starts[run], stops[run]):
            total += np.int32(is_valid(row[x], limits) & ((hidden[x] & bit) == 0))
        counts[run] = total


@compiled
def count_flags(flags: Tile, valid: int, runs: Runs, counts: Integers) -> None:
    """Count the flags of runs in a row that has so many of them."""
    first, stop, starts, stops = runs
    if valid == 0 or valid == flags.shape[0]:
        _count_alike(valid, runs, counts)
        return
    for run in range(first, stop):
        total = np.int32(0)
        for x in range(starts[run], stops[run]):
            total += flags[x]
        counts[run] = total


@compiled
def add_strip_to_zones(strip: Tile, exact: Bools, place: Place, tile: int, zones: OverZones | tuple[()]) -> None:
    """Sum the runs of a masked strip of tile number `tile` (rows, columns); `exact` tells of rows that cannot round."""
    if len(zones) > 0:  # a constant of the compiled code
        runs, top, scenes, _, highs, lows, sums, weighted = zones
        rows, numbers, starts, stops, fractions, weights = runs
        high, low, scene = highs[tile], lows[tile], scenes[tile]
        for y in range(place.height):
            row, line = strip[y][place.left : place.left + place.width], place.row - top + y
            if exact[y]:
                add_plain_runs(row, Runs(rows[line], rows[line + 1], starts, stops), high)
                low[rows[line] : rows[line + 1]] = 0.0
                continue
            for run in range(rows[line], rows[line + 1]):
                part = row[starts[run] : stops[run]]
                high[run], low[run], inexact = sum_pixels(part, NO_LIMITS, PIXEL)
                if inexact:
                    high[run], low[run] = 0.0, 0.0
                    _spare_total(part, fractions[run], scene, numbers[run], sums)
                    _spare_total(part, weights[run], scene, numbers[run], weighted)


@compiled
def add_plain_runs(row: Tile, runs: Runs, sums: Floats) -> None:
    """Sum runs of a row whose sums do not round."""
    first, last, starts, stops = runs
    for run in range(first, last):
        start, stop = starts[run], stops[run]
        sums[run] = row[start] if stop - start == 1 else _plain_sum(row[start:stop])


@reordered
def _plain_sum(pixels: Tile) -> float:
    total = 0.0
    for x in range(pixels.shape[0]):
        total += np.float64(pixels[x])
    return total


@compiled
def _spare_total(pixels: Tile, weight: float, scene: int, zone: int, totals: ZoneTotals | tuple[()]) -> None:
    if len(totals) > 0:
        layers, spare = totals
        spare_pixels(pixels, NO_LIMITS, Product(weight, scene * layers.shape[1] + zone, False), spare)
