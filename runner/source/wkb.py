"""Polygons in well-known binary, as GeoParquet and pyogrio give them.

Source of the format: OGC 06-103r4, 8.2.
"""

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np

from runner.errors import ConfigError
from runner.source.rings import Polygon, Ring, polygon

_KINDS: Final = {1: "a point", 2: "a line", 4: "points", 5: "lines"}
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000  # flags of PostGIS


def polygons_of(data: bytes) -> Iterator[Polygon]:
    """The polygons of a geometry; of anything else raises ConfigError."""
    try:
        yield from _Wkb(data).polygons()
    except (struct.error, ValueError, TypeError) as error:
        raise ConfigError(f"a geometry in it is cut off or no well-known binary: {error}") from error
    except RecursionError as error:
        raise ConfigError("a geometry in it is nested too deep") from error


class _Wkb:
    """Reads well-known binary, from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def polygons(self) -> Iterator[Polygon]:
        """The polygons of the next geometry."""
        order = "<" if self._data[self._place : self._place + 1] == b"\1" else ">"
        self._place += 1
        code = self._number(order)
        self._place += 4 * bool(code & _SRID)
        kind, axes = _kind_and_axes(code)
        if kind == 3:
            rings = [self._ring(order, axes) for _ in range(self._number(order))]
            yield from polygon(rings)
        elif kind in (6, 7):
            for _ in range(self._number(order)):
                yield from self.polygons()
        else:
            raise ConfigError(f"it holds {_KINDS.get(kind, 'curves or surfaces')}; wanted polygons and nothing else")

    def _number(self, order: str) -> int:
        (number,) = struct.unpack_from(f"{order}I", self._data, self._place)
        self._place += 4
        return int(number)

    def _ring(self, order: str, axes: int) -> Ring:
        count = self._number(order)
        points = np.frombuffer(self._data, f"{order}f8", count * axes, self._place)
        self._place += 8 * count * axes
        return points.reshape(count, axes)[:, :2].astype(np.float64)


def _kind_and_axes(code: int) -> tuple[int, int]:
    """The kind of a geometry, and the number of coordinates of a point."""
    more = bool(code & _Z) + bool(code & _M)
    plain = code & 0x0FFFFFFF
    return plain % 1000, 2 + more + {0: 0, 1: 1, 2: 1, 3: 2}.get(plain // 1000, 0)
