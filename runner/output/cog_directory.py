"""What comes before the blocks of a COG: the directories of the raster and of its overviews, and hints for GDAL.

Sources: TIFF 6.0, and, for the hints that tell GDAL how blocks lie,
https://gdal.org/en/stable/drivers/raster/cog.html (Header ghost area, Tile data leader and trailer).
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

import numpy as np

from runner.output.block_coder import BLOCK, Bytes
from runner.output.overviews import Stored
from runner.read.ifd import Tag

_WIDTH, _HEIGHT, _SUBFILE, _OFFSETS, _COUNTS = 256, 257, 254, 324, 325  # TIFF 6.0, section 8 and 15
_OF_THE_WHOLE: Final = (33550, 33922, 34264, 34735, 34736, 34737, 42112)  # georeference and metadata: not of overviews
_LONG, _LONG8 = 4, 16  # types of TIFF
_DTYPES: Final = {_LONG: "<u4", _LONG8: "<u8"}
_HINTS: Final = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)


def of_overview(tags: Iterable[Tag]) -> list[Tag]:
    """The directory of an overview, made from that of the raster."""
    kept = [tag for tag in tags if tag.number not in (*_OF_THE_WHOLE, _SUBFILE)]
    return [Tag(_SUBFILE, _LONG, 1, struct.pack("<I", 1)), *kept]


@dataclass(slots=True)
class Level:
    """The bands in full size or in one that is smaller: their directory, and where their blocks come to lie."""

    bands: Sequence[Stored]
    known: Sequence[Mapping[int, Future[Bytes]]] = ()  # blocks that are encoded already, band by band
    directory: list[Tag] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.bands[0].shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.bands[0].shape[1])

    def raw_bytes(self, dtype: np.dtype[Any]) -> int:
        """Bytes of its blocks before they are compressed."""
        return self._blocks * BLOCK * BLOCK * dtype.itemsize

    @property
    def _blocks(self) -> int:
        return len(self.bands) * -(-self.height // BLOCK) * -(-self.width // BLOCK)

    def blocks(self) -> Iterator[tuple[Stored, slice, slice, Future[Bytes] | None]]:
        """The blocks in their order: the raster and the window of each, and the block if it is encoded already."""
        for band, raster in enumerate(self.bands):
            known = self.known[band] if self.known else {}
            corners = product(range(0, self.height, BLOCK), range(0, self.width, BLOCK))
            for number, (top, left) in enumerate(corners):
                yield raster, slice(top, top + BLOCK), slice(left, left + BLOCK), known.get(number)

    def tags(self, big: bool) -> list[Tag]:
        """The directory's entries, with zeros for what is not known yet."""
        kind = _LONG8 if big else _LONG
        lists = {_OFFSETS: (kind, self.offsets), _COUNTS: (_LONG, self.counts)}
        mine = {
            _WIDTH: Tag(_WIDTH, _LONG, 1, struct.pack("<I", self.width)),
            _HEIGHT: Tag(_HEIGHT, _LONG, 1, struct.pack("<I", self.height)),
            **{
                number: Tag(number, kind, self._blocks, np.array(found or [0] * self._blocks, _DTYPES[kind]).tobytes())
                for number, (kind, found) in lists.items()
            },
        }
        return [mine.get(tag.number, tag) for tag in self.directory]


@dataclass(frozen=True, slots=True)
class _Form:
    """The widths of counts and offsets in a TIFF and a BigTIFF (TIFF 6.0 section 2; libtiff's BigTIFF page)."""

    head: bytes
    count: str
    entry: str
    offset: str

    def directory(self, tags: list[Tag], at: int, *, last: bool) -> bytes:
        """A directory that begins at byte `at`, then its longer values; the next follows unless it is the last."""
        room = struct.calcsize(self.offset)
        fixed = struct.calcsize(self.count) + len(tags) * (struct.calcsize(self.entry) + room) + room
        entries, behind = b"", b""
        for tag in tags:
            value = tag.raw.ljust(room, b"\0")
            if len(tag.raw) > room:
                value = struct.pack(self.offset, at + fixed + len(behind))
                behind += tag.raw.ljust(len(tag.raw) + -len(tag.raw) % 8, b"\0")
            entries += struct.pack(self.entry, tag.number, tag.kind, tag.count) + value
        end = at + fixed + len(behind)
        padding = -end % 8
        link = struct.pack(self.offset, 0 if last else end + padding)
        return struct.pack(self.count, len(tags)) + entries + link + behind + b"\0" * padding


_CLASSIC: Final = _Form(struct.pack("<2sH", b"II", 42), "<H", "<HHI", "<I")
_BIG: Final = _Form(struct.pack("<2sHHH", b"II", 43, 8, 0), "<Q", "<HHQ", "<Q")


def front(levels: list[Level], big: bool) -> bytes:
    """All that comes before the blocks: the head, the hints, and the directories, that of the raster first."""
    form = _BIG if big else _CLASSIC
    hints = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_HINTS) + _HINTS
    start = len(form.head) + struct.calcsize(form.offset) + len(hints)
    start += -start % 8
    data = (form.head + struct.pack(form.offset, start) + hints).ljust(start, b"\0")
    for level in levels:
        data += form.directory(level.tags(big), len(data), last=level is levels[-1])
    return data
