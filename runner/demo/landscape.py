"""The made-up country of the demo archive: its mean radar brightness, before speckle.

Drawn in coordinates in which the longer side of the picture is 1, so that it looks the same at any size. Brightness is
gamma0 in VV polarisation; the level of each land cover is a usual one for C band in winter.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

WATER_DB, WET_SAND_DB, FOREST_DB, CLEARING_DB, STREET_DB = -21.0, -15.0, -8.0, -11.5, -12.0
BAND_ROWS = 256
TOWN = (0.385, 0.545)  # (u, v) of its centre


@dataclass(frozen=True, slots=True)
class Landscape:
    """Mean gamma0, linear power, float32 (y, x), is `still` plus `crops` times the season's growth from 0 to 1."""

    still: Floats
    crops: Floats


def draw_landscape(width: int, height: int, seed: int, threads: int) -> Landscape:
    """Draw the country at `height` x `width` pixels, a band of rows at a time."""
    painter = _Painter(np.random.default_rng(seed), ((np.arange(width) + 0.5) / max(width, height)).astype(np.float32))
    land = Landscape(np.empty((height, width), np.float32), np.empty((height, width), np.float32))

    def paint(first: int) -> None:
        rows = slice(first, min(first + BAND_ROWS, height))
        v = ((np.arange(rows.start, rows.stop) + 0.5) / max(width, height)).astype(np.float32)
        land.still[rows], land.crops[rows] = painter.paint(v[:, None])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(paint, range(0, height, BAND_ROWS)))
    return land


class _Noise:
    """Smooth noise of mean 0 and deviation about 1: cubic B-splines over random numbers, finer octaves fainter.

    `at` gives its values, `slope` its derivative along u; for rows `v` of shape (rows, 1), each is (rows, columns).
    """

    def __init__(self, rng: "np.random.Generator", u: Floats, cells: int, octaves: int, fade: float = 0.5) -> None:
        # A spline flattens what it passes through; 2.1 makes up for it.
        scale = np.float32(2.1 / np.sqrt(sum(fade ** (2 * octave) for octave in range(octaves))))
        self._values: list[Floats] = []
        self._slopes: list[Floats] = []
        for octave in range(octaves):
            numbers = rng.standard_normal((cells * 2**octave + 3,) * 2).astype(np.float32)
            numbers *= scale * np.float32(fade**octave)
            self._values.append(_interpolated(numbers.T, u).T.copy())
            step = np.float32(0.001)
            rise = _interpolated(numbers.T, u + step) - _interpolated(numbers.T, u - step)
            self._slopes.append((rise / (2 * step)).T.copy())

    def at(self, v: Floats) -> Floats:
        """The noise itself."""
        return _total(self._values, v)

    def slope(self, v: Floats) -> Floats:
        """The rise per unit of u."""
        return _total(self._slopes, v)


def _total(octaves: list[Floats], v: Floats) -> Floats:
    """The octaves' sum over rows `v`."""
    total = _interpolated(octaves[0], v.ravel())
    for octave in octaves[1:]:
        total += _interpolated(octave, v.ravel())
    return total


def _interpolated(numbers: Floats, position: Floats) -> Floats:
    """The uniform cubic B-spline over the first axis of `numbers`, at positions from 0 to 1: (positions, other axis).

    Four weighted rows, and no matrix product: its last bits would depend on the machine's BLAS and its threads.
    """
    cells = len(numbers) - 3
    first = np.clip(np.floor(position * cells).astype(np.int64), 0, cells - 1)
    t = (position * cells - first)[:, None].astype(np.float32)
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    total: Floats = np.multiply(numbers[first], weights[0] / 6, dtype=np.float32)
    for tap in (1, 2, 3):
        total += numbers[first + tap] * (weights[tap] / 6)
    return total


