"""Compiled sums of the zones at a place, for several tiles side by side: one step for all becomes vector code.

The values of a run, one for each tile, are multiplied by the weight of the run and added to two layers of its zone.
What may be rounded, as few products are, is added with care: see `zonal_kernels`.
"""

from typing import Final, NamedTuple

import numpy as np

from runner.host.compiled import compiled
from runner.reduce.arrays import Floats, Integers, Tile
from runner.reduce.error_free import exact_sum
from runner.reduce.pixel_types import NO_LIMITS
from runner.reduce.row_kernels import is_inexact
from runner.reduce.zonal_kernels import Product, ZoneSpare, add_weighted, is_long, spare_pixels
from runner.reduce.zone_runs import Numbers

LANES: Final = 8  # that are added at once
MOST_LANES: Final = 64  # the bits of a number


class LaneSums(NamedTuple):
    """Sums of zones, of a tile in each lane; no zones where nobody asks for them."""

    layers: Floats  # (zones, 2, lanes), a multiple of LANES
    left: Integers  # (runs of a row), scratch
    spare: ZoneSpare  # whose cells are zone * lanes + lane


def lanes_for(tiles: int) -> int:
    """The lanes for so many tiles. Raises ValueError for too many."""
    if tiles > MOST_LANES:
        raise ValueError(f"zones: {tiles} tiles side by side, wanted at most {MOST_LANES}")
    return -(-tiles // LANES) * LANES


@compiled
def add_row(values: Floats, zones: Numbers, weights: Floats, sums: LaneSums) -> None:
    """Add the sums of the runs of a row, `values` (runs, lanes), times `weights`."""
    layers, left, _ = sums
    if layers.shape[0] > 0 and _add_row(values, zones, weights, layers, left):
        for run in range(zones.shape[0]):
            for lane in range(values.shape[1]):
                if (left[run] >> lane) & 1:
                    add_to_lane(values[run, lane], weights[run], zones[run], lane, sums)


@compiled
def _add_row(values: Floats, zones: Numbers, weights: Floats, layers: Floats, left: Integers) -> bool:
    """As `add_row`; True if some would be rounded and are not added: those whose bits (lanes) are in `left` (runs).

    The inner loop becomes vector code as it stands. It does not with arrays of more axes, or with a call behind it.
    """
    some_left = np.int64(0)
    for run in range(zones.shape[0]):
        weight, both, of_run = weights[run], layers[zones[run]], values[run]
        uppers, lowers = both[0], both[1]
        long_weight, whole, bits = is_long(weight), weight == 1.0, np.int64(0)
        for lane in range(of_run.shape[0]):
            value, upper, lower = of_run[lane], uppers[lane], lowers[lane]
            after, error = exact_sum(upper, value * weight)
            after_error = lower + error
            rounded = is_inexact(lower, error, after_error) | ((not whole) & (long_weight | is_long(value)))
            uppers[lane] = upper if rounded else after
            lowers[lane] = lower if rounded else after_error
            bits |= np.int64(rounded) << np.int64(lane)
        left[run] = bits
        some_left |= bits
    return bool(some_left != 0)


@compiled
def add_to_lane(value: float, weight: float, zone: int, lane: int, sums: LaneSums) -> None:
    """Add a value times a weight to a zone, or put it into the spare room if anything would be rounded."""
    layers, _, spare = sums
    if layers.shape[0] > 0:
        product, both = Product(weight, zone * layers.shape[2] + lane, False), layers[zone]
        both[0, lane], both[1, lane] = add_weighted(value, product, both[0, lane], both[1, lane], spare)


@compiled
def spare_of_lane(pixels: Tile, weight: float, zone: int, lane: int, sums: LaneSums) -> None:
    """Put pixels times a weight into the spare room of a zone."""
    layers, _, spare = sums
    if layers.shape[0] > 0:
        spare_pixels(pixels, NO_LIMITS, Product(weight, zone * layers.shape[2] + lane, False), spare)
