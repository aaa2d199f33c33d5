"""Tiles that hold more, or at the bottom fewer rows, than the format says: read as libtiff reads them."""

import zlib
from collections.abc import Callable

import numpy as np
import pytest
from tiff_files import ENCODERS, IMAGE, read_fast, read_rasterio, strips, tags_of, tiff

from runner.errors import ReadError

COMPRESSIONS = list(ENCODERS)
PADDED = np.pad(IMAGE, ((0, 10), (0, 0)))  # to whole strips of 8 rows, and tiles of 16


def tiles(compression: str, bottom_rows: int) -> list[bytes]:
    encode = ENCODERS[compression]
    return [encode(IMAGE[:16].tobytes()), encode(PADDED[16 : 16 + bottom_rows].tobytes())]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_padded_last_strip_is_read(compression: str) -> None:
    content = tiff(tags_of(compression, 8), strips(compression, image=PADDED[:24]))
    np.testing.assert_array_equal(read_rasterio(content), IMAGE)
    np.testing.assert_array_equal(read_fast(content), IMAGE)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("rows", [6, 7, 15, 16, 20])
def test_a_bottom_tile_may_hold_the_rows_of_the_image_only(compression: str, rows: int) -> None:
    content = tiff(tags_of(compression), tiles(compression, rows))
    np.testing.assert_array_equal(read_rasterio(content), IMAGE)
    np.testing.assert_array_equal(read_fast(content), IMAGE)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("behind", [b"\0", b"\0" * 5, b"\xff" * 4, b"\x80\x80", b"\x07junk"])
@pytest.mark.parametrize("rows", [0, 6])
def test_bytes_behind_the_data_of_a_tile_are_not_looked_at(compression: str, behind: bytes, rows: int) -> None:
    stored = tiles(compression, rows) if rows else strips(compression)
    content = tiff(tags_of(compression, None if rows else 8), [tile + behind for tile in stored])
    np.testing.assert_array_equal(read_rasterio(content), IMAGE)
    np.testing.assert_array_equal(read_fast(content), IMAGE)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_bottom_tile_without_a_row_of_the_image_is_damaged(compression: str) -> None:
    content = tiff(tags_of(compression), tiles(compression, 5))
    with pytest.raises(ReadError, match=r"tile row 1 is damaged .*it decodes to 80 bytes, wanted 96"):
        read_fast(content)


def test_runs_of_packbits_may_go_beyond_the_tile() -> None:
    content = tiff(tags_of("packbits", 8), [b"\x81\x05\x81\x06", b"\x7f" + bytes(128), b"\x7f" + bytes(range(128))])
    np.testing.assert_array_equal(read_fast(content), read_rasterio(content))


@pytest.mark.parametrize("change", [lambda tile: tile[:-1] + b"x", lambda tile: tile[:-4], lambda tile: tile[:-9]])
def test_deflate_that_is_longer_than_its_tile_is_held_to_its_checksum(change: Callable[[bytes], bytes]) -> None:
    stored = strips("deflate", image=PADDED[:24])
    with pytest.raises(ReadError, match="tile row 2 is damaged"):
        read_fast(tiff(tags_of("deflate", 8), [*stored[:2], change(stored[2])]))


def test_deflate_that_goes_on_without_an_end_is_given_up() -> None:
    bomb = zlib.compress(bytes(10**6))
    with pytest.raises(ReadError, match="far longer than its tile"):
        read_fast(tiff(tags_of("deflate", 8), [bomb, *strips("deflate")[1:]]))