class _Painter:
    """Knows the country's random tables; `paint` gives a band of rows of it."""

    def __init__(self, rng: "np.random.Generator", u: Floats) -> None:
        self.u = u
        self.ranges = _Noise(rng, u, 7, 4)
        self.spurs = _Noise(rng, u, 19, 3)
        self.shores = _Noise(rng, u, 9, 5, fade=0.6)
        self.stands = _Noise(rng, u, 24, 4, fade=0.75)
        self.suburbs = _Noise(rng, u, 30, 3, fade=0.8)
        self.parcels = rng.standard_normal((2, 4096)).astype(np.float32)
        self.offsets = rng.random(4096).astype(np.float32)

    def paint(self, v: Floats) -> tuple[Floats, Floats]:
        """Linear power of what stays and of what crops add, each (rows, columns), for rows `v` of shape (rows, 1)."""
        away, river_width = self._river(v)
        shores = self.shores.at(v)
        valley = np.abs(away) < 0.085 + 0.03 * shores
        town = self._town_density(v) > 0.42
        lake = self._lake(v, shores)
        water = lake | (np.abs(away) < river_width) | (self._stream(v, shores) & (away < 0))
        bank = (np.abs(away) < river_width * (1 + np.clip(0.9 * shores, 0, 1.5))) & ~water
        fields_db, crops = self._fields(v)
        decibel = np.where(valley, fields_db, self._forest(v, np.abs(away)))
        decibel = np.where(bank, WET_SAND_DB, decibel)
        decibel = np.where(town & ~bank, self._town(v), decibel)
        decibel = np.where(water, WATER_DB + 0.4 * shores, decibel)
        still = np.power(10, decibel / 10, dtype=np.float32)
        return still, np.where(valley & ~(town | bank | water), crops, 0).astype(np.float32)

    def _river(self, v: Floats) -> tuple[Floats, Floats]:
        """Signed distance of each pixel from the middle of the river, and half the river's width there."""
        u = self.u
        middle = 0.60 + 0.075 * np.sin(7.1 * u + 0.4) + 0.030 * np.sin(17.0 * u + 1.0) + 0.008 * np.sin(47.0 * u)
        slope = 0.5325 * np.cos(7.1 * u + 0.4) + 0.51 * np.cos(17.0 * u + 1.0) + 0.376 * np.cos(47.0 * u)
        width = 0.0055 + 0.0015 * np.sin(11.0 * u + 2.0) + 0.004 * u
        return ((v - middle) / np.sqrt(1 + slope**2)).astype(np.float32), width.astype(np.float32)

    def _lake(self, v: Floats, shores: Floats) -> Bools:
        """A lake among the hills of the north-east."""
        across, along = _turned(self.u - 0.70, v - 0.24, 0.5)
        inside: Bools = (across / 0.055) ** 2 + (along / 0.16) ** 2 + 0.6 * shores < 1
        return inside

    def _stream(self, v: Floats, shores: Floats) -> Bools:
        """The stream from the lake down to the river."""
        middle = 0.66 + 0.02 * np.sin(23.0 * v) + 0.008 * np.sin(61.0 * v) - 0.12 * (v - 0.3) + 0.004 * shores
        inside: Bools = (np.abs(self.u - middle) < 0.0018) & (v > 0.3)
        return inside

    def _forest(self, v: Floats, away: Floats) -> Floats:
        """Hills under forest, in decibels: slopes that face the radar are brighter, cleared stands darker."""
        # What terrain correction leaves of the relief. Heights of -|noise| make sharp crests and valleys.
        ranges = -np.sign(self.ranges.at(v)) * self.ranges.slope(v)
        spurs = -np.sign(self.spurs.at(v)) * self.spurs.slope(v)
        rise = np.minimum(away * 5, 1)  # the hills rise with the distance from the river
        slopes = np.clip((0.09 * ranges + 0.035 * spurs) * rise, -4.5, 4.5)
        stands = self.stands.at(v)
        decibel: Floats = np.where(stands > 1.3, CLEARING_DB, FOREST_DB + 0.5 * stands) + slopes
        return decibel

    def _fields(self, v: Floats) -> tuple[Floats, Floats]:
        """Parcels of the valley floor: decibels of bare soil, and the linear power that full-grown crops add."""
        across, along = _turned(self.u, v, 0.32)
        strip = np.floor(along / 0.021).astype(np.int64)
        length = 0.014 + 0.03 * self.offsets[strip % 4096]
        parcel = np.floor((across + self.offsets[(strip * 7 + 3) % 4096]) / length).astype(np.int64)
        number = (strip * 193 + parcel * 389) % 4096
        soil = -12.8 + 1.7 * self.parcels[0][number]
        crops = 0.03 * np.clip(self.parcels[1][number], 0, 2)
        return soil, crops

    def _town_density(self, v: Floats) -> Floats:
        """From 0 in the country to about 1 in the middle of the town."""
        distance = (self.u - TOWN[0]) ** 2 + 1.6 * (v - TOWN[1]) ** 2
        density: Floats = np.exp(-distance / 0.0085) + 0.13 * self.suburbs.at(v)
        return density

    def _town(self, v: Floats) -> Floats:
        """Streets and blocks, in decibels; a few buildings shine, as corners do."""
        across, along = _turned(self.u, v, -0.2)
        column, row = np.floor(across / 0.0075).astype(np.int64), np.floor(along / 0.0105).astype(np.int64)
        street = (across / 0.0075 - column < 0.17) | (along / 0.0105 - row < 0.12)
        houses = (np.floor(across / 0.0015) * 57 + np.floor(along / 0.0015) * 811).astype(np.int64) % 4096
        blocks = -5.0 + 1.5 * self.parcels[0][(column * 131 + row * 517) % 4096] + 2.6 * self.parcels[1][houses]
        return np.where(street, STREET_DB, blocks)


def _turned(u: Floats, v: Floats, radians: float) -> tuple[Floats, Floats]:
    """The coordinates in axes turned by `radians`."""
    cos, sin = np.float32(np.cos(radians)), np.float32(np.sin(radians))
    return u * cos + v * sin, v * cos - u * sin
