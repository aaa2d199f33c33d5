"""Tiles that hold more than they must, as libtiff reads them: rows below the image, bytes behind the data.

The codecs of `decode` refuse them; these are slower, and are asked only then.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

_PIECE_BYTES: Final = 2**16


def _deflate(data: Any, out: Any) -> int:
    """Unpack the stream to its end, where its checksum is, and keep what fits."""
    stream = zlib.decompressobj()
    piece = stream.decompress(data, len(out))
    got = length = _fill(out, piece)
    while piece and not stream.eof and length < 2 * len(out) + _PIECE_BYTES:
        piece = stream.decompress(stream.unconsumed_tail, _PIECE_BYTES)
        length += len(piece)
    if not stream.eof:
        raise ValueError("the stream is cut, or far longer than its tile")
    return got


def _zstd(data: Any, out: Any) -> int:
    """Unpack the first frame as far as it fits; what follows it is never looked at."""
    import pyarrow as pa  # noqa: PLC0415 - a worker takes a while to load it, and hardly any file needs it

    with pa.input_stream(pa.py_buffer(data), compression="zstd") as stream:
        return _fill(out, stream.read(len(out)))


def _packbits(data: Any, out: Any) -> int:
    """Unpack up to the end of the tile; a run may go beyond it."""
    source, position, got = bytes(data), 0, 0
    while got < len(out) and position < len(source):
        code = source[position]
        if code < 128:
            piece, position = source[position + 1 : position + 2 + code], position + 2 + code
        else:
            piece = source[position + 1 : position + 2] * (257 - code if code > 128 else 0)
            position += 1 + (code > 128)
        got += _fill(out[got:], piece)
    return got


def _fill(out: Any, piece: bytes) -> int:
    """Write as much as fits. Returns the number of bytes."""
    count = min(len(out), len(piece))
    out[:count] = np.frombuffer(piece, np.uint8, count)
    return count


LENIENT_CODECS: Final[Mapping[str, Callable[[Any, Any], int]]] = {
    "deflate": _deflate,
    "zstd": _zstd,
    "packbits": _packbits,
}
