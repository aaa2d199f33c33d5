"""Scenes of several bands, with descriptions."""

from pathlib import Path

import numpy as np
import rasterio
from scenes_on_disk import write_scene


def write_bands(path: Path, names: tuple[str, ...]) -> None:
    """A scene of which each band has its own value and, if it is not empty, its description."""
    write_scene(path, np.zeros((20, 20), np.uint16), count=len(names))
    with rasterio.open(path, "r+") as raster:
        for number, name in enumerate(names, start=1):
            raster.write(np.full((20, 20), 100 * number, np.uint16), number)
            if name:
                raster.set_band_description(number, name)
