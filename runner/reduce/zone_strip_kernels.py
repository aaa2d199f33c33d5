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
from runner.reduce.zone_lane_kernels import LaneSums, add_lanes, add_rest, add_to_lane, spare_of_lane
from runner.reduce.zone_runs import ZoneRuns


class OverZones(NamedTuple):
    """Accumulators of the zones at a place, for tiles in lanes."""

    runs: ZoneRuns  # at the place, where their zones are numbered from 0 on
    row: int  # of the window, that is the first of the runs
    counts: Integers  # (zones, lanes)
    sums: LaneSums  # of pixels by fractions
    weighted: LaneSums  # of pixels by weights
    weights: LaneSums  # of those that count
    values: Floats  # (lanes), scratch that is 0 where there is no tile


class Flagged(NamedTuple):
    """Which pixels of strips of some tiles count."""

    flags: Bytes  # (tiles, rows, columns): 1 for each of them
    valid: Integers  # (tiles, rows): their number


@compiled
def count_strips(flagged: Flagged, place: Place, zones: OverZones | tuple[()]) -> None:
    """Count the flags of runs in strips; most rows have all of them, or none."""
    if len(zones) > 0:  # a constant of the compiled code
        (flags, valid), (runs, top, counts, _, _, weights, values) = flagged, zones
        (rows, numbers, starts, stops, _, factors), (layers, rest, _) = runs, weights
        for y in range(place.height):
            line = place.row - top + y
            for run in range(rows[line], rows[line + 1]):
                zone, start, stop = numbers[run], place.left + starts[run], place.left + stops[run]
                for tile in range(valid.shape[0]):
                    total = 0
                    if valid[tile, y] == place.width:
                        total = int(stop - start)
                    elif valid[tile, y] > 0:
                        total = _total(flags[tile, y][start:stop])
                    counts[zone, tile] += total
                    values[tile] = total
                if layers.shape[0] > 0 and add_lanes(values, factors[run], zone, layers, rest):
                    add_rest(factors[run], zone, weights)


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
        (layers, rest, _), (weighted_layers, weighted_rest, _) = sums, weighted
        for y in range(place.height):
            line = place.row - top + y
            for run in range(rows[line], rows[line + 1]):
                start, stop = place.left + starts[run], place.left + stops[run]
                zone, fraction, weight = numbers[run], fractions[run], weights[run]
                for tile in range(strips.shape[0]):
                    if stop - start == 1:
                        values[tile] = strips[tile, y, start]
                    elif exact[tile, y]:
                        values[tile] = _plain_sum(strips[tile, y][start:stop])
                    else:
                        values[tile] = 0.0
                        part = strips[tile, y][start:stop]
                        high, low, inexact = sum_pixels(part, NO_LIMITS, PIXEL)
                        if inexact:
                            spare_of_lane(part, fraction, zone, tile, sums)
                            spare_of_lane(part, weight, zone, tile, weighted)
                        else:
                            values[tile] = high
                            add_to_lane(low, fraction, zone, tile, sums)
                            add_to_lane(low, weight, zone, tile, weighted)
                if layers.shape[0] > 0 and add_lanes(values, fraction, zone, layers, rest):
                    add_rest(fraction, zone, sums)
                if weighted_layers.shape[0] > 0 and add_lanes(values, weight, zone, weighted_layers, weighted_rest):
                    add_rest(weight, zone, weighted)


@reordered
def _plain_sum(pixels: Tile) -> float:
    total = 0.0
    for x in range(pixels.shape[0]):
        total += np.float64(pixels[x])
    return total
