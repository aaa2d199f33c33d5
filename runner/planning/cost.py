"""The requests and bytes that a pass reads, counted before it runs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from operator import add
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.area import Area
from runner.model import Scene, Stack
from runner.planning.chunking import chunk_sizes, cut, starts
from runner.planning.outside import Outside
from runner.planning.reading import Reading
from runner.planning.records import Chunks, Cost, Task
from runner.read.header import Window
from runner.read.layout import TiffLayout
from runner.read.spans import Span, plan_spans, tiles_of
from runner.settings import ReaderName

Integers = npt.NDArray[np.int64]

_MOST_PLACES: Final = 20  # on which requests are counted


def cost_of(stack: Stack, reading: Reading, chunks: Chunks, tasks: Sequence[Task] | None) -> Cost:
    """The cost of reading a stack in chunks; `tasks` are those of the block engine, None for the xarray engine."""
    windows = {task.window for task in (cut(stack, chunks) if tasks is None else tasks)}
    requests, test = None if tasks is None else _requests(stack, reading, windows), reading.rule.test

    def tiles(mask_band: int | None) -> _Tiles:
        return _tiles_met(stack, windows, mask_band) if stack.area else _tiles(stack, chunks, mask_band)

    masks = tiles(test.band) if test else _NO_TILES
    return _cost(requests, tiles(None), masks, stack)


def cost_of_tasks(stack: Stack, reading: Reading, tasks: Sequence[Task]) -> Cost:
    """The cost of some tasks of the block engine, which need not have all scenes of a window."""
    requests: _Requests | None = _NO_REQUESTS
    scenes = masks = _NO_TILES
    for part, windows in _read_alike(stack, tasks):
        more, test = _requests(part, reading, windows), reading.rule.test
        requests = None if more is None or requests is None else requests + more
        scenes += _tiles_met(part, windows, None)
        masks += _tiles_met(part, windows, test.band) if test else _NO_TILES
    return _cost(requests, scenes, masks, stack)


def _read_alike(stack: Stack, tasks: Sequence[Task]) -> Iterator[tuple[Stack, set[Window]]]:
    """Scenes that are read in the same windows, as stacks, with these windows."""
    of_span: dict[tuple[int, int], set[Window]] = {}
    for window, start, stop in tasks:
        of_span.setdefault((start, stop), set()).add(window)
    edges = sorted({edge for span in of_span for edge in span})
    scenes: dict[frozenset[Window], list[Scene]] = {}
    for first, last in pairwise(edges):
        windows = frozenset(w for (start, stop), met in of_span.items() if start <= first < stop for w in met)
        scenes.setdefault(windows, []).extend(stack.scenes[first:last])
    yield from ((replace(stack, scenes=tuple(alike)), set(windows)) for windows, alike in scenes.items() if windows)


def _cost(requests: "_Requests | None", scenes: "_Tiles", masks: "_Tiles", stack: Stack) -> Cost:
    over_read = scenes.read / scenes.needed if scenes.needed else 1.0
    pixel_bytes = round(scenes.pixels * stack.dtype.itemsize * over_read)
    stored = scenes.stored_bytes + masks.stored_bytes
    asked, of_masks = (None, None) if requests is None else (sum(requests), requests.masks)
    return Cost(asked, stored, pixel_bytes + masks.decoded_bytes, over_read, masks.stored_bytes, of_masks)


# --- requests -------------------------------------------------------------------------------------------------------


class _Requests(NamedTuple):
    """Ranges to be fetched of scenes, and of their masks."""

    scenes: int
    masks: int

    def __add__(self, other: "_Requests") -> "_Requests":  # type: ignore[override]
        """The ranges of both."""
        return _Requests(*map(add, self, other))


_NO_REQUESTS: Final = _Requests(0, 0)


def _requests(stack: Stack, reading: Reading, windows: Iterable[Window]) -> _Requests | None:
    """Ranges to be fetched; None where GDAL decides."""
    if reading.reader is ReaderName.gdal or reading.needs_gdal(stack.scenes[0]):
        return None
    known: dict[tuple[object, ...], _Requests] = {}

    def count(scene: Scene) -> _Requests:
        """The ranges of a scene, counted on the first of each place, or estimated by the first of very many places."""
        key = scene.window, scene.mask and (scene.mask.factor, scene.mask.row, scene.mask.column)
        if key in known:
            return known[key]
        if len(known) >= _MOST_PLACES:
            return _Requests(*(round(sum(numbers) / len(known)) for numbers in zip(*known.values(), strict=True)))
        return known.setdefault(key, sum(_ranges(stack.area, reading, scene, windows), _NO_REQUESTS))

    return sum(map(count, stack.scenes), _NO_REQUESTS)


def _ranges(area: Area | None, reading: Reading, scene: Scene, windows: Iterable[Window]) -> Iterator[_Requests]:
    for window in windows:
        part = scene.part(window)
        if part is None:
            continue
        outside = None if area is None else Outside(area, scene, window)
        tiles = outside.hides_tile if outside else None
        yield _Requests(_requested(plan_spans(scene.header.layout, part, scene.band, reading.fetch, tiles)), 0)
        if scene.mask and reading.rule.test:
            layout, test = scene.mask.header.layout, reading.rule.test
            tiles = outside.hides_mask if outside else None
            yield _Requests(0, _requested(plan_spans(layout, scene.mask.part(part), test.band, reading.fetch, tiles)))


def _requested(spans: Sequence[Span]) -> int:
    """The spans that have bytes: not those of sparse tiles alone, or of tiles that are not read."""
    return sum(span.start < span.stop for span in spans)


# --- bytes ----------------------------------------------------------------------------------------------------------


class _Tiles(NamedTuple):
    """The tiles of some files, counted as often as they are read; `needed` counts each of them once."""

    stored_bytes: int
    decoded_bytes: int
    pixels: int
    read: int
    needed: int

    def __add__(self, other: "_Tiles") -> "_Tiles":  # type: ignore[override]
        """The tiles of both."""
        return _Tiles(*map(add, self, other))


_NO_TILES: Final = _Tiles(0, 0, 0, 0, 0)


class _Axis(NamedTuple):
    """The times that tiles from `first` on are read along one axis, and the pixels of the file between the ends."""

    first: int
    times: Integers
    pixels: int

    @property
    def tiles(self) -> slice:
        """The tiles that are read."""
        return slice(self.first, self.first + self.times.size)


def _tiles(stack: Stack, chunks: Chunks, mask_band: int | None) -> _Tiles:
    """The tiles of scenes that chunks of a stack read; those of a band of their masks if it is given."""
    rows, columns = (
        _Chunks(*map(np.array, axis)) for axis in zip(starts(stack, chunks), chunk_sizes(stack, chunks), strict=True)
    )
    known: dict[tuple[object, ...], tuple[_Axis, _Axis]] = {}
    tiles = _NO_TILES
    for scene, layout, sizes in _files(stack, mask_band):
        cover = None if mask_band is None else scene.mask
        place = (cover.factor, cover.row, cover.column) if cover else None
        key = scene.window, place, layout.tile_height, layout.tile_width
        if key not in known:
            known[key] = (
                rows.axis(scene.row, scene.header.shape[0], layout.tile_height, place[:2] if place else None),
                columns.axis(scene.column, scene.header.shape[1], layout.tile_width, place[::2] if place else None),
            )
        down, across = known[key]
        met = sizes[down.tiles, across.tiles].astype(np.int64)
        read, stored = int(down.times.sum() * across.times.sum()), int(down.times @ met @ across.times)
        tiles += _Tiles(stored, read * layout.tile_bytes, down.pixels * across.pixels, read, met.size)
    return tiles


def _tiles_met(stack: Stack, windows: Iterable[Window], mask_band: int | None) -> _Tiles:
    """As `_tiles`, for any windows, without tiles outside of the stack's area."""
    known: dict[tuple[object, ...], tuple[Integers, int]] = {}
    tiles = _NO_TILES
    for scene, layout, sizes in _files(stack, mask_band):
        place = scene.mask and (scene.mask.factor, scene.mask.row, scene.mask.column)
        key = scene.window, place, layout.tile_height, layout.tile_width, scene.header.tile_shape
        if key not in known:
            known[key] = _times_met(stack, windows, scene, masks=mask_band is not None)
        times, pixels = known[key]
        read, stored = int(times.sum()), int((sizes * times).sum())
        tiles += _Tiles(stored, read * layout.tile_bytes, pixels, read, int(np.count_nonzero(times)))
    return tiles


