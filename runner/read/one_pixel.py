"""TIFFs of one pixel, which GDAL opens in place of large ones, to say what their tags mean."""

import struct
from typing import Final, NamedTuple

from runner.read.ifd import ByteOrder, Tag
from runner.read.layout import TiffLayout

_PHOTOMETRICS: Final = {0: 0, 2: 2, 6: 2}  # RGB, and YCbCr, which is RGB to GDAL; of others 1, grey, says enough
_EXTRA_SAMPLES: Final = {0, 1, 2, 999}  # unknown, alpha multiplied or not, and that of Corel; libtiff takes no others


class Samples(NamedTuple):
    """The tags that decide GDAL's data type, the number of bands and the alpha band."""

    byte_order: ByteOrder
    bands: int
    bits: int
    sample_format: int
    photometric: int
    extra_samples: tuple[int, ...]


def samples_of(layout: TiffLayout) -> Samples:
    """The samples of a file.

    Half floats become float32, as in GDAL before 3.11: a nodata value of float32 may be none of float16.
    """
    photometric = _PHOTOMETRICS.get(layout.photometric, 1)
    extra = layout.extra_samples if set(layout.extra_samples) <= _EXTRA_SAMPLES else ()
    extra = extra or ((0,) * (layout.bands - 1) if photometric < 2 else ())  # as libtiff completes it
    bits = 32 if layout.half_floats else layout.bits
    return Samples(layout.byte_order, layout.bands, bits, layout.sample_format, photometric, extra)


def one_pixel_tiff(samples: Samples, tags: tuple[Tag, ...]) -> bytes:
    """A BigTIFF of one pixel, in a sparse tile, with these tags added as they are."""
    order, bands = samples.byte_order, samples.bands

    def tag(number: int, *values: int) -> Tag:
        return Tag(number, 3, len(values), struct.pack(f"{order}{len(values)}H", *values))

    own = [tag(256, 1), tag(257, 1), tag(258, *[samples.bits] * bands), tag(259, 1), tag(273, 0)]
    own += [tag(262, samples.photometric), tag(277, bands), tag(278, 1), tag(279, 0)]
    own += [tag(339, *[samples.sample_format] * bands)]
    own += [tag(338, *samples.extra_samples)] if samples.extra_samples else []
    own += [Tag(50844, 12, 92, bytes(8 * 92))]  # an empty RPC: it spares us rasterio's warning if there is no transform
    return _big_tiff(order, sorted([*own, *tags], key=lambda tag: tag.number))


def _big_tiff(order: ByteOrder, tags: list[Tag]) -> bytes:
    """A BigTIFF with one directory and nothing else."""
    directory, extra = b"", b""
    behind = 16 + 8 + 20 * len(tags) + 8  # the file header, the number of tags, the tags, an empty link
    for tag in tags:
        inline = len(tag.raw) <= 8
        value = tag.raw.ljust(8, b"\0") if inline else struct.pack(order + "Q", behind + len(extra))
        directory += struct.pack(order + "HHQ", tag.number, tag.kind, tag.count) + value
        extra += b"" if inline else tag.raw
    head = (b"II+\0" if order == "<" else b"MM\0+") + struct.pack(order + "HHQQ", 8, 0, 16, len(tags))
    return head + directory + bytes(8) + extra
