"""Rings of polygons as arrays: made of coordinates, checked and closed."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.errors import ConfigError

Ring = npt.NDArray[np.float64]  # (points, 2): x and y; it ends where it begins
Polygon = list[Ring]  # its outline, and the outlines of its holes


def polygon(rings: Sequence[Any]) -> Iterator[Polygon]:
    """A polygon of lists of coordinates; nothing of an empty one, whose outline has no points."""
    if len(rings) and len(rings[0]):
        yield [_closed(_points(ring)) for ring in rings if len(ring)]


def _points(ring: Any) -> Ring:
    """x and y of positions. Raises ConfigError for texts and flags, which numpy would take for numbers."""
    if isinstance(ring, np.ndarray):  # of well-known binary
        return ring
    points = [point[:2] for point in ring]
    if not set(map(type, chain.from_iterable(points))) <= {int, float}:
        coordinate = next(number for number in chain.from_iterable(points) if type(number) not in (int, float))
        raise ConfigError(f"a polygon has the coordinate {json.dumps(coordinate)[:40]}; wanted a number")
    if len({*map(len, points)}) > 1:
        raise ConfigError("a polygon has a point that is not [x, y]")
    return np.array(points, np.float64)


def _closed(ring: Ring) -> Ring:
    if ring.ndim != 2 or ring.shape[1] != 2:
        raise ConfigError("a polygon has a point that is not [x, y]")
    if not np.isfinite(ring).all():
        raise ConfigError("a polygon has a coordinate that is not finite")
    return ring if len(ring) and (ring[0] == ring[-1]).all() else np.vstack([ring, ring[:1]])


def bytes_of(polygons: Iterable[Polygon]) -> Iterator[bytes]:
    """What pins polygons in a digest: the points of their rings, and how many rings each has."""
    for rings in polygons:
        for ring in (np.array([[len(rings), 0.0]]), *rings):
            yield len(ring).to_bytes(8, "little") + ring.astype("<f8").tobytes()
