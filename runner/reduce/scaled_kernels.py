"""Compiled loops that scale small integers and add them without a check, in two parts that never round.

Scaled integers of 16 bits that go with one stack differ by so few powers of two that two float64 hold their sums: each
value is split into a multiple of a power of two and the rest, which are added apart (Rump, Ogita, Oishi, SIAM Journal
on Scientific Computing 31 (2008), 189-224: extraction by a constant). `scaling.split_for` finds the constant.
"""

from typing import NamedTuple

import numpy as np

from runner.host.compiled import compiled
from runner.read.predictor import Bytes
from runner.reduce.arrays import Counts, Floats, Tile
from runner.reduce.fused_kernels import Accumulators, Counted, Inflated, OverSpace, OverTime, Strips, undo_strip
from runner.reduce.hidden_pixels import Hides
from runner.reduce.kernels import ROWS_AT_ONCE
from runner.reduce.pixel_types import Limits, Place
from runner.reduce.row_kernels import is_valid
from runner.reduce.zone_strip_kernels import OverZones, count_strips, sum_strips


class Scaled(NamedTuple):
    """The way in which the pixels of some scenes are scaled."""

    scales: Floats  # (scenes, 2): pixel * first + second, in float64
    split: float  # what a value is added to, and then freed from, to lose its lower part
    limits: Limits  # of scaled values


class RowScale(NamedTuple):
    """Scale and offset of a scene, and `split` and `limits` of `Scaled`."""

    scale: float
    offset: float
    split: float
    limits: Limits


class RowSums(NamedTuple):
    """Accumulators of a row: over time, and of its columns over space; of values two layers each."""

    counts: Counts
    upper: Floats
    lower: Floats
    columns_upper: Floats
    columns_lower: Floats


@compiled
def add_scaled_strips(
    inflated: Inflated, strips: Strips, place: Place, counted: tuple[Counted, Scaled], sums: Accumulators
) -> None:
    """Undo, scale and add tiles of some scenes, all at one place; both layers of the sums, which nothing else adds to.

    So many values as `scaling.MOST_ADDITIONS` may be added to a sum, and be in a run of a zone.
    """
    for top in range(0, place.height, ROWS_AT_ONCE):
        strip = undo_strip(inflated, strips, place, top)
        _add_strips(strips, strip, counted, sums.time, sums.space)
        _add_over_zones(strips, strip, counted, sums.zones)


@compiled
def _add_strips(
    strips: Strips, place: Place, counted: tuple[Counted, Scaled], time: OverTime, space: OverSpace
) -> None:
    pixels, (kind, hidden), scaled = strips.pixels, counted[0], counted[1]
    columns, tile_columns = slice(place.column, place.column + place.width), slice(place.left, place.left + place.width)
    unasked = np.zeros(place.width)
    for scene in range(pixels.shape[0]):
        scale = RowScale(scaled.scales[scene, 0], scaled.scales[scene, 1], scaled.split, scaled.limits)
        upper, lower = space.layers[scene, 0][: place.width], space.layers[scene, 1][: place.width]
        for y in range(place.height):
            row, line = place.row + y, pixels[scene, y][tile_columns]
            if time.asked:
                layers = time.layers
                sums = RowSums(
                    time.counts[row][columns], layers[0, row][columns], layers[1, row][columns], upper, lower
                )
            else:
                sums = RowSums(strips.uncounted[: place.width], unasked, unasked, upper, lower)
            if hidden.some:
                hides = Hides(hidden.planes[hidden.plane[scene], row][columns], hidden.bits[scene])
                space.counts[scene] += _add_row(line, hides, kind.limits, scale, sums)
            else:
                space.counts[scene] += _add_row(line, (), kind.limits, scale, sums)


@compiled
def _add_row(pixels: Tile, hides: Hides | tuple[()], limits: Limits, scaling: RowScale, sums: RowSums) -> int:
    """Scale, count and add the pixels that are neither invalid nor hidden. Returns their number."""
    counts, upper, lower, columns_upper, columns_lower = sums
    scale, offset, split, value_limits = scaling
    one, none = np.int32(1), np.int32(0)
    total = np.int32(0)
    for x in range(pixels.shape[0]):
        value = np.float64(pixels[x]) * scale + offset
        valid = is_valid(pixels[x], limits)
        if len(value_limits) > 2:  # constants of the compiled code, as below
            valid &= is_valid(value, value_limits)
        if len(hides) > 0:
            valid &= (hides.row[x] & hides.bit) == 0
        kept = value if valid else 0.0
        counted = one if valid else none
        high = (kept + split) - split
        low = kept - high
        counts[x] += counted
        total += counted
        upper[x] += high
        lower[x] += low
        columns_upper[x] += high
        columns_lower[x] += low
    return int(total)


@compiled
def _add_over_zones(
    strips: Strips, place: Place, counted: tuple[Counted, Scaled], zones: OverZones | tuple[()]
) -> None:
    """Sum and count the runs of zones in rows that are not scaled yet."""
    if len(zones) > 0:  # a constant of the compiled code
        pixels, (kind, hidden), scaled = strips.pixels, counted[0], counted[1]
        columns, tile_columns = (
            slice(place.column, place.column + place.width),
            slice(place.left, place.left + place.width),
        )
        tiles, rows, (flags, valid) = pixels.shape[0], zones.runs.rows, strips.flagged
        uppers, lowers = np.empty((tiles, 1, place.width)), np.empty((tiles, 1, place.width))
        exact = np.ones((tiles, 1), np.bool_)
        for y in range(place.height):
            line = place.row - zones.row + y
            if rows[line] == rows[line + 1]:
                continue
            for tile in range(tiles):
                scale = RowScale(scaled.scales[tile, 0], scaled.scales[tile, 1], scaled.split, scaled.limits)
                split = _SplitRow(uppers[tile, 0], lowers[tile, 0], flags[tile, 0])
                row = pixels[tile, y][tile_columns]
                if hidden.some:
                    hides = Hides(hidden.planes[hidden.plane[tile], place.row + y][columns], hidden.bits[tile])
                    valid[tile, 0] = _split_row(row, hides, kind.limits, scale, split)
                else:
                    valid[tile, 0] = _split_row(row, (), kind.limits, scale, split)
            of_row = Place(0, 0, place.row + y, place.column, 1, place.width)
            count_strips(strips.flagged, of_row, zones)
            sum_strips(uppers, exact, of_row, zones)
            sum_strips(lowers, exact, of_row, zones)


class _SplitRow(NamedTuple):
    """Scratch: both parts of the values of a row, 0 where they do not count, and 1 where they do."""

    upper: Floats
    lower: Floats
    flags: Bytes


@compiled
def _split_row(pixels: Tile, hides: Hides | tuple[()], limits: Limits, scaling: RowScale, row: _SplitRow) -> int:
    """Scale the pixels that are neither invalid nor hidden, and split them. Returns their number."""
    upper, lower, flags = row
    one, none = np.int32(1), np.int32(0)
    total = np.int32(0)
    for x in range(pixels.shape[0]):
        value = np.float64(pixels[x]) * scaling.scale + scaling.offset
        valid = is_valid(pixels[x], limits)
        if len(scaling.limits) > 2:  # constants of the compiled code, as below
            valid &= is_valid(value, scaling.limits)
        if len(hides) > 0:
            valid &= (hides.row[x] & hides.bit) == 0
        kept = value if valid else 0.0
        high = (kept + scaling.split) - scaling.split
        upper[x] = high
        lower[x] = kept - high
        flags[x] = np.uint8(valid)
        total += one if valid else none
    return int(total)
