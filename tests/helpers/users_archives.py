"""Archives as a new user brings them, made small: names, folders, types, nodata and extents are as published.

`python tests/helpers/users_archives.py FOLDER` writes all of them.
"""

import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from scenes_on_disk import speckle, write_scene

LANDSAT_DAYS = [date(2020, 1, 6) + timedelta(days=16 * number) for number in range(8)]
SENTINEL2_TILES = {  # MGRS tile: EPSG code and upper left corner
    "10TEK": (32610, 499980, 4800000),
    "10TEL": (32610, 499980, 4900020),
    "10TFK": (32610, 600000, 4800000),
    "11TKE": (32611, 199980, 4800000),
    "11TKF": (32611, 199980, 4900020),
}
SENTINEL2_DAYS = [date(2020, 6, 3) + timedelta(days=5 * number) for number in range(3)]
RAIN_DAYS = [date(2020, 1, 1) + timedelta(days=number) for number in range(10)]
PLANET_BANDS = ("blue", "green", "red", "nir")
PLANET_DAYS = [date(2020, 7, 4) + timedelta(days=number) for number in range(4)]


def landsat(folder: Path, *, one_extent: bool = False) -> Path:
    """Landsat Collection 2, path 44, row 34: bands 2 to 4 and QA_PIXEL of eight days.

    Extents differ by whole pixels, as they do in the archive, unless `one_extent` is set.
    """
    for number, day in enumerate(LANDSAT_DAYS):
        product = f"LC08_L2SP_044034_{day:%Y%m%d}_{day + timedelta(days=230):%Y%m%d}_02_T1"
        shift = 0 if one_extent else number % 3
        place = {"crs": "EPSG:32610", "transform": from_origin(462585 + 30 * shift, 4264215, 30, 30)}
        for band in (2, 3, 4):
            pixels = reflectance((70, 80 - shift), seed=10 * number + band)
            write_scene(folder / product / f"{product}_SR_B{band}.TIF", pixels, nodata=0, **place)
        quality = np.full((70, 80 - shift), 21824, np.uint16)
        quality[:9] = 22280  # high confidence of cloud
        write_scene(folder / product / f"{product}_QA_PIXEL.TIF", quality, nodata=1, **place)
    return folder


def sentinel2(folder: Path) -> Path:
    """Sentinel-2 L2A as cloud-optimized GeoTIFFs: band 4 and SCL of five tiles in two zones, three days each."""
    for (tile, (epsg, x, y)), day in ((item, day) for item in SENTINEL2_TILES.items() for day in SENTINEL2_DAYS):
        scene = f"S2A_{tile}_{day:%Y%m%d}_0_L2A"
        below = f"{int(tile[:2])}/{tile[2]}/{tile[3:]}/{day.year}/{day.month}/{scene}/B04.tif"
        pixels = reflectance((64, 64), seed=day.toordinal() + x)
        write_scene(folder / below, pixels, crs=f"EPSG:{epsg}", transform=from_origin(x, y, 10, 10))
        classes = np.random.default_rng(day.toordinal()).integers(0, 12, (32, 32), dtype=np.uint8)
        place = {"crs": f"EPSG:{epsg}", "transform": from_origin(x, y, 20, 20)}
        write_scene((folder / below).with_name("SCL.tif"), classes, **place)
    return folder


def rain(folder: Path) -> Path:
    """Daily precipitation on a grid of 0.1 degree, 60 N to 30 N; nodata is written with few digits, as GDAL does."""
    for number, day in enumerate(RAIN_DAYS):
        pixels = np.random.default_rng(number).gamma(0.3, 9, (300, 40)).astype(np.float32)
        pixels[:, :4] = -9999.9
        name = f"3B-DAY.MS.MRG.3IMERG.{day:%Y%m%d}-S000000-E235959.V07B.tif"
        place = {"crs": "EPSG:4326", "transform": from_origin(-125, 60, 0.1, 0.1)}
        write_scene(folder / f"{day.year}/{name}", pixels, nodata=-9999.9, **place)
    return folder


def chirps(folder: Path) -> Path:
    """CHIRPS v2.0 daily: float32, nodata -9999, 0.05 degree, from 50 N on."""
    for number, day in enumerate(RAIN_DAYS):
        pixels = np.random.default_rng(number).gamma(0.3, 9, (300, 40)).astype(np.float32)
        pixels[:, :4] = -9999
        place = {"crs": "EPSG:4326", "transform": from_origin(-125, 50, 0.05, 0.05)}
        write_scene(folder / f"p05/{day.year}/chirps-v2.0.{day:%Y.%m.%d}.tif", pixels, nodata=-9999, **place)
    return folder


