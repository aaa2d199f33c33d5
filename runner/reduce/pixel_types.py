"""Pixel types, as the kernels take them: which are added as they are, and which in pieces."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from runner.errors import PlanError
from runner.reduce.arrays import Bools, Floats, Tile
from runner.reduce.nodata import NO_RANGE, NodataLimits, PixelLimits, ValidRange, integer_nodata, limits, missing

Limits: TypeAlias = NodataLimits | PixelLimits  # the shorter, where it says all, spares two comparisons a pixel

NO_LIMITS: Final = NodataLimits(np.inf, -np.inf)


class Place(NamedTuple):
    """The part of a tile that lies in a task's window; all in pixels. Kernels take it as it is."""

    top: int  # in the tile
    left: int
    row: int  # in the window
    column: int
    height: int
    width: int

    def of_tile(self) -> tuple[slice, slice]:
        """The part of the tile."""
        return np.s_[self.top : self.top + self.height, self.left : self.left + self.width]

    def of_window(self) -> tuple[slice, slice]:
        """The part of the window."""
        return np.s_[self.row : self.row + self.height, self.column : self.column + self.width]

    def check(self, tile: tuple[int, ...], window: tuple[int, int] | None) -> None:
        """Raise ValueError for a place that is not inside of both; the kernels would not notice."""
        if len(tile) != 2:
            raise ValueError(f"tile: got {len(tile)} dimensions, wanted (rows, columns)")
        inside = min(self) >= 0 and self.top + self.height <= tile[0] and self.left + self.width <= tile[1]
        if window:
            inside = inside and self.row + self.height <= window[0] and self.column + self.width <= window[1]
        if not inside:
            raise ValueError(f"tile of {tile} pixels in a window of {window}: got {self}, wanted it inside of both")


class PixelKind(NamedTuple):
    """The properties of pixels that kernels depend on."""

    limits: Limits
    small: bool  # integers of at most 16 bits
    float32: bool


@dataclass(frozen=True, slots=True)
class Pixels:
    """The type of a stack's pixels, and which of them are left out besides NaN.

    Those are the ones that GDAL takes for `nodata`, and those outside of the closed `valid_range`. Raises PlanError for
    a type that statistics cannot be made of.
    """

    dtype: np.dtype[Any]
    nodata: float | int | None = None
    valid_range: ValidRange | None = None
    kind: PixelKind = field(init=False, compare=False)  # for kernels

    def __post_init__(self) -> None:
        if self.dtype.kind not in "biuf" or self.dtype.itemsize not in (1, 2, 4, 8) or self.dtype == np.float16:
            raise PlanError(
                f"pixels of type {self.dtype} have no statistics here, wanted bool, integers of 8 to 64 bits, float32 "
                "or float64; convert the scenes, or take the real part"
            )
        compared = _as_compared(limits(self.dtype, self.nodata, self.valid_range), self.dtype)
        small = self.dtype.kind != "f" and self.dtype.itemsize <= 2
        object.__setattr__(self, "kind", PixelKind(compared, small, self.dtype == np.float32))

    @property
    def stored(self) -> np.dtype[Any]:
        """The type kernels see: bools are bytes."""
        return np.dtype(np.uint8) if self.dtype == np.bool_ else self.dtype

    @property
    def in_pieces(self) -> bool:
        """64-bit integers, which no float64 holds: they are added in pieces."""
        return self.dtype.kind != "f" and self.dtype.itemsize == 8

    @property
    def blank(self) -> float | int | None:
        """A value that does not count; None if every value of the type does."""
        return np.nan if self.dtype.kind == "f" else integer_nodata(self.nodata, self.dtype)

    def native(self, tile: Tile) -> Tile:
        """A tile or stack as the kernels want it, without a copy if C-contiguous, writable and in native byte order.

        Raises ValueError for another type.
        """
        if tile.dtype.newbyteorder("=") != self.dtype:
            raise ValueError(f"pixels: got {tile.dtype}, wanted {self.dtype}")
        tile = np.require(tile, self.dtype.newbyteorder("="), ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])
        return tile.view(self.stored)

    def flat(self, stack: Tile) -> Tile:
        """(values, *cells) as (values, cells), as `native`."""
        return self.native(stack).reshape(len(stack), -1)

    def no_extremes(self, shape: tuple[int, ...]) -> Tile:
        """(2, *shape): the highest value of the type as lowest so far, and the lowest as highest."""
        extremes = np.empty((2, *shape), self.stored)
        extremes[0], extremes[1] = empty_extremes(self.stored)
        return extremes

    def valid(self, pixels: Tile) -> Bools:
        """Which pixels count."""
        return ~missing(pixels, self.nodata, self.valid_range)


def _as_compared(rule: PixelLimits, dtype: np.dtype[Any]) -> Limits:
    """The same rule for kernels, in float32 for float32 pixels, which halves the time that comparing takes."""
    if dtype == np.float32:
        rule = _in_float32(rule)
    return NodataLimits(*rule[:2]) if (rule.low, rule.high) == NO_RANGE else rule


def _in_float32(rule: PixelLimits) -> PixelLimits:
    """The same rule; of the range, the lowest and the highest float32 inside."""
    with np.errstate(over="ignore"):
        limits: list[Any] = [np.float32(limit) for limit in rule]
        low, high = limits[2:]
        if float(low) < rule.low:
            low = np.nextafter(low, np.float32(np.inf))
        if float(high) > rule.high:
            high = np.nextafter(high, np.float32(-np.inf))
    return PixelLimits(limits[0], limits[1], low, high)


def empty_extremes(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The lowest and highest of no pixels at all: they give way to any value of the type."""
    if dtype.kind == "f":
        return np.inf, -np.inf
    info = np.iinfo(dtype)
    return info.max, info.min


def pieces(integers: Tile, valid: Bools) -> Iterator[Floats]:
    """Floats whose exact sum is the 64-bit integer, elementwise; 0 where not valid."""
    low = np.where(valid, integers & 0xFFFFFFFF, 0)
    yield low.astype(np.float64)
    yield np.ldexp(np.where(valid, integers >> 32, 0).astype(np.float64), 32)


def square_pieces(integers: Tile, valid: Bools) -> Iterator[Floats]:
    """Floats whose exact sum is the square of the 64-bit integer, elementwise; 0 where not valid.

    The integer is cut in three parts of 22 bits, the products of which have 44.
    """
    parts = [np.where(valid, part, 0).astype(np.float64) for part in _parts(integers)]
    for i, left in enumerate(parts):
        for j, right in enumerate(parts[: i + 1]):
            yield np.ldexp(left * right, 22 * (i + j) + (i != j))


def _parts(integers: Tile) -> tuple[Tile, Tile, Tile]:
    """a, b, c with a + b * 2**22 + c * 2**44 the integer; c has its sign."""
    return integers & 0x3FFFFF, (integers >> 22) & 0x3FFFFF, integers >> 44
