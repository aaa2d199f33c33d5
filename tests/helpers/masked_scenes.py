"""Scenes with masks in files of their own, and what is hidden, by rasterio and plain numpy."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from jobs import found_stack
from rasterio.transform import Affine
from scenes_on_disk import write_scene

from runner.model import Stack
from runner.read.header import Window
from runner.settings import MaskHrefSettings, MaskSettings, OnError, SourceSettings

UTM = Affine(20, 0, 499980, 0, -20, 5300040)
REPLACE = [r"_B\.tif$", "_QA.tif"]


class MaskPlace(NamedTuple):
    """The pixels of a mask: each covers `factor` x `factor` of the scene's, the first from `row` and `column` on."""

    factor: int = 1
    row: int = 0
    column: int = 0

    def shape(self, scene: Window) -> tuple[int, int]:
        """The smallest mask that covers a scene."""
        return -(-(scene.height - self.row) // self.factor), -(-(scene.width - self.column) // self.factor)


SAME = MaskPlace()


def write_pair(folder: Path, day: int, window: Window, pixels: np.ndarray, **profile: Any) -> Path:
    """A scene, DAY_B.tif, at a window of the lattice."""
    place = UTM @ Affine.translation(window.column, window.row)
    return write_bands(folder / f"202001{day:02}_B.tif", pixels, transform=place, **profile)


def write_mask(
    folder: Path, day: int, scene: Window, codes: np.ndarray, place: MaskPlace = SAME, **profile: Any
) -> Path:
    """The mask of a scene, DAY_QA.tif."""
    corner = UTM @ Affine.translation(scene.column + place.column, scene.row + place.row)
    transform = corner @ Affine.scale(place.factor)
    return write_bands(folder / f"202001{day:02}_QA.tif", codes, **{"transform": transform, "nodata": None, **profile})


def write_bands(path: Path, bands: np.ndarray, **profile: Any) -> Path:
    """One band, or several of (bands, y, x)."""
    if bands.ndim == 2:
        return write_scene(path, bands, **profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype.name}
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    with rasterio.open(path, "w", **{"driver": "GTiff", "crs": "EPSG:32610", **tiles, **shape, **profile}) as raster:
        raster.write(bands)
    return path


def mask_settings(**test: Any) -> MaskSettings:
    """The mask of each scene beside it."""
    return MaskSettings(**{"href": MaskHrefSettings(REPLACE), **test})


def masked_stack(source: SourceSettings, mask: MaskSettings, on_error: OnError = OnError.stop) -> Stack:
    """The scenes of a source with their masks."""
    return found_stack(source, mask=mask, on_error=on_error)


def hidden_by(path: Path, scene: Window, mask: MaskSettings, place: MaskPlace) -> np.ndarray:
    """The hidden pixels of a scene, (y, x), as rasterio and numpy say."""
    with rasterio.open(path) as raster:
        codes, nodata = raster.read(mask.band), raster.nodata
    if mask.keep:
        hidden = ~np.isin(codes, mask.keep)
    elif mask.values:
        hidden = np.isin(codes, mask.values)
    else:
        hidden = np.zeros(codes.shape, bool)
        for bit in mask.bits or ():
            hidden |= codes.astype(np.int64) >> bit & 1 == 1
    if nodata is not None and not (mask.keep and nodata in mask.keep):
        hidden |= codes == nodata
    rows = (np.arange(scene.height) - place.row) // place.factor
    columns = (np.arange(scene.width) - place.column) // place.factor
    return hidden[np.ix_(rows, columns)]
