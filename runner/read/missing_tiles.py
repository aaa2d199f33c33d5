"""Recognizes tiles without a pixel that counts by their bytes; the border of a scene mostly repeats one stream."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from runner.read.decode import Pixels, TileDecoder

if TYPE_CHECKING:
    from collections.abc import Hashable

_LEAST_PACKED: Final = 64  # times smaller than the tile: of such streams few are different
_MOST_STREAMS: Final = 32  # each is decoded once more to look at its pixels


class MissingTiles:
    """Knows the streams of missing tiles, for the reader of one thread.

    `is_missing` is True for pixels none of which counts, wherever in a scene they are; None if that is not known.
    """

    def __init__(self, is_missing: Callable[[Pixels], bool] | None) -> None:
        self._is_missing = is_missing
        self._known: dict[Hashable, bool] = {}

    def has(self, decoder: TileDecoder, data: memoryview | None, tile_row: int) -> bool:
        """True if a tile, sparse if it has no data, is known to be missing. Raises ReadError."""
        if self._is_missing is None or (data is not None and len(data) * _LEAST_PACKED > decoder.tile_bytes):
            return False
        stored = str(decoder.fill) if data is None else bytes(data)  # a text, since a NaN is not equal to another
        key = decoder.packing, decoder.coding, decoder.needed_rows(tile_row), stored
        if key not in self._known:
            if len(self._known) == _MOST_STREAMS:
                return False
            rows, columns = slice(0, decoder.needed_rows(tile_row)), slice(None)
            pixels = decoder.blank(rows, columns) if data is None else decoder.decode(data, tile_row, rows, columns)
            self._known[key] = self._is_missing(pixels)
        return self._known[key]
