"""The structure of TIFFs that GDAL wrote, against rasterio's account, and of what nobody should have written."""

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rasterio.windows
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import MaskFlags

from runner.errors import ReadError
from runner.read.layout import TiffLayout, read_layout
from runner.read.tile_lists import MAX_TILE_BYTES

GRID = {"crs": "EPSG:32610", "transform": Affine(20, 0, 499980, 0, -20, 4200000)}


def write(
    path: Path, shape: tuple[int, int] = (70, 90), count: int = 1, dtype: str = "float32", **options: Any
) -> Path:
    """A GeoTIFF of random pixels."""
    pixels = np.random.default_rng(1).integers(0, 100, (count, *shape)).astype(dtype)
    options = {
        "driver": "GTiff",
        "height": shape[0],
        "width": shape[1],
        "count": count,
        "dtype": dtype,
        **GRID,
        **options,
    }
    with rasterio.open(path, "w", **options) as dataset:
        dataset.write(pixels)
    return path


def layout_of(path: Path) -> TiffLayout:
    content = path.read_bytes()
    return read_layout(lambda start, stop: content[start:stop], len(content), path.name)


TILED: dict[str, Any] = {"tiled": True, "blockxsize": 16, "blockysize": 32}
KINDS: dict[str, dict[str, Any]] = {
    "strips": {},
    "strips of 7 rows": {"blockysize": 7},
    "tiles": TILED,
    "one tile larger than the image": {"tiled": True, "blockxsize": 128, "blockysize": 128},
    "BigTIFF": {**TILED, "bigtiff": "yes"},
    "big-endian": {**TILED, "endianness": "big"},
    "big-endian BigTIFF": {**TILED, "endianness": "big", "bigtiff": "yes"},
    "bands in turn": {**TILED, "count": 3, "interleave": "band"},
    "bands together": {**TILED, "count": 3, "interleave": "pixel"},
    "COG": {"driver": "COG", "blocksize": 32, "shape": (300, 200)},
    "deflate, predictor 3": {**TILED, "compress": "deflate", "predictor": 3},
    "zstd, predictor 2": {**TILED, "compress": "zstd", "predictor": 2, "dtype": "int16"},
    "lzw": {**TILED, "compress": "lzw"},
    "packbits": {"compress": "packbits"},
    "lzma": {"compress": "lzma"},
    "lerc": {**TILED, "compress": "lerc"},
    "jpeg": {"compress": "jpeg", "dtype": "uint8", "count": 3},
    "webp": {"compress": "webp", "dtype": "uint8", "count": 3, "interleave": "pixel"},
    **{
        dtype: {"dtype": dtype}
        for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float64")
    },
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS.keys())
def test_layout_is_what_rasterio_says(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write(tmp_path / "a.tif", **options)
    layout = layout_of(path)
    with rasterio.open(path) as dataset:
        assert (layout.height, layout.width, layout.bands) == (*dataset.shape, dataset.count)
        assert layout.dtype == dataset.dtypes[0]
        assert (layout.tile_height, layout.tile_width) == dataset.block_shapes[0]
        assert layout.compression == (dataset.compression.name.lower() if dataset.compression else "none")
        assert layout.planar == (dataset.interleaving.name if dataset.interleaving and dataset.count > 1 else "pixel")
        assert layout.predictor == int(dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", 1))
        assert layout.overviews == len(dataset.overviews(1))
        assert layout.big == (options.get("bigtiff") == "yes")
        assert layout.byte_order == (">" if options.get("endianness") == "big" else "<")
        for band, row, column in np.ndindex(layout.offsets.shape):
            place = {"dm": "TIFF", "bidx": band + 1}
            assert dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", **place) == str(
                layout.offsets[band, row, column]
            )
            assert dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", **place) == str(
                layout.byte_counts[band, row, column]
            )


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("uint16", {"nbits": 12}),
        ("uint8", {"nbits": 1}),
        ("complex64", {}),
        ("float32", {"nbits": 16}),
        ("complex_int16", {}),
    ],
)
def test_samples_without_a_plain_numpy_type_are_marked(tmp_path: Path, dtype: str, options: dict[str, Any]) -> None:
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", height=8, width=8, count=1, dtype=dtype, **GRID, **options):
        pass
    assert layout_of(path).dtype == "unsupported"


