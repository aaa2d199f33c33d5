"""Zones in files: their features, each with its polygons and its name; of this machine or of a bucket."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isnan
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from runner.errors import ConfigError, printable
from runner.settings import ZoneSettings
from runner.source.area import crs_of
from runner.source.polygon_files import PolygonFile, features_in
from runner.source.polygons import FileFeatures, told_of
from runner.source.rings import Polygon, bytes_of
from runner.source.stores import Stores

Names = npt.NDArray[Any]

_FEW_POINTS: Final = 4  # of a closed ring, the last of which is the first
_KEPT: Final = 2  # files, whose features are kept for the next stack


@dataclass(frozen=True, eq=False)
class Features:
    """The zones of a file, each of some polygons; their names are int64, float64, or objects that are texts."""

    key: str  # zones.file=NAME, for messages
    polygons: list[list[Polygon]]
    names: Names
    crs: CRS
    sha256: str


def read_features(zones: ZoneSettings, stores: Stores | None) -> Features:
    """The zones of `zones.file`. Raises ConfigError for a file that cannot be used, SourceError if a store fails."""
    assert zones.file is not None  # by the caller
    file = PolygonFile("zones.file", zones.file, "zones.layer", zones.layer, zones.id)
    return _checked(file, features_in(file, stores))


@lru_cache(maxsize=_KEPT)
def _checked(file: PolygonFile, found: FileFeatures) -> Features:
    with told_of(file.shown):
        _refuse_invalid(found.polygons)
    names = np.arange(len(found.polygons)) if found.values is None else _names(file.column or "", found.values)
    known = crs_of(file.shown, found.crs)
    return Features(file.shown, found.polygons, names, known, _sha256(found.polygons, names, known))


# --- checks -------------------------------------------------------------------------------------------------------


def _refuse_invalid(zones: Sequence[Sequence[Polygon]]) -> None:
    """Raise ConfigError for no features, one without a polygon, and rings that surround nothing."""
    if not zones:
        raise ConfigError("it holds no features; name a file, or a layer (zones.layer), that holds polygons")
    for number, polygons in enumerate(zones):
        if not polygons:
            raise ConfigError(f"feature {number} (from 0 on) has no polygon; leave it out")
        shortest = min(len(ring) for rings in polygons for ring in rings)
        if shortest < _FEW_POINTS:
            raise ConfigError(f"feature {number} (from 0 on) has a ring of {shortest} points, wanted 4 or more")


def _names(column: str, values: Sequence[Any] | Names) -> Names:
    """The names of zones. Raises ConfigError for missing ones, for some that are equal, and for other types."""
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    key = f"zones.id={printable(column)}"
    for number, value in enumerate(plain):
        if value is None or (isinstance(value, float) and isnan(value)):
            raise ConfigError(f"{key}: feature {number} (from 0 on) has no value; each zone needs a name")
    kinds = {type(value) for value in plain}
    if not (kinds <= {int, float} or kinds == {str}):
        shown = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise ConfigError(f"{key}: its values are of type {shown}; wanted whole numbers, numbers or texts")
    _refuse_unwritable(key, plain)
    _refuse_equal(key, plain)
    if kinds == {str}:
        return np.array(plain, object)
    try:
        return np.array(plain, np.int64 if kinds == {int} else np.float64)
    except OverflowError as error:
        raise ConfigError(f"{key}: a number is beyond 64 bits") from error


def _refuse_unwritable(key: str, names: Sequence[Any]) -> None:
    """Raise ConfigError for a text that no file can hold: JSON writes halves of pairs of surrogates."""
    for number, name in enumerate(names):
        if isinstance(name, str) and not name.isascii():
            try:
                name.encode()
            except UnicodeEncodeError as error:
                shown = name.encode(errors="backslashreplace").decode()
                raise ConfigError(
                    f"{key}: feature {number} (from 0 on) is {printable(shown)}, which is no text of Unicode; write "
                    "the file anew in UTF-8"
                ) from error


def _refuse_equal(key: str, names: Sequence[Any]) -> None:
    first: dict[Any, int] = {}
    for number, name in enumerate(names):
        if first.setdefault(name, number) != number:
            raise ConfigError(
                f"{key}: features {first[name]} and {number} (from 0 on) are both {printable(str(name))}; dissolve "
                "those of a name to one (in QGIS, or by GeoPandas' dissolve), choose another column, or leave zones.id "
                "out, which numbers them"
            )


def _sha256(zones: Sequence[Sequence[Polygon]], names: Names, crs: CRS) -> str:
    digest = hashlib.sha256(crs.to_wkt().encode())
    digest.update(json.dumps([names.dtype.name, names.tolist()]).encode())
    for polygons in zones:
        digest.update(len(polygons).to_bytes(8, "little"))
        for part in bytes_of(polygons):
            digest.update(part)
    return digest.hexdigest()
