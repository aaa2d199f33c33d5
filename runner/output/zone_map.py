"""A small picture of the zones in the metadata of their table, from which a report draws a map of values."""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

    from runner.model import Grid
    from runner.zones import Zones

_KEY: Final = b"zones_map"
_MOST: Final = 240  # pixels of the longer side


class ZoneMap(NamedTuple):
    """Numbers of zones, (rows, columns), -1 for none, and the grid of which they are a picture."""

    zones: npt.NDArray[np.int32]
    shape: tuple[int, int]
    transform: tuple[float, float, float, float, float, float]
    crs: str


def with_map(table: "pa.Table", zones: "Zones", grid: "Grid") -> "pa.Table":
    """A table of zones with a picture of them."""
    picture = zones.picture(_MOST)
    about = {
        "zones": base64.b64encode(zlib.compress(picture.astype("<i4").tobytes(), 9)).decode(),
        "picture": picture.shape,
        "shape": (grid.height, grid.width),
        "transform": grid.transform,
        "crs": grid.crs_name,
    }
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: json.dumps(about)})


def map_in(metadata: Mapping[bytes, bytes] | None) -> ZoneMap | None:
    """The picture in the metadata of a table; None if there is none. Raises ValueError for one that is damaged."""
    if not metadata or _KEY not in metadata:
        return None
    try:
        about: dict[str, Any] = json.loads(metadata[_KEY])
        numbers = np.frombuffer(zlib.decompress(base64.b64decode(about["zones"])), "<i4")
        height, width = about["shape"]
        return ZoneMap(numbers.reshape(about["picture"]), (height, width), tuple(about["transform"]), about["crs"])
    except (KeyError, TypeError, zlib.error) as error:
        raise ValueError(f"its map of zones is damaged: {error}") from error
