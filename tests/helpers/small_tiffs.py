"""TIFFs of any tags, uncompressed and in one strip for each plane: what no GDAL would write."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Values: TypeAlias = Sequence[int] | bytes  # SHORTs, or an ASCII text

_FORMATS = {"u": 1, "i": 2, "f": 3}
SUBFILE, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES, COUNTS = 254, 258, 259, 262, 273, 277, 279
PLANAR, SUB_IFDS, EXTRA_SAMPLES, METADATA, NODATA = 284, 330, 338, 42112, 42113


@dataclass(frozen=True)
class Image:
    """Bands of pixels, (bands, rows, columns), and tags besides or instead of those that these pixels need."""

    pixels: npt.NDArray[Any]
    tags: Mapping[int, Values] = field(default_factory=dict)
    inside: Sequence["Image"] = ()  # directories that this one's SubIFDs tag points at


def tiff(*images: Image) -> bytes:
    """A little-endian TIFF of these images, one directory after the other."""
    content = bytearray(b"II*\0" + bytes(4))
    link = 4
    for image in images:
        start, link_after = _append(content, image)
        struct.pack_into("<I", content, link, start)
        link = link_after
    return bytes(content)


def _append(content: bytearray, image: Image) -> tuple[int, int]:
    """Add an image; where its directory starts, and where the link to the next one stands."""
    inside = [_append(content, one)[0] for one in image.inside]
    count, height, width = image.pixels.shape
    offsets = [_put(content, plane.tobytes()) for plane in image.pixels]
    bits = 8 * image.pixels.dtype.itemsize
    tags: dict[int, tuple[str, Sequence[int]] | Values] = {
        256: [width], 257: [height], BITS: [bits] * count, COMPRESSION: [1], PHOTOMETRIC: [1], SAMPLES: [count],
        278: [height], PLANAR: [2], 339: [_FORMATS[image.pixels.dtype.kind]] * count,
        OFFSETS: ("I", offsets), COUNTS: ("I", [image.pixels[0].nbytes] * count),
        **({SUB_IFDS: ("I", inside)} if inside else {}), **({EXTRA_SAMPLES: [0] * (count - 1)} if count > 1 else {}),
        **image.tags,
    }  # fmt: skip
    entries = [_entry(content, number, tags[number]) for number in sorted(tags)]
    start = _put(content, struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4))
    return start, len(content) - 4


def _entry(content: bytearray, number: int, values: tuple[str, Sequence[int]] | Values) -> bytes:
    form, numbers = values if isinstance(values, tuple) else ("s" if isinstance(values, bytes) else "H", values)
    raw = numbers + b"\0" if isinstance(numbers, bytes) else struct.pack(f"<{len(numbers)}{form}", *numbers)
    kind, count = {"s": 2, "H": 3, "I": 4}[form], len(raw) if form == "s" else len(numbers)
    value = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<I", _put(content, raw))
    return struct.pack("<HHI", number, kind, count) + value


def _put(content: bytearray, data: bytes) -> int:
    content += bytes(len(content) % 2)
    start = len(content)
    content += data
    return start


def metadata(items: str) -> bytes:
    """GDAL_METADATA of these items."""
    return f"<GDALMetadata>{items}</GDALMetadata>".encode()


def as_pixels(values: Any) -> npt.NDArray[Any]:
    """One band, (1, rows, columns)."""
    return np.asarray(values)[np.newaxis]