def hls_of_both(folder: Path) -> Path:
    """HLS v2.0: red of tile 10TEK by Landsat and Sentinel-2, int16 with nodata -9999 and a scale, and Fmask."""
    for number, day in enumerate(LANDSAT_DAYS):
        product, moment = ("L30", "184524") if number % 2 else ("S30", "190001")
        scene = f"HLS.{product}.T10TEK.{day:%Y%j}T{moment}.v2.0"
        place = {"transform": from_origin(499980, 4800000, 30, 30), "blockxsize": 256, "blockysize": 256}
        pixels = np.random.default_rng(number).integers(-100, 6000, (80, 90)).astype(np.int16)
        pixels[:, :5] = -9999
        path = write_scene(folder / f"{product}/{scene}/{scene}.B04.tif", pixels, nodata=-9999, **place)
        with rasterio.open(path, "r+") as raster:
            raster.scales = (0.0001,)
        quality = np.random.default_rng(-number % 97).integers(0, 256, (80, 90)).astype(np.uint8)
        write_scene(folder / f"{product}/{scene}/{scene}.Fmask.tif", quality, nodata=255, **place)
    return folder


def sentinel1(folder: Path) -> Path:
    """Sentinel-1 RTC by Indigo Ag: both polarizations of two tiles, three days each."""
    for number, (tile, x) in enumerate((("10TET", 499980), ("10TFT", 600000))):
        for day in SENTINEL2_DAYS:
            below = f"tiles/RTC/1/IW/10/T/{tile[3:]}/{day.year}/S1B_{day:%Y%m%d}_{tile}_ASC"
            for band in ("VV", "VH"):
                pixels = speckle((60, 60), seed=day.toordinal() + number + (band == "VH"))
                write_scene(folder / below / f"Gamma0_{band}.tif", pixels, transform=from_origin(x, 5300040, 20, 20))
    return folder


def planet(folder: Path, *, one_extent: bool = False) -> Path:
    """PlanetScope: four bands of surface reflectance a scene, and the usable data mask (UDM2) of eight bands."""
    for number, day in enumerate(PLANET_DAYS):
        shape = (60, 50 + (0 if one_extent else number))
        scene = f"{day:%Y%m%d}_183015_10{number:02}_3B"
        place = {"crs": "EPSG:32610", "transform": from_origin(600000, 4200000, 3, 3), "driver": "GTiff", "nodata": 0}
        bands = np.stack([reflectance(shape, seed=10 * number + band) for band in range(4)])
        path = folder / "files" / f"{scene}_AnalyticMS_SR_clip.tif"
        _write_bands(path, bands, place)
        with rasterio.open(path, "r+") as raster:
            raster.descriptions = PLANET_BANDS
        usable = np.ones((8, *shape), np.uint8)
        usable[0, 5:20, number:30] = 0  # not clear
        _write_bands(folder / "files" / f"{scene}_udm2_clip.tif", usable, place | {"nodata": None})
    return folder


def hls(folder: Path) -> Path:
    """Harmonized Landsat Sentinel-2: the red band and Fmask of a tile, five days; nodata is -9999, and 255 in Fmask."""
    for number in range(5):
        granule = f"HLS.L30.T10TET.2020{6 + 16 * number:03}T184503.v2.0"
        place = {"crs": "EPSG:32610", "transform": from_origin(499980, 4900020, 30, 30)}
        pixels = reflectance((61, 61), seed=number).astype(np.int16)
        pixels[pixels == 0] = -9999
        write_scene(folder / granule / f"{granule}.B04.tif", pixels, nodata=-9999, **place)
        quality = np.random.default_rng(number).choice([0, 64, 66, 72, 32, 255], (61, 61)).astype(np.uint8)
        write_scene(folder / granule / f"{granule}.Fmask.tif", quality, nodata=255, **place)
    return folder


def reflectance(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Scaled reflectance, uint16, with a margin of nodata 0."""
    pixels = np.random.default_rng(seed).integers(7000, 12000, shape, dtype=np.uint16)
    pixels[:, :7] = 0
    return pixels


def _write_bands(path: Path, bands: np.ndarray, profile: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype.name}
    with rasterio.open(path, "w", **profile, **shape) as raster:
        raster.write(bands)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for make in (landsat, sentinel2, rain, chirps, planet, hls, hls_of_both, sentinel1):
        print(make(root / make.__name__))  # noqa: T201 - says where they are
