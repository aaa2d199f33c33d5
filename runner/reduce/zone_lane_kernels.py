"""Compiled sums of the zones at a place, for several tiles side by side: one step for all becomes vector code.

The values of a run, one for each tile, are multiplied by the weight of the run and added to two layers of its zone.
What may be rounded, as few products are, is added with care: see `zonal_kernels`.
"""

from typing import Final, NamedTuple

from runner.host.compiled import compiled
from runner.reduce.arrays import Floats, Tile
from runner.reduce.error_free import exact_sum
from runner.reduce.pixel_types import NO_LIMITS
from runner.reduce.row_kernels import is_inexact
from runner.reduce.zonal_kernels import Product, ZoneSpare, add_weighted, is_long, spare_pixels

LANES: Final = 8  # that are added at once


class LaneSums(NamedTuple):
    """Sums of zones, of a tile in each lane; no zones where nobody asks for them."""

    layers: Floats  # (zones, 2, lanes), a multiple of LANES
    rest: Floats  # (lanes), scratch
    spare: ZoneSpare  # whose cells are zone * lanes + lane


def lanes_for(tiles: int) -> int:
    """The lanes for so many tiles."""
    return -(-tiles // LANES) * LANES


@compiled
def add_lanes(values: Floats, weight: float, zone: int, layers: Floats, rest: Floats) -> bool:
    """Add values (lanes) times a weight to a zone; True if `rest` has some that would be rounded, and are not added.

    The arrays are those of `LaneSums`.
    """
    long_weight, whole, some_left = is_long(weight), weight == 1.0, False
    for lane in range(values.shape[0]):
        value, upper, lower = values[lane], layers[zone, 0, lane], layers[zone, 1, lane]
        after, error = exact_sum(upper, value * weight)
        after_error = lower + error
        left = is_inexact(lower, error, after_error) | ((not whole) & (long_weight | is_long(value)))
        layers[zone, 0, lane] = upper if left else after
        layers[zone, 1, lane] = lower if left else after_error
        rest[lane] = value if left else 0.0
        some_left |= left
    return some_left


@compiled
def add_rest(weight: float, zone: int, sums: LaneSums) -> None:
    """Add what `add_lanes` left."""
    for lane in range(sums.rest.shape[0]):
        add_to_lane(sums.rest[lane], weight, zone, lane, sums)


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
