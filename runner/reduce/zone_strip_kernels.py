"""Compiled loops along the runs of zones in strips of inflated tiles, for `fused_kernels` and `scaled_kernels`.

Tiles of several scenes lie side by side, so that a run is looked up once for all of them: see `zone_lane_kernels`.
Arrays are taken out of tuples once: numba counts a reference each time, which costs as much as ten pixels.
"""

from typing import NamedTuple

import numpy as np

from runner.host.compiled import compiled, reordered
from runner.read.predictor import Bytes
from runner.reduce.arrays import Bools, Floats, Integers, Tile
from runner.reduce.pixel_types import NO_LIMITS, Place
from runner.reduce.zonal_kernels import PIXEL, sum_pixels
from runner.reduce.zone_lane_kernels import LaneSums, add_row, add_to_lane, spare_of_lane
from runner.reduce.zone_runs import Numbers, ZoneRuns


class OverZones(NamedTuple):
    """Accumulators of the zones at a place, for tiles in lanes."""

    runs: ZoneRuns  # at the place, where their zones are numbered from 0 on
    row: int  # of the window, that is the first of the runs
    counts: Integers  # (zones, lanes)
    sums: LaneSums  # of pixels by fractions
    weighted: LaneSums  # of pixels by weights
    weights: LaneSums  # of those that count
    values: Floats  # (runs of a row, lanes), scratch that is 0 where there is no tile


class Flagged(NamedTuple):
    """Which pixels of strips of some tiles count."""

    flags: Bytes  # (tiles, rows, columns): 1 for each of them
    valid: Integers  # (tiles, rows): their number


@compiled
def count_strips(flagged: Flagged, place: Place, zones: OverZones | tuple[()]) -> None:
    """Count the flags of runs in strips; most rows have all of them, or none."""
    if len(zones) > 0:  # a constant of the compiled code
        runs, top, counts, _, _, weights, values = zones
        rows, numbers, starts, stops, _, factors = runs
        for y in range(place.height):
            line = place.row - top + y
            here = slice(rows[line], rows[line + 1])
            _count_row(flagged, (y, place), starts[here], stops[here], values)
            for run in range(rows[line], rows[line + 1]):
                of_zone, of_run = counts[numbers[run]], values[run - rows[line]]
                for lane in range(of_zone.shape[0]):
                    of_zone[lane] += np.int64(of_run[lane])
            add_row(values, numbers[here], factors[here], weights)


@compiled
def _count_row(flagged: Flagged, at: tuple[int, Place], starts: Numbers, stops: Numbers, values: Floats) -> None:
    """Put the number of flags in runs of a row into `values` (runs, tiles)."""
    (flags, valid), (y, place) = flagged, at
    for tile in range(valid.shape[0]):
        if valid[tile, y] == place.width:
            for run in range(starts.shape[0]):
                values[run, tile] = stops[run] - starts[run]
        elif valid[tile, y] == 0:
            for run in range(starts.shape[0]):
                values[run, tile] = 0.0
        else:
            row = flags[tile, y][place.left : place.left + place.width]
            for run in range(starts.shape[0]):
                values[run, tile] = _total(row[starts[run] : stops[run]])


@compiled
def _total(flags: Bytes) -> int:
    total = np.int32(0)
    for x in range(flags.shape[0]):
        total += np.int32(flags[x])
    return int(total)


@compiled
def sum_strips(strips: Tile, exact: Bools, place: Place, zones: OverZones | tuple[()]) -> None:
    """Add masked strips (tiles, rows, columns) to the zones; `exact` tells of rows (tiles, rows) that cannot round."""
    if len(zones) > 0:  # a constant of the compiled code
        runs, top, _, sums, weighted, _, values = zones
        rows, numbers, starts, stops, fractions, weights = runs
        for y in range(place.height):
            line = place.row - top + y
            here = slice(rows[line], rows[line + 1])
            _sum_row(strips, (y, place.left), starts[here], stops[here], values)
            for tile in range(strips.shape[0]):
                if not exact[tile, y]:
                    row = _Row(strips[tile, y][place.left : place.left + place.width], starts[here], stops[here])
                    products = _Products(numbers[here], fractions[here], weights[here])
                    _sum_carefully(row, products, tile, values, (sums, weighted))
            add_row(values, numbers[here], fractions[here], sums)
            add_row(values, numbers[here], weights[here], weighted)


@compiled
def _sum_row(strips: Tile, at: tuple[int, int], starts: Numbers, stops: Numbers, values: Floats) -> None:
    """Put the sums of runs from a row and column of strips on, which may be rounded, into `values` (runs, tiles)."""
    y, left = at
    for run in range(starts.shape[0]):
        start, stop = left + starts[run], left + stops[run]
        for tile in range(strips.shape[0]):
            if stop - start == 1:
                values[run, tile] = strips[tile, y, start]
            else:
                values[run, tile] = _plain_sum(strips[tile, y][start:stop])


class _Row(NamedTuple):
    """A row of a tile, and the runs in it."""

    pixels: Tile
    starts: Numbers
    stops: Numbers


class _Products(NamedTuple):
    """The zones of runs, and by what their sums are multiplied."""

    zones: Numbers
    fractions: Floats
    weights: Floats


@compiled
def _sum_carefully(row: _Row, products: _Products, lane: int, values: Floats, sums: tuple[LaneSums, LaneSums]) -> None:
    """As `_sum_row`, as far as one float holds a sum. The rest is added to `sums`, by fractions and by weights."""
    (pixels, starts, stops), (zones, fractions, weights), (by_fraction, by_weight) = row, products, sums
    for run in range(starts.shape[0]):
        part, zone, fraction, weight = pixels[starts[run] : stops[run]], zones[run], fractions[run], weights[run]
        high, low, inexact = sum_pixels(part, NO_LIMITS, PIXEL)
        if inexact:
            values[run, lane] = 0.0
            spare_of_lane(part, fraction, zone, lane, by_fraction)
            spare_of_lane(part, weight, zone, lane, by_weight)
        else:
            values[run, lane] = high
            add_to_lane(low, fraction, zone, lane, by_fraction)
            add_to_lane(low, weight, zone, lane, by_weight)


@reordered
def _plain_sum(pixels: Tile) -> float:
    total = 0.0
    for x in range(pixels.shape[0]):
        total += np.float64(pixels[x])
    return total
