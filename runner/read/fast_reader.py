"""The fast reader: tiles of plain TIFFs, by byte ranges that are fetched ahead and inflated without GDAL."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast

from runner.errors import ReadError
from runner.read.decode import Buffers, ByteArray, Pixels, TileDecoder, fast_path_refusal
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions
from runner.read.fetch_ahead import fetch_ahead
from runner.read.header import SceneFile, ScenePart, ScenePixels, Window, same_window
from runner.read.inflation import InflateCounts, Inflation, Packed
from runner.read.missing_tiles import MissingTiles
from runner.read.spans import Span, plan_spans
from runner.read.stop_flag import StopFlag
from runner.settings import Inflate

if TYPE_CHECKING:
    from obstore import Bytes
    from obstore.store import ObjectStore


class Excerpt(NamedTuple):
    """Parts of some scenes to be read, of as many bands each, and the counts to which their cost is added.

    Tiles without a pixel that counts are not inflated: those that `Decoding.is_missing` knows, unless all pixels are
    `wanted`, and those of which `hides` is true, which is asked once all excerpts before this one have been read. Those
    are not even fetched whose pixels in the file, a window, `outside` knows beforehand not to count.
    """

    parts: Sequence[ScenePart]
    counts: FetchCounts
    inflated: InflateCounts
    wanted: bool = False
    hides: Callable[["InflatedTile"], bool] | None = None
    outside: Callable[[ScenePart, Window], bool] | None = None


class Decoding(NamedTuple):
    """How tiles become pixels. `is_missing` has that of `MissingTiles` for each band; nothing if it is not known."""

    inflation: Inflation
    is_missing: Sequence[Callable[[Pixels], bool] | None] = ()


class Fetched(NamedTuple):
    """A span of a part of an excerpt, and its bytes once they have come.

    An excerpt without parts has one span without tiles.
    `remaining` is the number of spans after it that are decoded together with it; `ends` is True in the last of them.
    """

    number: int  # of the excerpt
    excerpt: Excerpt
    remaining: int
    ends: bool
    part: ScenePart | None
    span: Span
    data: memoryview = memoryview(b"")


class InflatedTile(NamedTuple):
    """A tile of scene number `scene`; its `rows` and `columns` are read, into a window from `row` and `column` on.

    `encoded` is what its decoder inflated; None if the tile is sparse or `missing`, without a pixel that counts.
    `undone` is set if other bands are read of it too: a list they share, of its pixels once the predictor is undone.
    """

    scene: int
    row: int
    column: int
    rows: slice
    columns: slice
    decoder: TileDecoder
    encoded: ByteArray | None = None
    missing: bool = False
    undone: list[Pixels] | None = None

    def pixels(self) -> ScenePixels:
        """Its pixels in the window. Call it once."""
        if self.encoded is None:
            pixels, valid = self.decoder.blank(self.rows, self.columns), None
        elif self.undone is not None:
            if not self.undone:
                self.undone.append(self.decoder.undo_all(self.encoded, self.rows))
            pixels, valid = self.decoder.band_of(self.undone[0], self.columns), None
        else:
            valid = self.decoder.visible(self.rows, self.columns)
            pixels = self.decoder.undo(self.encoded, self.rows, self.columns)
        return ScenePixels(self.scene, self.row, self.column, pixels, valid)


Turn: TypeAlias = list[InflatedTile]


def side_by_side(turn: Turn) -> Iterator[tuple[Turn, ByteArray | None]]:
    """The tiles of a turn without those that are missing, in runs, each with its bytes (tiles, rows, bytes).

    The tiles of a run are at one place and of one type and predictor. The bytes are None if `predictor.undo_rows` does
    not take them.
    """
    for (_, _, by_rows), run in groupby((tile for tile in turn if not tile.missing), _likeness):
        tiles = list(run)
        first = tiles[0].decoder.number
        yield tiles, tiles[0].decoder.all_inflated()[first : first + len(tiles)] if by_rows else None


def _likeness(tile: InflatedTile) -> tuple[object, object, bool]:
    """Its place, its type and predictor, and whether the rows of what was inflated can be undone one by one."""
    return tile[1:5], tile.decoder.coding, tile.encoded is not None and tile.decoder.by_rows


def check_deflated(parts: Iterable[ScenePart], options: FetchOptions) -> None:
    """Inflate what GDAL reads of DEFLATE: it does not look at the checksums. Raises ReadError for a damaged tile."""
    deflated = [part for part in parts if part.file.header.layout.compression == "deflate" and not _refusal(part)]
    excerpt = Excerpt(deflated, FetchCounts(), InflateCounts(), wanted=True)
    with closing(read_turns([excerpt], Decoding(Inflation(Inflate.libdeflate)), options)) as turns:
        for _ in turns:
            pass


def read_scenes(
    scenes: Sequence[SceneFile],
    window: Window,
    band: int,
    options: FetchOptions,
    counts: FetchCounts,
) -> Generator[ScenePixels, None, None]:
    """Yield the pixels of a window of some scenes, tile by tile, in the order of `read_turns`."""
    excerpt = Excerpt(same_window(scenes, window, band), counts, InflateCounts())
    with closing(read_turns([excerpt], Decoding(Inflation(Inflate.libdeflate)), options)) as turns:
        for _, by_band in turns:
            for tile in by_band[0] if by_band else ():
                yield tile.pixels()


def read_turns(
    excerpts: Iterable[Excerpt], decoding: Decoding, options: FetchOptions, stop: StopFlag | None = None
) -> Generator[tuple[int, list[Turn] | None], None, None]:
    """Yield turns, one for each band, with the number of their excerpt; None comes after the last of an excerpt.

    A turn is one tile of a few scenes, if their tiles lie alike and are of one size; a tile of several bands is fetched
    and inflated once for all of them. The next tile of these scenes follows, then come more scenes; so what is
    accumulated over time stays in the cache. The tiles of a scene cover its window once. They are valid until the next
    turn. An excerpt without parts has no turns.
    An excerpt is taken from `excerpts` when its first ranges can be fetched, mostly before the last one is decoded.
    Close the generator, or set `stop`, to cancel what is under way. Raises ReadError, also for a file that
    fast_path_refusal refuses.
    """
    buffers, missing = Buffers(options.scenes_together), [*map(MissingTiles, decoding.is_missing)]
    with closing(fetch_ahead(_ranges(excerpts, options), options, stop)) as ranges:
        for batch in _batches(ranges):
            excerpt = batch[0].excerpt
            several = [(fetched, fetched.part) for fetched in batch if fetched.part]
            decoders = [
                [TileDecoder(part.file.href, part.file.header, band, buffers) for band in part.bands]
                for _, part in several
            ]
            unneeded = _Unneeded(excerpt, missing)
            for index in range(max(len(fetched.span.tiles) for fetched in batch)):
                placed = [
                    _place(fetched, part, index, of_bands)
                    for (fetched, part), of_bands in zip(several, decoders, strict=True)
                    if index < len(fetched.span.tiles)
                ]
                for tiles in _of_one_size(placed):
                    yield batch[0].number, _inflate(tiles, decoding.inflation, unneeded, excerpt.inflated)
            if batch[0].ends:
                yield batch[0].number, None
            del batch, several, decoders, excerpt, unneeded  # not kept while the next ranges are waited for


def together(parts: Sequence[ScenePart], most: int) -> Iterator[Sequence[ScenePart]]:
    """Parts that are decoded together, at most so many: in their order, and those of one place rather than of two.

    Tiles at one place, of one lot, are added to the same sums. So a few scenes less go together where a place ends.
    """
    batch: list[ScenePart] = []
    for _, at_one_place in groupby(parts, lambda part: (part.lot, part.row, part.column, part.window[2:])):
        if 2 * len(batch) >= most:
            yield batch
            batch = []
        for part in at_one_place:
            batch.append(part)
            if len(batch) == most:
                yield batch
                batch = []
    if batch:
        yield batch


def _ranges(excerpts: Iterable[Excerpt], options: FetchOptions) -> Iterator[tuple[Fetched, ByteRange]]:
    """The requests: the same part of some scenes, then their next part, then more scenes, then the next excerpt."""
    for index, excerpt in enumerate(excerpts):
        if not excerpt.parts:
            yield Fetched(index, excerpt, 0, True, None, Span(0, 0, [])), _NO_BYTES._replace(counts=excerpt.counts)
        remaining_parts = len(excerpt.parts)
        for parts in together(excerpt.parts, options.scenes_together):
            remaining_parts -= len(parts)
            spans = []
            for part in parts:
                _check(part)
                outside = partial(excerpt.outside, part) if excerpt.outside else None
                spans.append(plan_spans(part.file.header.layout, part.window, part.bands[0], options, outside))
            steps = max(map(len, spans))
            for step in range(steps):
                ends = remaining_parts == 0 and step == steps - 1
                batch = [(part, own[step]) for part, own in zip(parts, spans, strict=True) if step < len(own)]
                for remaining, (part, span) in zip(reversed(range(len(batch))), batch, strict=True):
                    yield Fetched(index, excerpt, remaining, ends, part, span), _request(excerpt, part.file, span)


# Of no store: an empty range is not asked for.
_NO_BYTES: Final = ByteRange("", cast("ObjectStore", None), "", None, 0, 0, FetchCounts())


def _request(excerpt: Excerpt, scene: SceneFile, span: Span) -> ByteRange:
    whole = ByteRange(scene.href, scene.store, scene.key, scene.etag, 0, 0, excerpt.counts, scene.size, scene.modified)
    return whole._replace(start=span.start, stop=span.stop)


def _batches(ranges: Iterator[tuple[Fetched, "Bytes"]]) -> Iterator[list[Fetched]]:
    """The ranges of one part of some scenes, which are decoded in turns."""
    batch: list[Fetched] = []
    for fetched, data in ranges:
        batch.append(fetched._replace(data=memoryview(data)))
        if not fetched.remaining:
            yield batch
            batch = []


def _refusal(part: ScenePart) -> str | None:
    return next(filter(None, (fast_path_refusal(part.file.header, band) for band in part.bands)), None)


def _check(part: ScenePart) -> None:
    scene, window = part.file, part.window
    if refusal := _refusal(part):
        raise ReadError(scene.href, f"the fast reader does not take {refusal}; read it through GDAL")
    if len(part.bands) > 1 and not scene.header.interleaved:
        raise ReadError(scene.href, f"its bands {part.bands} do not lie in the same tiles")
    height, width = scene.header.shape
    if not window.inside((height, width)):
        raise ReadError(scene.href, f"{window} is not inside its {height} rows and {width} columns")


class _Placed(NamedTuple):
    """A tile that is not inflated yet, for each band; its bytes, if it is not sparse, and its row among the tiles."""

    by_band: list[InflatedTile]
    data: memoryview | None
    tile_row: int
    needed: bool

    @property
    def first(self) -> InflatedTile:
        """The tile for the first band, which is inflated for all."""
        return self.by_band[0]


def _place(fetched: Fetched, part: ScenePart, index: int, decoders: Sequence[TileDecoder]) -> _Placed:
    """A tile, and the pixels of it that are read."""
    tile, window, layout = fetched.span.tiles[index], part.window, part.file.header.layout
    height, width = layout.tile_height, layout.tile_width
    top, left = tile.row * height, tile.column * width
    rows = slice(max(window.row - top, 0), min(window.row + window.height - top, height))
    columns = slice(max(window.column - left, 0), min(window.column + window.width - left, width))
    sparse = tile.start == tile.stop
    data = None if sparse else fetched.data[tile.start - fetched.span.start : tile.stop - fetched.span.start]
    row, column = part.row + top + rows.start - window.row, part.column + left + columns.start - window.column
    by_band = [InflatedTile(part.scene, row, column, rows, columns, decoder) for decoder in decoders]
    return _Placed(by_band, data, tile.row, tile.needed)


def _of_one_size(placed: Sequence[_Placed]) -> Iterator[list[_Placed]]:
    """The tiles that can share the buffers: tiles of two sizes would overlap there."""

    def size(tile: _Placed) -> int:
        return tile.first.decoder.tile_bytes

    return (list(tiles) for _, tiles in groupby(sorted(placed, key=size), size))


class _Unneeded(NamedTuple):
    """Tells the tiles of an excerpt without a pixel that counts."""

    excerpt: Excerpt
    missing: Sequence[MissingTiles]

    def has(self, placed: _Placed) -> list[bool]:
        """For each band True if the tile need not be inflated. Raises ReadError."""
        if not placed.needed or (self.excerpt.hides is not None and self.excerpt.hides(placed.first)):
            return [True] * len(placed.by_band)
        if self.excerpt.wanted or not self.missing:
            return [False] * len(placed.by_band)
        return [
            missing.has(tile.decoder, placed.data, placed.tile_row)
            for tile, missing in zip(placed.by_band, self.missing, strict=True)
        ]


def _inflate(placed: Sequence[_Placed], inflation: Inflation, unneeded: _Unneeded, counts: InflateCounts) -> list[Turn]:
    """Inflate the tiles of a turn side by side, but for those that no band needs."""
    turn: list[list[InflatedTile]] = []
    packed: dict[int, Packed] = {}  # by the place in the turn
    number = 0
    for of_scene in placed:
        for tile in of_scene.by_band:
            tile.decoder.number = number
        missing = unneeded.has(of_scene)
        turn.append([tile._replace(missing=of_band) for tile, of_band in zip(of_scene.by_band, missing, strict=True)])
        if all(missing):
            counts.missing_tiles += 1
            continue
        number += 1
        if of_scene.data is not None:
            decoder, tile_row = of_scene.first.decoder, of_scene.tile_row
            alone = partial(decoder.unpack, of_scene.data, tile_row)
            packed[len(turn) - 1] = Packed(of_scene.data, decoder.room(tile_row), alone, decoder.deflated)
    for index, length in zip(packed, inflation.inflate(list(packed.values()), counts), strict=True):
        decoder = turn[index][0].decoder
        encoded = decoder.inflated(length, placed[index].tile_row)
        undone: list[Pixels] | None = [] if len(turn[index]) > 1 else None
        turn[index] = [tile._replace(encoded=encoded, undone=undone) for tile in turn[index]]
    return [list(of_band) for of_band in zip(*turn, strict=True)]
