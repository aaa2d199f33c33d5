"""The lists of a TIFF's tiles: offsets and byte counts, checked, completed, and cut as they can be read.

Sources: TIFF 6.0 sections 8 and 15; libtiff's tif_dirread.c (EstimateStripByteCounts, ByteCountLooksBad) for the only
strip of an image, whose byte count it does not trust. Any other tile without a byte count is sparse to GDAL.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.read.ifd import Directory

MAX_TILE_BYTES: Final = 512 * 2**20  # one tile when decoded; a 32 KiB file can claim a tile of gigabytes
MAX_TILES: Final = 2**22  # a million by a million pixels in tiles of 512
PIECE_BYTES: Final = 4 * 2**20  # of an uncompressed strip that is read in pieces, since it can be
_FILE_HEADER_BYTES: Final = 8
_YCBCR: Final = 6  # whose rows are shorter where colours are subsampled

Lists = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The grid of tiles of an image: `samples` are interleaved in a tile, `planes` are stored apart."""

    height: int
    width: int
    tile_height: int
    tile_width: int
    samples: int
    planes: int
    bits: int
    tiled: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """(planes, tiles down, tiles across)."""
        return self.planes, -(-self.height // self.tile_height), -(-self.width // self.tile_width)

    @property
    def row_bytes(self) -> int:
        """Bytes of a decoded row of a tile."""
        return -(-self.tile_width * self.samples * self.bits // 8)

    @property
    def tile_bytes(self) -> int:
        """Bytes of a decoded tile."""
        return self.tile_height * self.row_bytes

    def stored_rows(self) -> npt.NDArray[np.uint64]:
        """The stored rows of each row of tiles, (tiles down, 1); the last strip is not stored in full."""
        tops = np.arange(self.shape[1]) * self.tile_height
        rows = np.minimum(self.tile_height, self.height - tops) if not self.tiled else self.tile_height + 0 * tops
        return rows.astype(np.uint64)[:, None]


class TileLists(NamedTuple):
    """Offsets and byte counts of all tiles, and the rows of a tile; `repaired` is as in `TiffLayout`."""

    offsets: Lists
    byte_counts: Lists
    tile_height: int
    repaired: str


def read_tile_lists(tags: Directory, grid: TileGrid) -> TileLists:
    """The lists of tiles. Raises ReadError if tiles lie beyond the file or are absurdly large."""
    _check_size(tags, grid)
    offsets, byte_counts = _lists(tags, grid)
    only_strip = _one_strip_a_plane(grid) and (grid.planes == 1 or _counts_tag(tags) not in tags.entries)
    repaired = ""
    uncompressed = tags.integer(259, 1) == 1 and tags.integer(262, 1) != _YCBCR
    if uncompressed:
        byte_counts = _exact(grid, offsets, byte_counts, only_strip=only_strip)
    elif only_strip and offsets.all() and not byte_counts.all():
        repaired = "no byte count of its only strip"
        byte_counts = _to_the_end(tags, grid, offsets)
    _check_extent(tags, grid, offsets, byte_counts)
    if uncompressed and not grid.tiled:
        return _in_pieces(grid, offsets, byte_counts)
    return TileLists(offsets, byte_counts, grid.tile_height, repaired)


def _check_size(tags: Directory, grid: TileGrid) -> None:
    """Refuse tiles over MAX_TILE_BYTES; a strip can be cut, so that only its rows must be smaller."""
    rows = grid.tile_height if grid.tiled else 1
    length = rows * grid.row_bytes
    if not 0 < length <= MAX_TILE_BYTES:
        tags.source.fail(
            f"absurd tile: {rows} rows x {grid.tile_width} columns x {grid.samples} samples decode to {length} "
            f"bytes, wanted 1 to {MAX_TILE_BYTES}; rewrite it with tiles of 512 x 512"
        )


def _lists(tags: Directory, grid: TileGrid) -> tuple[Lists, Lists]:
    """Offsets and byte counts as they are in the file, in the shape of the grid."""
    shape = grid.shape
    count = shape[0] * shape[1] * shape[2]
    if count > MAX_TILES:
        tags.source.fail(f"absurd TIFF: {count} tiles, the limit is {MAX_TILES}")
    numbers = (324 if 324 in tags.entries else 273, _counts_tag(tags))
    offsets, byte_counts = (tags.array(number, 8 * MAX_TILES) for number in numbers)
    if not len(byte_counts) and _one_strip_a_plane(grid):
        byte_counts = np.zeros(count, np.uint64)
    if min(len(offsets), len(byte_counts)) < count:
        tags.source.fail(
            f"damaged TIFF: {len(offsets)} offsets and {len(byte_counts)} byte counts for {count} tiles; write it anew"
        )
    return offsets[:count].reshape(shape), byte_counts[:count].reshape(shape)


def _counts_tag(tags: Directory) -> int:
    return 325 if 324 in tags.entries else 279


def _one_strip_a_plane(grid: TileGrid) -> bool:
    return not grid.tiled and grid.shape[1:] == (1, 1)


def _exact(grid: TileGrid, offsets: Lists, byte_counts: Lists, *, only_strip: bool) -> Lists:
    """Byte counts of uncompressed tiles, without bytes behind the pixels; of an only strip as they must be."""
    needed = grid.stored_rows() * np.uint64(grid.row_bytes)
    exact: Lists = np.where(offsets > 0, needed, byte_counts) if only_strip else np.minimum(byte_counts, needed)
    return exact


def _to_the_end(tags: Directory, grid: TileGrid, offsets: Lists) -> Lists:
    """The greatest possible byte counts: up to the end of the file, if that is known."""
    end = tags.source.size if tags.source.size is not None else int(offsets.max()) + grid.tile_bytes
    counts: Lists = np.uint64(end) - np.minimum(offsets, np.uint64(end))
    return counts


def _check_extent(tags: Directory, grid: TileGrid, offsets: Lists, byte_counts: Lists) -> None:
    """Refuse tiles that end beyond the file (if its size is unknown: beyond 2**63) or that are far too long."""
    source, tile_bytes = tags.source, grid.tile_bytes
    size = 2**63 if source.size is None else source.size
    longest = int(byte_counts.max())
    if max(longest, int(offsets.max())) > size or int((offsets + byte_counts).max()) > size:
        _refuse_beyond(tags, size, offsets, byte_counts)
    if int(offsets.min()) < _FILE_HEADER_BYTES and ((offsets < _FILE_HEADER_BYTES) & (byte_counts > 0)).any():
        source.fail("damaged TIFF: a tile lies inside the file header; write it anew")
    if longest > 2 * tile_bytes + 65536:  # LZW grows noise by half at most, others by less
        source.fail(f"absurd tile: {longest} bytes are stored for {tile_bytes} decoded ones; write it anew")


def _refuse_beyond(tags: Directory, size: int, offsets: Lists, byte_counts: Lists) -> None:
    """Refuse tiles that end beyond so many bytes. Sparse ones have no end."""
    limit = np.uint64(size)
    beyond = (byte_counts > 0) & ((byte_counts > limit) | (offsets > limit - np.minimum(byte_counts, limit)))
    if beyond.any():
        stop = int(offsets[beyond][0]) + int(byte_counts[beyond][0])
        tags.source.fail(
            f"truncated TIFF: a tile ends at byte {stop}, the object has {size} bytes ({int(beyond.sum())} of "
            f"{offsets.size} tiles are affected); upload it again"
        )


def _in_pieces(grid: TileGrid, offsets: Lists, byte_counts: Lists) -> TileLists:
    """Uncompressed strips cut into shorter ones, of PIECE_BYTES, where all are whole: any of their rows can be read."""
    rows = _piece_rows(grid)
    whole = (byte_counts == 0) | (byte_counts == grid.stored_rows() * np.uint64(grid.row_bytes))
    count = grid.planes * -(-grid.height // rows)
    if rows == grid.tile_height or count > MAX_TILES or not whole.all():
        return TileLists(offsets, byte_counts, grid.tile_height, "")
    tops = np.arange(0, grid.height, rows)
    strips, inside = tops // grid.tile_height, (tops % grid.tile_height).astype(np.uint64)[:, None]
    stored = byte_counts[:, strips] > 0
    lengths = np.minimum(rows, grid.height - tops).astype(np.uint64)[:, None] * np.uint64(grid.row_bytes)
    starts = offsets[:, strips] + inside * np.uint64(grid.row_bytes)
    return TileLists(np.where(stored, starts, 0), np.where(stored, lengths, 0).astype(np.uint64), rows, "")


def _piece_rows(grid: TileGrid) -> int:
    """Rows of a piece; where there are several strips, whole pieces must make one."""
    most = max(1, PIECE_BYTES // grid.row_bytes)
    if grid.tile_height <= most:
        return grid.tile_height
    if grid.shape[1] == 1:
        return most
    divisors = [rows for rows in range(1, isqrt(grid.tile_height) + 1) if grid.tile_height % rows == 0]
    return max(rows for divisor in divisors for rows in (divisor, grid.tile_height // divisor) if rows <= most)
