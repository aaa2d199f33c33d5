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
from jobs import compose, found_stack
from marks import few_quick
from obstore.store import LocalStore
from scenes_on_disk import write_scene

from runner.demo.server import serve
from runner.engine.compute import compute_pass
from runner.errors import ReadError
from runner.planning.planner import make_plan
from runner.read import gdal_reader
from runner.read.decode import fast_path_refusal
from runner.read.gdal_array import GdalArray
from runner.read.header import Header, SceneFile, ScenePixels, Window, completed, read_header
from runner.source.reachable import opened_source

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


def read(scenes: list[SceneFile], window: Window = WINDOW, band: int = 1) -> list[ScenePixels]:
    return list(gdal_reader.read_scenes(scenes, window, band, lambda scene: scene.href))


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
    (tile,) = read([scene])
    assert tile[:3] == (0, 0, 0)
    assert tile.valid is None
    assert tile.pixels.dtype == scene.header.dtype
    np.testing.assert_array_equal(tile.pixels, expected)


def test_half_floats_are_float32_as_the_gdal_before_3_11_has_it(tmp_path: Path) -> None:
    scene = write(tmp_path / "a.tif", ramp("float32"), nbits=16)
    array = GdalArray(scene.href, scene.href, "1", 1, SHAPE, np.dtype("float32"))
    whole = array.read(scene.header, np.s_[:, :])
    assert (scene.header.dtype, read([scene])[0].pixels.dtype, whole.dtype) == ("float32", np.float32, np.float32)
    np.testing.assert_array_equal(whole, ramp("float32")[0])


def test_scenes_come_in_order(tmp_path: Path) -> None:
    scenes = [write(tmp_path / f"{i}.tif", ramp("int16") + np.int16(i)) for i in range(3)]
    for number, tile in enumerate(read(scenes)):
        assert tile.scene == number
        np.testing.assert_array_equal(tile.pixels, part(ramp("int16")[0] + number))


def test_pieces_are_whole_tile_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = write(tmp_path / "a.tif", ramp("float32"), tiled=True, blockxsize=16, blockysize=16)
    monkeypatch.setattr(gdal_reader, "MAX_PIECE_BYTES", 16 * 50 * 4)
    tiles = read([scene])
    assert [(tile.row, len(tile.pixels)) for tile in tiles] == [(0, 3), (3, 16), (19, 16), (35, 5)]
    np.testing.assert_array_equal(np.concatenate([tile.pixels for tile in tiles]), part(ramp("float32")[0]))


def test_thin_strips_are_read_together(tmp_path: Path) -> None:
    assert len(read([write(tmp_path / "a.tif", ramp("float32"), blockysize=1)])) == 1


def test_an_internal_mask_tells_what_is_valid(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", ramp("uint8"))
    valid = np.random.default_rng(3).random(SHAPE) < 0.7
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "a.tif", "r+") as dataset:
        dataset.write_mask(valid)
    scene = scene_of(tmp_path / "a.tif")
    assert fast_path_refusal(scene.header, 1) == "an internal mask"
    (tile,) = read([scene])
    np.testing.assert_array_equal(tile.pixels, part(ramp("uint8")[0]))
    np.testing.assert_array_equal(tile.valid, part(valid))


def test_an_alpha_band_tells_what_is_valid(tmp_path: Path) -> None:
    pixels = ramp("uint8", 2)
    pixels[1] = 255 * (np.random.default_rng(3).random(SHAPE) < 0.7)
    scene = write(tmp_path / "a.tif", pixels, alpha="yes")
    assert fast_path_refusal(scene.header, 1) == "an alpha band"
    (tile,) = read([scene])
    np.testing.assert_array_equal(tile.pixels, part(pixels[0]))
    np.testing.assert_array_equal(tile.valid, part(pixels[1] > 0))


@pytest.mark.parametrize("nodata", [0, math.nan])
def test_nodata_is_left_to_the_caller(tmp_path: Path, nodata: float) -> None:
    (tile,) = read([write(tmp_path / "a.tif", ramp("float32"), nodata=nodata)])
    assert tile.valid is None


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


