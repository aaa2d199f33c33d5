"""Spans of a file: byte ranges that each fetch several tiles with one request."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from runner.read.fetch import FetchOptions
from runner.read.header import Window
from runner.read.layout import TiffLayout


class StoredTile(NamedTuple):
    """A tile: its row and column among the tiles, and its bytes in the file, none if it is sparse or not needed."""

    row: int
    column: int
    start: int
    stop: int
    needed: bool = True


@dataclass(slots=True)
class Span:
    """Bytes `start` to `stop` of a file, which one request fetches, and the tiles in them; none if all are sparse."""

    start: int
    stop: int
    tiles: list[StoredTile]


def plan_spans(
    layout: TiffLayout,
    window: Window,
    band: int,
    options: FetchOptions,
    outside: Callable[[Window], bool] | None = None,
) -> list[Span]:
    """The byte ranges that hold a window of a band, in the order of its tiles, but for those that are `outside`.

    Tiles that lie side by side share a range, as do the tiles of a tile row of a COG, up to `max_range_bytes`; a tile
    row begins a new range if the last one has `min_range_bytes` already.
    """
    plane = band - 1 if layout.planar == "band" else 0
    rows, columns = _tiles(layout, window)
    spans: list[Span] = []
    for row in rows:
        part = (plane, row, slice(columns.start, columns.stop))
        stored = zip(columns, layout.offsets[part].tolist(), layout.byte_counts[part].tolist(), strict=True)
        for column, offset, length in stored:
            tile = StoredTile(row, column, offset, offset + length) if length else StoredTile(row, column, 0, 0)
            if outside is not None and outside(_pixels_of(layout, row, column, window)):
                tile = StoredTile(row, column, 0, 0, needed=False)
            if not spans or not _joins(spans[-1], tile, options):
                spans.append(Span(tile.start, tile.stop, []))
            _append(spans[-1], tile)
    return spans


def tiles_of(layout: TiffLayout, window: Window) -> Iterator[tuple[int, int, Window]]:
    """The tiles that a window meets: row and column among the tiles, and their pixels in the window."""
    rows, columns = _tiles(layout, window)
    yield from ((row, column, _pixels_of(layout, row, column, window)) for row in rows for column in columns)


def _tiles(layout: TiffLayout, window: Window) -> tuple[range, range]:
    """The rows and columns of tiles that a window meets."""
    rows = range(window.row // layout.tile_height, -(-(window.row + window.height) // layout.tile_height))
    columns = range(window.column // layout.tile_width, -(-(window.column + window.width) // layout.tile_width))
    return rows, columns


def _pixels_of(layout: TiffLayout, row: int, column: int, window: Window) -> Window:
    """The pixels of a tile in a window that meets it."""
    height, width = layout.tile_height, layout.tile_width
    pixels = window.common(Window(row * height, column * width, height, width))
    assert pixels is not None
    return pixels


def _joins(span: Span, tile: StoredTile, options: FetchOptions) -> bool:
    """True if a tile is fetched with the span before it."""
    if span.start == span.stop or tile.start == tile.stop:
        return True
    length = span.stop - span.start
    if tile.row != span.tiles[-1].row and length >= options.min_range_bytes:
        return False
    near = span.start <= tile.start <= span.stop + options.max_gap_bytes
    return near and max(span.stop, tile.stop) - span.start <= options.max_range_bytes


def _append(span: Span, tile: StoredTile) -> None:
    span.tiles.append(tile)
    if span.start == span.stop:
        span.start, span.stop = tile.start, tile.stop
    elif tile.start != tile.stop:
        span.stop = max(span.stop, tile.stop)
