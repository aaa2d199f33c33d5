"""TIFFs that no library would write, and every way in which the runner and rasterio read them."""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

import imagecodecs
import numpy as np
import rasterio
from obstore.store import MemoryStore
from rasterio.io import MemoryFile

from runner.read import fast_reader
from runner.read.fetch import FetchCounts, FetchOptions
from runner.read.header import Header, SceneFile, Window, read_header

Tags = dict[int, tuple[int, Sequence[float]]]  # number -> TIFF type, values

CODES: Final[Mapping[str, int]] = {"none": 1, "deflate": 8, "lzw": 5, "packbits": 32773, "zstd": 50000}
ENCODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "none": bytes, "deflate": zlib.compress, "lzw": imagecodecs.lzw_encode,
    "packbits": imagecodecs.packbits_encode, "zstd": imagecodecs.zstd_encode,
}  # fmt: skip
_FORMATS: Final = {1: "B", 2: "B", 3: "H", 4: "I", 8: "h", 9: "i", 12: "d"}

OFFSETS, COUNTS = 273, 279
IMAGE: Final = (np.arange(22 * 16).reshape(22, 16) * 7 + 1).astype("uint8")  # rows, columns

_UTM: Final[Tags] = {  # EPSG:32610, pixels of 20 m
    33550: (12, [20, 20, 0]),
    33922: (12, [0, 0, 0, 499980, 4200000, 0]),
    34735: (3, [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32610]),
}


def tags_of(compression: str, rows_per_strip: int | None = None, shape: tuple[int, int] = (22, 16)) -> Tags:
    """Tags of an image of bytes, in strips, or without rows per strip in tiles of 16 x 16."""
    tags: Tags = {256: (4, [shape[1]]), 257: (4, [shape[0]]), 258: (3, [8]), 259: (3, [CODES[compression]])}
    tags |= {262: (3, [1]), 277: (3, [1]), **_UTM}
    return tags | ({278: (4, [rows_per_strip])} if rows_per_strip else {322: (4, [16]), 323: (4, [16])})


def tiff(tags: Tags, tiles: Sequence[bytes], *, following: int = 0) -> bytes:
    """A little-endian TIFF: the tiles from byte 8 on, and one directory, which links to `following`.

    Offsets and byte counts that are not among the tags are as they must be.
    """
    lengths = [len(tile) for tile in tiles]
    starts = [8 + sum(lengths[:number]) for number in range(len(tiles))]
    offsets, counts = (324, 325) if 322 in tags else (OFFSETS, COUNTS)
    tags = {offsets: (4, starts), counts: (4, lengths), **tags}
    tags = {number: value for number, value in tags.items() if value[1]}
    body = b"".join(tiles)
    body += bytes(len(body) % 2)
    head = b"II*\0" + struct.pack("<I", 8 + len(body)) + body
    return head + directory(tags, len(head), following)


def directory(tags: Tags, start: int, following: int) -> bytes:
    """A directory to be written at byte `start`, with the values that it points to behind it."""
    entries, values = struct.pack("<H", len(tags)), b""
    behind = start + 2 + 12 * len(tags) + 4
    for number, (kind, numbers) in sorted(tags.items()):
        raw = struct.pack(f"<{len(numbers)}{_FORMATS[kind]}", *numbers)
        place = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<I", behind + len(values))
        values += raw if len(raw) > 4 else b""
        entries += struct.pack("<HHI", number, kind, len(numbers)) + place
    return entries + struct.pack("<I", following) + values


def strips(compression: str, rows: int = 8, image: np.ndarray = IMAGE) -> list[bytes]:
    """The image in strips."""
    return [ENCODERS[compression](image[top : top + rows].tobytes()) for top in range(0, len(image), rows)]


def header_of(content: bytes) -> Header:
    return read_header(lambda start, stop: content[start:stop], len(content), "a.tif")


def read_fast(content: bytes, band: int = 1) -> np.ndarray:
    """All pixels of a band by the fast reader."""
    store = MemoryStore()
    store.put("a.tif", content)
    header = header_of(content)
    pixels = np.zeros(header.shape, header.dtype)
    scene = SceneFile("a.tif", store, "a.tif", None, header)
    options = FetchOptions(attempts=1)
    with closing(fast_reader.read_scenes([scene], Window(0, 0, *header.shape), band, options, FetchCounts())) as tiles:
        for tile in tiles:
            rows, columns = tile.pixels.shape
            pixels[tile.row : tile.row + rows, tile.column : tile.column + columns] = tile.pixels
    return pixels


def read_rasterio(content: bytes, band: int = 1) -> Any:
    """All pixels of a band by rasterio."""
    with rasterio.Env(), MemoryFile(content) as memory, memory.open(driver="GTiff") as dataset:
        return dataset.read(band)
