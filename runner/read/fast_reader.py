"""The fast reader: blocks of plain TIFFs, by byte ranges that are fetched ahead and inflated without GDAL."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from runner.errors import ReadError
from runner.read.decode import BlockDecoder, Buffers, ByteArray, fast_path_refusal
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, StopFlag, fetch_ahead
from runner.read.header import BlockPixels, SceneFile, Window
from runner.read.layout import TiffLayout

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


class Work(NamedTuple):
    """A window of some scenes to be read, and where to count what that costs."""

    scenes: Sequence[SceneFile]
    window: Window
    counts: FetchCounts


class Fetched(NamedTuple):
    """A span of scene number `scene` of a work, and its bytes once they have come.

    `left` says how many more are decoded together with it, `ends` whether these are the last of the work.
    """

    number: int  # of the work
    work: Work
    left: int
    ends: bool
    scene: int
    span: Span
    data: memoryview = memoryview(b"")


class InflatedBlock(NamedTuple):
    """A block of scene number `scene`, of which `rows` and `columns` lie in the window, from `row` and `column` on.

    `encoded` is what its decoder inflated; None if the block is sparse.
    """

    scene: int
    row: int
    column: int
    rows: slice
    columns: slice
    decoder: BlockDecoder
    encoded: ByteArray | None

    def pixels(self) -> BlockPixels:
        """Its pixels in the window; ask once."""
        if self.encoded is None:
            pixels, valid = self.decoder.blank(self.rows, self.columns), None
        else:
            valid = self.decoder.visible(self.rows, self.columns)
            pixels = self.decoder.undo(self.encoded, self.rows, self.columns)
        return BlockPixels(self.scene, self.row, self.column, pixels, valid)


Turn: TypeAlias = list[InflatedBlock]


def side_by_side(turn: Turn) -> ByteArray | None:
    """All blocks of a turn, (scenes, rows, bytes), if `predictor.undo_rows` takes them; else None.

    They are then at one place and of one type and predictor.
    """
    first = turn[0]
    alike = all(
        block.encoded is not None
        and block[1:5] == first[1:5]
        and block.decoder.by_rows
        and block.decoder.coding == first.decoder.coding
        and block.decoder.number == number
        for number, block in enumerate(turn)
    )
    return first.decoder.all_inflated()[: len(turn)] if alike else None


def read_blocks(
    scenes: Sequence[SceneFile],
    window: Window,
    band: int,
    options: FetchOptions,
    counts: FetchCounts,
) -> Generator[BlockPixels, None, None]:
    """Yield the pixels of the blocks of `read_turns` one by one, for one work."""
    with closing(read_turns([Work(scenes, window, counts)], band, options)) as turns:
        for _, turn in turns:
            for block in turn or ():
                yield block.pixels()


def read_turns(
    works: Iterable[Work], band: int, options: FetchOptions, stop: StopFlag | None = None
) -> Generator[tuple[int, Turn | None], None, None]:
    """Yield the number of a work and, block by block, its window of a few scenes together if they are cut alike.

    The next block of these scenes follows, then come more scenes; so what is accumulated over time stays in the cache.
    None comes after the last turn of a work.
    The blocks of a scene cover the window once. They are valid until the next turn. `band` counts from 1.
    A work is taken from `works` when its first ranges can be fetched, mostly before the last one is decoded.
    Close the generator, or set `stop`, to cancel what is under way. Raises ReadError, also for a file that
    fast_path_refusal refuses.
    """
    buffers = Buffers(options.scenes_together)
    with closing(fetch_ahead(_ranges(works, band, options), options, stop)) as fetched:
        for together in _batches(fetched):
            files = [one.work.scenes[one.scene] for one in together]
            decoders = [
                BlockDecoder(file.href, file.header, band, buffers, number) for number, file in enumerate(files)
            ]
            for at in range(max(len(one.span.blocks) for one in together)):
                turn = [
                    _inflate(one, at, file.header.layout, decoder)
                    for one, file, decoder in zip(together, files, decoders, strict=True)
                    if at < len(one.span.blocks)
                ]
                yield together[0].number, turn
            if together[0].ends:
                yield together[0].number, None
            del together, decoders  # not kept while the next ranges are waited for


def _ranges(works: Iterable[Work], band: int, options: FetchOptions) -> Iterator[tuple[Fetched, ByteRange]]:
    """The requests: the same part of some scenes, then their next part, then more scenes, then the next work."""
    for index, work in enumerate(works):
        for first in range(0, len(work.scenes), options.scenes_together):
            numbers = range(first, min(first + options.scenes_together, len(work.scenes)))
            spans = []
            for number in numbers:
                _check(work.scenes[number], work.window, band)
                spans.append(plan_spans(work.scenes[number].header.layout, work.window, band, options))
            parts = max(map(len, spans))
            for part in range(parts):
                ends = numbers.stop == len(work.scenes) and part == parts - 1
                some = [(number, own[part]) for number, own in zip(numbers, spans, strict=True) if part < len(own)]
                for at, (number, span) in enumerate(some, start=1):
                    yield Fetched(index, work, len(some) - at, ends, number, span), _request(work, number, span)


def _request(work: Work, number: int, span: Span) -> ByteRange:
    scene = work.scenes[number]
    whole = ByteRange(scene.href, scene.store, scene.key, scene.etag, 0, 0, work.counts, scene.size, scene.modified)
    return whole._replace(start=span.start, stop=span.stop)


def _batches(fetched: Iterator[tuple[Fetched, "Bytes"]]) -> Iterator[list[Fetched]]:
    """The ranges of one part of some scenes, which are decoded in turns."""
    batch: list[Fetched] = []
    for one, data in fetched:
        batch.append(one._replace(data=memoryview(data)))
        if not one.left:
            yield batch
            batch = []


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


def _inflate(one: Fetched, at: int, layout: TiffLayout, decoder: BlockDecoder) -> InflatedBlock:
    """A block, and which part of it is inside the window."""
    place, window = one.span.blocks[at], one.work.window
    height, width = layout.block_height, layout.block_width
    top, left = place.row * height, place.column * width
    rows = slice(max(window.row - top, 0), min(window.row + window.height - top, height))
    columns = slice(max(window.column - left, 0), min(window.column + window.width - left, width))
    encoded = None
    if place.start != place.stop:
        data = one.data[place.start - one.span.start : place.stop - one.span.start]
        encoded = decoder.inflate(data, place.row)
    row, column = top + rows.start - window.row, left + columns.start - window.column
    return InflatedBlock(one.scene, row, column, rows, columns, decoder, encoded)
