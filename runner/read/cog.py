"""The fast reader: blocks of plain TIFFs, by byte ranges that are fetched ahead and inflated without GDAL."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

from runner.errors import ReadError
from runner.read.decode import BlockDecoder, Buffers, fast_path_refusal
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, StopFlag, fetch_ahead
from runner.read.header import BlockPixels, SceneFile, Window
from runner.read.tiff import TiffLayout


class Place(NamedTuple):
    """A block: its row and column among the blocks, and its bytes in the file, none of them if it is sparse."""

    row: int
    column: int
    start: int
    stop: int


@dataclass(slots=True)
class Span:
    """Bytes `start` to `stop` of a file, which one request fetches, and the blocks in them; none if all are sparse."""

    start: int
    stop: int
    blocks: list[Place]


def read_blocks(
    scenes: Sequence[SceneFile],
    window: Window,
    band: int,
    options: FetchOptions,
    counts: FetchCounts,
    stop: StopFlag | None = None,
) -> Generator[BlockPixels, None, None]:
    """Yield the pixels of a window of each scene, block by block: scenes in order, then rows, then columns of blocks.

    The blocks of a scene cover the window once; `valid` is None. `band` counts from 1. `counts` is added to. Close the
    generator, or set `stop`, to cancel what is under way. Raises ReadError, also for a file that fast_path_refusal
    refuses.
    """
    buffers = Buffers()
    with closing(fetch_ahead(_ranges(scenes, window, band, options), options, counts, stop)) as fetched:
        decoder, current = None, -1
        for (scene, span), data in fetched:
            if decoder is None or scene != current:
                decoder, current = BlockDecoder(scenes[scene].href, scenes[scene].header, band, buffers), scene
            yield from _decode_span(scene, scenes[scene].header.layout, decoder, window, span, memoryview(data))
            del data  # not kept while the next range is waited for


def _ranges(
    scenes: Sequence[SceneFile], window: Window, band: int, options: FetchOptions
) -> Iterator[tuple[tuple[int, Span], ByteRange]]:
    """The requests for a window of each scene, in order."""
    for number, scene in enumerate(scenes):
        _check(scene, window, band)
        for span in plan_spans(scene.header.layout, window, band, options):
            yield (number, span), ByteRange(scene.href, scene.store, scene.key, scene.etag, span.start, span.stop)


def _check(scene: SceneFile, window: Window, band: int) -> None:
    refusal = fast_path_refusal(scene.header, band)
    if refusal:
        raise ReadError(scene.href, f"the fast reader does not take {refusal}; read it through GDAL")
    height, width = scene.header.shape
    if not window.inside((height, width)):
        raise ReadError(scene.href, f"{window} is not inside its {height} rows and {width} columns")


def plan_spans(layout: TiffLayout, window: Window, band: int, options: FetchOptions) -> list[Span]:
    """The byte ranges that hold a window of a band, in the order of its blocks.

    Blocks that lie side by side share a range, as do the tiles of a block row of a COG, up to `max_range_bytes`; a
    block row begins a new one if the last has `min_range_bytes` already.
    """
    plane = band - 1 if layout.planar == "band" else 0
    rows = range(window.row // layout.block_height, -(-(window.row + window.height) // layout.block_height))
    columns = range(window.column // layout.block_width, -(-(window.column + window.width) // layout.block_width))
    spans: list[Span] = []
    for row in rows:
        part = (plane, row, slice(columns.start, columns.stop))
        places = zip(columns, layout.offsets[part].tolist(), layout.byte_counts[part].tolist(), strict=True)
        for column, offset, length in places:
            place = Place(row, column, offset, offset + length) if length else Place(row, column, 0, 0)
            if not spans or not _joins(spans[-1], place, options):
                spans.append(Span(place.start, place.stop, []))
            _append(spans[-1], place)
    return spans


def _joins(span: Span, place: Place, options: FetchOptions) -> bool:
    """Whether a block is fetched with the span before it."""
    if span.start == span.stop or place.start == place.stop:
        return True
    length = span.stop - span.start
    if place.row != span.blocks[-1].row and length >= options.min_range_bytes:
        return False
    near = span.start <= place.start <= span.stop + options.max_gap_bytes
    return near and max(span.stop, place.stop) - span.start <= options.max_range_bytes


def _append(span: Span, place: Place) -> None:
    span.blocks.append(place)
    if span.start == span.stop:
        span.start, span.stop = place.start, place.stop
    elif place.start != place.stop:
        span.stop = max(span.stop, place.stop)


def _decode_span(
    scene: int, layout: TiffLayout, decoder: BlockDecoder, window: Window, span: Span, data: memoryview
) -> Iterator[BlockPixels]:
    """The part of each block that is inside the window."""
    height, width = layout.block_height, layout.block_width
    bottom, right = window.row + window.height, window.column + window.width
    for place in span.blocks:
        top, left = place.row * height, place.column * width
        rows = slice(max(window.row - top, 0), min(bottom - top, height))
        columns = slice(max(window.column - left, 0), min(right - left, width))
        if place.start == place.stop:
            pixels = decoder.blank(rows, columns)
        else:
            pixels = decoder.decode(data[place.start - span.start : place.stop - span.start], place.row, rows, columns)
        yield BlockPixels(scene, top + rows.start - window.row, left + columns.start - window.column, pixels, None)
