"""Predictors against GDAL's and imagecodecs' encoders."""

import math
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from runner.read.predictor import undo_predictor

INTEGERS = ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float32", "float64"]


def pixels(shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    """Any bits at all, infinities and NaN included."""
    rng = np.random.default_rng(shape[1])
    return np.frombuffer(rng.bytes(math.prod(shape) * np.dtype(dtype).itemsize), dtype).reshape(shape)


def decoded(encoded: bytes, like: np.ndarray, predictor: int, *, big_endian: bool = False) -> bytes:
    out = np.empty_like(like)
    undo_predictor(np.frombuffer(bytearray(encoded), np.uint8), out, predictor, big_endian=big_endian)
    return out.tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 2, 7, 16, 250, 512])
def test_floating_point_planes_are_undone_for_every_width(dtype: str, columns: int) -> None:
    wanted = pixels((3, columns, 1), dtype)
    encoded = imagecodecs.floatpred_encode(wanted[..., 0], axis=-1).tobytes()
    assert decoded(encoded, wanted, 3) == wanted.tobytes()


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("columns", [1, 33, 512])
def test_differences_wrap_around_and_stay_within_a_sample(dtype: str, samples: int, columns: int) -> None:
    wanted = pixels((4, columns, samples), dtype)
    bits = wanted.view(f"u{wanted.dtype.itemsize}")
    encoded = imagecodecs.delta_encode(bits, axis=1).tobytes()
    assert decoded(encoded, wanted, 2) == wanted.tobytes()


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize(
    ("dtype", "predictor"), [(d, p) for d in INTEGERS for p in (1, 2)] + [(d, p) for d in FLOATS for p in (1, 2, 3)]
)
def test_a_tile_as_gdal_wrote_it(tmp_path: Path, dtype: str, predictor: int, endian: str, samples: int) -> None:
    wanted = pixels((16, 32, samples), dtype)
    path = tmp_path / "tile.tif"
    profile = {"driver": "GTiff", "height": 16, "width": 32, "count": samples, "dtype": dtype, "tiled": True}
    profile["transform"] = from_origin(500000, 5000000, 10, 10)
    layout = {"blockxsize": 32, "blockysize": 16, "interleave": "pixel", "ENDIANNESS": endian}
    coding = {"compress": "DEFLATE", "predictor": predictor}
    with rasterio.open(path, "w", **profile, **layout, **coding) as raster:
        raster.write(np.moveaxis(wanted, -1, 0))
    with rasterio.open(path) as raster:
        offset, size = (int(raster.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", 1)) for what in ("OFFSET", "SIZE"))
    encoded = zlib.decompress(path.read_bytes()[offset : offset + size])
    assert decoded(encoded, wanted, predictor, big_endian=endian == "BIG") == wanted.tobytes()


@pytest.mark.parametrize("big_endian", [False, True])
def test_integers_are_decoded_where_they_lie(big_endian: bool) -> None:
    wanted = pixels((2, 8, 1), "uint16")
    differences = np.diff(wanted, axis=1, prepend=np.uint16(0)).astype(">u2" if big_endian else "<u2")
    encoded = np.frombuffer(bytearray(differences.tobytes()), np.uint8)
    undo_predictor(encoded, encoded.view(np.uint16).reshape(2, 8, 1), 2, big_endian=big_endian)
    assert encoded.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(
    ("size", "dtype", "predictor", "words"),
    [(15, "uint8", 1, "15 bytes"), (16, "uint8", 4, "got 4"), (16, "uint8", 3, "floating point")],
)
def test_what_does_not_fit_is_refused(size: int, dtype: str, predictor: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        undo_predictor(np.zeros(size, np.uint8), np.zeros((4, 4, 1), dtype), predictor, big_endian=False)