def test_sparse_tiles_have_no_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint8", "tiled": True}
    with rasterio.open(path, "w", **profile, blockxsize=32, blockysize=32, sparse_ok=True, **GRID) as dataset:
        dataset.write(np.ones((1, 32, 32), "uint8"), window=rasterio.windows.Window(32, 0, 32, 32))
    layout = layout_of(path)
    np.testing.assert_array_equal(layout.byte_counts[0] > 0, [[False, True], [False, False]])
    np.testing.assert_array_equal(layout.offsets[0] > 0, [[False, True], [False, False]])


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_an_internal_mask_is_seen(tmp_path: Path, driver: str) -> None:
    plain = write(tmp_path / "plain.tif", (300, 300), driver="GTiff")
    masked = tmp_path / "masked.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(plain, "r+") as dataset:
            dataset.write_mask(np.eye(300, dtype=bool))
        rasterio.shutil.copy(
            plain, masked, driver=driver, **({"copy_src_overviews": True} if driver == "GTiff" else {})
        )
    with rasterio.open(masked) as dataset:
        assert MaskFlags.per_dataset in dataset.mask_flag_enums[0]
    assert layout_of(masked).has_mask


def test_a_directory_at_the_end_of_the_file_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", tiled=True, blockxsize=16, blockysize=16)
    before = layout_of(path)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(NOTE="x" * 5000)  # grows the directory, so libtiff writes it anew behind the pixels
    content = path.read_bytes()
    assert struct.unpack_from("<I", content, 4)[0] > before.offsets.max()
    np.testing.assert_array_equal(layout_of(path).offsets, before.offsets)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b'<VRTDataset rasterXSize="1">', "VRT"),
        (b"\n<!DOCTYPE html><html>", "HTML"),
        (b'<?xml version="1.0"?><Error>', "XML"),
        (b'{"type": "Feature"}', "JSON"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"II*", "a text file"),
        (b"II*\0", "truncated"),
        (b"II+\0\x04\0\0\0" + bytes(8), "BigTIFF"),
        (b"II*\0\0\0\0\0", "inside the file header"),
        (b"II*\0\x08\0\0\0\0\0", "0 entries"),
        (b"II*\0\x08\0\0\0\xff\xff", "65535 entries"),
        (b"II*\0\xff\xff\xff\xff", "truncated"),
    ],
)
@pytest.mark.parametrize("size_known", [True, False])
def test_what_is_no_tiff_is_refused_with_its_name(content: bytes, words: str, size_known: bool) -> None:
    with pytest.raises(ReadError, match=words) as caught:
        read_layout(lambda start, stop: content[start:stop], len(content) if size_known else None, "s3://b/k.tif")
    assert caught.value.href == "s3://b/k.tif"


