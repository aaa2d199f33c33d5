"""Compiled loops that add decoded tiles to the accumulators of a task, while the tiles are in the cache.

Sums are held in layers, see `row_kernels`. Arguments in common: `tile` is (rows, columns), native byte order,
C-contiguous, of integers up to 32 bits or floats; `place` is not checked; `kind` is `Pixels.kind`, and `limits` are its
limits.
"""

from typing import Final, NamedTuple

import numpy as np

from runner.host.compiled import compiled
from runner.reduce.arrays import Counts, Floats, Tile
from runner.reduce.pixel_types import NO_LIMITS, Limits, PixelKind, Place
from runner.reduce.row_kernels import Row, Spare, add_carefully, add_row, add_small, add_strip, add_unsaved, is_valid

EVERY_PIXEL: Final = PixelKind(NO_LIMITS, small=False, float32=False)
ROWS_AT_ONCE: Final = 32  # that are summed over space in one layer


class Sums(NamedTuple):
    """Accumulators over time."""

    counts: Counts  # (rows, columns)
    layers: Floats  # (2, rows, columns)
    spare: Spare


class Columns(NamedTuple):
    """Accumulators over space, each at least as wide as the place."""

    counts: Counts
    layers: Floats  # (2, width)
    strip: Floats  # scratch: one layer is twice as fast as two, and mostly enough for a few rows


@compiled
def add_counts(tile: Tile, place: Place, limits: Limits, counts: Counts) -> None:
    """Over time: count each valid pixel in `counts` (rows, columns)."""
    for y in range(place.height):
        pixels = tile[place.top + y][place.left : place.left + place.width]
        _count_row(pixels, limits, counts[place.row + y][place.column : place.column + place.width])


@compiled
def column_counts(tile: Tile, place: Place, limits: Limits, counts: Counts) -> None:
    """Over space: count the valid pixels of each column, in `counts` (at least width), which is not cleared."""
    for y in range(place.height):
        _count_row(tile[place.top + y][place.left : place.left + place.width], limits, counts)


@compiled
def _count_row(pixels: Tile, limits: Limits, counts: Counts) -> None:
    for x in range(pixels.shape[0]):
        counts[x] += np.int32(is_valid(pixels[x], limits))


@compiled
def add_extremes(tile: Tile, place: Place, limits: Limits, extremes: Tile) -> None:
    """Over time: lower and raise `extremes` (2: lowest and highest, rows, columns), of the tile's dtype."""
    columns = slice(place.column, place.column + place.width)
    for y in range(place.height):
        pixels, row = tile[place.top + y][place.left : place.left + place.width], place.row + y
        _spread_row(pixels, limits, extremes[0, row][columns], extremes[1, row][columns])


@compiled
def column_extremes(tile: Tile, place: Place, limits: Limits, extremes: Tile) -> None:
    """Over space: lower and raise `extremes` (2: lowest and highest, at least width), of the tile's dtype."""
    for y in range(place.height):
        pixels = tile[place.top + y][place.left : place.left + place.width]
        _spread_row(pixels, limits, extremes[0], extremes[1])


@compiled
def _spread_row(pixels: Tile, limits: Limits, lowest: Tile, highest: Tile) -> None:
    for x in range(pixels.shape[0]):
        pixel, least, most = pixels[x], lowest[x], highest[x]
        valid = is_valid(pixel, limits)
        low_pixel = pixel if valid else least
        high_pixel = pixel if valid else most
        lowest[x] = low_pixel if low_pixel < least else least
        highest[x] = high_pixel if high_pixel > most else most


@compiled
def add_sums(tile: Tile, place: Place, kind: PixelKind, sums: Sums) -> None:
    """Over time: count each valid pixel, and add it to the layers or, where they cannot hold it, to the spare room."""
    counts, layers, spare = sums
    columns = slice(place.column, place.column + place.width)
    for y in range(place.height):
        row = place.row + y
        upper, counted = layers[0, row][columns], counts[row][columns]
        pixels = tile[place.top + y][place.left : place.left + place.width]
        if kind.small:
            add_small(pixels, kind.limits, counted, upper)
        else:
            cell = row * counts.shape[1] + place.column
            add_row(pixels, kind.limits, counted, Row(upper, layers[1, row][columns], cell), spare)


@compiled
def add_squares(tile: Tile, place: Place, limits: Limits, layers: Floats, spare: Spare) -> None:
    """Over time: add each valid pixel's square to `layers`, as `add_sums`; the values in the room are not squared."""
    columns = slice(place.column, place.column + place.width)
    for y in range(place.height):
        row = place.row + y
        pixels = tile[place.top + y][place.left : place.left + place.width]
        both = Row(layers[0, row][columns], layers[1, row][columns], row * layers.shape[2] + place.column)
        add_carefully(pixels, limits, True, both, spare)


@compiled
def column_sums(tile: Tile, place: Place, kind: PixelKind, sums: Columns) -> bool:
    """Over space: count the valid pixels of each column and add them to the layers.

    True if an addition was inexact, which makes the layers worthless.
    """
    counts, layers, strip = sums
    rows, columns = tile[place.top : place.top + place.height], slice(place.left, place.left + place.width)
    upper, lower = layers[0], layers[1]
    inexact = False
    for top in range(0, place.height, ROWS_AT_ONCE):
        strip_rows = rows[top : top + ROWS_AT_ONCE]
        if kind.small:
            for y in range(strip_rows.shape[0]):
                add_small(strip_rows[y][columns], kind.limits, counts, upper)
        elif add_strip(strip_rows, columns, kind.limits, counts, strip):
            for y in range(strip_rows.shape[0]):
                inexact |= add_unsaved(strip_rows[y][columns], kind.limits, False, upper, lower)
        else:
            inexact |= add_unsaved(strip[: place.width], NO_LIMITS, False, upper, lower)
    return inexact


@compiled
def column_squares(tile: Tile, place: Place, limits: Limits, layers: Floats) -> bool:
    """Over space: add the squares of the valid pixels of each column to `layers`, as `column_sums`."""
    inexact = False
    for y in range(place.height):
        pixels = tile[place.top + y][place.left : place.left + place.width]
        inexact |= add_unsaved(pixels, limits, True, layers[0], layers[1])
    return inexact
