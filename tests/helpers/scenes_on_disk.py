"""Small scenes as files of this machine; it needs no test framework."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin


def write_scene(path: Path, pixels: np.ndarray, **profile: object) -> Path:
    """A tiled GeoTIFF of these pixels, (y, x); nodata 0, EPSG:32610, 20 m, 256 blocks, unless `profile` differs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "driver": "GTiff",
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "count": 1,
        "dtype": pixels.dtype.name,
        "crs": "EPSG:32610",
        "transform": from_origin(499980, 5300040, 20, 20),
        "nodata": 0,
        "compress": "deflate",
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        **profile,
    }
    with rasterio.open(path, "w", **settings) as raster:
        raster.write(pixels, 1)
    return path


def speckle(shape: tuple[int, ...], seed: int = 0, holes: float = 0.2) -> np.ndarray:
    """Radar-like float32 pixels, a part of them nodata 0."""
    random = np.random.default_rng(seed)
    pixels = random.gamma(4.4, 0.02, shape).astype(np.float32)
    pixels[random.random(shape) < holes] = 0
    return pixels


def write_boxes(path: Path, windows: Sequence[tuple[int, int, int, int]]) -> Path:
    """Polygons around windows of such scenes, by first row and column, and the row and column behind the last."""
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32610"}}
    rings = [[(left, top), (left, bottom), (right, bottom), (right, top), (left, top)]
             for top, left, bottom, right in windows]  # fmt: skip
    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {"type": "Polygon", "coordinates": [[[499980 + 20 * x, 5300040 - 20 * y] for x, y in ring]]},
        }
        for ring in rings
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path
