"""Where tiles lie: lists that libtiff completes or repairs, and long strips that are read in pieces."""

from pathlib import Path

import numpy as np
import pytest
from obstore.store import LocalStore
from tiff_files import (
    COUNTS,
    ENCODERS,
    IMAGE,
    OFFSETS,
    Tags,
    directory,
    header_of,
    read_fast,
    read_rasterio,
    strips,
    tags_of,
    tiff,
)

from runner.errors import ReadError
from runner.read import gdal_reader, tile_lists
from runner.read.decode import fast_path_refusal
from runner.read.header import SceneFile, Window
from runner.read.layout import MAX_DIRECTORIES

COMPRESSIONS = list(ENCODERS)


@pytest.mark.parametrize("count", [[0], [], [5], [100_000]])
def test_an_uncompressed_only_strip_needs_no_byte_count(count: list[int]) -> None:
    content = tiff({**tags_of("none", 22), COUNTS: (4, count)}, strips("none", 22))
    np.testing.assert_array_equal(read_rasterio(content), IMAGE)
    np.testing.assert_array_equal(read_fast(content), IMAGE)


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
@pytest.mark.parametrize("count", [[0], []])
def test_a_compressed_only_strip_without_a_byte_count_is_left_to_gdal(compression: str, count: list[int]) -> None:
    content = tiff({**tags_of(compression, 22), COUNTS: (4, count)}, strips(compression, 22))
    np.testing.assert_array_equal(read_rasterio(content), IMAGE)
    assert fast_path_refusal(header_of(content), 1) == "a TIFF with no byte count of its only strip"


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    ("rows", "counts"), [(8, [0, 0, 0]), (8, [0, None, None]), (8, [None, None, 0]), (None, [None, 0])]
)
def test_other_tiles_without_a_byte_count_are_sparse_as_for_gdal(
    compression: str, rows: int | None, counts: list[int | None]
) -> None:
    height = rows or 16
    tiles = strips(compression, height, np.pad(IMAGE, ((0, 10), (0, 0)))[: 32 if rows is None else 22])
    counts = [len(tile) if count is None else count for tile, count in zip(tiles, counts, strict=True)]
    content = tiff({**tags_of(compression, rows), (COUNTS if rows else 325): (4, counts)}, tiles)
    np.testing.assert_array_equal(read_fast(content), read_rasterio(content))


@pytest.mark.parametrize("counts", [[0, 352], [0, 0], []])
def test_an_only_strip_of_each_band_is_repaired_only_where_the_list_is_missing(counts: list[int]) -> None:
    tags = {**tags_of("none", 22), 258: (3, [8, 8]), 277: (3, [2]), 284: (3, [2]), 338: (3, [0])}
    content = tiff({**tags, COUNTS: (4, counts)}, strips("none", 22) * 2)
    for band in (1, 2):
        np.testing.assert_array_equal(read_fast(content, band), read_rasterio(content, band))


def test_an_only_strip_without_offset_is_sparse() -> None:
    content = tiff({**tags_of("none", 22), COUNTS: (4, [0]), OFFSETS: (4, [0])}, [])
    assert not read_rasterio(content).any()
    assert not read_fast(content).any()


@pytest.mark.parametrize("kind", [8, 9])
def test_signed_offsets_are_read_unless_they_are_negative(kind: int) -> None:
    tiles = strips("none")
    tags = {**tags_of("none", 8), OFFSETS: (kind, [8, 136, 264]), COUNTS: (kind, [128, 128, 96])}
    np.testing.assert_array_equal(read_rasterio(tiff(tags, tiles)), IMAGE)
    np.testing.assert_array_equal(read_fast(tiff(tags, tiles)), IMAGE)
    with pytest.raises(ReadError, match=f"tag 273 has type {kind}, wanted unsigned integers"):
        header_of(tiff({**tags, OFFSETS: (kind, [8, -136, 264])}, tiles))


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ({COUNTS: (4, [128, 128])}, "3 offsets and 2 byte counts for 3 tiles"),
        ({COUNTS: (4, [])}, "3 offsets and 0 byte counts for 3 tiles"),
        ({OFFSETS: (4, [8, 136])}, "2 offsets and 3 byte counts for 3 tiles"),
        ({OFFSETS: (4, [0, 136, 264])}, "a tile lies inside the file header"),
        ({OFFSETS: (4, [8, 136, 9999])}, r"truncated TIFF: a tile ends at byte 10095, .* \(1 of 3"),
    ],
)
def test_tiles_that_gdal_would_lose_or_make_up_are_refused(tags: Tags, problem: str) -> None:
    with pytest.raises(ReadError, match=problem):
        header_of(tiff({**tags_of("none", 8), **tags}, strips("none")))


