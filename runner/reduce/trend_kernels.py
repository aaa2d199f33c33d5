"""Compiled loops that add a scene's pixels with its time: sums of times, of pixels times times, and end values.

Arguments in common as in `kernels`. A product of a pixel and a time is two floats; layers take both, as they take a
pixel in `row_kernels`: where an addition would lose a bit, nothing of the row is kept, and it is added again pixel by
pixel, with what two layers cannot hold put into the spare room.
"""

from typing import NamedTuple

import numpy as np

from runner.host.compiled import compiled
from runner.reduce.arrays import Floats, Integers, Tile
from runner.reduce.error_free import exact_sum, halves
from runner.reduce.partial import End
from runner.reduce.pixel_types import Limits, PixelKind, Place
from runner.reduce.row_kernels import Row, Spare, is_inexact, is_valid
from runner.reduce.scene_times import SceneTime


class Products(NamedTuple):
    """Accumulators of pixels times times."""

    layers: Floats  # (2, rows, columns)
    spare: Spare


class Arrival(NamedTuple):
    """The number of a scene in the stack, and if a later scene takes the place of an earlier one, or the reverse."""

    number: int
    later: bool


@compiled
def add_times(tile: Tile, place: Place, limits: Limits, scene: SceneTime, times: Integers) -> None:
    """Add the scene's time to `times` (3: time, lower and higher half of its square; rows, columns), where valid."""
    columns = slice(place.column, place.column + place.width)
    time, low, high = scene.time, scene.square_low, scene.square_high
    for y in range(place.height):
        row = place.row + y
        pixels = tile[place.top + y][place.left : place.left + place.width]
        sums, lows, highs = times[0, row][columns], times[1, row][columns], times[2, row][columns]
        for x in range(pixels.shape[0]):
            valid = is_valid(pixels[x], limits)
            sums[x] += time if valid else 0
            lows[x] += low if valid else 0
            highs[x] += high if valid else 0


@compiled
def add_end(tile: Tile, place: Place, limits: Limits, scene: Arrival, end: End) -> None:
    """Let each valid pixel take its place in `end`, if its scene does."""
    columns = slice(place.column, place.column + place.width)
    (number, later), (values, numbers) = scene, end
    for y in range(place.height):
        row = place.row + y
        pixels = tile[place.top + y][place.left : place.left + place.width]
        kept, known = values[row][columns], numbers[row][columns]
        for x in range(pixels.shape[0]):
            beyond = number > known[x] if later else number < known[x]
            taken = is_valid(pixels[x], limits) & beyond
            kept[x] = pixels[x] if taken else kept[x]
            known[x] = np.int32(number) if taken else known[x]


@compiled
def add_products(tile: Tile, place: Place, kind: PixelKind, scene: SceneTime, sums: Products) -> None:
    """Add each valid pixel times the scene's time to the layers; the pixels in the spare room are not multiplied."""
    columns = slice(place.column, place.column + place.width)
    (layers, spare), limits = sums, kind.limits
    narrow = kind.small | kind.float32  # 24 bits at most
    for y in range(place.height):
        row = place.row + y
        pixels = tile[place.top + y][place.left : place.left + place.width]
        both = Row(layers[0, row][columns], layers[1, row][columns], row * layers.shape[2] + place.column)
        if narrow:
            inexact = _add_narrow(pixels, limits, scene, both, spare.saved)
        else:
            inexact = _add_wide(pixels, limits, scene, both, spare.saved)
        if inexact:
            _add_one_by_one(pixels, limits, scene, both, spare)


@compiled
def _add_narrow(pixels: Tile, limits: Limits, scene: SceneTime, row: Row, saved: Floats) -> bool:
    """Add to both layers; True if that was inexact, with what the layers were in `saved`."""
    (upper, lower, _), high, low = row, scene.high, scene.low
    saved_upper, saved_lower = saved[0], saved[1]
    inexact = False
    for x in range(pixels.shape[0]):
        value = np.float64(pixels[x])
        pixel = value if is_valid(value, limits) else 0.0
        large, small = pixel * high, pixel * low  # both exact, and the first the larger unless it is 0
        product = large + small
        rest = small - (product - large)
        before, before_error = upper[x], lower[x]
        after, after_error, lossy = _added(before, before_error, product, rest)
        inexact |= lossy
        saved_upper[x] = before
        saved_lower[x] = before_error
        upper[x] = after
        lower[x] = after_error
    return inexact


@compiled
def _add_wide(pixels: Tile, limits: Limits, scene: SceneTime, row: Row, saved: Floats) -> bool:
    """As `_add_narrow`, for any pixels."""
    (upper, lower, _), time = row, scene.high + scene.low
    saved_upper, saved_lower = saved[0], saved[1]
    inexact = False
    for x in range(pixels.shape[0]):
        value = np.float64(pixels[x])
        pixel = value if is_valid(value, limits) else 0.0
        product, rest = _product(pixel, time, scene.high, scene.low)
        before, before_error = upper[x], lower[x]
        after, after_error, lossy = _added(before, before_error, product, rest)
        inexact |= lossy
        saved_upper[x] = before
        saved_lower[x] = before_error
        upper[x] = after
        lower[x] = after_error
    return inexact


@compiled
def _add_one_by_one(pixels: Tile, limits: Limits, scene: SceneTime, row: Row, spare: Spare) -> None:
    """Restore both layers, and add to them what they can hold; put the other pixels into the spare room."""
    (upper, lower, cell), time = row, scene.high + scene.low
    saved, cells, values, used = spare
    for x in range(pixels.shape[0]):
        upper[x] = saved[0, x]
        lower[x] = saved[1, x]
        pixel = np.float64(pixels[x])
        if not is_valid(pixel, limits):
            continue
        product, rest = _product(pixel, time, scene.high, scene.low)
        after, after_error, lossy = _added(upper[x], lower[x], product, rest)
        if lossy:
            cells[used[0]] = cell + x
            values[used[0]] = pixel
            used[0] += 1
        else:
            upper[x] = after
            lower[x] = after_error


@compiled
def _product(pixel: float, time: float, high: float, low: float) -> tuple[float, float]:
    """pixel * time as the sum of two floats, exactly; NaN beyond what a float64 holds. A time is a whole number.

    So nothing underflows. High and low have at most 22 bits, and each half of a pixel 27.
    """
    upper, lower = halves(pixel)
    product = pixel * time
    return product, ((upper * high - product) + upper * low + lower * high) + lower * low


@compiled
def _added(upper: float, lower: float, product: float, rest: float) -> tuple[float, float, bool]:
    """Both layers with a product added, and if that was inexact."""
    after, error = exact_sum(upper, product)
    first = lower + error
    second = first + rest
    return after, second, is_inexact(lower, error, first) | is_inexact(first, rest, second)
