"""The fast reader: blocks of plain TIFFs, by byte ranges that are fetched ahead and inflated without GDAL."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from runner.errors import ReadError
from runner.read.decode import BlockDecoder, Buffers, fast_path_refusal
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, StopFlag, fetch_ahead
from runner.read.header import BlockPixels, SceneFile, Window
from runner.read.tiff import TiffLayout

if TYPE_CHECKING:
    from obstore import Bytes


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


class Fetched(NamedTuple):
    """A span of scene number `scene`, of the `batch` that is decoded together, and its bytes once they have come."""

    batch: tuple[int, int]
    scene: int
    span: Span
    data: memoryview = memoryview(b"")


def read_blocks(
    scenes: Sequence[SceneFile],
    window: Window,
    band: int,
    options: FetchOptions,
    counts: FetchCounts,
) -> Generator[BlockPixels, None, None]:
    """Yield the blocks of `read_turns` one by one."""
    with closing(read_turns(scenes, window, band, options, counts)) as turns:
        for turn in turns:
            yield from turn


def read_turns(
    scenes: Sequence[SceneFile],
    window: Window,
    band: int,
    options: FetchOptions,
    counts: FetchCounts,
    stop: StopFlag | None = None,
) -> Generator[list[BlockPixels], None, None]:
    """Yield the pixels of a window of each scene, block by block, the same block of a few scenes together.

    The next block of these scenes follows, then come more scenes; so what is accumulated over time stays in the cache.
    The blocks of a scene cover the window once; `valid` is None. `band` counts from 1.
    `counts` is added to. Close the generator, or set `stop`, to cancel what is under way. Raises ReadError, also for a
    file that fast_path_refusal refuses.
    """
    buffers = [Buffers() for _ in range(min(options.scenes_together, len(scenes)))]
    with closing(fetch_ahead(_ranges(scenes, window, band, options), options, counts, stop)) as fetched:
        for together in _batches(fetched):
            files = [scenes[one.scene] for one in together]
            decoders = [
                BlockDecoder(file.href, file.header, band, own) for file, own in zip(files, buffers, strict=False)
            ]
            for at in range(max(len(one.span.blocks) for one in together)):
                yield [
                    _decode(one, at, file.header.layout, decoder, window)
                    for one, file, decoder in zip(together, files, decoders, strict=True)
                    if at < len(one.span.blocks)
                ]
            del together, decoders  # not kept while the next ranges are waited for


def _ranges(
    scenes: Sequence[SceneFile], window: Window, band: int, options: FetchOptions
) -> Iterator[tuple[Fetched, ByteRange]]:
    """The requests for a window of each scene: the same part of some scenes, then their next part, then more scenes."""
    for first in range(0, len(scenes), options.scenes_together):
        numbers = range(first, min(first + options.scenes_together, len(scenes)))
        spans = []
        for number in numbers:
            _check(scenes[number], window, band)
            spans.append(plan_spans(scenes[number].header.layout, window, band, options))
        for part in range(max(map(len, spans))):
            for number, own in zip(numbers, spans, strict=True):
                if part < len(own):
                    scene, span = scenes[number], own[part]
                    wanted = ByteRange(scene.href, scene.store, scene.key, scene.etag, span.start, span.stop)
                    yield Fetched((first, part), number, span), wanted


def _batches(fetched: Iterator[tuple[Fetched, "Bytes"]]) -> Iterator[list[Fetched]]:
    """The ranges of one part of some scenes, which are decoded in turns."""
    for _, group in groupby(fetched, key=lambda pair: pair[0].batch):
        yield [one._replace(data=memoryview(data)) for one, data in group]


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


def _decode(one: Fetched, at: int, layout: TiffLayout, decoder: BlockDecoder, window: Window) -> BlockPixels:
    """The part of a block that is inside the window."""
    place = one.span.blocks[at]
    height, width = layout.block_height, layout.block_width
    top, left = place.row * height, place.column * width
    rows = slice(max(window.row - top, 0), min(window.row + window.height - top, height))
    columns = slice(max(window.column - left, 0), min(window.column + window.width - left, width))
    if place.start == place.stop:
        pixels = decoder.blank(rows, columns)
    else:
        data = one.data[place.start - one.span.start : place.stop - one.span.start]
        pixels = decoder.decode(data, place.row, rows, columns)
    return BlockPixels(one.scene, top + rows.start - window.row, left + columns.start - window.column, pixels, None)
