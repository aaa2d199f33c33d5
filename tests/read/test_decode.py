"""Tiles against GDAL's reading of the same file, and tiles that are damaged."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.windows
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ReadError
from runner.read.decode import Buffers, TileDecoder, fast_path_refusal
from runner.read.header import Header, read_header

GRID: dict[str, Any] = {"driver": "GTiff", "crs": "EPSG:32610", "transform": Affine(20, 0, 499980, 0, -20, 4200000)}
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
DTYPES = (*INTEGERS, "float32", "float64")
SHAPE = (45, 70)


def random_pixels(dtype: str, count: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Pixels over the whole range of the dtype; runs of equal ones, so that PackBits has something to pack."""
    rng = np.random.default_rng(5)
    if dtype.startswith("float"):
        pixels = rng.gamma(1, 0.1, (count, *shape)) * 10.0 ** rng.integers(-30, 30, (count, *shape))
    else:
        info = np.iinfo(dtype)
        pixels = rng.integers(info.min, info.max, (count, *shape), dtype=dtype, endpoint=True)
    pixels[:, 5:9] = 0
    return pixels.astype(dtype)


def write(path: Path, dtype: str = "float32", count: int = 1, pixels: np.ndarray | None = None, **options: Any) -> Path:
    pixels = random_pixels(dtype, count) if pixels is None else pixels
    profile = {**GRID, "height": pixels.shape[1], "width": pixels.shape[2], "count": count, "dtype": dtype, **options}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
    return path


def header_of(path: Path) -> Header:
    content = path.read_bytes()
    return read_header(lambda start, stop: content[start:stop], len(content), path.name)


def decode_all(path: Path, header: Header, band: int) -> np.ndarray:
    """The whole image, tile by tile."""
    content, layout = path.read_bytes(), header.layout
    decoder = TileDecoder(path.name, header, band, Buffers(1))
    image = np.zeros(header.shape, layout.dtype)
    plane = band - 1 if layout.planar == "band" else 0
    for row, column in np.ndindex(layout.tiles_down, layout.tiles_across):
        top, left = row * layout.tile_height, column * layout.tile_width
        target = image[top : top + layout.tile_height, left : left + layout.tile_width]
        rows, columns = (slice(0, size) for size in target.shape)
        start, length = int(layout.offsets[plane, row, column]), int(layout.byte_counts[plane, row, column])
        data = memoryview(content)[start : start + length]
        target[...] = decoder.decode(data, row, rows, columns) if length else decoder.blank(rows, columns)
    return image


def assert_same_as_gdal(path: Path) -> None:
    header = header_of(path)
    with rasterio.open(path) as dataset:
        for band in dataset.indexes:
            assert fast_path_refusal(header, band) is None
            ours, theirs = decode_all(path, header, band), dataset.read(band)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


TILED: dict[str, Any] = {"tiled": True, "blockxsize": 32, "blockysize": 16}
STRIPED: dict[str, Any] = {"blockysize": 7}
PREDICTORS = [
    *((codec, 2) for codec in ("lzw", "deflate", "zstd")),
    *((codec, 1) for codec in ("none", "packbits", "lzw", "deflate", "zstd")),
]


@pytest.mark.parametrize("layout", [TILED, STRIPED], ids=["tiles", "strips"])
@pytest.mark.parametrize("endianness", ["little", "big"])
@pytest.mark.parametrize(("compress", "predictor"), PREDICTORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_and_floats(
    tmp_path: Path, dtype: str, compress: str, predictor: int, endianness: str, layout: dict[str, Any]
) -> None:
    options = {"compress": compress, "predictor": predictor, "endianness": endianness, **layout}
    assert_same_as_gdal(write(tmp_path / "a.tif", dtype, **options))


@pytest.mark.parametrize("layout", [TILED, STRIPED], ids=["tiles", "strips"])
@pytest.mark.parametrize("compress", ["lerc", "lerc_deflate", "lerc_zstd"])
@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype not in ("int64", "uint64")])
def test_lerc(tmp_path: Path, dtype: str, compress: str, layout: dict[str, Any]) -> None:
    assert_same_as_gdal(write(tmp_path / "a.tif", dtype, compress=compress, **layout))