def test_an_uncompressed_tile_ends_where_its_pixels_end() -> None:
    content = tiff({**tags_of("none", 8), COUNTS: (4, [128, 999, 90_000])}, strips("none"))
    np.testing.assert_array_equal(read_rasterio(content), IMAGE)
    np.testing.assert_array_equal(read_fast(content), IMAGE)


# --- long strips --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "pieces"), [(22, 8), (12, 8), (11, 22)])
def test_uncompressed_strips_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch, rows: int, pieces: int) -> None:
    monkeypatch.setattr(tile_lists, "PIECE_BYTES", 3 * 16)
    content = tiff(tags_of("none", rows), strips("none", rows))
    layout = header_of(content).layout
    assert (layout.tiles_down, layout.tile_height) == (pieces, -(-22 // pieces))
    assert layout.byte_counts.sum() == IMAGE.nbytes
    np.testing.assert_array_equal(read_fast(content), IMAGE)


def test_pieces_of_sparse_strips_are_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_lists, "PIECE_BYTES", 3 * 16)
    content = tiff({**tags_of("none", 12), COUNTS: (4, [0, 160])}, strips("none", 12))
    np.testing.assert_array_equal(read_fast(content), read_rasterio(content))
    assert (header_of(content).layout.byte_counts[0, :, 0] == [0] * 4 + [48] * 3 + [16]).all()


@pytest.mark.parametrize("tiled", [True, False])
def test_rows_may_be_as_long_as_memory_allows_and_tiles_too(tiled: bool) -> None:
    tags = tags_of("deflate", None if tiled else 2**20, (2**20, 1024))
    tags |= {322: (4, [2**15]), 323: (4, [2**15])} if tiled else {}
    content = tiff(tags, [bytes(100)] * (32 if tiled else 1))
    if tiled:
        with pytest.raises(ReadError, match="absurd tile: 32768 rows x 32768 columns"):
            header_of(content)
    else:
        assert "a strip of 1,073,741,824 bytes" in str(fast_path_refusal(header_of(content), 1))


# --- directories --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("following", [1, 8, 30, 10**6])
def test_a_link_that_leads_nowhere_is_left_to_gdal(following: int) -> None:
    content = tiff(tags_of("none", 8), strips("none"), following=following)
    np.testing.assert_array_equal(read_rasterio(content), IMAGE)
    reason = f"a TIFF with a link to a directory at byte {following}, where there is none"
    assert fast_path_refusal(header_of(content), 1) == reason


def pages(count: int, mask: int | None = None) -> bytes:
    """The image, and further pages behind it, of which one may be a mask."""
    start = len(tiff(tags_of("none", 8), strips("none")))
    page = {**tags_of("none", 22), OFFSETS: (4, [8]), COUNTS: (4, [352])}
    size = len(directory({254: (4, [2]), **page}, 0, 0))
    content = tiff(tags_of("none", 8), strips("none"), following=start)
    for number in range(count):
        kind, following = 4 if number == mask else 2, start + size * (number + 1)
        last = number == count - 1
        content += directory({254: (4, [kind]), **page}, start + size * number, 0 if last else following)
    return content


def test_pages_behind_the_image_are_passed_over() -> None:
    np.testing.assert_array_equal(read_fast(pages(20)), IMAGE)
    assert header_of(pages(20, mask=19)).layout.has_mask


def test_a_file_of_very_many_pages_is_left_to_gdal() -> None:
    content = pages(MAX_DIRECTORIES)
    np.testing.assert_array_equal(read_rasterio(content), IMAGE)
    assert fast_path_refusal(header_of(content), 1) == "a TIFF with more than 256 directories"


def test_directories_in_a_circle_are_left_to_gdal() -> None:
    start = len(tiff(tags_of("none", 8), strips("none")))
    page = {254: (4, [2]), **tags_of("none", 22), OFFSETS: (4, [8]), COUNTS: (4, [352])}
    content = tiff(tags_of("none", 8), strips("none"), following=start) + directory(page, start, start)
    np.testing.assert_array_equal(read_rasterio(content), IMAGE)
    assert fast_path_refusal(header_of(content), 1) == "a TIFF with directories in a circle"


def test_a_mask_that_only_gdal_finds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(content := pages(300, mask=290))
    scene = SceneFile(str(tmp_path / "a.tif"), LocalStore(tmp_path), "a.tif", None, header_of(content))
    with pytest.raises(ReadError, match="has a mask that was not planned for, being a TIFF with more than 256 direct"):
        list(gdal_reader.read_scenes([scene], Window(0, 0, 22, 16), 1, lambda one: one.href))