def tiff(*tags: tuple[int, int, int, int], following: int = 0) -> bytes:
    """A little-endian TIFF of one directory at byte 8: (tag, type, count, value or offset)."""
    entries = b"".join(struct.pack("<HHII", *one) for one in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def bomb(**changes: tuple[int, int, int]) -> bytes:
    """An image of 16 x 16 bytes in one tile, with some tags (type, count, value) changed."""
    tags = {
        256: (4, 1, 16),
        257: (4, 1, 16),
        258: (3, 1, 8),
        322: (4, 1, 16),
        323: (4, 1, 16),
        324: (4, 1, 8),
        325: (4, 1, 100),
    }
    tags |= {int(name[1:]): value for name, value in changes.items()}
    return tiff(*((number, *value) for number, value in sorted(tags.items())))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bomb(t322=(4, 1, 16384), t323=(4, 1, 32784)), "absurd tile"),
        (bomb(t277=(3, 1, 0)), "absurd TIFF: 0 bands"),
        (bomb(t258=(4, 1, 2**32 - 1)), "absurd"),
        (bomb(t322=(4, 1, 0)), "TileWidth"),
        (bomb(t256=(4, 1, 0)), "ImageWidth"),
        (bomb(t256=(4, 1, 2**31)), "ImageWidth"),
        (bomb(t256=(4, 1, 2**31 - 1), t257=(4, 1, 2**31 - 1)), "tiles, the limit"),
        (bomb(t256=(4, 1, 17)), "1 offsets and 1 byte counts for 2 tiles"),
        (bomb(t324=(4, 2**30, 8)), "claims 4294967296 bytes"),
        (bomb(t324=(4, 100, 8)), "truncated"),
        (bomb(t324=(77, 1, 8)), "unknown type 77"),
        (bomb(t324=(11, 1, 8)), "wanted unsigned"),
        (bomb(t325=(4, 1, 2**32 - 1)), "1 of 1 tiles"),
        (bomb(t324=(4, 1, 5000)), "truncated"),
        (bomb(t259=(3, 1, 8), t325=(4, 1, 70_000)) + bytes(80_000), "70000 bytes are stored for 256"),
    ],
)
def test_absurd_headers_are_refused_before_anything_large_is_read(content: bytes, words: str) -> None:
    def get(start: int, stop: int) -> bytes:
        assert stop - start < 4096
        return content[start:stop]

    with pytest.raises(ReadError, match=words):
        read_layout(get, len(content))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"photometric": "cielab", "count": 3},
            "colours in CIELab (photometric interpretation 8), which GDAL reads as",
        ),
        ({"photometric": "cmyk", "count": 5}, "CMYK in 5 bands (photometric interpretation 5), which GDAL reads as"),
    ],
)
def test_colours_that_gdal_turns_into_other_bands_are_refused(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    path = write(tmp_path / "a.tif", dtype="uint8", interleave="pixel", **options)
    with rasterio.open(path) as dataset:
        assert dataset.count == 4
    with pytest.raises(ReadError, match=re.escape(words)):
        layout_of(path)


def test_old_style_jpeg_is_refused() -> None:
    content = bomb(t259=(3, 1, 6)) + bytes(100)
    with pytest.raises(ReadError, match=r"old-style JPEG \(compression 6\), .* convert it to RGB or to plain bands"):
        read_layout(lambda start, stop: content[start:stop], len(content))


@pytest.mark.parametrize("tag", [259, 278, 317])
def test_a_tag_of_two_values_that_should_have_one_is_left_to_gdal(tag: int) -> None:
    content = bomb(**{f"t{tag}": (3, 2, 1)}) + bytes(200)
    layout = read_layout(lambda start, stop: content[start:stop], len(content))
    assert layout.repaired == f"2 values of tag {tag}, wanted 1"


def test_an_unknown_planar_configuration_is_refused() -> None:
    content = bomb(t284=(3, 1, 3)) + bytes(100)
    with pytest.raises(ReadError, match="PlanarConfiguration .* is 3, wanted 1 or 2"):
        read_layout(lambda start, stop: content[start:stop], len(content))


def test_the_largest_tile_allowed_is_read(tmp_path: Path) -> None:
    side = int(MAX_TILE_BYTES**0.5) // 16 * 16
    assert read_layout(lambda a, b: bomb(t322=(4, 1, side), t323=(4, 1, side))[a:b], None).tile_width == side


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("samples")
    chosen = ("COG", "strips", "big-endian BigTIFF", "bands in turn", "lerc")
    return [write(folder / f"{i}.tif", **KINDS[name]).read_bytes() for i, name in enumerate(chosen)]


@given(data=st.data(), size_known=st.booleans())
def test_a_damaged_header_gives_a_layout_or_a_read_error(
    samples: list[bytes], data: st.DataObject, size_known: bool
) -> None:
    content = bytearray(data.draw(st.sampled_from(samples)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content), 1200) - 1))
        value = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(value)] = value
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    try:
        layout = read_layout(lambda start, stop: bytes(content[start:stop]), len(content) if size_known else None)
    except ReadError:
        return
    assert layout.offsets.shape[1:] == (layout.tiles_down, layout.tiles_across)