@pytest.mark.parametrize("layout", [TILED, STRIPED], ids=["tiles", "strips"])
@pytest.mark.parametrize("endianness", ["little", "big"])
@pytest.mark.parametrize("interleave", ["band", "pixel"])
@pytest.mark.parametrize("compress", ["lzw", "deflate", "zstd"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floating_point_predictor(
    tmp_path: Path, dtype: str, compress: str, interleave: str, endianness: str, layout: dict[str, Any]
) -> None:
    options: dict[str, Any] = {
        "predictor": 3,
        "compress": compress,
        "interleave": interleave,
        "endianness": endianness,
        **layout,
    }
    assert_same_as_gdal(write(tmp_path / "a.tif", dtype, 3, **options))


@pytest.mark.parametrize("layout", [TILED, STRIPED], ids=["tiles", "strips"])
@pytest.mark.parametrize("interleave", ["band", "pixel"])
@pytest.mark.parametrize("endianness", ["little", "big"])
@pytest.mark.parametrize(("compress", "predictor"), [("none", 1), ("deflate", 1), ("deflate", 2)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_every_band_of_either_interleaving(
    tmp_path: Path, dtype: str, compress: str, predictor: int, endianness: str, interleave: str, layout: dict[str, Any]
) -> None:
    options: dict[str, Any] = {
        "predictor": predictor,
        "compress": compress,
        "interleave": interleave,
        "endianness": endianness,
    }
    assert_same_as_gdal(write(tmp_path / "a.tif", dtype, 3, **options, **layout))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_photometric_interpretation_leaves_pixels_alone(tmp_path: Path, photometric: str) -> None:
    assert_same_as_gdal(write(tmp_path / "a.tif", "uint8", photometric=photometric))


@pytest.mark.parametrize("compress", ["lerc", "lerc_deflate", "lerc_zstd"])
@pytest.mark.parametrize("options", [{}, {"MAX_Z_ERROR": 0.01}, {"interleave": "band", "count": 2}])
def test_lerc_with_missing_pixels(tmp_path: Path, compress: str, options: dict[str, Any]) -> None:
    pixels = random_pixels("float32", options.get("count", 1)) % 10
    pixels[:, 3:20, 40:60] = np.nan
    assert_same_as_gdal(write(tmp_path / "a.tif", pixels=pixels, compress=compress, **options, **TILED))


@pytest.mark.parametrize("interleave", ["band", "pixel"])
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", None), ("uint8", 255), ("int8", -128), ("int16", -9999), ("float32", np.nan), ("float32", 0.1),
     ("float64", -np.inf), ("int64", -(2**63)), ("uint64", 2**63), ("int64", 2**53 + 1), ("float32", -3.4e38)],
)  # fmt: skip
def test_sparse_tiles_are_nodata(tmp_path: Path, dtype: str, nodata: float | None, interleave: str) -> None:
    path = tmp_path / "a.tif"
    profile = {**GRID, "height": 45, "width": 70, "count": 2, "dtype": dtype, "nodata": nodata, "sparse_ok": True}
    with rasterio.open(path, "w", **profile, interleave=interleave, compress="deflate", **TILED) as dataset:
        dataset.write(np.ones((2, 16, 32), dtype), window=rasterio.windows.Window(32, 16, 32, 16))
    assert_same_as_gdal(path)


@pytest.mark.parametrize("rows", [slice(0, 16), slice(3, 9), slice(15, 16)])
@pytest.mark.parametrize("columns", [slice(0, 32), slice(5, 6), slice(20, 32)])
def test_part_of_a_tile(tmp_path: Path, rows: slice, columns: slice) -> None:
    path = write(tmp_path / "a.tif", compress="deflate", predictor=3, **TILED)
    header = header_of(path)
    start, length = int(header.layout.offsets[0, 1, 1]), int(header.layout.byte_counts[0, 1, 1])
    data = memoryview(path.read_bytes())[start : start + length]
    ours = TileDecoder("a.tif", header, 1, Buffers(1)).decode(data, 1, rows, columns)
    np.testing.assert_array_equal(ours, random_pixels("float32", 1)[0, 16:32, 32:64][rows, columns])


def test_buffers_are_used_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", compress="deflate", predictor=3, **TILED)
    header, content = header_of(path), path.read_bytes()
    buffers = Buffers(1)
    views = []
    for column in (0, 1):
        start, length = int(header.layout.offsets[0, 0, column]), int(header.layout.byte_counts[0, 0, column])
        decoder = TileDecoder("a.tif", header, 1, buffers)
        views.append(decoder.decode(memoryview(content)[start : start + length], 0, slice(0, 16), slice(0, 32)))
    assert np.shares_memory(views[0], views[1])


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("compression jpeg", {"compress": "jpeg", "dtype": "uint8"}),
    "WebP": ("compression webp", {"compress": "webp", "dtype": "uint8", "count": 3, "interleave": "pixel"}),
    "LZMA": ("compression lzma", {"compress": "lzma"}),
    "12 bits": ("samples of 12 bits", {"nbits": 12, "dtype": "uint16", "pixels": np.ones((1, 9, 9), "uint16")}),
    "half floats": ("samples of 16 bits", {"nbits": 16, "pixels": np.ones((1, 9, 9), "float32")}),
    "complex": ("sample format 6", {"dtype": "complex64", "pixels": np.ones((1, 9, 9), "complex64")}),
    "big-endian LERC": ("LERC", {"compress": "lerc", "endianness": "big", **TILED}),
    "LERC of interleaved bands": ("LERC", {"compress": "lerc", "count": 2, "interleave": "pixel", **TILED}),
    "an alpha band": ("alpha", {"count": 2, "dtype": "uint8", "alpha": "yes"}),
    "YCbCr": ("compression jpeg", {"compress": "jpeg", "photometric": "ycbcr", "count": 3, "dtype": "uint8"}),
    "CMYK": ("photometric interpretation 5", {"photometric": "cmyk", "count": 4, "dtype": "uint8"}),
}


@pytest.mark.parametrize(("words", "options"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_left_to_gdal_is_said_in_words(tmp_path: Path, words: str, options: dict[str, Any]) -> None:
    assert words in str(fast_path_refusal(header_of(write(tmp_path / "a.tif", **options)), 1))


@pytest.mark.parametrize("band", [0, 3])
def test_a_band_that_is_not_there_is_refused(tmp_path: Path, band: int) -> None:
    assert f"it has 2 bands, so no band {band}" in str(
        fast_path_refusal(header_of(write(tmp_path / "a.tif", count=2)), band)
    )


@pytest.mark.parametrize(
    ("words", "change"),
    [("reverse", {"fill_order": 2}), ("predictor 4", {"predictor": 4}),
     ("compression code 77", {"compression": "code 77"})],
)  # fmt: skip
def test_rare_layouts_are_left_to_gdal(tmp_path: Path, words: str, change: dict[str, Any]) -> None:
    header = header_of(write(tmp_path / "a.tif", compress="deflate"))
    changed = dataclasses.replace(header, layout=dataclasses.replace(header.layout, **change))
    assert words in str(fast_path_refusal(changed, 1))


CODECS = ("none", "packbits", "lzw", "deflate", "zstd", "lerc", "lerc_deflate", "lerc_zstd")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Header, bytes]]:
    """For each codec a header and the bytes of its first tile."""
    found = {}
    for codec in CODECS:
        path = write(tmp_path_factory.mktemp(codec) / "a.tif", compress=codec, **TILED)
        header = header_of(path)
        start, length = int(header.layout.offsets[0, 0, 0]), int(header.layout.byte_counts[0, 0, 0])
        found[codec] = header, path.read_bytes()[start : start + length]
    return found


def decode_one(header: Header, data: bytes) -> np.ndarray:
    return TileDecoder("s3://b/k.tif", header, 1, Buffers(1)).decode(memoryview(data), 0, slice(0, 16), slice(0, 32))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kept", [0, 1, 100])
def test_a_tile_cut_short_is_an_error(stored: dict[str, tuple[Header, bytes]], codec: str, kept: int) -> None:
    header, data = stored[codec]
    with pytest.raises(ReadError, match=r"s3://b/k\.tif: a tile of tile row 0 is damaged"):
        decode_one(header, data[:kept])


@given(data=st.data())
def test_a_damaged_tile_gives_pixels_or_a_read_error(
    stored: dict[str, tuple[Header, bytes]], data: st.DataObject
) -> None:
    header, whole = stored[data.draw(st.sampled_from(CODECS))]
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(changed) - 1))
        value = data.draw(st.binary(min_size=1, max_size=9))
        changed[at : at + len(value)] = value
    try:
        pixels = decode_one(header, bytes(changed))
    except ReadError:
        return
    assert pixels.shape == (16, 32)
    assert pixels.dtype == np.float32
