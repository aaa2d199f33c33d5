"""The reader through GDAL: what the fast reader leaves to it, masks, and what it refuses."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.windows
from affine import Affine
from obstore.store import LocalStore

from runner.errors import ReadError
from runner.read import gdal
from runner.read.decode import fast_path_refusal
from runner.read.gdal_array import GdalArray
from runner.read.header import BlockPixels, SceneFile, Window, read_header

GRID: dict[str, Any] = {"driver": "GTiff", "crs": "EPSG:32610", "transform": Affine(20, 0, 499980, 0, -20, 4200000)}
SHAPE = (70, 90)
WINDOW = Window(13, 21, 40, 50)


def ramp(dtype: str, count: int = 1) -> np.ndarray:
    return (np.arange(count * 70 * 90).reshape(count, *SHAPE) % 251).astype(dtype)


def write(path: Path, pixels: np.ndarray, **options: Any) -> SceneFile:
    profile = {**GRID, "count": len(pixels), "height": 70, "width": 90, "dtype": pixels.dtype.name, **options}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
    return scene_of(path)


def scene_of(path: Path) -> SceneFile:
    content = path.read_bytes()
    header = read_header(lambda start, stop: content[start:stop], len(content), path.name)
    return SceneFile(str(path), LocalStore(path.parent), path.name, None, header)


def read(scenes: list[SceneFile], window: Window = WINDOW, band: int = 1) -> list[BlockPixels]:
    return list(gdal.read_blocks(scenes, window, band, lambda scene: scene.href))


def part(pixels: np.ndarray) -> np.ndarray:
    """The window of an image."""
    return pixels[13:53, 21:71]


LEFT_TO_GDAL: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("uint8", {"compress": "jpeg", "jpeg_quality": 90}),
    "YCbCr": ("uint8", {"compress": "jpeg", "photometric": "ycbcr", "count": 3}),
    "lossless WebP": ("uint8", {"compress": "webp", "webp_lossless": "yes", "count": 3, "interleave": "pixel"}),
    "LZMA": ("float32", {"compress": "lzma"}),
    "12 bits": ("uint16", {"nbits": 12}),
    "one bit": ("uint8", {"nbits": 1}),
    "half floats": ("float32", {"nbits": 16}),
    "big-endian LERC": ("int16", {"compress": "lerc", "endianness": "big"}),
    "interleaved LERC": ("float32", {"compress": "lerc", "interleave": "pixel", "count": 2}),
}


@pytest.mark.parametrize(("dtype", "options"), LEFT_TO_GDAL.values(), ids=LEFT_TO_GDAL.keys())
def test_what_the_fast_reader_leaves_is_read(tmp_path: Path, dtype: str, options: dict[str, Any]) -> None:
    pixels = np.minimum(ramp(dtype, options.get("count", 1)), 2 ** options.get("nbits", 8) - 1).astype(dtype)
    scene = write(tmp_path / "a.tif", pixels, **options)
    assert fast_path_refusal(scene.header, 1)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        expected = part(dataset.read(1))
    (block,) = read([scene])
    assert block[:3] == (0, 0, 0)
    assert block.valid is None
    assert block.pixels.dtype == scene.header.dtype
    np.testing.assert_array_equal(block.pixels, expected)


def test_half_floats_are_float32_as_the_gdal_before_3_11_has_it(tmp_path: Path) -> None:
    scene = write(tmp_path / "a.tif", ramp("float32"), nbits=16)
    whole = GdalArray(scene.href, scene.href, 1, SHAPE, np.dtype("float32"))[:, :]
    assert (scene.header.dtype, read([scene])[0].pixels.dtype, whole.dtype) == ("float32", np.float32, np.float32)
    np.testing.assert_array_equal(whole, ramp("float32")[0])


def test_scenes_come_in_order(tmp_path: Path) -> None:
    scenes = [write(tmp_path / f"{i}.tif", ramp("int16") + np.int16(i)) for i in range(3)]
    for number, block in enumerate(read(scenes)):
        assert block.scene == number
        np.testing.assert_array_equal(block.pixels, part(ramp("int16")[0] + number))


def test_pieces_are_whole_block_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = write(tmp_path / "a.tif", ramp("float32"), tiled=True, blockxsize=16, blockysize=16)
    monkeypatch.setattr(gdal, "MAX_PIECE_BYTES", 16 * 50 * 4)
    blocks = read([scene])
    assert [(block.row, len(block.pixels)) for block in blocks] == [(0, 3), (3, 16), (19, 16), (35, 5)]
    np.testing.assert_array_equal(np.concatenate([block.pixels for block in blocks]), part(ramp("float32")[0]))


def test_thin_strips_are_read_together(tmp_path: Path) -> None:
    assert len(read([write(tmp_path / "a.tif", ramp("float32"), blockysize=1)])) == 1


def test_an_internal_mask_tells_what_is_valid(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", ramp("uint8"))
    valid = np.random.default_rng(3).random(SHAPE) < 0.7
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "a.tif", "r+") as dataset:
        dataset.write_mask(valid)
    scene = scene_of(tmp_path / "a.tif")
    assert fast_path_refusal(scene.header, 1) == "an internal mask"
    (block,) = read([scene])
    np.testing.assert_array_equal(block.pixels, part(ramp("uint8")[0]))
    np.testing.assert_array_equal(block.valid, part(valid))


def test_an_alpha_band_tells_what_is_valid(tmp_path: Path) -> None:
    pixels = ramp("uint8", 2)
    pixels[1] = 255 * (np.random.default_rng(3).random(SHAPE) < 0.7)
    scene = write(tmp_path / "a.tif", pixels, alpha="yes")
    assert fast_path_refusal(scene.header, 1) == "an alpha band"
    (block,) = read([scene])
    np.testing.assert_array_equal(block.pixels, part(pixels[0]))
    np.testing.assert_array_equal(block.valid, part(pixels[1] > 0))


@pytest.mark.parametrize("nodata", [0, math.nan])
def test_nodata_is_left_to_the_caller(tmp_path: Path, nodata: float) -> None:
    (block,) = read([write(tmp_path / "a.tif", ramp("float32"), nodata=nodata)])
    assert block.valid is None


def test_complex_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="samples are complex64, wanted real numbers"):
        read([write(tmp_path / "a.tif", ramp("complex64"))])


@pytest.mark.parametrize("band", [0, 2])
def test_a_band_that_is_not_there_is_refused(tmp_path: Path, band: int) -> None:
    with pytest.raises(ReadError, match=f"it has 1 band, so no band {band}"):
        read([write(tmp_path / "a.tif", ramp("uint8"))], band=band)


def test_a_window_outside_the_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="is not inside its 70 rows and 90 columns"):
        read([write(tmp_path / "a.tif", ramp("uint8"))], Window(60, 0, 11, 1))


def test_a_file_that_changed_since_its_header_was_read_is_refused(tmp_path: Path) -> None:
    scene = write(tmp_path / "a.tif", ramp("uint8"))
    write(tmp_path / "a.tif", ramp("int16"))
    with pytest.raises(ReadError, match="changed during the run"):
        read([scene])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    scene = replace(write(tmp_path / "a.tif", ramp("uint8")), href=str(tmp_path / "gone.tif"))
    with pytest.raises(ReadError, match=r"gone\.tif: GDAL cannot read .* No such file"):
        read([scene])


def test_a_vrt_under_the_name_of_a_tiff_is_refused(tmp_path: Path) -> None:
    scene = write(tmp_path / "a.tif", ramp("uint8"))
    (tmp_path / "vrt.tif").write_text(f"<VRTDataset rasterXSize='90' rasterYSize='70'>{tmp_path}</VRTDataset>")
    with pytest.raises(ReadError, match=r"vrt\.tif: GDAL cannot read"):
        read([replace(scene, href=str(tmp_path / "vrt.tif"))])


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    scene = write(tmp_path / "a.tif", np.random.default_rng(1).random((1, *SHAPE)), compress="lzma")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ReadError, match="GDAL cannot read band 1"):
        read([scene])