@pytest.mark.parametrize("interleave", ["band", "pixel"])
@pytest.mark.parametrize("tiles", [{"tiled": True, "blockxsize": 16, "blockysize": 32}, {"blockysize": 7}])
def test_sparse_tiles_hold_the_nodata_of_a_file_beside_which_gdal_may_not_see(
    tmp_path: Path, interleave: str, tiles: dict[str, Any]
) -> None:
    """Workers look for no files beside; both readers give what GDAL gives where it does."""
    path, bands = tmp_path / "a.tif", (1, 2)
    options = {**GRID, "count": 2, "height": 70, "width": 90, "dtype": "float32", "sparse_ok": True, "nodata": 3}
    with rasterio.open(path, "w", **options, interleave=interleave, **tiles) as dataset:
        dataset.write(part(ramp("float32", 2)[1])[np.newaxis], [2], window=rasterio.windows.Window(21, 13, 50, 40))
    text = b'<PAMDataset><PAMRasterBand band="1"><NoDataValue>5</NoDataValue></PAMRasterBand></PAMDataset>'
    (tmp_path / "a.tif.aux.xml").write_bytes(text)
    with rasterio.open(path) as dataset:
        wanted = dataset.read(bands, window=rasterio.windows.Window(10, 5, 70, 60))
    scene = scene_of(path)
    header = completed("a.tif", scene.header, (("x.tif.aux.xml", text),))
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        for band in bands:
            (tile,) = read([replace(scene, header=header)], Window(5, 10, 60, 70), band)
            np.testing.assert_array_equal(tile.pixels, wanted[band - 1])
            array = array_of(path, header, band=band)
            np.testing.assert_array_equal(array.read(header, np.s_[5:65, 10:80]), wanted[band - 1])


def array_of(path: Path, header: Header, version: str = "1", band: int = 1) -> GdalArray:
    return GdalArray(str(path), path.name, version, band, header.shape, np.dtype(header.dtype))


def test_a_file_that_took_the_place_of_another_is_read_anew(tmp_path: Path) -> None:
    """Jobs of one process keep files open, and each reads the version that its listing showed."""
    first = write(tmp_path / "a.tif", ramp("uint8"))
    array_of(tmp_path / "a.tif", first.header, "first").read(first.header, np.s_[:, :])
    second = write(tmp_path / "b.tif", ramp("uint8") + 1)
    (tmp_path / "b.tif").rename(tmp_path / "a.tif")
    now = array_of(tmp_path / "a.tif", second.header, "second").read(second.header, np.s_[:, :])
    np.testing.assert_array_equal(now, ramp("uint8")[0] + 1)


BY_GDAL, BY_XARRAY, IN_THREADS = ("reader=gdal",), ("engine=xarray",), ("engine=xarray", "cluster=threads")


@pytest.mark.parametrize("options", few_quick(["default", "cloud", "notebook"]))
@pytest.mark.parametrize(
    ("before", "after"),
    [(BY_GDAL, BY_GDAL), (BY_XARRAY, BY_GDAL), (BY_XARRAY, IN_THREADS)],
    ids=["one reader", "a handle left open", "other threads"],
)
def test_an_object_that_was_replaced_between_two_jobs_of_a_process_is_read_anew(
    tmp_path: Path, options: str, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """As of a multirun, or of workers that outlive a run: GDAL remembers what it has fetched of a bucket."""
    (tmp_path / "b").mkdir()
    with serve(tmp_path) as endpoint:
        words = [f"gdal={options}", "source=local", "source.url=s3://b/*.tif", "~stage@stages.temporal_mean"]
        words += [f"source.s3.endpoint_url={endpoint}", "source.s3.anonymous=true", "cluster=sync"]
        for value, engine in ((1, before), (2, after)):
            pixels = np.full((40, 30), value, np.float32)
            write_scene(tmp_path / "x.tif", pixels).rename(tmp_path / "b/20200101.tif")
            job = compose(*words, *engine)
            with opened_source(job) as job:
                stack = found_stack(job.source, on_error=job.on_error)
                (one,) = make_plan(job, stack).passes
                result, _ = compute_pass(one, stack)
            assert result.values["spatial_mean"]["mean"].tolist() == [value]
