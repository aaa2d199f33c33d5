"""Files of zones over the scenes of `scenes_on_disk`, whose grid begins at (499980, 5300040) with pixels of 20 m."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

LEFT, TOP, SIZE = 499980.0, 5300040.0, 20.0

Corners = Sequence[tuple[float, float]]  # columns and rows


def star(random: np.random.Generator, middle: tuple[float, float], reach: float) -> Corners:
    """A polygon of any points around its middle, in columns and rows."""
    corners = int(random.integers(5, 14))
    angles, radii = np.sort(random.uniform(0, 2 * np.pi, corners)), reach * random.uniform(0.4, 1, corners)
    return [(middle[0] + r * np.cos(a), middle[1] + r * np.sin(a)) for a, r in zip(angles, radii, strict=True)]


def feature(corners: Corners, **properties: object) -> dict[str, Any]:
    """A polygon of columns and rows as a feature in EPSG:32610."""
    ring = [[LEFT + SIZE * x, TOP - SIZE * y] for x, y in [*corners, corners[0]]]
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def write_zones(path: Path, features: Sequence[dict[str, Any]], crs: str | None = "EPSG:32610") -> Path:
    """A GeoJSON file of these features, whose CRS the member `crs` names."""
    named = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    path.write_text(json.dumps({"type": "FeatureCollection", **named, "features": list(features)}))
    return path
