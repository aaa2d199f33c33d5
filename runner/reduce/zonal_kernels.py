"""Compiled loops along the runs of zones.

The pixels of a run are summed first: at once where no sum can round, with care elsewhere. The sum is then multiplied by
the weight of the run and added to two layers of the zone. What that would round goes to the spare room, value by value.
Arguments in common are those of `kernels`; `runs` lie in the place, and rows and columns count from its first pixel.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from runner.host.compiled import compiled
from runner.reduce.arrays import Floats, Integers, Tile
from runner.reduce.error_free import exact_product, exact_sum
from runner.reduce.pixel_types import Limits, Place
from runner.reduce.row_kernels import is_inexact, is_valid
from runner.reduce.zone_runs import ZoneRuns

COUNT: Final = 0  # powers of pixels that are added: 1 for each
PIXEL: Final = 1
SQUARE: Final = 2

_SMALL: Final = 2.0**-900  # the error of a smaller product may be too small for a float


class Placed(NamedTuple):
    """Pixels at a place, and which of them count."""

    tile: Tile
    place: Place
    limits: Limits


class ZoneSpare(NamedTuple):
    """Room for products that two layers cannot hold: value * factor, or value**2 * factor where it is to be squared."""

    cells: Integers
    values: Floats
    factors: Floats
    squared: Any  # bool
    used: Integers  # (1,): how many there are


class ZoneCells(NamedTuple):
    """The sums of the zones of one scene, whose first cell is number `first`."""

    layers: Floats  # (zones, 2)
    first: int
    spare: ZoneSpare


@compiled
def count_runs(pixels: Placed, runs: ZoneRuns, counts: Integers) -> None:
    """Add to `counts` (zones) the number of valid pixels of each zone."""
    tile, place, limits = pixels
    rows, zones, starts, stops, _, _ = runs
    for y in range(place.height):
        row = tile[place.top + y][place.left : place.left + place.width]
        for run in range(rows[y], rows[y + 1]):
            counts[zones[run]] += count_pixels(row[starts[run] : stops[run]], limits)


@compiled
def count_pixels(pixels: Tile, limits: Limits) -> int:
    """The number of valid pixels."""
    total = np.int32(0)
    for x in range(pixels.shape[0]):
        total += np.int32(is_valid(pixels[x], limits))
    return int(total)


@compiled
def spread_runs(pixels: Placed, high: Tile, runs: ZoneRuns, lowest: Tile, highest: Tile) -> None:
    """Lower the lowest of each zone (zones) by its valid pixels, and raise the highest by those of the tile `high`."""
    low, place, limits = pixels
    rows, zones, starts, stops, _, _ = runs
    for y in range(place.height):
        lows = low[place.top + y][place.left : place.left + place.width]
        highs = high[place.top + y][place.left : place.left + place.width]
        for run in range(rows[y], rows[y + 1]):
            zone = zones[run]
            least, most = lowest[zone], highest[zone]
            for x in range(starts[run], stops[run]):
                if is_valid(lows[x], limits) and lows[x] < least:
                    least = lows[x]
                if is_valid(highs[x], limits) and highs[x] > most:
                    most = highs[x]
            lowest[zone], highest[zone] = least, most


@compiled
def copy_runs(tile: Tile, place: Place, runs: ZoneRuns, firsts: Integers, values: Tile) -> None:
    """Copy the pixels of runs at a place; `values` has those of each run from its place in `firsts` on.

    Here the runs are those of the window.
    """
    rows, _, starts, stops, _, _ = runs
    for y in range(place.height):
        row = tile[place.top + y][place.left : place.left + place.width]
        for run in range(rows[place.row + y], rows[place.row + y + 1]):
            first = firsts[run] - starts[run] + place.column
            for x in range(max(0, starts[run] - place.column), min(place.width, stops[run] - place.column)):
                values[first + x] = row[x]


@compiled
def add_runs(pixels: Placed, runs: ZoneRuns, weights: Floats, power: int, cells: ZoneCells) -> None:
    """Add to each zone the valid pixels of its runs to some power, times the weights of the runs."""
    tile, place, limits = pixels
    rows, zones, starts, stops, _, _ = runs
    layers, first, spare = cells
    for y in range(place.height):
        row = tile[place.top + y][place.left : place.left + place.width]
        for run in range(rows[y], rows[y + 1]):
            part, zone, weight = row[starts[run] : stops[run]], zones[run], weights[run]
            high, low, inexact = sum_pixels(part, limits, power)
            if inexact:
                product = Product(weight, first + zone, power == SQUARE)
                spare_pixels(part, limits, product, spare)
                continue
            product = Product(weight, first + zone, False)
            for value in (high, low):
                layers[zone, 0], layers[zone, 1] = add_weighted(value, product, layers[zone, 0], layers[zone, 1], spare)


class Product(NamedTuple):
    """What a value is multiplied by, the cell to which it goes, and whether it is squared before."""

    weight: float
    cell: int
    squared: bool


@compiled
def sum_pixels(pixels: Tile, limits: Limits, power: int) -> tuple[float, float, bool]:
    """The sum of the valid pixels to a power in two floats, and True if that is not exact."""
    upper, lower, inexact = 0.0, 0.0, False
    for x in range(pixels.shape[0]):
        if not is_valid(pixels[x], limits):
            continue
        pixel = np.float64(pixels[x])
        term = 1.0 if power == 0 else pixel if power == 1 else pixel * pixel
        inexact |= (power == 2) & is_long(pixel)
        after, error = exact_sum(upper, term)
        after_error = lower + error
        inexact |= is_inexact(lower, error, after_error)
        upper, lower = after, after_error
    return upper, lower, inexact


@compiled
def is_long(value: float) -> bool:
    """True for a number that no float32 holds, so that a product with it may be rounded."""
    return float(np.float32(value)) != value


@compiled
def _added(upper: float, lower: float, value: float, weight: float, long_weight: bool) -> tuple[float, float, bool]:
    """Two layers with value * weight added, and if anything was rounded.

    Products with a long weight are taken for rounded: they have more bits than two layers hold of several.
    """
    product, rest, rounded = value * weight, 0.0, False
    if weight != 1.0 and (long_weight or is_long(value)):
        product, rest = exact_product(value, weight)
        rounded = long_weight or abs(product) < _SMALL
    after, error = exact_sum(upper, product)
    if rest != 0.0:
        both = error + rest
        rounded |= is_inexact(error, rest, both)
        error = both
    after_error = lower + error
    return after, after_error, rounded | is_inexact(lower, error, after_error)


@compiled
def add_weighted(value: float, product: Product, upper: float, lower: float, spare: ZoneSpare) -> tuple[float, float]:
    """Two layers with value * weight added, which goes to the spare room instead if anything would be rounded."""
    if value == 0.0:
        return upper, lower
    after, after_error, rounded = _added(upper, lower, value, product.weight, is_long(product.weight))
    if rounded:
        _put(value, product, spare)
        return upper, lower
    return after, after_error


@compiled
def spare_pixels(pixels: Tile, limits: Limits, product: Product, spare: ZoneSpare) -> None:
    """Put the valid pixels into the spare room, each as `product` has it."""
    for x in range(pixels.shape[0]):
        if is_valid(pixels[x], limits):
            _put(np.float64(pixels[x]), product, spare)


@compiled
def _put(value: float, product: Product, spare: ZoneSpare) -> None:
    cells, values, factors, squares, used = spare
    number = used[0]
    cells[number], values[number] = product.cell, value
    factors[number], squares[number] = product.weight, product.squared
    used[0] = number + 1