def _files(stack: Stack, mask_band: int | None) -> Iterator[tuple[Scene, TiffLayout, Integers]]:
    """The scenes with the layouts of their files and the bytes of the tiles (rows, columns) of the band that is read.

    With a `mask_band`, those of their masks. Scenes without a mask, or beside the grid, are left out.
    """
    for scene in stack.scenes:
        file, band = (scene, scene.band) if mask_band is None else (scene.mask, mask_band)
        if file is not None and scene.part(stack.grid.window) is not None:
            layout = file.header.layout
            yield scene, layout, layout.byte_counts[band - 1 if layout.planar == "band" else 0]


def _times_met(stack: Stack, windows: Iterable[Window], scene: Scene, *, masks: bool) -> tuple[Integers, int]:
    """The times that each tile of a scene, or of its mask, is read; and the pixels of the scene that are."""
    layout = scene.mask.header.layout if masks and scene.mask else scene.header.layout
    times, pixels = np.zeros(layout.byte_counts.shape[1:], np.int64), 0
    for window in windows:
        part, outside = scene.part(window), Outside(stack.area, scene, window) if stack.area else None
        if part is None:
            continue
        hides = (outside.hides_mask if masks else outside.hides_tile) if outside else None
        for row, column, tile in tiles_of(layout, scene.mask.part(part) if masks and scene.mask else part):
            if hides is None or not hides(tile):
                times[row, column] += 1
                pixels += tile.height * tile.width
    return times, pixels


class _Chunks(NamedTuple):
    """The chunks of a grid along one axis."""

    starts: Integers
    sizes: Integers

    def axis(self, offset: int, extent: int, tile: int, place: tuple[int, int] | None) -> _Axis:
        """The tiles that the chunks read of a scene at `offset`, of `extent` pixels, or of its mask.

        `place` is that of the mask: its factor, and the pixel of the scene that its first pixel covers first.
        """
        begins = np.maximum(self.starts - offset, 0)
        ends = np.minimum(self.starts + self.sizes - offset, extent)
        begins, ends = begins[begins < ends], ends[begins < ends]
        if place:
            factor, first = place
            begins, ends = (begins - first) // factor, -((first - ends) // factor)
        tops, bottoms = begins // tile, (ends - 1) // tile
        steps = np.zeros(int(bottoms[-1] - tops[0]) + 2, np.int64)
        np.add.at(steps, tops - tops[0], 1)
        np.add.at(steps, bottoms + 1 - tops[0], -1)
        return _Axis(int(tops[0]), steps.cumsum()[:-1], int(ends[-1] - begins[0]))
